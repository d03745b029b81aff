"""The sum of a row's exponentials but for that of its maximum, of which only ``log1p`` is wanted.

Minus the exponential of the maximum is added to those of all elements, precisely enough that the two cancel: float32 in
float64 lanes, float64 with every rounding error.  To tell the maximum from the others in the loop instead, and to keep
rounding errors in float32, takes logsumexp of 1000 float32 1.2 times as long (interleaved runs on one Zen 3 core).
Only where next to nothing is left after the cancelling is the row read once more, without its maximum.

The order of the sum is a function of n and dtype alone: element i adds to partial sum i mod L (L the lanes of a
vector), which a fixed tree adds up after every block; then the blocks are added, the first of them, with which the
exponential of the maximum comes, last.
"""

from typing import Any

from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import fma, larger, residue, select, smaller
from .._simd.lanes import widen
from .._simd.memory import keep_part, lanes, load, load_part, splat
from .._simd.vector import computed
from .ahead import ask
from .kept import BEHIND, IN_RING, RING, add_kept, keep_rest, keep_two, memory_to_keep
from .partial import add_term, nothing, pair_of
from .sums import add_pairs, scaled

# Partial sums of so many elements, 128 terms in float32 and 256 in float64, lose at most 2**-46 and 2**-90 of the
# maximum's exponential, and those of its dtype's rounding errors 2**-41 in float32.  What is left of the sum is to be
# precise to 2**-26 and 2**-56.
OTHERS_BLOCK_ELEMENTS = 1 << 11
_SMALLEST_REST = {types.float32: (2.0**-20, 2.0**-14), types.float64: (2.0**-34, 2.0**-34)}


@helper
def sum_of_others(x, start, n, steps, shift, unit, precise, ahead):
    """Return the sum of a row's scaled exponentials, one of its maximum excepted, as a float64 pair.

    `unit` is about the exponential of the maximum; with `precise`, a constant of the compiled code, each exponential is
    added with its rounding error.
    """
    kept = memory_to_keep(x)
    if shift.reached:
        rest, error = sum_blocks_of_others(x, start, n, steps, shift, True, precise, False, kept, ahead)
    else:
        rest, error = sum_blocks_of_others(x, start, n, steps, shift, False, precise, False, kept, ahead)
    if is_too_small(x, rest, unit, precise):
        return sum_without_largest(x, start, n, steps, shift, precise, ahead)
    return rest, error


@helper
def sum_without_largest(x, start, n, steps, shift, precise, ahead):
    """Return the sum of a row that is read without its maximum: seldom, so that it is compiled without a ring."""
    return sum_blocks_of_others(x, start, n, steps, shift, False, precise, True, None, ahead)


@helper
def is_too_small(x, rest, unit, precise):
    """Whether too little is left beside the exponential of the maximum, or of one row in each lane."""
    rounded_rest, precise_rest = smallest_rest(x)
    return rest < (precise_rest if precise else rounded_rest) * unit


def smallest_rest(x: Any) -> Any:
    """Return what part of the maximum's exponential must be left for the cancelling to do, last if `precise`."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(smallest_rest, inline=True)
def _smallest_rest(x):
    smallest = _SMALLEST_REST[computed(x.dtype)]
    return lambda x: smallest


@helper
def sum_blocks_of_others(x, start, n, steps, shift, reached, precise, alone, kept, ahead):
    """Return the sum as a pair: minus the exponential of the maximum plus all, or, where it is `alone`, without it.

    `kept` is what `memory_to_keep` returns, or None.
    """
    end = start + n
    total, lost = without_largest(x, steps, shift, reached, precise, alone)
    value = error = first = first_error = 0.0
    i, stop = start, smaller(end, start + OTHERS_BLOCK_ELEMENTS)
    while True:
        sums = sum_block_of_others(x, i, stop, total, lost, steps, shift, reached, precise, alone, kept, ahead)
        if i == start:
            first, first_error = sums
        else:
            value, error = add_pairs(value, error, sums)
        if stop == end:
            break
        total, lost = nothing(x)
        i, stop = stop, smaller(end, stop + OTHERS_BLOCK_ELEMENTS)
    return add_pairs(value, error, (first, first_error)) if n > OTHERS_BLOCK_ELEMENTS else (first, first_error)


@helper
def without_largest(x, steps, shift, reached, precise, alone):
    """Return the partial sums with which a row begins: minus the exponential of the maximum, 0 where it is `alone`."""
    total, lost = nothing(x)
    if alone:
        return total, lost
    _, u, scale = scaled(splat(x, shift.largest), steps, shift, reached)
    return add_exp(total, lost, u, keep_part(-scale, 1), precise)


@helper
def minus_largest(x, steps, shift, precise):
    """Return, with a row in each lane, minus the exponential of the maximum, and what it has lost."""
    total, lost = nothing(x)
    _, u, scale = scaled(splat(x, shift.largest), steps, shift, False)
    return add_exp(total, lost, u, -scale, precise)


@helper
def sum_block_of_others(x, i, stop, total, lost, steps, shift, reached, precise, alone, kept, ahead):
    """Return the sum of the exponentials of ``x[i : stop]`` and of partial sums as a pair."""
    total, lost = add_block_of_others(x, i, stop, total, lost, steps, shift, reached, precise, alone, kept, ahead)
    return pair_of(total, lost)


def add_block_of_others(
    x: Any,
    i: Any,
    stop: Any,
    total: Any,
    lost: Any,
    steps: Any,
    shift: Any,
    reached: Any,
    precise: Any,
    alone: Any,
    kept: Any,
    ahead: Any,
) -> Any:
    """Return partial sums, and what they have lost, with the exponentials of ``x[i : stop]`` added."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(add_block_of_others, inline=True)
def _add_block_of_others(x, i, stop, total, lost, steps, shift, reached, precise, alone, kept, ahead):
    def by_memory(x, i, stop, total, lost, steps, shift, reached, precise, alone, kept, ahead):
        width = lanes(x)
        first = i
        while i + 2 * width <= stop:
            at = (i - first) & IN_RING
            keep_two(x, i, steps, shift, reached, precise, kept, at, RING, ahead)
            if i - first >= BEHIND:  # what came so much earlier is half the ring away
                total = add_kept(total, kept, at ^ BEHIND, 2 * width, precise, RING)
            i += 2 * width
        keep_rest(x, i, stop, steps, shift, reached, precise, kept, (i - first) & IN_RING, RING, ahead)
        for k in range(larger(0, i - first - BEHIND), stop - first, width):
            total = add_kept(total, kept, k & IN_RING, width, precise, RING)
        return total, lost

    def in_registers(x, i, stop, total, lost, steps, shift, reached, precise, alone, kept, ahead):
        width = lanes(x)
        while i + width <= stop:
            ask(x, i, ahead)
            u, scale = parts_of_exp(load(x, i), steps, shift, reached, alone)
            total, lost = add_exp(total, lost, u, scale, precise)
            i += width
        if i < stop:
            u, scale = parts_of_exp(load_part(x, i, stop - i, shift.largest), steps, shift, reached, alone)
            total, lost = add_exp(total, lost, u, keep_part(scale, stop - i), precise)
        return total, lost

    return in_registers if isinstance(kept, types.NoneType) else by_memory


@helper
def parts_of_exp(v, steps, shift, reached, alone):
    """Return `u` and `scale` of `exp_scaled`, `scale` 0 at the maximum where it is `alone`."""
    _, u, scale = scaled(v, steps, shift, reached)
    return u, (select(v == shift.largest, 0, scale) if alone else scale)


def add_exp(total: Any, lost: Any, u: Any, scale: Any, precise: Any) -> Any:
    """Return partial sums, and what they have lost, with ``u * scale + scale`` added, rounded unless `precise`."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(add_exp, inline=True)
def _add_exp(total, lost, u, scale, precise):
    if u.element == types.float32:

        def of_float32(total, lost, u, scale, precise):
            e = fma(widen(u), widen(scale), widen(scale)) if precise else widen(fma(u, scale, scale))
            return add_term(total, lost, e)

        return of_float32

    def of_float64(total, lost, u, scale, precise):
        e = fma(u, scale, scale)
        if precise:
            lost = lost + residue(u, scale, scale - e)  # exact: e is within a factor of two of scale
        return add_term(total, lost, e)

    return of_float64

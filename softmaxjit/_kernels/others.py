"""The sum of a row's exponentials but for that of its maximum, of which only ``log1p`` is wanted.

Everything is added, after minus the exponential of the maximum, precisely enough that the two cancel: float32 in float64
lanes, float64 with every rounding error.  Telling the maximum from the others in the loop instead, and keeping rounding
errors in float32, took rows of 1000 float32 510 instead of 260 ns (interleaved runs on one Zen 3 core).  Only where
next to nothing is left after the cancelling is the row read once more, without its maximum.

The order of the sum is a function of n and dtype alone: element i adds to partial sum i mod L (L the lanes of a
vector), which a fixed tree adds up after every block.
"""

from typing import Any

from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import add_exactly, fma, select
from .._simd.lanes import sum_lanes, sum_tree, widen
from .._simd.memory import keep_part, lanes, load, load_part, splat
from .._simd.vector import computed
from .sums import add_pairs, scaled

# Of so many elements the partial sums, 128 terms in float32, 256 in float64, lose at most 2**-46 and 2**-90 of the
# maximum's exponential; what is left of the sum is to be precise to 2**-26 and 2**-56.
BLOCK_ELEMENTS = 1 << 11
_SMALLEST_REST = {types.float32: 2.0**-20, types.float64: 2.0**-34}


@helper
def sum_of_others(x, start, n, steps, shift, unit, precise):
    """Return the sum of a row's scaled exponentials, one of its maximum excepted, as a float64 pair.

    `unit` is about the exponential of the maximum; with `precise`, a constant of the compiled code, each exponential is
    added with its rounding error.
    """
    if shift.reached:
        rest, error = sum_blocks(x, start, n, steps, shift, True, precise, False)
    else:
        rest, error = sum_blocks(x, start, n, steps, shift, False, precise, False)
    if rest < smallest_rest(x) * unit:
        return sum_blocks(x, start, n, steps, shift, False, precise, True)
    return rest, error


def smallest_rest(x: Any) -> Any:
    """Return the part of the maximum's exponential that must be left for the cancelling to be precise."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(smallest_rest, inline=True)
def _smallest_rest(x):
    smallest = _SMALLEST_REST[computed(x.dtype)]
    return lambda x: smallest


@helper
def sum_blocks(x, start, n, steps, shift, reached, precise, alone):
    """Return the sum as a pair: minus the exponential of the maximum plus all, or, where it is `alone`, without it."""
    end = start + n
    total, lost = nothing(x)
    if not alone:
        _, u, scale = scaled(splat(x, shift.largest), steps, shift, reached)
        total, lost = add_exp(total, lost, u, keep_part(-scale, 1), precise)
    stop = min(end, start + BLOCK_ELEMENTS)
    total, lost = sum_block(x, start, stop, total, lost, steps, shift, reached, precise, alone)
    value, error = pair_of(total, lost)
    while stop < end:
        i, stop = stop, min(end, stop + BLOCK_ELEMENTS)
        total, lost = nothing(x)
        total, lost = sum_block(x, i, stop, total, lost, steps, shift, reached, precise, alone)
        value, error = add_pairs(value, error, pair_of(total, lost))
    return value, error


@helper
def sum_block(x, i, stop, total, lost, steps, shift, reached, precise, alone):
    """Add the exponentials of ``x[i : stop]`` to partial sums."""
    width = lanes(x)
    while i + width <= stop:
        u, scale = parts_of_exp(load(x, i), steps, shift, reached, alone)
        total, lost = add_exp(total, lost, u, scale, precise)
        i += width
    if i < stop:
        u, scale = parts_of_exp(load_part(x, i, stop - i, shift.largest), steps, shift, reached, alone)
        total, lost = add_exp(total, lost, u, keep_part(scale, stop - i), precise)
    return total, lost


@helper
def parts_of_exp(v, steps, shift, reached, alone):
    """Return `u` and `scale` of `exp_scaled`, `scale` 0 at the maximum where it is `alone`."""
    _, u, scale = scaled(v, steps, shift, reached)
    return u, (select(v == shift.largest, 0, scale) if alone else scale)


def nothing(x: Any) -> Any:
    """Return partial sums of no terms, and what they have lost."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(nothing, inline=True)
def _nothing(x):
    if computed(x.dtype) == types.float32:
        return lambda x: (widen(splat(x, 0)), 0.0)
    return lambda x: (splat(x, 0), splat(x, 0))


def add_exp(total: Any, lost: Any, u: Any, scale: Any, precise: Any) -> Any:
    """Return partial sums with ``u * scale + scale`` added to them, rounded first unless `precise`."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(add_exp, inline=True)
def _add_exp(total, lost, u, scale, precise):
    if u.element == types.float32:

        def of_float32(total, lost, u, scale, precise):
            if precise:
                wide = widen(scale)
                return total + fma(widen(u), wide, wide), lost
            return total + widen(fma(u, scale, scale)), lost

        return of_float32

    def of_float64(total, lost, u, scale, precise):
        e = fma(u, scale, scale)
        total, error = add_exactly(total, e)
        if precise:
            error = error + fma(u, scale, scale - e)  # exact: e is within a factor of two of scale
        return total, lost + error

    return of_float64


def pair_of(total: Any, lost: Any) -> Any:
    """Return the sum of the lanes as a float64 pair."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(pair_of, inline=True)
def _pair_of(total, lost):
    if isinstance(lost, types.Float):
        return lambda total, lost: (sum_tree(total), lost)
    return lambda total, lost: sum_lanes(total, lost)

"""The sum of a row's exponentials, in the order that every kernel keeps."""

from typing import Any

from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import add_exactly, add_to_larger, larger, smaller
from .._simd.exp_scaled import exp_scaled
from .._simd.lanes import halves, joined, lanes_like, sum_lanes, widen
from .._simd.memory import keep_part, lanes, load, load_part, splat, store, store_part
from .._simd.vector import computed
from .ahead import ask, ask_in_four
from .shift import largest_exp

# The partial sums of so many elements are flushed into one of float64: beyond it float32 would lose count.
FLUSHED_ELEMENTS = 1 << 16


@helper
def sum_row(x, start, n, steps, shift, reached, out, ahead):
    """Return the sum of a row's scaled exponentials, which are stored in `out`, as a float64 pair.

    `reached` is a constant of the compiled code; `ahead` says what to ask for meanwhile.
    """
    width = lanes(x)
    i, end = start, start + n
    total = lost = splat(x, 0)
    flushed, flushed_error = 0.0, 0.0
    while i + 4 * width <= end:
        stop = smaller(end, i + FLUSHED_ELEMENTS)
        i, total, lost = sum_fours(x, i, stop, total, lost, steps, shift, reached, out, ahead)
        if stop < end:
            flushed, flushed_error = add_pairs(flushed, flushed_error, sum_lanes(total, lost))
            total = lost = splat(x, 0)
    return add_pairs(flushed, flushed_error, sum_rest(x, i, end, total, lost, steps, shift, reached, out, ahead))


@helper
def sum_rest(x, i, end, total, lost, steps, shift, reached, out, ahead):
    """Return the sum of partial sums, of what these have lost and of less than four vectors more, as a pair."""
    total, error = add_exactly(total, partials_of_rest(x, i, end, steps, shift, reached, out, False, ahead))
    return sum_lanes(total, lost + error)


@helper
def partials_of_rest(x, i, end, steps, shift, reached, out, whole, ahead):
    """Return the partial sums of up to four vectors; `whole`, a constant, if the last is stored beyond the row."""
    width = lanes(x)
    pair = rest = splat(x, 0)
    if i + 2 * width <= end:
        ask(x, i, ahead)
        ask(x, i + width, ahead)
        first, second = two_terms(x, i, steps, shift, reached, out)
        pair = first + second
        i += 2 * width
    while i < end:
        ask(x, i, ahead)
        rest = rest + next_term(x, i, end - i, steps, shift, reached, out, whole)
        i += width
    return pair + rest


@helper
def next_term(x, i, count, steps, shift, reached, out, whole):
    """Store the exponentials of a vector, or of the last `count` elements of a row, and return them."""
    if count >= lanes(x):
        return term(x, i, steps, shift, reached, out)
    e, _, _ = scaled(load_part(x, i, count, shift.largest), steps, shift, reached)
    if whole:
        store(out, i, e)
    else:
        store_part(out, i, count, e)
    return keep_part(e, count)


@helper
def term(x, i, steps, shift, reached, out):
    """Store the exponentials of a vector and return them."""
    e, _, _ = scaled(load(x, i), steps, shift, reached)
    store(out, i, e)
    return e


@helper
def two_terms(x, i, steps, shift, reached, out):
    """Store the exponentials of two vectors and return them.

    As one vector, so that their instructions alternate: each waits for the one before it, and the processor looks ahead
    over a few dozen (rows of 1000 float32: 0.95 of the time, interleaved runs on one Zen 3 core).
    """
    width = lanes(x)
    e, _, _ = scaled(joined(load(x, i), load(x, i + width)), steps, shift, reached)
    a, b = halves(e)
    store(out, i, a)
    store(out, i + width, b)
    return a, b


@helper
def sum_fours(x, i, stop, total, lost, steps, shift, reached, out, ahead):
    """Add vectors, four at a time, to partial sums and what these have lost; return the index after them first."""
    width = lanes(x)
    while i + 4 * width <= stop:
        ask_in_four(x, i, ahead)
        a, b = two_terms(x, i, steps, shift, reached, out)
        c, d = two_terms(x, i + 2 * width, steps, shift, reached, out)
        total, error = add_four(total, (a + b) + (c + d))
        lost = lost + error
        i += 4 * width
    return i, total, lost


@helper
def add_four(total, four):
    """Return partial sums with the sum of four vectors added, and what that lost; a NaN in either stays.

    Neither is known to be the larger.  Taken for one that is not, as in rows whose largest elements come late, a sum
    loses one rounding more: softmax of rows of 128 float32 was up to 4.15 ulp off instead of 3.5.  To compare them
    costs 1 % of softmax of rows of 1000 float32, `add_exactly` 4 % (one Zen 3 core).
    """
    return add_to_larger(larger(total, four), smaller(four, total))


@helper
def add_pairs(x, error, other):
    """Return ``x + error + other`` as a pair, `other` being one."""
    y, y_error = other
    s, lost = add_exactly(x, y)
    return s, error + (y_error + lost)


@helper
def missing_from_largest(x, steps, shift, temperature):
    """Return how much the largest exponential in `sum_row` falls short of the exact one.

    In a confident row its error, up to 1.5 ulp, is that of the whole sum and so of every other probability.
    """
    unit, unit_error = largest_exp(x, shift, temperature)
    return missing_from_unit(x, steps, shift, unit, unit_error)


def missing_from_unit(x: Any, steps: Any, shift: Any, unit: Any, unit_error: Any) -> Any:
    """Return what `missing_from_largest` does, from what `largest_exp` returns."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(missing_from_unit, inline=True)
def _missing_from_unit(x, steps, shift, unit, unit_error):
    if computed(x.dtype) == types.float64:
        # The first of the pair is what `sum_row` adds.
        return lambda x, steps, shift, unit, unit_error: unit_error

    def of_float32(x, steps, shift, unit, unit_error):
        summed, _, _ = scaled(splat(x, shift.largest), steps, shift, False)
        return (unit - widen(lanes_like(shift.largest, summed))) + unit_error

    return of_float32


@helper
def scaled(v, steps, shift, reached):
    """Return `exp_scaled` of a vector of the row."""
    if not reached:
        v = larger(shift.lowest, v - shift.anchor)  # in this order a NaN stays
    return exp_scaled(v, steps, shift.magic)

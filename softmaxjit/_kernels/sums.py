"""The sum of a row's exponentials, in the order that every kernel keeps."""

from typing import Any

from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import add_exactly, add_to_larger, count_true, fma, larger, select
from .._simd.exp_scaled import exp_scaled
from .._simd.lanes import first_lane, sum_lanes, widen
from .._simd.memory import keep_part, lanes, load, load_part, splat, store, store_part
from .shift import largest_exp

# The partial sums of so many elements are flushed into one of float64: beyond it float32 would lose count.
FLUSHED_ELEMENTS = 1 << 16


@helper
def sum_row(x, start, n, steps, shift, reached, out):
    """Return the sum of a row's scaled exponentials as a float64 pair, and how often its maximum was left out.

    With an array for `out` the sum is over every element and the exponentials are stored there; with None the sum is
    over all but the maximum, with the rounding error of each term.  `reached` is a constant of the compiled code.
    """
    width = lanes(x)
    i, end = start, start + n
    total = lost = splat(x, 0)
    flushed, flushed_error, ties = 0.0, 0.0, 0
    while i + 4 * width <= end:
        stop = min(end, i + FLUSHED_ELEMENTS)
        i, total, lost, block_ties = sum_fours(x, i, stop, total, lost, steps, shift, reached, out)
        ties += block_ties
        if stop < end:
            flushed, flushed_error = add_pairs(flushed, flushed_error, sum_lanes(total, lost))
            total = lost = splat(x, 0)
    halfway = i + 2 * width
    first = second = splat(x, 0)
    while i < end:
        e, error, e_ties = next_term(x, i, end - i, steps, shift, reached, out)
        if i < halfway:
            first = first + e
        else:
            second = second + e
        if out is None:
            lost = lost + error
            ties += e_ties
        i += width
    total, error = add_exactly(total, first + second)
    return add_pairs(flushed, flushed_error, sum_lanes(total, lost + error)), ties


@helper
def next_term(x, i, count, steps, shift, reached, out):
    """Return `term`, or `last_term` where no whole vector is left."""
    if count >= lanes(x):
        return term(x, i, load(x, i), steps, shift, reached, out)
    return last_term(x, i, count, steps, shift, reached, out)


@helper
def sum_fours(x, i, stop, total, lost, steps, shift, reached, out):
    """Add vectors, four at a time, to partial sums and what these have lost; return the index after them first."""
    width = lanes(x)
    ties = 0
    while i + 4 * width <= stop:
        four, four_error, four_ties = sum_of_four(x, i, steps, shift, reached, out)
        if out is None:
            total, error = add_exactly(total, four)
            lost = lost + four_error
            ties += four_ties
        else:
            # Half the additions, for 7 % of this loop on one Zen 4 core.  Where `four` is the larger, as in ascending
            # rows, the error is itself off by a rounding of `four`: what one more uncompensated addition would cost.
            total, error = add_to_larger(total, four)
        lost = lost + error
        i += 4 * width
    return i, total, lost, ties


@helper
def sum_of_four(x, i, steps, shift, reached, out):
    """Return the sum of four vectors of `term`, its error and the number of maxima; the last two if `out` is None."""
    width = lanes(x)
    a, a_error, a_ties = term(x, i, load(x, i), steps, shift, reached, out)
    b, b_error, b_ties = term(x, i + width, load(x, i + width), steps, shift, reached, out)
    c, c_error, c_ties = term(x, i + 2 * width, load(x, i + 2 * width), steps, shift, reached, out)
    d, d_error, d_ties = term(x, i + 3 * width, load(x, i + 3 * width), steps, shift, reached, out)
    if out is not None:
        return (a + b) + (c + d), splat(x, 0), 0
    ab, ab_error = add_exactly(a, b)
    cd, cd_error = add_exactly(c, d)
    four, four_error = add_exactly(ab, cd)
    error = ((ab_error + cd_error) + four_error) + ((a_error + b_error) + (c_error + d_error))
    return four, error, a_ties + b_ties + c_ties + d_ties


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
    value, error = largest_exp(x, shift, temperature)
    summed, _, _ = scaled(splat(x, shift.largest), steps, shift, False)
    return (value - widen(lanes_like(shift.largest, summed))) + error


def lanes_like(value: Any, vector: Any) -> Any:
    """Return a vector whose lanes are alike as one number where `value` is a number, else as it is."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(lanes_like, inline=True)
def _lanes_like(value, vector):
    if isinstance(value, types.Float):
        return lambda value, vector: first_lane(vector)
    return lambda value, vector: vector


@helper
def scaled(v, steps, shift, reached):
    """Return `exp_scaled` of a vector of the row."""
    if not reached:
        v = larger(shift.lowest, v - shift.anchor)  # in this order a NaN stays
    return exp_scaled(v, steps, shift.magic)


def term(x: Any, i: Any, v: Any, steps: Any, shift: Any, reached: Any, out: Any) -> Any:
    """Return what a whole vector adds to `sum_row`: exponentials, their rounding errors, maxima left out."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(term, inline=True)
def _term(x, i, v, steps, shift, reached, out):
    if isinstance(out, types.CPointer):

        def stored(x, i, v, steps, shift, reached, out):
            e, _, _ = scaled(v, steps, shift, reached)
            store(out, i, e)
            return e, 0, 0

        return stored

    def without_maximum(x, i, v, steps, shift, reached, out):
        e, u, scale = scaled(v, steps, shift, reached)
        error = fma(u, scale, scale - e)  # exact: e is within a factor of two of scale
        maximum = v == shift.largest
        return select(maximum, 0, e), select(maximum, 0, error), count_true(maximum)

    return without_maximum


def last_term(x: Any, i: Any, count: Any, steps: Any, shift: Any, reached: Any, out: Any) -> Any:
    """`term` for the last `count` elements of a row."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(last_term, inline=True)
def _last_term(x, i, count, steps, shift, reached, out):
    if isinstance(out, types.CPointer):

        def stored(x, i, count, steps, shift, reached, out):
            e, _, _ = scaled(load_part(x, i, count, shift.largest), steps, shift, reached)
            store_part(out, i, count, e)
            return keep_part(e, count), 0, 0

        return stored

    def without_maximum(x, i, count, steps, shift, reached, out):
        # The lanes beyond the row hold its maximum: left out of the sum, they must not count as left out.
        e, error, ties = term(x, i, load_part(x, i, count, shift.largest), steps, shift, reached, out)
        return e, error, ties - (lanes(x) - count)

    return without_maximum

"""softmax, log_softmax and logsumexp of contiguous rows.

A row is read twice: once for its largest and smallest element, once for its exponentials.  With m the largest element
and tau the temperature, everything rests on these choices:

* **The shift hides in the exponent.**  ``exp((x - m) / tau)`` is computed as ``exp(x / tau) * 2**-N`` with N the
  integer nearest ``m / tau * log2(e)``.  The rounding error of x - m, which costs other libraries up to 65 ulp at
  logits of 40, is never made.  Where ``|m| / tau`` is too large for the reduction, x - m is exact for every x
  that matters (Sterbenz), so the row is shifted by its anchor m first.
* **The sum has one order**, a function of n and dtype alone: element i adds to partial sum i mod L (L the lanes of a
  vector); after every BLOCK of vectors the L partial sums are added to L totals with their rounding errors kept; the
  totals are added in a fixed tree.
* **log1p.**  logsumexp is ``m / tau + log1p(s)`` and log_softmax ``(x - m) / tau - log1p(s)``, with s the sum over
  every element but one maximum, so that nothing cancels (Blanchard, Higham and Higham, "Accurately computing the
  log-sum-exp and softmax functions", IMA J. Numer. Anal. 41(4), 2021).

Results below the smallest normal number are flushed to 0: gradual underflow stalls some processors.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import add_exactly, count_true, fma, larger, multiply_exactly, select, smaller
from .._simd.exp import (
    FACTOR,
    HEADROOM,
    LARGEST_SHIFT,
    LOG2_E,
    REACH,
    exp_magic,
    exp_pair,
    exp_scaled,
    exp_steps,
)
from .._simd.lanes import largest_lane, narrow, smallest_lane, sum_lanes, widen
from .._simd.log import log1p_pair
from .._simd.memory import element_like, keep_part, lanes, load, load_part, splat, store, store_part


class Limits(NamedTuple):
    """Bounds of one dtype, as Python floats that compiled code sees as constants."""

    largest_shift: float  # |m| / tau up to which the shift hides in the exponent
    reach: float  # (m - x) / tau up to which exp_scaled is a normal number
    plain_reach: float  # likewise, such that every product of the scaling pass is normal
    headroom: float  # 2**HEADROOM
    factor: float  # of every exp_scaled
    smallest: float  # 2**HEADROOM times the smallest normal number


_LIMITS = {
    element: Limits(LARGEST_SHIFT[element], REACH[element], plain, 2.0 ** HEADROOM[element], factor, smallest)
    for element, plain, factor, smallest in (
        (types.float32, 69.0, FACTOR, 2.0 ** (HEADROOM[types.float32] - 126)),
        (types.float64, 670.0, 1.0, 2.0 ** (HEADROOM[types.float64] - 1022)),
    )
}


def limits_of(array: Any) -> Limits:
    """Return the bounds for the array's dtype."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(limits_of, inline=True)
def _limits_of(array):
    limits = _LIMITS[array.dtype]
    return lambda array: limits


# ---------------------------------------------------------------------------------------------- the shift of a row


class Shift(NamedTuple):
    """How a row's elements become exponentials."""

    largest: Any  # m
    anchor: Any  # subtracted from x first: 0 or m
    lowest: Any  # x - anchor is raised to this, so that its exponential is a normal number
    magic: Any  # hides the shift by `octaves` in the exponent
    octaves: float  # N
    reached: bool  # no element needs the anchor or the raising
    plain: bool  # nor care about underflow in the scaling pass


@helper
def row_extremes(x, start, n):
    """Return the largest and the smallest element of ``x[start : start + n]``; NaN are passed over."""
    width = lanes(x)
    end = start + n
    high = high2 = splat(x, -np.inf)
    low = low2 = splat(x, np.inf)
    i = start
    while i + 2 * width <= end:
        v, w = load(x, i), load(x, i + width)
        high, high2 = larger(v, high), larger(w, high2)
        low, low2 = smaller(v, low), smaller(w, low2)
        i += 2 * width
    if i + width <= end:
        v = load(x, i)
        high, low = larger(v, high), smaller(v, low)
        i += width
    if i < end:
        high = larger(load_part(x, i, end - i, -np.inf), high)
        low = smaller(load_part(x, i, end - i, np.inf), low)
    return largest_lane(larger(high, high2)), smallest_lane(smaller(low, low2))


@helper
def row_shift(x, n, largest, smallest, temperature):
    """Return the shift of a row of n elements with the given extremes."""
    limits = limits_of(x)
    inverse = 1.0 / temperature
    scaled = largest * inverse
    reach = (np.float64(largest) - np.float64(smallest)) * inverse
    near = abs(scaled) <= limits.largest_shift
    # math.log(n) leaves room for a sum n times its largest term.
    reached = near and reach <= limits.reach
    plain = reached and reach + math.log(n) <= limits.plain_reach
    anchor = largest * 0 if near else largest
    octaves = np.rint((scaled if near else 0.0) * LOG2_E)
    lowest = (largest - anchor) - element_like(x, limits.reach * temperature)
    return Shift(largest, anchor, lowest, exp_magic(x, octaves), octaves, reached, plain)


# ------------------------------------------------------------------------------------------------- sums of a row


@helper
def sum_row(x, start, n, steps, shift, reached, out):
    """Return the sum of a row's scaled exponentials as a float64 pair, and how often its maximum was left out.

    With an array for `out` the sum is over every element and the exponentials are stored there; with None the sum is
    over all but the maximum, with the rounding error of each term.  `reached` is a constant of the compiled code.
    """
    width = lanes(x)
    end = start + n
    total = lost = splat(x, 0)
    ties = 0
    i = start
    while i + 4 * width <= end:
        a, a_error, a_ties = term(x, i, load(x, i), steps, shift, reached, out)
        b, b_error, b_ties = term(x, i + width, load(x, i + width), steps, shift, reached, out)
        c, c_error, c_ties = term(x, i + 2 * width, load(x, i + 2 * width), steps, shift, reached, out)
        d, d_error, d_ties = term(x, i + 3 * width, load(x, i + 3 * width), steps, shift, reached, out)
        total, error = add_exactly(total, (a + b) + (c + d))
        lost = lost + error
        if out is None:
            lost = lost + ((a_error + b_error) + (c_error + d_error))
            ties += a_ties + b_ties + c_ties + d_ties
        i += 4 * width
    halfway = i + 2 * width
    first = second = splat(x, 0)
    while i + width <= end:
        e, error, e_ties = term(x, i, load(x, i), steps, shift, reached, out)
        if i < halfway:
            first = first + e
        else:
            second = second + e
        if out is None:
            lost = lost + error
            ties += e_ties
        i += width
    if i < end:
        e, error, e_ties = last_term(x, i, end - i, steps, shift, reached, out)
        if i < halfway:
            first = first + e
        else:
            second = second + e
        if out is None:
            lost = lost + error
            ties += e_ties
    total, error = add_exactly(total, first + second)
    return sum_lanes(total, lost + error), ties


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
    if isinstance(out, types.Array):

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
    if isinstance(out, types.Array):

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


# --------------------------------------------------------------------------------------------------------- softmax


@helper
def inverse_of(out, pair):
    """Return 2**HEADROOM over a float64 pair, as a pair of the dtype of `out`, so that scaling costs no accuracy."""
    total, error = pair
    headroom = limits_of(out).headroom
    inverse = headroom / total
    product, product_error = multiply_exactly(inverse, total)
    correction = ((headroom - product) - product_error - inverse * error) * (inverse / headroom)
    high = element_like(out, inverse)
    return high, element_like(out, (inverse - high) + correction)


@helper
def scale_row(out, start, n, high, low, plain):
    """Multiply a row by 2**-HEADROOM (high + low); `plain` is a constant of the compiled code."""
    limits = limits_of(out)
    unscale = element_like(out, 1.0 / limits.headroom)
    smallest = element_like(out, limits.smallest)
    if plain:
        high, low = high * unscale, low * unscale
    width = lanes(out)
    i, end = start, start + n
    while i + width <= end:
        store(out, i, scaled_element(load(out, i), high, low, smallest, unscale, plain))
        i += width
    if i < end:
        e = load_part(out, i, end - i, 0)
        store_part(out, i, end - i, scaled_element(e, high, low, smallest, unscale, plain))


@helper
def scaled_element(e, high, low, smallest, unscale, plain):
    """Return e * (high + low), flushed to 0 below the smallest normal number without ever computing one."""
    p = fma(e, high, e * low)
    if plain:
        return p
    return select(p < smallest, p * 0, p) * unscale


@helper
def softmax_row(x, start, n, temperature, out):
    """Softmax of ``x[start : start + n]`` into the same place of `out`."""
    steps = exp_steps(x, temperature)
    largest, smallest = row_extremes(x, start, n)
    shift = row_shift(x, n, largest, smallest, temperature)
    if shift.reached:
        total, _ = sum_row(x, start, n, steps, shift, True, out)
    else:
        total, _ = sum_row(x, start, n, steps, shift, False, out)
    high, low = inverse_of(out, total)
    if shift.plain:
        scale_row(out, start, n, high, low, True)
    else:
        scale_row(out, start, n, high, low, False)


@kernel(lambda x, out: (x, types.intp, types.float64, out))
def softmax_rows(x, n, temperature, out):
    """Softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`."""
    for row in prange(x.size // n):
        softmax_row(x, row * n, n, temperature, out)


# ----------------------------------------------------------------------------------------- logsumexp, log_softmax


@helper
def log_of_sum(x, start, n, temperature):
    """Return a row's maximum m and log(sum(exp((x - m) / temperature))) as a float64 pair."""
    limits = limits_of(x)
    steps = exp_steps(x, temperature)
    largest, smallest = row_extremes(x, start, n)
    shift = row_shift(x, n, largest, smallest, temperature)
    if shift.reached:
        (total, error), ties = sum_row(x, start, n, steps, shift, True, None)
    else:
        (total, error), ties = sum_row(x, start, n, steps, shift, False, None)
    # The sum is relative to the exponential of the shift; make it relative to that of the maximum.
    exponent = np.float64(largest - shift.anchor) / temperature
    residue = fma(-exponent, temperature, np.float64(largest - shift.anchor)) / temperature
    unit, unit_error = exp_pair(exponent, residue, shift.octaves)
    scale = limits.headroom * limits.factor
    unit, unit_error = unit * scale, unit_error * scale
    ratio = total / unit
    ratio_error = (fma(-ratio, unit, total) + (error - ratio * unit_error)) / unit
    s, s_error = add_exactly(np.float64(ties - 1), ratio)
    return largest, log1p_pair(s, s_error + ratio_error)


@helper
def has_nan(x, start, n):
    """Whether ``x[start : start + n]`` holds a NaN."""
    for i in range(start, start + n):
        if x[i] != x[i]:
            return True
    return False


@kernel(lambda x, out: (x, types.intp, out))
def logsumexp_rows(x, n, out):
    """Log-sum-exp of every n consecutive elements of flat `x` into one element of `out`."""
    for row in prange(x.size // n):
        largest, (log, log_error) = log_of_sum(x, row * n, n, 1.0)
        if abs(largest) == np.inf:
            log, log_error = (np.nan if has_nan(x, row * n, n) else 0.0), 0.0
        total, error = add_exactly(np.float64(largest), log)
        # Adding to an infinite total would make its error, a NaN, the result.
        out[row] = total + (error + log_error) if abs(total) < np.inf else total


def log_softmax_element(v: Any, largest: Any, inverse: Any, inverse_error: Any, log: Any, log_error: Any) -> Any:
    """Return (v - largest) / temperature - log, each term to twice the precision of v."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(log_softmax_element, inline=True)
def _log_softmax_element(v, largest, inverse, inverse_error, log, log_error):
    if v.element == types.float32:

        def of_float32(v, largest, inverse, inverse_error, log, log_error):
            return narrow(fma(widen(v) - largest, inverse, -log))

        return of_float32

    def of_float64(v, largest, inverse, inverse_error, log, log_error):
        distance, lost = add_exactly(v, -largest)
        y, y_error = multiply_exactly(distance, inverse)
        y_error = y_error + (distance * inverse_error + lost * inverse)
        # Where v - largest overflows its quotient may not; and at -inf the low parts would be NaN.
        far = fma(v, 0.5, -0.5 * largest) * (2.0 * inverse) - log
        return select(y == -np.inf, far, (y - log) + (y_error - log_error))

    return of_float64


@helper
def log_softmax_row(x, start, n, temperature, out):
    """Log-softmax of ``x[start : start + n]`` into the same place of `out`."""
    largest, (log, log_error) = log_of_sum(x, start, n, temperature)
    if not abs(largest) < np.inf:
        log = np.nan
    inverse = 1.0 / temperature
    inverse_error = fma(-inverse, temperature, 1.0) * inverse
    width = lanes(x)
    i, end = start, start + n
    while i + width <= end:
        store(out, i, log_softmax_element(load(x, i), largest, inverse, inverse_error, log, log_error))
        i += width
    if i < end:
        v = load_part(x, i, end - i, largest)
        v = log_softmax_element(v, largest, inverse, inverse_error, log, log_error)
        store_part(out, i, end - i, v)


@kernel(lambda x, out: (x, types.intp, types.float64, out))
def log_softmax_rows(x, n, temperature, out):
    """Log-softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`."""
    for row in prange(x.size // n):
        log_softmax_row(x, row * n, n, temperature, out)

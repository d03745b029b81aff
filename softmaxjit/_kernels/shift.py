"""The shift of a row: what is taken from every element so that no exponential overflows."""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import both, fma, larger, like, magnitude, nearest_integer, polynomial, residue, select, smaller
from .._simd.exp import LN2, LOG2_E
from .._simd.exp_scaled import FACTOR, HEADROOM, LARGEST_SHIFT, REACH, exp_magic, exp_scaled, exp_steps
from .._simd.half_extremes import BITS_LANES, extremes_by_bits
from .._simd.lanes import lanes_like, largest_lane, smallest_lane, widen
from .._simd.masked import MaskedData
from .._simd.memory import element_like, lanes, load, load_part, splat
from .._simd.vector import Vector, computed
from .ahead import ask


class Limits(NamedTuple):
    """Bounds of one dtype, as Python floats that compiled code sees as constants."""

    largest_shift: float  # |m| / tau up to which the shift hides in the exponent
    reach: float  # (m - x) / tau beyond which softmax is 0, however many elements there are
    log_reach: float  # likewise, what an element adds to a logarithm
    plain_reach: float  # likewise, such that every product of the scaling pass is normal
    headroom: float  # 2**HEADROOM
    factor: float  # of every exp_scaled
    smallest: float  # 2**HEADROOM times the smallest normal number
    highest: float  # the largest number
    lead: float  # octaves by which a provisional shift may be too large or too small (see `lines`)


_LIMITS = {
    element: Limits(
        LARGEST_SHIFT[element],
        reach,
        log_reach,
        plain,
        2.0 ** HEADROOM[element],
        FACTOR[element],
        2.0 ** HEADROOM[element] * float(info.tiny),
        float(info.max),
        lead,
    )
    # What lies farther is raised to the reach, which keeps not only its exponential normal, but also what that is
    # multiplied by on the way to a result and, where they count, its rounding errors: on Intel's processors a subnormal
    # number takes a hundred times as long.
    for element, reach, log_reach, plain, lead, info in (
        (types.float32, 95.0, REACH[types.float32], 69.0, 20.0, np.finfo(np.float32)),
        (types.float64, 780.0, 780.0, 670.0, 200.0, np.finfo(np.float64)),
    )
}


def limits_of(array: Any) -> Limits:
    """Return the bounds for the array's dtype."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(limits_of, inline=True)
def _limits_of(array):
    limits = _LIMITS[computed(array.dtype)]
    return lambda array: limits


class Shift(NamedTuple):
    """How a row's elements become exponentials; or how those of several rows do, one in each lane."""

    largest: Any  # m
    anchor: Any  # subtracted from x first: 0 or m
    lowest: Any  # x - anchor is raised to this, so that its exponential is a normal number
    magic: Any  # hides the shift by `octaves` in the exponent
    octaves: Any  # N
    reached: Any  # no element needs the anchor or the raising
    plain: Any  # nor care about underflow in the scaling pass


def row_extremes(x: Any, start: Any, n: Any, ahead: Any) -> Any:
    """Return the largest and the smallest element of ``x[start : start + n]``; NaN are passed over."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(row_extremes, inline=True)
def _row_extremes(x, start, n, ahead):
    if isinstance(x, MaskedData) or x.dtype == computed(x.dtype):
        return lambda x, start, n, ahead: extremes_of_numbers(x, start, n, ahead)

    def of_halves(x, start, n, ahead):
        if n >= BITS_LANES:
            found, largest, smallest = extremes_by_bits(x, start, n)
            if found:
                return largest, smallest
        return extremes_of_numbers(x, start, n, ahead)

    return of_halves


@helper
def extremes_of_numbers(x, start, n, ahead):
    """Return the extremes of elements that have to become what they are computed in."""
    high, low, low2 = extremes_in_lanes(x, start, n, splat(x, np.inf), splat(x, np.inf), ahead)
    return largest_lane(high), smallest_lane(smaller(low, low2))


@helper
def extremes_in_lanes(x, start, n, low, low2, ahead):
    """Return vectors of whose lanes the largest is that of the row, and the smallest that of it, `low` and `low2`.

    NaN are passed over.  The last vector overlaps the one before, where the row has one: that takes no mask.
    """
    width = lanes(x)
    end = start + n
    high = high2 = splat(x, -np.inf)
    i = start
    while i + 2 * width <= end:
        ask(x, i, ahead)
        v, w = load(x, i), load(x, i + width)
        high, high2 = larger(v, high), larger(w, high2)
        low, low2 = smaller(v, low), smaller(w, low2)
        i += 2 * width
    if i + width <= end:
        v = load(x, i)
        high, low = larger(v, high), smaller(v, low)
        i += width
    if i < end and n >= width:
        v = load(x, end - width)
        high2, low2 = larger(v, high2), smaller(v, low2)
    elif i < end:
        high2 = larger(load_part(x, start, n, -np.inf), high2)
        low2 = smaller(load_part(x, start, n, np.inf), low2)
    return larger(high, high2), low, low2


@helper
def column_maxima(tile, start, stride, n):
    """Return the largest element of each row; NaN are passed over.

    In four parts, since a comparison waits for the one before it: with AVX-512, softmax of (512, 32) and (1024, 16)
    float32 took 0.93 and 0.96 of the time of one part (medians of interleaved runs).
    """
    a = b = c = d = splat(tile, -np.inf)
    i, end = start, start + n * stride
    while i + 4 * stride <= end:
        a = larger(load(tile, i), a)
        b = larger(load(tile, i + stride), b)
        c = larger(load(tile, i + 2 * stride), c)
        d = larger(load(tile, i + 3 * stride), d)
        i += 4 * stride
    while i < end:
        a = larger(load(tile, i), a)
        i += stride
    return larger(larger(a, b), larger(c, d))


@helper
def shift_of_any_range(x, largest, temperature, farthest):
    """Return the shift of a row by its maximum alone, or of one row in each lane of `largest`.

    Elements count as no more than `farthest` temperatures below the maximum, a reach of `Limits`.  To raise them all is
    a step more than to find that none needs it; what rounding raises that should stay is too far to change a result.
    """
    limits = limits_of(x)
    scaled = widen(largest) * (1.0 / temperature)
    near = magnitude(scaled) <= limits.largest_shift
    anchor = select(near, like(largest, 0), largest)
    octaves = nearest_integer(select(near, scaled, 0.0) * LOG2_E)
    lowest = (largest - anchor) - element_like(x, farthest * temperature)
    return Shift(largest, anchor, lowest, exp_magic(x, octaves), octaves, False, False)


@helper
def row_shift(x, n, largest, smallest, temperature, farthest):
    """Return the shift of a row of n elements with the given extremes (see `shift_of_any_range`)."""
    limits = limits_of(x)
    shift = shift_of_any_range(x, largest, temperature, farthest)
    inverse = 1.0 / temperature
    reach = (widen(largest) - widen(smallest)) * inverse
    reached = both(magnitude(widen(largest) * inverse) <= limits.largest_shift, reach <= farthest)
    # math.log(n) leaves room for a sum n times its largest term.
    plain = both(reached, reach + math.log(n) <= limits.plain_reach)
    return Shift(largest, shift.anchor, shift.lowest, shift.magic, shift.octaves, reached, plain)


@helper
def shift_of_row(x, start, n, temperature, farthest, ahead):
    """Return the shift of ``x[start : start + n]``."""
    largest, smallest = row_extremes(x, start, n, ahead)
    return row_shift(x, n, largest, smallest, temperature, farthest)


# (exp(r) - 1 - r) / r**2 for |r| <= ln2 / 2, a minimax fit whose relative error in exp, 2**-34.2, is a thousandth of an
# ulp of float32.  Every row waits for it: with what float64 needs, rows of 32 to 1000 float32 took 1.02 to 1.07 of the
# time (processor time, medians of interleaved runs, one core with AVX-512).
_REMAINDER = (
    0.5000000067642723,
    0.16666665869432726,
    0.041666295092760125,
    0.008333497005707862,
    0.001394464865475977,
    0.00019790353488087384,
)


def by_temperature(x: Any, temperature: Any) -> Any:
    """Return ``x / temperature``.

    Lanes are divided by one number only where that is not 1, which takes long: without, softmax of (1024, 10) and
    (1024, 32) float32 took 0.95 and 0.94 of the time, log_softmax 0.97 and 0.96 (with AVX-512, medians of interleaved
    runs).  The division of a single number hides behind what else is done.
    """
    raise NotImplementedError("only inside compiled code")


@compiled_as(by_temperature, inline=True)
def _by_temperature(x, temperature):
    if isinstance(x, Vector) and not isinstance(temperature, Vector):
        return lambda x, temperature: x if temperature == 1.0 else x / temperature
    return lambda x, temperature: x / temperature


def largest_exp(x: Any, shift: Any, temperature: Any) -> Any:
    """Return what `exp_scaled` of the row's largest element should be, as a float64 pair more precise than the row."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(largest_exp, inline=True)
def _largest_exp(x, shift, temperature):
    limits = _LIMITS[computed(x.dtype)]
    scale = limits.headroom * limits.factor
    if computed(x.dtype) == types.float32:

        def of_float32(x, shift, temperature):
            r = by_temperature(widen(shift.largest - shift.anchor), temperature) - shift.octaves * LN2
            return fma(fma(polynomial(r, _REMAINDER) * r, r, r), scale, scale), 0.0

        return of_float32

    def of_float64(x, shift, temperature):
        v = splat(x, shift.largest - shift.anchor)
        value, u, scale = exp_scaled(v, exp_steps(x, temperature), shift.magic)
        return lanes_like(shift.largest, value), lanes_like(shift.largest, residue(u, scale, scale - value))

    return of_float64

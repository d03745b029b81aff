"""Log-sum-exp of rows with weights, which may be negative: the logarithm of the size of a sum, and its sign.

In pairs of float64 throughout: weights may cancel, and what is left of the sum is as accurate as its terms were.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import (
    POWER_MAGIC,
    add_exactly,
    both,
    larger,
    like,
    magnitude,
    multiply_exactly,
    nearest_integer,
    power_of_two,
    select,
    smaller,
)
from .._simd.exp import LOG2_E
from .._simd.lanes import halves, largest_lane, smallest_lane, sum_lanes, sum_tree, widen
from .._simd.memory import data_of, lanes, load, load_part, splat
from .._simd.pairs import exp_pair, log_pair
from .._simd.vector import Vector
from .weighted_any_range import finite_sum, infinite_sum, largest_weighted

# Weights from one over this to this, and elements so many temperatures below the largest, have terms, and errors of
# terms, that float64 holds.
_MODERATE_WEIGHT = 2.0**200
_MODERATE_DISTANCE = 480.0


class Ranges(NamedTuple):
    """Of the entries of a row that count: those with a weight, but for -inf."""

    largest: Any
    smallest: Any
    heaviest: Any  # size of a weight
    lightest: Any
    odd: Any  # NaN if one is NaN or infinite, or its weight is; else 0


@helper
def no_ranges(x):
    """Return the ranges of no entries, in as many lanes as a vector has."""
    zero = widen(splat(x, 0))
    return Ranges(like(zero, -np.inf), like(zero, np.inf), zero, like(zero, np.inf), zero)


@helper
def widened_ranges(ranges, value, weight):
    """Return ranges that take in a vector of entries."""
    counted = counts(value, weight)
    size = magnitude(weight)
    nothing, least = like(value, 0.0), like(value, np.inf)
    odd = (weight - weight) + select(value == -np.inf, nothing, value - value)
    return Ranges(
        larger(select(counted, value, -least), ranges.largest),
        smaller(select(counted, value, least), ranges.smallest),
        larger(select(counted, size, nothing), ranges.heaviest),
        smaller(select(counted, size, least), ranges.lightest),
        ranges.odd + select(weight == 0.0, nothing, odd),
    )


@helper
def counts(value, weight):
    """Whether an entry, or which of a vector of them, counts; not a NaN."""
    return both(weight != 0.0, value > -np.inf)


@helper
def ranges_of_row(x, weights, start, n):
    """Return the ranges of a row, as numbers."""
    width = lanes(x)
    i, end = start, start + n
    ranges = no_ranges(x)
    while i + width <= end:
        ranges = widened_ranges(ranges, widen(load(x, i)), widen(load(weights, i)))
        i += width
    if i < end:
        count = end - i
        ranges = widened_ranges(ranges, widen(load_part(x, i, count, 0)), widen(load_part(weights, i, count, 0)))
    return Ranges(
        largest_lane(ranges.largest),
        smallest_lane(ranges.smallest),
        largest_lane(ranges.heaviest),
        smallest_lane(ranges.lightest),
        sum_tree(ranges.odd),
    )


@helper
def are_moderate(ranges):
    """Whether `moderate_sum` serves a row of such ranges; not if nothing counts."""
    near = ranges.largest - ranges.smallest <= _MODERATE_DISTANCE
    light, heavy = ranges.lightest >= 1.0 / _MODERATE_WEIGHT, 0.0 < ranges.heaviest <= _MODERATE_WEIGHT
    return ranges.odd == 0.0 and near and light and heavy


@helper
def add_terms(total, lost, value, weight, largest):
    """Add ``weight * exp(value - largest)`` of a vector of entries to sums and to what these have lost."""
    counted = counts(value, weight)
    weight = select(counted, weight, like(weight, 0.0))
    distance, rest = add_exactly(select(counted, value, like(value, largest)), like(value, -largest))
    octaves = nearest_integer(distance * LOG2_E)
    e, e_error = exp_pair(distance, rest, octaves)
    term, error = multiply_exactly(weight, e)
    scale = power_of_two(octaves + POWER_MAGIC)
    total, rounded = add_exactly(total, term * scale)
    return total, lost + (rounded + (error + weight * e_error) * scale)


@helper
def moderate_sum(x, weights, start, n, largest):
    """Return the sum of ``weights * exp(x - largest)`` of a row as a pair."""
    width = lanes(x)
    i, end = start, start + n
    total = lost = widen(splat(x, 0))
    while i + width <= end:
        total, lost = add_terms(total, lost, widen(load(x, i)), widen(load(weights, i)), largest)
        i += width
    if i < end:
        value, weight = load_part(x, i, end - i, 0), load_part(weights, i, end - i, 0)
        total, lost = add_terms(total, lost, widen(value), widen(weight), largest)
    total, lost = in_eight_lanes(total, lost)
    total, lost = sum_lanes(total, lost)
    return add_exactly(total, lost)


def in_eight_lanes(total: Any, lost: Any) -> Any:
    """Return sums, and what they have lost, in 8 lanes; there are 8 or 16."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(in_eight_lanes, inline=True)
def _in_eight_lanes(total, lost):
    if total == Vector(types.float64, 8):
        return lambda total, lost: (total, lost)

    def folded(total, lost):
        low, high = halves(total)
        low_lost, high_lost = halves(lost)
        total, rounded = add_exactly(low, high)
        return total, (low_lost + high_lost) + rounded

    return folded


@helper
def log_of_weighted(x, weights, start, n):
    """Return log(abs(sum(weights * exp(x)))) of a row and the sign of the sum."""
    ranges = ranges_of_row(x, weights, start, n)
    largest = ranges.largest
    if are_moderate(ranges):
        total, error = moderate_sum(x, weights, start, n, largest)
        exponent = 0
    else:
        largest = largest_weighted(x, weights, start, n)
        if largest != largest:
            return largest, largest
        if largest == -np.inf:
            return -np.inf, 0.0
        if largest == np.inf:
            total = infinite_sum(x, weights, start, n)
            return abs(total), math.copysign(1.0, total) if total == total else total
        total, error, exponent = finite_sum(x, weights, start, n, largest)
    if not 0.0 < abs(total) < np.inf:
        sign = np.sign(total)
        return np.log(abs(total)) if total != 0.0 else -np.inf, sign
    sign = math.copysign(1.0, total)
    log, log_error = log_pair(sign * total, sign * error, exponent)
    high, low = add_exactly(largest, log)
    return high + (low + log_error), sign


@kernel(lambda x, out: (x, x, types.intp, out, out))
def weighted_logsumexp_rows(x, weights, n, out, sign):
    """Log-sum-exp of every n consecutive elements of flat `x` into one element of `out` and one of `sign`."""
    for row in prange(x.size // n):
        out[row], sign[row] = log_of_weighted(data_of(x), data_of(weights), row * n, n)

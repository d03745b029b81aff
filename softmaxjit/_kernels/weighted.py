"""Log-sum-exp of rows with weights, which may be negative: the logarithm of the size of a sum, and its sign.

One element at a time and in pairs of float64 throughout: weights may cancel, and what is left of the sum is as accurate
as its terms were.
"""

import math

import numpy as np
from numba import prange, types

from .._jit import helper, kernel
from .._simd.arithmetic import add_exactly, multiply_exactly
from .._simd.exp import LOG2_E
from .._simd.pairs import exp_pair, log_pair

# Octaves below the largest element from which no weight can make a term matter: weights span 2**-1074 to 2**1024.
_FARTHEST = -4000.0


@helper
def term_of(x, weight, largest):
    """Return ``(value, error, exponent)`` with ``weight * exp(x - largest) = (value + error) * 2**exponent``."""
    distance, lost = add_exactly(np.float64(x), -largest)
    octaves = np.rint(distance * LOG2_E)
    if weight == 0.0 or not octaves > _FARTHEST:
        return 0.0, 0.0, np.intp(_FARTHEST)
    e, e_error = exp_pair(distance, lost, octaves)
    fraction, exponent = math.frexp(weight)
    value, error = multiply_exactly(fraction, e)
    return value, error + fraction * e_error, np.intp(octaves) + exponent


@helper
def largest_weighted(x, weights, start, n):
    """Return the largest element with a weight, +inf where that is infinite; NaN if an element or its weight is."""
    largest = -np.inf
    for i in range(start, start + n):
        value = np.float64(x[i])
        if weights[i] == 0.0:
            continue
        if abs(weights[i]) == np.inf:
            value += np.inf  # NaN at -inf: infinitely many times nothing
        if value != value or weights[i] != weights[i]:
            return np.nan
        largest = max(largest, value)
    return largest


@helper
def infinite_sum(x, weights, start, n):
    """Return the sum of the infinite terms."""
    total = 0.0
    for i in range(start, start + n):
        if weights[i] != 0.0 and (x[i] == np.inf or abs(weights[i]) == np.inf):
            total += np.inf * weights[i]
    return total


@helper
def finite_sum(x, weights, start, n, largest):
    """Return ``(total, error, exponent)``: the sum of weight * exp(x - largest) over 2**exponent."""
    top = np.intp(_FARTHEST)
    for i in range(start, start + n):
        _, _, exponent = term_of(x[i], np.float64(weights[i]), largest)
        top = max(top, exponent)
    total = lost = 0.0
    for i in range(start, start + n):
        value, error, exponent = term_of(x[i], np.float64(weights[i]), largest)
        # Far below the top a power of two would be 0, and a product with it loses nothing that counts.
        scale = math.ldexp(1.0, max(exponent - top, -1000))
        total, rest = add_exactly(total, value * scale)
        lost += rest + error * scale
    return *add_exactly(total, lost), top


@helper
def log_of_weighted(x, weights, start, n):
    """Return log(abs(sum(weights * exp(x)))) of a row and the sign of the sum."""
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
        out[row], sign[row] = log_of_weighted(x, weights, row * n, n)

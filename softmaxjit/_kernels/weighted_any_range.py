"""Sums of weights times exponentials where elements, weights or both may be anything, one element at a time."""

import math

import numpy as np

from .._jit import helper
from .._simd.arithmetic import add_exactly, multiply_exactly
from .._simd.exp import LOG2_E
from .._simd.memory import load_element
from .._simd.pairs import exp_pair

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
        value, weight = np.float64(load_element(x, i)), load_element(weights, i)
        if weight == 0.0:
            continue
        if abs(weight) == np.inf:
            value += np.inf  # NaN at -inf: infinitely many times nothing
        if value != value or weight != weight:
            return np.nan
        largest = max(largest, value)
    return largest


@helper
def infinite_sum(x, weights, start, n):
    """Return the sum of the infinite terms."""
    total = 0.0
    for i in range(start, start + n):
        weight = load_element(weights, i)
        if weight != 0.0 and (load_element(x, i) == np.inf or abs(weight) == np.inf):
            total += np.inf * weight
    return total


@helper
def finite_sum(x, weights, start, n, largest):
    """Return ``(total, error, exponent)``: the sum of weight * exp(x - largest) over 2**exponent."""
    top = np.intp(_FARTHEST)
    for i in range(start, start + n):
        _, _, exponent = term_of(x[i], np.float64(load_element(weights, i)), largest)
        top = max(top, exponent)
    total = lost = 0.0
    for i in range(start, start + n):
        value, error, exponent = term_of(x[i], np.float64(load_element(weights, i)), largest)
        # Far below the top a power of two would be 0, and a product with it loses nothing that counts.
        scale = math.ldexp(1.0, max(exponent - top, -1000))
        total, rest = add_exactly(total, value * scale)
        lost += rest + error * scale
    return *add_exactly(total, lost), top

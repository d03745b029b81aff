"""Rows prepared for a temperature that the row kernels cannot take as it is: 0, infinite, or far from 1."""

import math

import numpy as np
from numba import prange, types

from .._jit import helper, kernel

# exp_steps multiplies powers of the temperature up to the third; within these bounds they stay normal in float32.
SMALLEST_TEMPERATURE = 2.0**-40
LARGEST_TEMPERATURE = 2.0**40

_FARTHEST_EXPONENT = 1200  # beyond it every difference of two float64 is as good as infinite, or as 0
_FAR = 4096.0  # |m| / temperature from which x - m is exact for every x that matters


@helper
def split_temperature(temperature):
    """Return ``(t, k)`` with temperature = t * 2**k, 1 <= t < 4 and k even."""
    if not temperature > 0.0:
        return 1.0, -_FARTHEST_EXPONENT
    if temperature == np.inf:
        return 1.0, _FARTHEST_EXPONENT
    fraction, exponent = math.frexp(temperature)
    # An even exponent, because the scaling is done in two equal steps, neither of which leaves the range.
    k = (exponent - 1) // 2 * 2
    return math.ldexp(fraction, exponent - k), k


@helper
def rescaled(value, largest, temperature, anchor, scale):
    """Return one element, with the limits of temperature 0 and infinity taken."""
    if temperature == 0.0:
        distance = value - largest
        return -np.inf if distance < 0.0 else distance
    if temperature == np.inf:
        return value if value == -np.inf else value - value
    return ((value - anchor) * scale) * scale


@kernel(lambda x, out: (x, types.intp, types.float64, out))
def rescale_rows(x, n, temperature, out):
    """Write rows whose softmax at ``split_temperature(temperature)[0]`` is that of `x` at `temperature`.

    Scaling by a power of two is exact; rows whose maximum m is many temperatures away from 0 become x - m first, which
    is exact for every x that matters.
    """
    _, exponent = split_temperature(temperature)
    scale = math.ldexp(1.0, -exponent // 2)
    for row in prange(x.size // n):
        start = row * n
        largest = -np.inf
        for i in range(start, start + n):
            largest = max(largest, np.float64(x[i]))
        near = abs(largest) * scale * scale <= _FAR
        anchor = 0.0 if near else largest
        for i in range(start, start + n):
            out[i] = rescaled(np.float64(x[i]), largest, temperature, anchor, scale)

"""Log-softmax of contiguous rows."""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import fma, larger
from .._simd.memory import data_of, element_like, lanes, load, load_part, store, store_part
from .._simd.vector import computed
from .logsumexp import log_of_sum
from .temperature import settled, settled_at


class Output(NamedTuple):
    """What the results of a row are computed from, all in the dtype of the row."""

    largest: Any
    log: Any
    part: Any  # of distances from the maximum, so that none overflows
    high: Any  # 1 / (part * temperature) as a pair
    low: Any
    lowest: Any  # distances are raised to this before `low` multiplies them


class Range(NamedTuple):
    """Bounds of one dtype, as Python floats that compiled code sees as constants."""

    tiny: float
    largest: float


_RANGES = {element: Range(float(info.tiny), float(info.max)) for element, info in (
    (types.float32, np.finfo(np.float32)), (types.float64, np.finfo(np.float64)))}


def range_of(x: Any) -> Range:
    """Return the bounds for the array's dtype."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(range_of, inline=True)
def _range_of(x):
    bounds = _RANGES[computed(x.dtype)]
    return lambda x: bounds


@helper
def output_of(x, largest, log, temperature):
    """Return the numbers of a row."""
    limits = range_of(x)
    if not abs(largest) < np.inf:
        log = np.nan
    log = 0.0 if log < limits.tiny else log  # a subnormal number would slow every element
    part = 0.5 if abs(largest) > 1.0 else 1.0  # halving is exact, except of the smallest, far from overflowing
    divisor = part * temperature
    inverse = 1.0 / divisor
    high = element_like(x, inverse)
    low = (inverse - high) + fma(-inverse, divisor, 1.0) * inverse
    lowest = -limits.largest * min(1.0, temperature)
    return Output(largest, element_like(x, log), element_like(x, part), high, element_like(x, low), element_like(x, lowest))


@helper
def log_softmax_element(v, o, hot):
    """Return (v - largest) / temperature - log; `hot`, a constant of the compiled code, is a temperature not 1."""
    if not hot:
        return (v - o.largest) - o.log
    d = fma(v, o.part, -(o.largest * o.part))
    # Infinity would give NaN with a low part that is 0 or of the other sign.
    return fma(d, o.high, fma(larger(o.lowest, d), o.low, -o.log))


@helper
def log_softmax_output(x, start, n, o, out, hot):
    """Write the results of a row."""
    width = lanes(x)
    i, end = start, start + n
    while i + width <= end:
        store(out, i, log_softmax_element(load(x, i), o, hot))
        i += width
    if i < end:
        v = load_part(x, i, end - i, o.largest)
        store_part(out, i, end - i, log_softmax_element(v, o, hot))


@helper
def log_softmax_row(x, start, n, temperature, out):
    """Log-softmax of ``x[start : start + n]`` into the same place of `out`."""
    largest, (log, _) = log_of_sum(x, start, n, temperature, False)
    o = output_of(x, largest, log, temperature)
    if temperature == 1.0:
        log_softmax_output(x, start, n, o, out, False)
    else:
        log_softmax_output(x, start, n, o, out, True)


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out))
def log_softmax_rows(x, n, temperature, out):
    """Log-softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`."""
    tau = settled(temperature)
    for row in prange(x.size // n):
        log_softmax_row(data_of(x), row * n, n, settled_at(tau, row), data_of(out))

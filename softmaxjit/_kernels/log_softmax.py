"""Log-softmax of contiguous rows."""

from typing import Any

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import add_exactly, fma, multiply_exactly, select
from .._simd.lanes import narrow, widen
from .._simd.memory import data_of, lanes, load, load_part, store, store_part
from .logsumexp import log_of_sum
from .temperature import settled, settled_at


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


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out))
def log_softmax_rows(x, n, temperature, out):
    """Log-softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`."""
    tau = settled(temperature)
    for row in prange(x.size // n):
        log_softmax_row(data_of(x), row * n, n, settled_at(tau, row), data_of(out))

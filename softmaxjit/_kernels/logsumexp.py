"""Log-sum-exp of contiguous rows."""

import numpy as np
from numba import prange, types

from .._jit import helper, kernel
from .._simd.arithmetic import add_exactly, fma
from .._simd.exp_scaled import exp_steps
from .._simd.memory import data_of, load_element, store_element
from .._simd.pairs import log1p_pair
from .shift import largest_exp, shift_of_row
from .sums import sum_row


@helper
def log_of_sum(x, start, n, temperature):
    """Return a row's maximum m and log(sum(exp((x - m) / temperature))) as a float64 pair."""
    steps = exp_steps(x, temperature)
    shift = shift_of_row(x, start, n, temperature)
    largest = shift.largest
    if shift.reached:
        (total, error), ties = sum_row(x, start, n, steps, shift, True, None)
    else:
        (total, error), ties = sum_row(x, start, n, steps, shift, False, None)
    # The sum is relative to the exponential of the shift; make it relative to that of the maximum.
    unit, unit_error = largest_exp(x, shift, temperature)
    ratio = total / unit
    ratio_error = (fma(-ratio, unit, total) + (error - ratio * unit_error)) / unit
    s, s_error = add_exactly(np.float64(ties - 1), ratio)
    return largest, log1p_pair(s, s_error + ratio_error)


@helper
def has_nan(x, start, n):
    """Whether ``x[start : start + n]`` holds a NaN."""
    found = False
    for i in range(start, start + n):
        v = load_element(x, i)
        found |= v != v
    return found


@kernel(lambda x, out: (x, types.intp, out))
def logsumexp_rows(x, n, out):
    """Log-sum-exp of every n consecutive elements of flat `x` into one element of `out`."""
    for row in prange(x.size // n):
        largest, (log, log_error) = log_of_sum(data_of(x), row * n, n, 1.0)
        if abs(largest) == np.inf:
            log, log_error = (np.nan if has_nan(data_of(x), row * n, n) else 0.0), 0.0
        total, error = add_exactly(np.float64(largest), log)
        # Adding to an infinite total would make its error, a NaN, the result.
        result = total + (error + log_error) if abs(total) < np.inf else total
        store_element(data_of(out), row, result)

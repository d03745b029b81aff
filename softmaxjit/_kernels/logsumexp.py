"""Log-sum-exp of contiguous rows."""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import add_exactly, like, magnitude, residue, select
from .._simd.exp_scaled import exp_steps
from .._simd.log import log, log1p
from .._simd.memory import data_of, load_element, store_element
from .._simd.pairs import log1p_pair
from .._simd.vector import Vector, computed
from .ahead import ahead_of, are_far
from .others import sum_of_others
from .shift import largest_exp, limits_of, shift_of_row


class Start(NamedTuple):
    """What the sum of a row needs."""

    steps: Any
    shift: Any
    unit: Any  # the exponential of the maximum, as a pair
    unit_error: Any


@helper
def start_of_log_row(x, start, n, temperature):
    """Return what the sum of ``x[start : start + n]`` needs."""
    return start_of_shift(x, shift_of_row(x, start, n, temperature, limits_of(x).log_reach, None), temperature)


@helper
def start_of_shift(x, shift, temperature):
    """Return what the sum of a row with this shift needs."""
    unit, unit_error = largest_exp(x, shift, temperature)
    return Start(exp_steps(x, temperature), shift, unit, unit_error)


@helper
def log_of_sum(x, start, n, begun, precise, ahead):
    """Return log(sum(exp((x - m) / temperature))), m a row's maximum, as a float64 pair; see `sum_of_others`."""
    rest, error = sum_of_others(x, start, n, begun.steps, begun.shift, begun.unit, precise, ahead)
    # The sum is relative to the exponential of the shift; make it relative to that of the maximum.
    return log1p_of_ratio(x, rest, error, begun.unit, begun.unit_error)


def log1p_of_ratio(x: Any, rest: Any, error: Any, unit: Any, unit_error: Any) -> Any:
    """Return log(1 + (rest + error) / (unit + unit_error)) as a float64 pair, precise enough for elements of `x`."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(log1p_of_ratio, inline=True)
def _log1p_of_ratio(x, rest, error, unit, unit_error):
    if computed(x.dtype) == types.float32 and isinstance(unit, Vector):

        def of_lanes(x, rest, error, unit, unit_error):
            ratio = (rest + error) / unit
            return select(ratio < 1.0, log1p(ratio)[0], log(1.0 + ratio)), like(ratio, 0.0)

        return of_lanes

    if computed(x.dtype) == types.float32:

        def of_float32(x, rest, error, unit, unit_error):
            ratio = (rest + error) / unit
            if ratio < 1.0:
                return log1p(ratio)[0], 0.0
            return log(1.0 + ratio), 0.0

        return of_float32

    def of_float64(x, rest, error, unit, unit_error):
        ratio = rest / unit
        ratio_error = (residue(-ratio, unit, rest) + (error - ratio * unit_error)) / unit
        return log1p_pair(ratio, ratio_error)

    return of_float64


@helper
def has_nan(x, start, n):
    """Whether ``x[start : start + n]`` holds a NaN."""
    found = False
    for i in range(start, start + n):
        v = load_element(x, i)
        found |= v != v
    return found


@helper
def logsumexp_of_row(x, start, n, largest, log, log_error):
    """Return the log-sum-exp of a row from its maximum and the logarithm of what is relative to that, a pair."""
    if abs(largest) == np.inf:
        log, log_error = (np.nan if has_nan(x, start, n) else 0.0), 0.0
    return sum_with_largest(np.float64(largest), log, log_error)


@helper
def sum_with_largest(largest, log, log_error):
    """Return ``largest + log + log_error``, or of one row in each lane."""
    total, error = add_exactly(largest, log)
    # Adding to an infinite total would make its error, a NaN, the result.
    return select(magnitude(total) < np.inf, total + (error + log_error), total)


@kernel(lambda x, out: (x, types.intp, out), counted=False)
def logsumexp_rows(x, n, out):
    """Log-sum-exp of every n consecutive elements of flat `x` into one element of `out`."""
    for row in prange(out.size):
        ahead = ahead_of(data_of(x), n, are_far(out.size * n, out), None)
        begun = start_of_log_row(data_of(x), row * n, n, 1.0)
        log, log_error = log_of_sum(data_of(x), row * n, n, begun, True, ahead)
        result = logsumexp_of_row(data_of(x), row * n, n, begun.shift.largest, log, log_error)
        store_element(data_of(out), row, result)

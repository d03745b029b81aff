"""Cross-entropy of contiguous rows."""

from typing import Any

import numpy as np
from numba import prange, types

from .._jit import helper, kernel
from .._simd.arithmetic import fma, like, magnitude, select
from .._simd.lanes import widen
from .._simd.memory import data_of
from .ahead import ahead_of, are_far
from .gradients import sum_of_products
from .logsumexp import log_of_sum, start_of_log_row
from .prepare import prepare_rows
from .shift import by_temperature
from .targets import NUMBERS, READ_NUMBERS, is_left_out, labels_like, target_of_row, weights_like
from .temperature import settled, settled_at


@helper
def loss_of(largest, log, log_error, target, temperature):
    """Return the cross-entropy of a row whose exponentials, relative to that of the maximum, have this logarithm.

    Or of a row in each lane.
    """
    low = by_temperature(target.distance_low, temperature) + target.mass * log_error
    loss = fma(target.mass, log, by_temperature(target.distance, temperature)) + low
    return select(magnitude(widen(largest)) < np.inf, loss, like(loss, np.nan))


def types_of_losses(x: Any, out: Any, temperature: Any, labels: Any) -> tuple[Any, ...]:
    """Return the types of the arguments of a kernel of losses."""
    return x, types.intp, temperature, labels_like(x, labels), weights_like(x), types.float64, NUMBERS


@kernel(types_of_losses)
def cross_entropy_rows(x, n, temperature, labels, weight, smoothing, losses):
    """Cross-entropy of every n consecutive elements of flat `x` with the labels, one number for each row."""
    tau = settled(temperature)
    far = are_far(x.size, x)
    for row in prange(losses.size):
        source, truth = data_of(x), data_of(labels)
        if is_left_out(truth, row):
            losses[row] = 0.0
        else:
            ahead = ahead_of(source, n, far, None)
            tau_of_row = settled_at(tau, row)
            begun = start_of_log_row(source, row * n, n, tau_of_row)
            largest = begun.shift.largest
            log, log_error = log_of_sum(source, row * n, n, begun, False, ahead)
            target = target_of_row(source, truth, data_of(weight), row, n, largest, smoothing)
            losses[row] = loss_of(largest, log, log_error, target, tau_of_row)


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out))
def tempered_rows(x, n, temperature, out):
    """Write rows into which temperatures that the other kernels do not take as they are have gone."""
    for row in prange(out.size // n):
        prepare_rows(data_of(x), row, row + 1, n, temperature, data_of(out))


@kernel(lambda x, out: (READ_NUMBERS, NUMBERS))
def total_of(numbers, out):
    """Write the sum of numbers, in a fixed order and next to exact."""
    high, low = sum_of_products(None, data_of(numbers), 0, numbers.size)
    out[0] = high + low if abs(high) < np.inf else high

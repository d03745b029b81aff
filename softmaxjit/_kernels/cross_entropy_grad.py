"""Cross-entropy of contiguous rows with its gradient: the exponentials of a row serve both."""

from typing import Any

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import fma, multiply_exactly, select
from .._simd.lanes import widen
from .._simd.memory import (
    data_of,
    element_like,
    keep_part,
    lanes,
    load,
    load_element,
    load_part,
    splat,
    store,
    store_element,
    store_part,
)
from .ahead import ahead_of, are_far
from .cross_entropy import loss_of
from .logsumexp import log1p_of_ratio
from .others import is_too_small
from .partial import add_term, nothing, pair_of
from .shift import largest_exp
from .softmax import inverse_of, scale_row, start_of_softmax_row
from .sums import lanes_like, scaled, sum_row
from .targets import NUMBERS, is_left_out, labels_like, share, target_of_row, weights_like
from .temperature import settled, settled_at, temperature_at

# Factors with which products of a row without care stay normal, and with which those of one with care stay finite.
_SMALLEST_PLAIN, _LARGEST_CAREFUL = 2.0**-26, 2.0**32


@helper
def sum_of_stored_others(terms, start, n, largest_term, lowest_term, alone):
    """Return the sum of a row's stored exponentials without that of its maximum.

    It is taken from all, which is exact enough for it to vanish; where it is `alone`, a constant of the compiled code,
    what equals it is left out, and what was raised to the lowest, which would outweigh a loss next to 0.
    """
    width = lanes(terms)
    total, lost = nothing(terms)
    if not alone:
        total, lost = add_term(total, lost, widen(keep_part(splat(terms, -largest_term), 1)))
    i, end = start, start + n
    while i + width <= end:
        total, lost = add_term(total, lost, stored_term(load(terms, i), largest_term, lowest_term, alone))
        i += width
    if i < end:
        total, lost = add_term(
            total, lost, stored_term(load_part(terms, i, end - i, 0), largest_term, lowest_term, alone)
        )
    high, low = pair_of(total, lost)
    return high + low


@helper
def stored_term(e, largest_term, lowest_term, alone):
    """Return exponentials as terms of a sum, 0 for the largest and the lowest where it is `alone`."""
    return widen(select(e <= lowest_term, 0, select(e == largest_term, 0, e)) if alone else e)


@helper
def factor_of(out, total, error, factor):
    """Return 2**HEADROOM factor / (total + error) as a pair of the dtype of `out`."""
    high, low = inverse_of(out, total, error)
    product, product_error = multiply_exactly(widen(high), factor)
    rest = fma(widen(low), factor, product_error)
    high = element_like(out, product)
    return high, element_like(out, (product - widen(high)) + rest)


@helper
def subtract_targets(out, labels, weight, start, n, keep, spread):
    """Subtract weight_c (keep labels_c + spread) from a row."""
    width = lanes(out)
    i = 0
    while i + width <= n:
        a = share(out, labels, weight, start, i, None, keep, spread)
        store(out, start + i, element_like(out, widen(load(out, start + i)) - a))
        i += width
    if i < n:
        a = share(out, labels, weight, start, i, n - i, keep, spread)
        g = load_part(out, start + i, n - i, 0)
        store_part(out, start + i, n - i, element_like(out, widen(g) - a))


@helper
def put_probabilities(out, start, n, factor, total, error, plain):
    """Make `factor` times probabilities of a row's exponentials, `total` being their sum."""
    high, low = factor_of(out, total, error, factor)
    if (plain and factor >= _SMALLEST_PLAIN) or factor > _LARGEST_CAREFUL:
        scale_row(out, start, n, high, low, True, out)
    else:
        scale_row(out, start, n, high, low, False, out)


@helper
def put_zeros(out, start, n):
    """Write a gradient of 0."""
    for i in range(start, start + n):
        store_element(out, i, 0.0)


@helper
def rest_of_sum(x, out, start, n, shift, steps, total, error, missing, unit, unit_error):
    """Return the sum of a row's exponentials, which are stored, without that of its maximum."""
    rest = (total - unit) + (error + (missing - unit_error))
    if rest >= unit:
        return rest
    # Short of that, the roundings of the sum would count in the loss.
    _, u, scale = scaled(splat(x, shift.largest), steps, shift, False)
    largest_term = lanes_like(shift.largest, fma(u, scale, scale))
    # NaN, which no term equals, where none was raised.
    lowest, _, _ = scaled(splat(x, -np.inf), steps, shift, False)
    lowest_term = lanes_like(shift.largest, lowest)
    rest = sum_of_stored_others(out, start, n, largest_term, lowest_term, False)
    if is_too_small(x, rest, unit, False):
        return sum_of_stored_others(out, start, n, largest_term, lowest_term, True)
    return rest


@helper
def loss_and_gradient_of_row(x, row, n, tau, labels, weight, smoothing, factor, out, ahead):
    """Write the gradient of one row, times `factor`, and return its cross-entropy."""
    start = row * n
    steps, shift, missing = start_of_softmax_row(x, row, n, tau)
    largest = shift.largest
    target = target_of_row(x, labels, weight, row, n, largest, smoothing)  # before `out`, which may be x, is written
    unit, unit_error = largest_exp(x, shift, tau)
    total, error = sum_row(x, start, n, steps, shift, False, out, ahead)
    rest = rest_of_sum(out, out, start, n, shift, steps, total, error, missing, unit, unit_error)
    log, log_error = log1p_of_ratio(out, rest, 0.0, unit, unit_error)
    put_probabilities(out, start, n, target.mass * factor, total, error + missing, shift.plain)
    subtract_truth(out, labels, weight, row, n, target, smoothing, factor, rest, unit)
    return loss_of(largest, log, log_error, target, tau)


def subtract_truth(
    out: Any, labels: Any, weight: Any, row: Any, n: Any, target: Any, smoothing: Any, factor: Any, rest: Any, unit: Any
) -> None:
    """Subtract from a row of ``mass factor`` times probabilities what is true times `factor`."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(subtract_truth, inline=True)
def _subtract_truth(out, labels, weight, row, n, target, smoothing, factor, rest, unit):
    if labels.dtype != types.int64:

        def of_probabilities(out, labels, weight, row, n, target, smoothing, factor, rest, unit):
            subtract_targets(out, labels, weight, row * n, n, (1.0 - smoothing) * factor, smoothing / n * factor)

        return of_probabilities

    def of_class(out, labels, weight, row, n, target, smoothing, factor, rest, unit):
        if smoothing != 0.0:
            subtract_targets(out, None, weight, row * n, n, 0.0, smoothing / n * factor)
        i = row * n + labels[row]
        if smoothing == 0.0 and target.distance == 0.0 and rest < unit:
            # The probability is next to 1, from which subtracting 1 would leave its rounding error.
            store_element(out, i, -target.scaled * factor * (rest / (unit + rest)))
        else:
            store_element(out, i, widen(load_element(out, i)) - target.scaled * factor)

    return of_class


@kernel(
    lambda x, out, temperature, labels: (
        x,
        types.intp,
        temperature,
        labels_like(x, labels),
        weights_like(x),
        types.float64,
        types.float64,
        NUMBERS,
        out,
    )
)
def cross_entropy_and_grad_rows(x, n, temperature, labels, weight, smoothing, scale, losses, out):
    """`cross_entropy_rows`, and `scale` times the gradient of each loss into `out`, which may be `x`."""
    tau = settled(temperature)
    far = are_far(out.size, out)
    for row in prange(losses.size):
        source, truth, result = data_of(x), data_of(labels), data_of(out)
        if is_left_out(truth, row):
            losses[row] = 0.0
            put_zeros(result, row * n, n)
        else:
            factor = scale / temperature_at(temperature, row)
            losses[row] = loss_and_gradient_of_row(
                source,
                row,
                n,
                settled_at(tau, row),
                truth,
                data_of(weight),
                smoothing,
                factor,
                result,
                ahead_of(source, n, far, result),
            )

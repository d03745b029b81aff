"""Cross-entropy of contiguous rows with its gradient: the exponentials of a row serve both."""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import both, fma, like, multiply_exactly, select
from .._simd.lanes import lanes_like, widen
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
from .cross_entropy import loss_of, types_of_losses
from .logsumexp import log1p_of_ratio
from .others import is_too_small
from .partial import add_term, nothing, pair_of
from .shift import largest_exp
from .softmax import inverse_of, scale_row, start_of_softmax_row
from .sums import scaled, sum_row
from .targets import NUMBERS, is_left_out, share, target_of_row
from .temperature import settled, settled_at, temperature_at

# Factors from which on products of a plain row stay normal, and those of a row with care would not stay finite.
_SMALLEST_PLAIN, _SMALLEST_HUGE = 2.0**-26, 2.0**32


class OwnTerm(NamedTuple):
    """What is subtracted from the gradient at the class that is true, or of a row in each lane."""

    value: Any
    difference: Any  # what then is left, where it is known better than by subtracting
    is_known: Any  # 1 where it is, else 0


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
    if takes_no_care(plain, factor) == 1.0:
        scale_row(out, start, n, high, low, True, out, None)
    else:
        scale_row(out, start, n, high, low, False, out, None)


@helper
def takes_no_care(plain, factor):
    """Return 1 where exponentials of a row, plain or not, are scaled without care, else 0; or of one in each lane."""
    return select(factor >= (_SMALLEST_PLAIN if plain else _SMALLEST_HUGE), like(factor, 1.0), like(factor, 0.0))


@helper
def put_zeros(out, start, n):
    """Write a gradient of 0."""
    for i in range(start, start + n):
        store_element(out, i, 0.0)


@helper
def rest_of_sum(total, error, missing, unit, unit_error):
    """Return the sum of a row's exponentials without that of its maximum, or of one in each lane."""
    return (total - unit) + (error + (missing - unit_error))


@helper
def stored_rest(terms, start, n, steps, shift, unit):
    """Return what `rest_of_sum` does from stored exponentials, where the roundings of their sum would count."""
    largest_term, lowest_term = terms_of_extremes(terms, steps, shift)
    rest = sum_of_stored_others(terms, start, n, largest_term, lowest_term, False)
    if is_too_small(terms, rest, unit, False):
        return sum_of_stored_others(terms, start, n, largest_term, lowest_term, True)
    return rest


@helper
def terms_of_extremes(terms, steps, shift):
    """Return the exponential of a row's maximum and that of what was raised to the lowest, or of one in each lane.

    The latter is NaN, which no term equals, where none was raised.
    """
    _, u, scale = scaled(splat(terms, shift.largest), steps, shift, False)
    lowest, _, _ = scaled(splat(terms, -np.inf), steps, shift, False)
    return lanes_like(shift.largest, fma(u, scale, scale)), lanes_like(shift.largest, lowest)


@helper
def own_term(target, smoothing, factor, rest, unit):
    """Return what is subtracted at the class that is true, or of a row in each lane.

    Where it is the maximum, its probability is next to 1, from which subtracting 1 would leave its rounding error.  The
    difference is known unless labels are smoothed, by which other terms come to it.
    """
    value = target.scaled * factor
    is_sure = select(both(target.distance == 0.0, rest < unit), like(rest, 1.0), like(rest, 0.0))
    is_known = is_sure if smoothing == 0.0 else like(rest, 0.0)
    return OwnTerm(value, -value * (rest / (unit + rest)), is_known)


@helper
def loss_and_gradient_of_row(x, row, n, tau, labels, weight, smoothing, factor, out, ahead):
    """Write the gradient of one row, times `factor`, and return its cross-entropy."""
    start = row * n
    steps, shift, missing = start_of_softmax_row(x, row, n, tau, False)
    largest = shift.largest
    target = target_of_row(x, labels, weight, row, n, largest, smoothing)  # before `out`, which may be x, is written
    unit, unit_error = largest_exp(x, shift, tau)
    total, error = sum_row(x, start, n, steps, shift, False, out, ahead)
    rest = rest_of_sum(total, error, missing, unit, unit_error)
    if not rest >= unit:
        rest = stored_rest(out, start, n, steps, shift, unit)
    log, log_error = log1p_of_ratio(out, rest, 0.0, unit, unit_error)
    put_probabilities(out, start, n, target.mass * factor, total, error + missing, shift.plain)
    own = own_term(target, smoothing, factor, rest, unit)
    subtract_truth(out, labels, weight, row, n, smoothing, factor, own)
    return loss_of(largest, log, log_error, target, tau)


def subtract_truth(
    out: Any, labels: Any, weight: Any, row: Any, n: Any, smoothing: Any, factor: Any, own: OwnTerm
) -> None:
    """Subtract from a row of ``mass factor`` times probabilities what is true times `factor`."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(subtract_truth, inline=True)
def _subtract_truth(out, labels, weight, row, n, smoothing, factor, own):
    if labels.dtype != types.int64:

        def of_probabilities(out, labels, weight, row, n, smoothing, factor, own):
            subtract_targets(out, labels, weight, row * n, n, (1.0 - smoothing) * factor, smoothing / n * factor)

        return of_probabilities

    def of_class(out, labels, weight, row, n, smoothing, factor, own):
        if smoothing != 0.0:
            subtract_targets(out, None, weight, row * n, n, 0.0, smoothing / n * factor)
        i = row * n + labels[row]
        left = own.difference if own.is_known == 1.0 else widen(load_element(out, i)) - own.value
        store_element(out, i, left)

    return of_class


def types_of_gradients(x: Any, out: Any, temperature: Any, labels: Any) -> tuple[Any, ...]:
    """Return the types of the arguments of a kernel of gradients."""
    return (*types_of_losses(x, out, temperature, labels)[:-1], types.float64, NUMBERS, out)


@kernel(types_of_gradients)
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

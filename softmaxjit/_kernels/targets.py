"""What is true of rows: a class, or probabilities of all, and the distances from the maximum that a loss is made of.

With targets a_c that add up to A, the cross-entropy of a row of logits x with maximum m at temperature tau is

    sum_c a_c (m - x_c) / tau + A log(sum_c exp((x_c - m) / tau)),

both of whose terms are positive, so that nothing cancels.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import add_exactly, fma, like, magnitude, select
from .._simd.lanes import widen
from .._simd.memory import lanes, load, load_element, load_part
from .._simd.vector import computed
from .partial import add_term, nothing, pair_of

CLASSES = types.Array(types.int64, 1, "C", readonly=True)  # labels: one class for each row, negative if left out
PROBABILITIES = types.none  # stands for labels of the type of the logits
NUMBERS = types.Array(types.float64, 1, "C")
READ_NUMBERS = types.Array(types.float64, 1, "C", readonly=True)


def labels_like(x: Any, kind: Any) -> Any:
    """Return the Numba type of labels of a kind."""
    return x if kind == PROBABILITIES else kind


def weights_like(x: Any) -> Any:
    """Return the Numba type of weights of classes."""
    return types.Array(computed(x.dtype), 1, "C", readonly=True)


@helper
def weight_at(weight, row):
    """Return the weight of a row; there may be one for all."""
    return weight[row if weight.size > 1 else 0]


class Target(NamedTuple):
    """What of a row's loss depends on its targets."""

    distance: Any  # sum of a_c (m - x_c), as a pair
    distance_low: Any
    mass: Any  # sum of a_c
    scaled: Any  # the target of the one class that is true, 0 if there is none such


@helper
def finite_or_zero(value, error):
    """Return the error of a value, or of one in each lane, 0 of an infinite one, whose error is NaN."""
    return select(magnitude(value) < np.inf, error, like(error, 0.0))


def is_left_out(labels: Any, row: Any) -> Any:
    """Whether a row does not count."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(is_left_out, inline=True)
def _is_left_out(labels, row):
    if labels.dtype == types.int64:
        return lambda labels, row: labels[row] < 0
    return lambda labels, row: False


def target_of_row(x: Any, labels: Any, weight: Any, row: Any, n: Any, largest: Any, smoothing: Any) -> Target:
    """Return what of a row's loss depends on its targets; `smoothing` of each is shared out among all classes."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(target_of_row, inline=True)
def _target_of_row(x, labels, weight, row, n, largest, smoothing):
    if labels.dtype != types.int64:

        def of_probabilities(x, labels, weight, row, n, largest, smoothing):
            high, low, mass = sum_of_targets(x, labels, weight, row * n, n, largest, 1.0 - smoothing, smoothing / n)
            return Target(high, low, mass, 0.0)

        return of_probabilities

    def of_class(x, labels, weight, row, n, largest, smoothing):
        w = widen(weight[labels[row]]) * (1.0 - smoothing)
        own = target_of_class(w, largest, load_element(x, row * n + labels[row]))
        if smoothing == 0.0:
            return own
        shared, shared_low, mass = sum_of_targets(x, None, weight, row * n, n, largest, 0.0, smoothing / n)
        high, error = add_exactly(own.distance, shared)
        return Target(high, finite_or_zero(high, error) + (own.distance_low + shared_low), w + mass, w)

    return of_class


@helper
def target_of_class(w, largest, own):
    """Return what a target `w`, that of the class whose logit is `own`, adds to a row; or of a row in each lane."""
    # Halved, which is exact, no difference overflows.
    half, error = add_exactly(0.5 * widen(largest), -0.5 * widen(own))
    nothing_true = w == 0.0
    half = select(nothing_true, like(half, 0.0), half)
    error = select(nothing_true, like(half, 0.0), finite_or_zero(half, error))
    return Target(2.0 * w * half, 2.0 * w * error, w, w)


@helper
def sum_of_targets(x, labels, weight, start, n, largest, keep, spread):
    """Return the sum of a_c (m - x_c) as a pair, and that of a_c, with a_c = weight_c (keep labels_c + spread)."""
    width = lanes(x)
    total, lost = nothing(x)
    mass, mass_lost = nothing(x)
    i = 0
    while i + width <= n:
        a = share(x, labels, weight, start, i, None, keep, spread)
        total, lost = add_term(total, lost, weighted_distance(a, load(x, start + i), largest))
        mass, mass_lost = add_term(mass, mass_lost, a)
        i += width
    if i < n:
        a = share(x, labels, weight, start, i, n - i, keep, spread)
        total, lost = add_term(total, lost, weighted_distance(a, load_part(x, start + i, n - i, largest), largest))
        mass, mass_lost = add_term(mass, mass_lost, a)
    high, low = pair_of(total, lost)
    mass_high, mass_low = pair_of(mass, mass_lost)
    return high, finite_or_zero(high, low), mass_high + mass_low


@helper
def weighted_distance(a, v, largest):
    """Return a (largest - v), 0 where a is 0; halved, which is exact, no difference overflows."""
    return select(a == 0, 0, (a + a) * (0.5 * np.float64(largest) - widen(v) * 0.5))


def share(x: Any, labels: Any, weight: Any, start: Any, i: Any, count: Any, keep: Any, spread: Any) -> Any:
    """Return the targets of a vector of classes from `i` on, or of the `count` last; labels may be None."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(share, inline=True)
def _share(x, labels, weight, start, i, count, keep, spread):
    whole = isinstance(count, types.NoneType)
    if isinstance(labels, types.NoneType):
        if whole:
            return lambda x, labels, weight, start, i, count, keep, spread: widen(load(weight, i)) * spread
        return lambda x, labels, weight, start, i, count, keep, spread: widen(load_part(weight, i, count, 0)) * spread
    if whole:

        def of_vector(x, labels, weight, start, i, count, keep, spread):
            return fma(widen(load(labels, start + i)), keep, spread) * widen(load(weight, i))

        return of_vector

    def of_part(x, labels, weight, start, i, count, keep, spread):
        return fma(widen(load_part(labels, start + i, count, 0)), keep, spread) * widen(load_part(weight, i, count, 0))

    return of_part

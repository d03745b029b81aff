"""Cross-entropy of several rows at once with its gradient: what tiles and groups have in common.

As in `cross_entropy_grad`, the exponentials of a row serve both; what is done once a row is done for as many at once as
a vector has lanes, but for what is subtracted from its probabilities, which lie in the result by then.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import like
from .._simd.memory import (
    lanes,
    load_element,
    store_float64,
)
from .cross_entropy import loss_of
from .cross_entropy_grad import (
    OwnTerm,
    own_term,
    put_zeros,
    subtract_truth,
)
from .logsumexp import log1p_of_ratio
from .prepare import temperatures_of
from .targets import is_left_out
from .targets_in_lanes import put_losses
from .temperature import temperature_at

KEPT = 1 + len(OwnTerm._fields)  # numbers of each row, its factor the first


class GradientScaling(NamedTuple):
    """What is left to do with exponentials: they are multiplied by 2**-HEADROOM (high + low)."""

    high: Any
    low: Any
    careless: Any  # see `takes_no_care`


def factor_in_lanes(scale: Any, temperature: Any, first: Any, count: Any, memory: Any, x: Any) -> Any:
    """Return ``scale / temperature`` of `count` rows from row `first` on, one number or one in each lane."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(factor_in_lanes, inline=True)
def _factor_in_lanes(scale, temperature, first, count, memory, x):
    if isinstance(temperature, types.Array):
        return lambda scale, temperature, first, count, memory, x: (
            scale / temperatures_of(temperature, first, 1, count, memory, x)
        )
    return lambda scale, temperature, first, count, memory, x: scale / temperature_at(temperature, first)


@helper
def memory_of_terms(x):
    """Return memory for what makes gradients of as many rows as a vector has lanes."""
    return np.zeros(KEPT * lanes(x), np.float64)


@helper
def put_losses_and_terms(x, first, count, largest, rest, unit, unit_error, target, factor, tau, truth, kept, losses):
    """Write the losses of `count` rows from row `first` on, and keep what is to be subtracted from their gradients."""
    width = lanes(x)
    log, log_error = log1p_of_ratio(x, rest, like(rest, 0.0), unit, unit_error)
    put_losses(first, count, target, loss_of(largest, log, log_error, target, tau), kept, losses)
    own = own_term(target, truth.smoothing, factor, rest, unit)
    store_float64(kept, 0, like(own.value, factor))
    store_float64(kept, width, own.value)
    store_float64(kept, 2 * width, own.difference)
    store_float64(kept, 3 * width, own.is_known)


@helper
def subtract_truths(out, first, count, n, truth, kept):
    """Subtract from `count` rows from row `first` on what is true of each; those that do not count become 0."""
    width = lanes(out)
    for k in range(count):
        if is_left_out(truth.labels, first + k):
            put_zeros(out, (first + k) * n, n)
        else:
            factor, value = load_element(kept, k), load_element(kept, width + k)
            own = OwnTerm(value, load_element(kept, 2 * width + k), load_element(kept, 3 * width + k))
            subtract_truth(out, truth.labels, truth.weight, first + k, n, truth.smoothing, factor, own)

"""Calls with labels that need no normalising: small batches with plain arguments go to the kernel as they are.

As in `_direct`, nothing is judged here: what is not plainly right is left to `_args`.  Large calls are too, for which
that takes no time to speak of.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from ._direct import CROSS_ENTROPY, CROSS_ENTROPY_AND_GRAD, LAST_AXIS, Array, DType, entry_for, takes
from ._kernels.temperature import LARGEST_TEMPERATURE, SMALLEST_TEMPERATURE
from ._plan import COMPILED_DTYPES, PARALLEL_ELEMENTS

INT64, UINT64 = np.dtype(np.int64), np.dtype(np.uint64)


@lru_cache(maxsize=8)
def equal_weights(n: int, dtype: DType) -> Array:
    """Return weights of classes, all of them 1."""
    weight = np.ones(n, dtype)
    weight.flags.writeable = False
    return weight


def are_plain(
    logits: Any, labels: Any, axis: Any, temperature: Any, weight: Any, ignore_index: Any, smoothing: Any, threads: Any
) -> bool:
    """Whether a kernel can take arguments as they are, labels being classes."""
    if (
        type(logits) is not np.ndarray
        or type(labels) is not np.ndarray
        or (axis is not LAST_AXIS and (type(axis) is not int or axis != logits.ndim - 1))
        or (type(temperature) is not float and type(temperature) is not int)
        or not SMALLEST_TEMPERATURE <= temperature <= LARGEST_TEMPERATURE
        or weight is not None
        or ignore_index is not None
        or type(smoothing) is not float
        or smoothing != 0.0
        or (threads is not None and (type(threads) is not int or threads < 1))
    ):
        return False
    shape, flags, others = logits.shape, logits.flags, labels.flags
    return (
        shape != ()
        and 0 < logits.size < PARALLEL_ELEMENTS
        and logits.dtype in COMPILED_DTYPES
        and labels.dtype == INT64
        and labels.shape == shape[:-1]
        and flags.c_contiguous
        and flags.aligned
        and others.c_contiguous
        and others.aligned
        and bool(np.maximum.reduce(labels.ravel().view(UINT64)) < shape[-1])
    )


def losses_of(logits: Array, labels: Array, temperature: float) -> Array | None:
    """Return the cross-entropy of each row in float64, or None where there is no compiled code."""
    n = logits.shape[-1]
    entry = entry_for(CROSS_ENTROPY, logits.dtype, labels.size, n, None)
    if entry is None:
        return None
    losses = np.empty(labels.size)
    entry(logits.ravel(), n, temperature, labels.ravel(), equal_weights(n, logits.dtype), 0.0, losses)
    return losses


def losses_and_gradient_of(
    logits: Array, labels: Array, temperature: float, scale: float, out: Any
) -> tuple[Array, Array] | None:
    """Return the cross-entropy of each row in float64 and `scale` times its gradient, or None where that is not plain.

    `out` is where the gradient goes, or None.
    """
    shape, dtype = logits.shape, logits.dtype
    n = shape[-1]
    entry = entry_for(CROSS_ENTROPY_AND_GRAD, dtype, labels.size, n, None)
    if entry is None:
        return None
    if out is None:
        out = np.empty(shape, dtype)
    elif not (takes(out, dtype, shape, logits.flags, logits) and not np.may_share_memory(out, labels)):
        return None
    losses = np.empty(labels.size)
    weight = equal_weights(n, dtype)
    entry(logits.ravel(), n, temperature, labels.ravel(), weight, 0.0, scale, losses, out.ravel())
    return losses, out

"""Run cross-entropy and its gradient."""

import math
from typing import Any

import numpy as np

from .._args.labels import Labelled
from .._carriers import carried
from .._kernels.cross_entropy import tempered_rows
from .._kernels.rounding import rounded_copy
from .._kernels.temperature import LARGEST_TEMPERATURE, SMALLEST_TEMPERATURE, as_operand
from .._plan import PLAIN, kernels_of_rows
from .._recycled import new_array
from . import Array, granted, has_kernel, kind_of_labels


def run_cross_entropy(rows: Labelled, smoothing: float, threads: int | None) -> Array:
    """Return the cross-entropy of each row, in float64 or longdouble."""
    losses = np.zeros(math.prod(rows.shape))
    if rows.x.size == 0:
        return losses
    if not has_kernel(rows.dtype):
        return _plain(rows, smoothing)[0]
    with granted(rows.x.size, threads) as number:
        rows = _prepared(rows, number > 1)
        temperature, kind = as_operand(rows.temperature)
        kernels = kernels_of_rows("cross_entropy", rows.x.dtype, losses.size, rows.n)
        kernel = kernels["cross_entropy"].compiled(rows.x.dtype, kind, kind_of_labels(rows), parallel=number > 1)
        labels = carried(rows.labels) if rows.soft else rows.labels
        kernel(carried(rows.x), rows.n, temperature, labels, rows.weight, smoothing, losses)
    return losses


def run_cross_entropy_and_grad(
    rows: Labelled, smoothing: float, scale: float, target: Array, threads: int | None
) -> Array:
    """Return the cross-entropy of each row; write `scale` times its gradient to flat `target`, which may be rows.x."""
    losses = np.zeros(math.prod(rows.shape))
    if rows.x.size == 0:
        return losses
    if not has_kernel(rows.dtype):
        losses, grad = _plain(rows, smoothing)
        target[...] = (grad * scale).reshape(-1)
        return losses
    with granted(rows.x.size, threads) as number:
        rows = _prepared(rows, number > 1)
        temperature, kind = as_operand(rows.temperature)
        kernels = kernels_of_rows("cross_entropy_and_grad", rows.x.dtype, losses.size, rows.n)
        kernel = kernels["cross_entropy_and_grad"].compiled(
            rows.x.dtype, kind, kind_of_labels(rows), parallel=number > 1
        )
        kernel(rows.x, rows.n, temperature, rows.labels, rows.weight, smoothing, scale, losses, target)
    return losses


def rounded(target: Array, dtype: "np.dtype[Any]", threads: int | None) -> Array:
    """Return flat numbers in the dtype of the result, where a kernel rounds to it."""
    if target.dtype == dtype or target.size == 0 or not has_kernel(dtype):
        return target
    result = new_array(target.shape, dtype)
    with granted(target.size, threads) as number:
        rounded_copy.compiled(dtype, parallel=number > 1)(target, carried(result))
    return result


def _plain(rows: Labelled, smoothing: float) -> tuple[Array, Array]:
    operands = rows.x.reshape(-1, rows.n), rows.temperature, rows.labels, rows.weight, smoothing
    with np.errstate(all="ignore"):
        losses, grad = PLAIN["cross_entropy_and_grad"](*operands)
    return losses, grad


def _prepared(rows: Labelled, parallel: bool) -> Labelled:
    """Return rows whose temperatures the kernels take as they are: extreme ones have gone into a copy of the rows."""
    tau = rows.temperature
    lowest, highest = (tau, tau) if isinstance(tau, float) else (float(tau.min()), float(tau.max()))
    if lowest >= SMALLEST_TEMPERATURE and highest <= LARGEST_TEMPERATURE:
        return rows
    x = rows.x.astype(np.float32) if rows.x.dtype.itemsize == 2 else rows.x
    copy = np.empty_like(x)
    operand, kind = as_operand(tau)
    tempered_rows.compiled(x.dtype, kind, parallel=parallel)(x, rows.n, operand, copy)
    labels = rows.labels.astype(x.dtype) if rows.soft else rows.labels
    return rows._replace(x=copy, labels=labels)

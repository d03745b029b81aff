"""Run kernels on labelled rows, in parallel where it pays."""

import math
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numba.core import config

from . import _plain_labelled, _threads
from ._args.labels import Labelled
from ._carriers import carried, carrier_of
from ._kernels.cross_entropy import cross_entropy_rows, total_of
from ._kernels.cross_entropy_grad import cross_entropy_and_grad_rows
from ._kernels.prepare import prepare_rows
from ._kernels.targets import CLASSES, PROBABILITIES
from ._kernels.temperature import LARGEST_TEMPERATURE, ONE_FOR_ALL, ONE_FOR_EACH_ROW, SMALLEST_TEMPERATURE
from ._plan import COMPILED_DTYPES, PARALLEL_ELEMENTS
from ._run import SERIAL

Array = np.ndarray[Any, Any]

FLOAT64 = np.dtype(np.float64)


def granted(size: int, threads: int | None) -> AbstractContextManager[int]:
    """Return a context that gives the number of threads to work on so many elements with."""
    return _threads.parallel_threads(threads) if threads != 1 and size >= PARALLEL_ELEMENTS else SERIAL


def has_kernel(dtype: "np.dtype[Any]") -> bool:
    """Whether compiled code takes elements of a dtype."""
    return not config.DISABLE_JIT and (dtype in COMPILED_DTYPES or carrier_of(dtype) != dtype)


def kinds(rows: Labelled) -> tuple[Any, Any]:
    """Return the Numba types of temperature and labels."""
    tau = ONE_FOR_ALL if isinstance(rows.temperature, float) else ONE_FOR_EACH_ROW
    return tau, PROBABILITIES if rows.soft else CLASSES


def run_cross_entropy(rows: Labelled, smoothing: float, threads: int | None) -> Array:
    """Return the cross-entropy of each row, in float64 or longdouble."""
    losses = np.zeros(math.prod(rows.shape))
    if rows.x.size == 0:
        return losses
    if not has_kernel(rows.dtype):
        return _plain(rows, smoothing)[0]
    with granted(rows.x.size, threads) as number:
        rows = _prepared(rows, number > 1)
        kernel = cross_entropy_rows.compiled(rows.x.dtype, *kinds(rows), parallel=number > 1)
        labels = carried(rows.labels) if rows.soft else rows.labels
        kernel(carried(rows.x), rows.n, rows.temperature, labels, rows.weight, smoothing, losses)
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
        kernel = cross_entropy_and_grad_rows.compiled(rows.x.dtype, *kinds(rows), parallel=number > 1)
        kernel(rows.x, rows.n, rows.temperature, rows.labels, rows.weight, smoothing, scale, losses, target)
    return losses


def total(numbers: Array) -> Any:
    """Return the sum of numbers, in a fixed order."""
    if numbers.dtype != FLOAT64 or config.DISABLE_JIT:
        return numbers.sum()
    result = np.empty(1)
    total_of.compiled(FLOAT64)(numbers, result)
    return result[0]


def _plain(rows: Labelled, smoothing: float) -> tuple[Array, Array]:
    with np.errstate(all="ignore"):
        return _plain_labelled.cross_entropy(
            rows.x.reshape(-1, rows.n), rows.temperature, rows.labels, rows.weight, smoothing
        )


def _prepared(rows: Labelled, parallel: bool) -> Labelled:
    """Return rows whose temperatures the kernels take as they are: extreme ones have gone into a copy of the rows."""
    tau = rows.temperature
    lowest, highest = (tau, tau) if isinstance(tau, float) else (float(tau.min()), float(tau.max()))
    if lowest >= SMALLEST_TEMPERATURE and highest <= LARGEST_TEMPERATURE:
        return rows
    x = rows.x.astype(np.float32) if rows.x.dtype.itemsize == 2 else rows.x
    copy = np.empty_like(x)
    prepare_rows.compiled(x.dtype, kinds(rows)[0], parallel=parallel)(x, rows.n, tau, copy)
    labels = rows.labels.astype(x.dtype) if rows.soft else rows.labels
    return rows._replace(x=copy, labels=labels)

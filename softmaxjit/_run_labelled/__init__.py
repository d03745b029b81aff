"""Run kernels on labelled rows, in parallel where it pays."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np
from numba.core import config

from .. import _threads
from .._args.labels import Labelled
from .._carriers import carrier_of
from .._kernels.cross_entropy import total_of
from .._kernels.targets import CLASSES, PROBABILITIES
from .._plan import COMPILED_DTYPES, PARALLEL_ELEMENTS

Array = np.ndarray[Any, Any]

FLOAT64 = np.dtype(np.float64)

SERIAL = nullcontext(1)


def granted(size: int, threads: int | None) -> AbstractContextManager[int]:
    """Return a context that gives the number of threads to work on so many elements with."""
    return _threads.layer_threads(threads) if threads != 1 and size >= PARALLEL_ELEMENTS else SERIAL


def has_kernel(dtype: "np.dtype[Any]") -> bool:
    """Whether compiled code takes elements of a dtype."""
    return not config.DISABLE_JIT and (dtype in COMPILED_DTYPES or carrier_of(dtype) != dtype)


def kind_of_labels(rows: Labelled) -> Any:
    """Return the Numba type of labels."""
    return PROBABILITIES if rows.soft else CLASSES


def total(numbers: Array) -> Any:
    """Return the sum of flat numbers, in a fixed order."""
    if numbers.dtype != FLOAT64 or config.DISABLE_JIT:
        return numbers.sum()
    result = np.empty(1)
    _entry_of_total()(numbers.ravel(), result)
    return result[0]


@cache
def _entry_of_total() -> Callable[..., None]:
    """Return what runs `total_of`, of which only contiguous numbers are taken, in one dimension."""
    return total_of.entry(FLOAT64)

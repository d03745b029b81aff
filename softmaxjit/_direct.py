"""Calls that need no normalising: what nearly all callers pass goes to the kernel as it is.

Each function here returns the result of a direct call, and None for any other, which the full path then serves with the
same kernel, or refuses.  Nothing is judged here: what is not plainly right is left to `_args`.

Few and cheap tests, because they are most of a call on ten elements: softmax takes 1.25 µs, 0.3 of it in the kernel and
0.2 to allocate, where the full path takes 10 (medians of interleaved runs).  A call on megabytes, which empties the
caches of the interpreter's own code too, spends 22 µs beside the kernel, where the full path spends 43 (softmax
of (1024, 1000) float32 on one thread, 430 in all; medians of 400 interleaved calls).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numba.core import config

from ._carriers import carrier_of
from ._kernels.targets import CLASSES
from ._kernels.temperature import LARGEST_TEMPERATURE, ONE_FOR_ALL, SMALLEST_TEMPERATURE
from ._plan import (
    FEWEST_ROWS,
    GROUPED,
    GROUPED_ROW,
    PARALLEL_ELEMENTS,
    SHORT,
    SHORT_ROW,
    Facts,
    Plan,
    kernels_of_rows,
    plan,
)
from ._recycled import LARGE_BYTES, new_array
from ._run import on_threads

Array = np.ndarray[Any, Any]
DType = np.dtype[Any]
Entry = Callable[..., None]

empty, may_share_memory, ndarray = np.empty, np.may_share_memory, np.ndarray

LONGEST_SHORT = max(n for by_size in SHORT_ROW.values() for n in by_size.values())
LONGEST_GROUPED = max(n for by_size in GROUPED_ROW.values() for n in by_size.values())

FEWEST_LARGE = LARGE_BYTES // 8  # elements of the widest dtype that comes here

LAST_AXIS = -1  # CPython has one -1, so that `is` finds the default in one step; another would only take the next test


class Entries(dict[DType, Entry | None]):
    """For each native dtype what runs the machine code of the kernel of an operation, None for dtypes without one.

    It is loaded or compiled when its dtype is first looked up.  A dtype of swapped bytes does not equal its native one.
    """

    def __init__(self, operation: str, *variant: Any, rows: int = 1, n: int = 1) -> None:
        super().__init__()
        self.operation = operation
        self._variant = variant
        self._rows = rows
        self._n = n
        self.on_threads = lru_cache(maxsize=256)(self._on_threads)

    def __missing__(self, dtype: DType) -> Entry | None:
        # Below PARALLEL_ELEMENTS the plan depends on nothing else but which `kernels_of_rows` are for them.
        kernel = self._planned(dtype, self._rows, self._n, None).serial
        if kernel is None:
            return None  # and not kept, as there is no end to dtypes
        self[dtype] = entry = carrying(kernel.entry(dtype, *self._variant), dtype)
        return entry

    def _on_threads(self, dtype: DType, rows: int, n: int, threads: int | None) -> Entry | None:
        """Return what takes a large call, or one that says on how many threads."""
        entry = on_threads(self._planned(dtype, rows, n, threads), threads, rows, dtype, *self._variant)
        return None if entry is None else carrying(entry, dtype)

    def _planned(self, dtype: DType, rows: int, n: int, threads: int | None) -> Plan:
        compiled = not config.DISABLE_JIT
        return plan(Facts(self.operation, dtype, rows, n, threads=threads, compiled=compiled))


def carrying(entry: Entry, dtype: DType) -> Entry:
    """Return an entry that takes arrays of a dtype, given that which takes their carriers."""
    carrier = carrier_of(dtype)
    if carrier == dtype:
        return entry

    def views(*args: Any) -> None:
        entry(*[arg.view(carrier) if type(arg) is ndarray else arg for arg in args])

    return views


SOFTMAX = Entries("softmax", ONE_FOR_ALL)
LOG_SOFTMAX = Entries("log_softmax", ONE_FOR_ALL)
LOGSUMEXP = Entries("logsumexp")
SOFTMAX_VJP = Entries("softmax_vjp", ONE_FOR_ALL)
LOG_SOFTMAX_VJP = Entries("log_softmax_vjp", ONE_FOR_ALL)
CROSS_ENTROPY = Entries("cross_entropy", ONE_FOR_ALL, CLASSES)
CROSS_ENTROPY_AND_GRAD = Entries("cross_entropy_and_grad", ONE_FOR_ALL, CLASSES)


def entries_of_several(n: int) -> dict[str, Entries]:
    """Return for each operation what takes several rows at once, where they have about n elements."""
    return {
        "softmax": Entries("softmax", ONE_FOR_ALL, rows=FEWEST_ROWS, n=n),
        "log_softmax": Entries("log_softmax", ONE_FOR_ALL, rows=FEWEST_ROWS, n=n),
        "logsumexp": Entries("logsumexp", rows=FEWEST_ROWS, n=n),
        "cross_entropy": Entries("cross_entropy", ONE_FOR_ALL, CLASSES, rows=FEWEST_ROWS, n=n),
        "cross_entropy_and_grad": Entries("cross_entropy_and_grad", ONE_FOR_ALL, CLASSES, rows=FEWEST_ROWS, n=n),
    }


OF_SHORT_ROWS = entries_of_several(1)
OF_GROUPED_ROWS = entries_of_several(LONGEST_SHORT + 1)


def entry_for(entries: Entries, dtype: DType, rows: int, n: int, threads: int | None) -> Entry | None:
    """Return what takes rows of n elements."""
    if rows * n >= PARALLEL_ELEMENTS or threads is not None:
        return entries.on_threads(dtype, rows, n, threads)
    if n <= LONGEST_GROUPED and rows >= FEWEST_ROWS:
        kernels = kernels_of_rows(entries.operation, dtype, rows, n)
        if kernels is SHORT:
            return OF_SHORT_ROWS[entries.operation][dtype]
        if kernels is GROUPED:
            return OF_GROUPED_ROWS[entries.operation][dtype]
    return entries[dtype]


def same_shape(
    entries: Entries, x: Any, axis: Any, temperature: Any, where: Any, out: Any, threads: Any
) -> Array | None:
    """Return the result of an operation whose result has the shape of `x`."""
    if (
        type(x) is not ndarray
        or (axis is not LAST_AXIS and (type(axis) is not int or axis != x.ndim - 1))
        or (type(temperature) is not float and type(temperature) is not int)
        or not (temperature == 1.0 or SMALLEST_TEMPERATURE <= temperature <= LARGEST_TEMPERATURE)
        or where is not None
        or (threads is not None and (type(threads) is not int or threads < 1))
    ):
        return None
    ndim = x.ndim
    size = x.size
    flags = x.flags
    if not (ndim and size and (flags.carray or (flags.c_contiguous and flags.aligned))):
        return None
    dtype = x.dtype
    shape = (size,) if ndim == 1 else x.shape
    n = shape[-1]
    entry = entry_for(entries, dtype, size // n, n, threads)
    if entry is None:
        return None
    if out is None:
        out = empty(shape, dtype) if size < FEWEST_LARGE else new_array(shape, dtype)
    elif not takes(out, dtype, shape, flags, x):
        return None
    if ndim == 1:
        entry(x, size, temperature, out)
    else:
        entry(x.ravel(), n, temperature, out.ravel())
    result: Array = out
    return result


def reduced(
    entries: Entries, x: Any, axis: Any, b: Any, where: Any, keepdims: Any, return_sign: Any, out: Any, threads: Any
) -> Any:
    """Return the result of an operation whose result lacks the last axis, or has length 1 there."""
    if (
        type(x) is not ndarray
        or (axis is not LAST_AXIS and (type(axis) is not int or axis != x.ndim - 1))
        or b is not None
        or where is not None
        or not (keepdims is False or keepdims is True)
        or return_sign is not False
        or (threads is not None and (type(threads) is not int or threads < 1))
    ):
        return None
    shape = x.shape
    size = x.size
    flags = x.flags
    if not (shape and size and (flags.carray or (flags.c_contiguous and flags.aligned))):
        return None
    dtype = x.dtype
    n = shape[-1]
    entry = entry_for(entries, dtype, size // n, n, threads)
    if entry is None:
        return None
    left = (*shape[:-1], 1) if keepdims else shape[:-1]
    if out is None:
        result = empty(left, dtype) if size < FEWEST_LARGE else new_array(left, dtype)
    elif takes(out, dtype, left, flags, x):
        result = out
    else:
        return None
    entry(x.ravel(), n, result.ravel())
    return result if left or out is not None else result[()]


def two_operands(
    entries: Entries, first: Any, cotangent: Any, axis: Any, temperature: Any, out: Any, threads: Any
) -> Array | None:
    """Return the result of an operation on two arrays of one shape, which is also that of the result."""
    if (
        type(first) is not ndarray
        or type(cotangent) is not ndarray
        or (axis is not LAST_AXIS and (type(axis) is not int or axis != first.ndim - 1))
        or (type(temperature) is not float and type(temperature) is not int)
        or not SMALLEST_TEMPERATURE <= temperature <= LARGEST_TEMPERATURE
        or (threads is not None and (type(threads) is not int or threads < 1))
    ):
        return None
    shape = first.shape
    flags = first.flags
    size = first.size
    others = cotangent.flags
    if not (
        shape
        and size
        and cotangent.shape == shape
        and (flags.carray or (flags.c_contiguous and flags.aligned))
        and (others.carray or (others.c_contiguous and others.aligned))
    ):
        return None
    dtype = first.dtype
    n = shape[-1]
    entry = entry_for(entries, dtype, size // n, n, threads)
    if entry is None or cotangent.dtype != dtype:
        return None
    if out is None:
        out = empty(shape, dtype) if size < FEWEST_LARGE else new_array(shape, dtype)
    elif not (takes(out, dtype, shape, flags, first) and takes(out, dtype, shape, others, cotangent)):
        return None
    entry(first.ravel(), cotangent.ravel(), n, temperature, out.ravel())
    result: Array = out
    return result


def takes(out: Any, dtype: DType, shape: tuple[int, ...], flags: Any, x: Array) -> bool:
    """Whether `out` is plain, and a kernel that reads `x`, with its flags, may write to it: `x` itself or apart."""
    if type(out) is not ndarray or not (out.dtype is dtype or out.dtype == dtype) or out.shape != shape:
        return False
    theirs = out.flags
    # Arrays that own their memory do not share it, which is known in 0.05 instead of 0.3 µs.
    fit: bool = theirs.carray and (out is x or (theirs.owndata and flags.owndata) or not may_share_memory(out, x))
    return fit

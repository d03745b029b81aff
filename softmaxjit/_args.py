"""From what a user passes to what a kernel takes, and back; the only module that raises user errors.

A kernel sees rows: a flat, contiguous, native float32 or float64 array whose every n consecutive elements are one row.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

Axis = int | Sequence[int] | None

ACCEPTED = "float16, float32, float64, integers or bool"


class Rows(NamedTuple):
    """Operands of a row kernel and what its result becomes."""

    x: np.ndarray[Any, Any]  # flat
    n: int  # length of a row
    target: np.ndarray[Any, Any]  # flat; the kernel writes here
    result: np.ndarray[Any, Any]  # in the order of the rows, a view of target
    out: np.ndarray[Any, Any] | None  # what the user gets, in the order of the rows, if it is not a view of target
    returned: np.ndarray[Any, Any]  # the user's view of it


def result_dtype(dtype: "np.dtype[Any]") -> "np.dtype[Any]":
    """Return the dtype of a result, native; raise TypeError for a dtype without one."""
    if dtype.kind in "bui":
        return np.dtype(np.float64)
    if dtype.kind == "f" and dtype.itemsize <= 8:
        return dtype.newbyteorder("=")
    raise TypeError(f"x has dtype {dtype}; accepted are {ACCEPTED}")


def as_array(x: Any) -> np.ndarray[Any, Any]:
    """Return any array-like as an array with an accepted dtype."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError("x is a masked array, whose mask would be lost; pass x.filled(-numpy.inf)")
    array = np.asarray(x)
    result_dtype(array.dtype)
    return array


def checked_temperature(temperature: Any) -> float:
    """Return a scalar temperature as a float; raise where it is not a number from 0 to infinity."""
    try:
        value = float(temperature)
    except (TypeError, ValueError):
        raise TypeError(f"temperature is {temperature!r}; accepted is one real number, 0 to infinity") from None
    if not value >= 0.0:
        raise ValueError(f"temperature is {temperature!r}; accepted is one real number, 0 to infinity")
    return value


def checked_threads(threads: Any) -> int | None:
    """Return the number of threads asked for; raise where it is neither None nor a positive integer."""
    if threads is None:
        return None
    try:
        value = int(threads.__index__())
    except (AttributeError, TypeError):
        raise TypeError(f"threads is {threads!r}; accepted are None and integers from 1") from None
    if value < 1:
        raise ValueError(f"threads is {threads!r}; accepted are None and integers from 1")
    return value


def _checked_out(out: Any, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> np.ndarray[Any, Any]:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is of type {type(out).__name__}; accepted is a numpy.ndarray")
    if out.dtype != dtype or out.shape != shape:
        raise ValueError(
            f"out has shape {out.shape} and dtype {out.dtype}; the result has shape {shape} and dtype {dtype}"
        )
    if not out.flags.writeable:
        raise ValueError(f"out, with shape {out.shape}, is read-only; accepted is a writeable array")
    return out


def same_shape_rows(x: Any, axis: Axis, out: Any) -> Rows:
    """Return the operands of an operation whose result has the shape of `x`."""
    array = as_array(x)
    axes = _axes(array, axis)
    dtype = result_dtype(array.dtype)
    returned = np.empty(array.shape, dtype) if out is None else _checked_out(out, array.shape, dtype)
    moved = _rows_last(array, axes)
    flat = _flat(moved, out)
    destination = _rows_last(returned, axes)
    direct = destination.flags.c_contiguous and destination.dtype == flat.dtype
    target = destination if direct and destination.dtype.isnative else np.empty(moved.shape, flat.dtype)
    n = math.prod(array.shape[k] for k in axes)
    return Rows(flat, n, target.reshape(-1), target, None if target is destination else destination, returned)


def reduced_rows(x: Any, axis: Axis, keepdims: bool, out: Any) -> Rows:
    """Return the operands of an operation whose result lacks the axes, or has length 1 there."""
    array = as_array(x)
    axes = _axes(array, axis)
    dtype = result_dtype(array.dtype)
    kept = tuple(length for k, length in enumerate(array.shape) if k not in axes)
    shape = tuple(1 if k in axes else length for k, length in enumerate(array.shape)) if keepdims else kept
    returned = np.empty(shape, dtype) if out is None else _checked_out(out, shape, dtype)
    flat = _flat(_rows_last(array, axes), out)
    destination = returned.reshape(kept) if not keepdims else np.squeeze(returned, axis=axes)
    direct = destination.flags.c_contiguous and destination.dtype == flat.dtype and destination.dtype.isnative
    target = destination if direct else np.empty(kept, flat.dtype)
    n = math.prod(array.shape[k] for k in axes)
    return Rows(flat, n, target.reshape(-1), target, None if target is destination else destination, returned)


def restored(rows: Rows) -> Any:
    """Return what the user gets once the kernel has run."""
    if rows.out is not None:
        rows.out[...] = rows.result
    return rows.returned


def _axes(array: np.ndarray[Any, Any], axis: Axis) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(array.ndim))
    return tuple(sorted(normalize_axis_tuple(axis, array.ndim, "axis")))


def _rows_last(array: np.ndarray[Any, Any], axes: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return the array with `axes` moved to the end, a view."""
    others = [k for k in range(array.ndim) if k not in axes]
    return array.transpose([*others, *axes])


def _flat(moved: np.ndarray[Any, Any], out: Any) -> np.ndarray[Any, Any]:
    """Return the elements in row order, of a dtype with kernels; a copy where the array does not lie so in memory."""
    dtype = result_dtype(moved.dtype)
    dtype = np.dtype(np.float32) if dtype == np.float16 else dtype
    flat = np.ascontiguousarray(moved, dtype).reshape(-1)
    if out is not None and np.may_share_memory(flat, out) and not _same_memory(flat, out):
        return flat.copy()
    return flat


def _same_memory(flat: np.ndarray[Any, Any], out: np.ndarray[Any, Any]) -> bool:
    """Whether element i of both is the same memory, so that each row is read before it is overwritten."""
    return out.flags.c_contiguous and out.size == flat.size and out.ctypes.data == flat.ctypes.data

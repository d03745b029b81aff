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
    refusal = f"temperature is {temperature!r}; accepted is one real number, 0 to infinity"
    if isinstance(temperature, str | bytes) or np.ndim(temperature) > 0:  # which float would take
        raise TypeError(refusal)
    try:
        value = float(temperature)
    except (TypeError, ValueError):
        raise TypeError(refusal) from None
    except OverflowError:
        raise ValueError(refusal) from None
    if not value >= 0.0:
        raise ValueError(refusal)
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


def _result(out: Any, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> np.ndarray[Any, Any]:
    """Return where the result goes: `out`, as a plain array even where it is of a subclass, or a new array."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"out is of type {type(out).__name__}; accepted is a numpy.ndarray")
    if out.dtype != dtype or out.shape != shape:
        raise ValueError(
            f"out has shape {out.shape} and dtype {out.dtype}; the result has shape {shape} and dtype {dtype}"
        )
    if not out.flags.writeable:
        raise ValueError(f"out, with shape {out.shape}, is read-only; accepted is a writeable array")
    return np.asarray(out)


def same_shape_rows(x: Any, axis: Axis, out: Any) -> Rows:
    """Return the operands of an operation whose result has the shape of `x`."""
    array = as_array(x)
    axes = _axes(array, axis)
    dtype = result_dtype(array.dtype)
    result = _result(out, array.shape, dtype)
    flat = _flat(_rows_last(array, axes), None if out is None else result)
    destination = _rows_last(result, axes)
    return _rows(flat, math.prod(array.shape[k] for k in axes), destination, result if out is None else out)


def reduced_rows(x: Any, axis: Axis, keepdims: bool, out: Any) -> Rows:
    """Return the operands of an operation whose result lacks the axes, or has length 1 there."""
    array = as_array(x)
    axes = _axes(array, axis)
    dtype = result_dtype(array.dtype)
    kept = tuple(length for k, length in enumerate(array.shape) if k not in axes)
    shape = tuple(1 if k in axes else length for k, length in enumerate(array.shape)) if keepdims else kept
    result = _result(out, shape, dtype)
    flat = _flat(_rows_last(array, axes), None if out is None else result)
    destination = np.squeeze(result, axis=axes) if keepdims else result
    return _rows(flat, math.prod(array.shape[k] for k in axes), destination, result if out is None else out)


def _rows(flat: np.ndarray[Any, Any], n: int, destination: np.ndarray[Any, Any], returned: Any) -> Rows:
    """Return the operands of a kernel: it writes to `destination` if it can, else to a buffer."""
    direct = destination.flags.c_contiguous and destination.flags.aligned and destination.dtype == flat.dtype
    target = destination if direct else np.empty(destination.shape, flat.dtype)
    return Rows(flat, n, target.reshape(-1), target, None if direct else destination, returned)


def restored(rows: Rows) -> np.ndarray[Any, Any]:
    """Return what the user gets once the kernel has run."""
    if rows.out is not None:
        with np.errstate(all="ignore"):  # a float16 overflows to infinity, as float32 and float64 do in the kernels
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
    flat = np.require(moved, dtype, ["C", "A"]).reshape(-1)
    if out is not None and np.may_share_memory(flat, out) and not _same_memory(flat, out):
        return flat.copy()
    return flat


def _same_memory(flat: np.ndarray[Any, Any], out: np.ndarray[Any, Any]) -> bool:
    """Whether element i of both is the same memory, so that each row is read before it is overwritten."""
    return out.flags.c_contiguous and out.size == flat.size and out.ctypes.data == flat.ctypes.data

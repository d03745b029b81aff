"""All arguments together: the operands of a row kernel, and what its result becomes."""

import math
from typing import Any, NamedTuple

import numpy as np

from .._recycled import new_array, new_copy
from .values import (
    COMPLEX,
    Array,
    Axis,
    as_array,
    broadcast_to,
    checked_axes,
    checked_flag,
    checked_temperature,
    checked_where,
    computed_dtype,
    result_array,
    result_dtype,
)


class Rows(NamedTuple):
    """Operands of a row kernel and what its result becomes."""

    x: Array  # flat
    n: int  # length of a row
    temperature: float | Array  # one for all rows, or one for each
    where: Array | None  # flat; False for masked elements
    second: Array | None  # flat, of the dtype of x: the weights of a sum, or a cotangent
    target: Array  # flat; the kernel writes here
    sign: Array | None  # flat; the sign of a sum, where there are weights or the user wants it
    result: Array  # target, in the order of the rows
    out: Array | None  # what the user gets, in the order of the rows, if it is not a view of target
    returned: Array  # the user's view of it
    inner: int = 1  # distance of a row's elements in x and target, which are then of shape (outer, n, inner)


def same_shape_rows(x: Any, axis: Axis, temperature: Any, where: Any, out: Any) -> Rows:
    """Return the operands of an operation whose result has the shape of `x`."""
    array, unmasked = as_array("x", x)
    dtype = result_dtype("x", array.dtype)
    axes = checked_axes(axis, array.ndim)
    tau = checked_temperature(temperature, array.shape, axes)
    kept = checked_where(where, unmasked, array.shape)
    result = result_array(out, array.shape, dtype)
    if _lie_across(array, axes) and result.flags.carray:
        return _rows_across(array, axes, result, out, tau, kept)
    return _rows(array, axes, rows_last(result, axes), result, out, temperature=tau, where=kept)


def reduced_rows(x: Any, axis: Axis, b: Any, where: Any, keepdims: bool, return_sign: bool, out: Any) -> Rows:
    """Return the operands of an operation whose result lacks the axes, or has length 1 there."""
    keepdims, return_sign = checked_flag("keepdims", keepdims), checked_flag("return_sign", return_sign)
    array, unmasked = as_array("x", x)
    dtype = result_dtype("x", array.dtype, COMPLEX)
    weights = None
    if b is not None:
        array, weights, dtype = _with_weights(array, b, dtype)
    axes = checked_axes(axis, array.ndim)
    kept = checked_where(where, unmasked, array.shape)
    if weights is not None and kept is not None:
        weights, kept = np.where(kept, weights, 0), None
    if keepdims:
        shape = tuple(1 if k in axes else length for k, length in enumerate(array.shape))
    else:
        shape = tuple(length for k, length in enumerate(array.shape) if k not in axes)
    # The logarithm of a complex number's size is real.
    result = result_array(out, shape, np.zeros(0, dtype).real.dtype if return_sign and dtype.kind == "c" else dtype)
    destination = np.squeeze(result, axis=axes) if keepdims else result
    signed = return_sign or weights is not None
    plain = weights is None and array.dtype == destination.dtype and destination.flags.carray
    if plain and _lie_across(array, axes):
        sign = new_array((destination.size,), dtype) if signed else None
        return _rows_across(array, axes, destination, out, 1.0, kept)._replace(sign=sign, returned=result)
    return _rows(array, axes, destination, result, out, dtype=dtype, where=kept, second=weights, signed=signed)


def two_operand_rows(name: str, first: Any, cotangent: Any, axis: Axis, temperature: Any, out: Any) -> Rows:
    """Return the operands of an operation on two arrays, of which the second broadcasts to the shape of the first."""
    array, other = unmasked(name, first), unmasked("cotangent", cotangent)
    axes = checked_axes(axis, array.ndim)
    tau = checked_temperature(temperature, array.shape, axes, positive=True)
    dtype = promoted("cotangent", cotangent, other, name, result_dtype(name, array.dtype))
    try:
        other = broadcast_to(other, array.shape)
    except ValueError:
        raise ValueError(
            f"cotangent has shape {other.shape}; accepted are {array.shape}, the shape of {name}, "
            "and shapes that broadcast to it"
        ) from None
    result = result_array(out, array.shape, dtype)
    return _rows(array, axes, rows_last(result, axes), result, out, temperature=tau, second=other)


def unmasked(name: str, value: Any) -> Array:
    """Return an array-like as an array with an accepted dtype, and no mask."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost; pass {name}.filled(0)")
    array, _ = as_array(name, value)
    result_dtype(name, array.dtype)
    return array


def _with_weights(array: Array, b: Any, dtype: "np.dtype[Any]") -> tuple[Array, Array, "np.dtype[Any]"]:
    """Return an array and its weights, in one shape, and the dtype of the result."""
    weights, unmasked = as_array("b", b)
    result_dtype("b", weights.dtype, COMPLEX)
    if unmasked is not None:
        weights = np.where(unmasked, weights, 0)
    dtype = promoted("b", b, weights, "x", dtype)
    try:
        shape = np.broadcast_shapes(array.shape, weights.shape)
    except ValueError:
        raise ValueError(f"b has shape {weights.shape}; it does not broadcast with shape {array.shape} of x") from None
    return broadcast_to(array, shape), broadcast_to(weights, shape), dtype


def promoted(name: str, value: Any, array: Array, other: str, dtype: "np.dtype[Any]") -> "np.dtype[Any]":
    """Return the dtype of a result from an argument, as given and as an array, and from the dtype of another."""
    # Python's numbers take the dtype of arrays beside them, which NumPy does not know of bfloat16.
    if isinstance(value, int | float) and not isinstance(value, np.generic):
        return dtype
    of_value = value if isinstance(value, complex) else result_dtype(name, array.dtype, COMPLEX)
    try:
        return np.result_type(dtype, of_value)
    except np.exceptions.DTypePromotionError:
        raise TypeError(
            f"{name} has dtype {array.dtype}; accepted are dtypes that go with {dtype} of {other}"
        ) from None


def _rows(
    array: Array,
    axes: tuple[int, ...],
    destination: Array,
    returned: Array,
    out: Any,
    *,
    dtype: "np.dtype[Any] | None" = None,
    temperature: float | Array = 1.0,
    where: Array | None = None,
    second: Array | None = None,
    signed: bool = False,
) -> Rows:
    """Return the operands of a kernel: it writes to `destination` if it can, else to a buffer."""
    written = destination.dtype
    read = written if dtype is None else dtype
    direct = destination.flags.c_contiguous and destination.flags.aligned
    target = destination if direct else new_array(destination.shape, written)
    user = None if out is None else destination
    return Rows(
        _flat(array, axes, read, user),
        math.prod([array.shape[k] for k in axes]),
        temperature if isinstance(temperature, float) else _flat(temperature, axes, np.dtype(np.float64), user),
        None if where is None else _flat(where, axes, np.dtype(np.bool_), user),
        None if second is None else _flat(second, axes, read, user),
        target.reshape(-1),
        new_array((target.size,), read) if signed else None,
        target,
        None if direct else destination,
        returned,
    )


def _lie_across(array: Array, axes: tuple[int, ...]) -> bool:
    """Whether the array is one of shape (outer, n, inner), with inner above 1, in memory order."""
    if array.size == 0 or not axes or axes[-1] - axes[0] != len(axes) - 1:
        return False
    fit = array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative and array.dtype.kind not in "bui"
    return bool(fit and math.prod(array.shape[axes[-1] + 1 :]) > 1)


def _rows_across(
    array: Array, axes: tuple[int, ...], result: Array, out: Any, temperature: float | Array, where: Array | None
) -> Rows:
    """Return the operands of a kernel for rows that lie across memory."""
    target = result.reshape(-1)
    user = None if out is None else target
    x = unspoilt(array.reshape(-1), user)
    tau = temperature if isinstance(temperature, float) else _flat(temperature, axes, np.dtype(np.float64), user)
    n, inner = math.prod(array.shape[axes[0] : axes[-1] + 1]), math.prod(array.shape[axes[-1] + 1 :])
    kept = None if where is None else _flat(where, (), np.dtype(np.bool_), user)
    return Rows(x, n, tau, kept, None, target, None, target, None, result, inner)


def reordered(rows: Rows) -> Rows:
    """Return rows that lie across memory one after the other, for code that takes no others."""
    shape = (-1, rows.n, rows.inner)
    x = _reordered(rows.x, shape)
    where = None if rows.where is None else _reordered(rows.where, shape)
    if rows.target.size < x.size:  # one for each row, which follow each other anyway
        return rows._replace(x=x, where=where, inner=1)
    out = rows.target.reshape(shape).swapaxes(1, 2)
    result = new_array(out.shape, rows.target.dtype)
    return rows._replace(x=x, where=where, target=result.reshape(-1), result=result, out=out, inner=1)


def _reordered(flat: Array, shape: tuple[int, ...]) -> Array:
    return new_copy(flat.reshape(shape).swapaxes(1, 2), flat.dtype).reshape(-1)


def widened(rows: Rows) -> Rows:
    """Return rows of 16-bit floats in the dtype in which they are computed, for code that reads no other."""
    dtype = computed_dtype(rows.x.dtype)
    result = new_array(rows.result.shape, dtype)
    return rows._replace(
        x=new_copy(rows.x, dtype),
        second=None if rows.second is None else new_copy(rows.second, dtype),
        target=result.reshape(-1),
        sign=None if rows.sign is None else new_array(rows.sign.shape, dtype),
        result=result,
        out=rows.result if rows.out is None else rows.out,
    )


def rows_last(array: Array, axes: tuple[int, ...]) -> Array:
    """Return the array with `axes` moved to the end, a view."""
    if not axes or axes[0] == array.ndim - len(axes):  # ascending, they are there already
        return array
    others = [k for k in range(array.ndim) if k not in axes]
    return array.transpose([*others, *axes])


def flat_rows(array: Array, axes: tuple[int, ...], dtype: "np.dtype[Any]") -> Array:
    """Return the elements in row order; a view where they lie so in memory."""
    return _flat(array, axes, dtype, None)


def _flat(array: Array, axes: tuple[int, ...], dtype: "np.dtype[Any]", out: Array | None) -> Array:
    """Return the elements in row order; a copy where they do not lie so in memory, or `out` would overwrite them."""
    rows = rows_last(array, axes)
    if rows.dtype != dtype or not (rows.flags.c_contiguous and rows.flags.aligned):
        rows = new_copy(rows, dtype)
    return unspoilt(rows.reshape(-1), out)


def unspoilt(flat: Array, out: Array | None) -> Array:
    """Return the elements, a copy where writing to `out` would overwrite some before they are read."""
    if out is not None and np.may_share_memory(flat, out) and not same_memory(flat, out):
        return new_copy(flat, flat.dtype)
    return flat


def same_memory(flat: Array, out: Array) -> bool:
    """Whether element i of both is the same memory, so that each row is read before it is overwritten."""
    alike = out.flags.c_contiguous and out.size == flat.size and out.dtype == flat.dtype
    return bool(alike and out.ctypes.data == flat.ctypes.data)


def restored(rows: Rows, out: Any) -> Any:
    """Return what the user gets once the kernel has run: `out` if given, else an array or, without axes, a scalar."""
    if rows.out is not None:
        with np.errstate(all="ignore"):  # a float16 overflows to infinity, as everything does in the kernels
            rows.out[...] = rows.result
    if out is not None:
        return out
    return rows.returned if rows.returned.ndim else rows.returned[()]


def restored_sign(rows: Rows) -> Any:
    """Return the sign of a sum in the shape of its logarithm."""
    sign = np.asarray(rows.sign).reshape(rows.returned.shape)
    if sign.dtype.kind == "f":
        sign = sign.astype(rows.returned.dtype, copy=False)
    return sign if sign.ndim else sign[()]

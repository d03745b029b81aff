"""The public functions inside ``@njit``: the contract of `_args` by types, on the same kernels.

Serial, so that a caller can run it in its own ``prange``; with `out` and rows that lie one after another in memory,
nothing is allocated.
"""

from typing import Any

import numpy as np
from numba import types
from numba.core import errors
from numba.cpython.unsafe.tuple import tuple_setitem
from numba.np.numpy_support import as_dtype

from ._args import ACCEPTED
from ._jit import compiled_as, helper
from ._kernels.log_softmax import log_softmax_rows
from ._kernels.logsumexp import logsumexp_rows
from ._kernels.rescale import (
    LARGEST_TEMPERATURE,
    SMALLEST_TEMPERATURE,
    rescale_rows,
    split_temperature,
)
from ._kernels.softmax import softmax_rows
from .activations import log_softmax, logsumexp, softmax

AXIS_OUT_OF_RANGE = "axis is out of range for the dimensions of x"
BAD_TEMPERATURE = "temperature is negative or NaN; accepted is one real number, 0 to infinity"
BAD_OUT_SHAPE = "out has another shape than the result"


def _absent(argument: Any) -> bool:
    """Whether an argument, as the typing sees it, is None."""
    if isinstance(argument, types.Omitted):
        return argument.value is None
    return argument is None or isinstance(argument, types.NoneType)


def _checked_types(x: Any, axis: Any, out: Any, dropped: int = 0) -> Any:
    """Return the element type of the result, which has `dropped` dimensions fewer than `x`.

    Raise where the types decide that the call is wrong.
    """
    if not isinstance(x, types.Array) or x.ndim == 0:
        raise errors.NumbaTypeError(f"x has type {x}; accepted is an array of at least one dimension")
    if not isinstance(axis.value if isinstance(axis, types.Omitted) else axis, int | types.Integer):
        raise errors.NumbaTypeError(f"axis has type {axis}; accepted is an integer")
    element = _result_element(x.dtype)
    if not _absent(out):
        if not isinstance(out, types.Array):
            raise errors.NumbaTypeError(f"out has type {out}; accepted is an array")
        if out.dtype != element:
            raise errors.NumbaTypeError(f"out has dtype {out.dtype}; the result has dtype {element}")
        if out.ndim != x.ndim - dropped:
            raise errors.NumbaTypeError(f"out has {out.ndim} dimensions; the result has {x.ndim - dropped}")
        if not out.mutable:
            raise errors.NumbaTypeError("out is read-only; accepted is a writeable array")
    return element


def _result_element(element: Any) -> Any:
    if isinstance(element, types.Integer | types.Boolean):
        return types.float64
    if element in (types.float32, types.float64):
        return element
    raise errors.NumbaTypeError(f"x has dtype {element}; accepted are {ACCEPTED}")


# ------------------------------------------------------------------------------------------ what all of them share


def ready(x: Any, dtype: Any) -> Any:
    """Return `x` in C order with elements of `dtype`: itself where it is so by type, else a copy."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(ready)
def _ready(x, dtype):
    if x.dtype != dtype.dtype:
        return lambda x, dtype: np.ascontiguousarray(x).astype(dtype)
    if x.layout != "C":
        return lambda x, dtype: np.ascontiguousarray(x)
    return lambda x, dtype: x


def apart(x: Any, out: Any) -> Any:
    """Return `x`, or a copy if `out` overlaps it otherwise than element by element."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(apart)
def _apart(x, out):
    if _absent(out):
        return lambda x, out: x

    def beside(x, out):
        x_start, out_start = x.ctypes.data, out.ctypes.data
        same = x_start == out_start and x.size == out.size
        overlap = x_start < out_start + out.nbytes and out_start < x_start + x.nbytes
        return x.copy() if overlap and not same else x

    return beside


@helper
def checked_axis(axis, ndim):
    """Return a non-negative axis."""
    if not -ndim <= axis < ndim:
        raise ValueError(AXIS_OUT_OF_RANGE)
    return axis + ndim if axis < 0 else axis


@helper
def checked_temperature(temperature):
    """Return the temperature as float64."""
    if not temperature >= 0:
        raise ValueError(BAD_TEMPERATURE)
    return np.float64(temperature)


@helper
def product(shape, start, stop):
    """Return the product of ``shape[start:stop]``."""
    size = 1
    for k in range(start, stop):
        size *= shape[k]
    return size


# ------------------------------------------------------------------------------------ softmax and log_softmax


def _overload_same_shape(function: Any, kernel: Any) -> None:
    @compiled_as(function)
    def _factory(x, axis=-1, temperature=1.0, out=None):
        element = _checked_types(x, axis, out)
        if not isinstance(temperature, types.Integer | types.Float | types.Boolean | types.Omitted | float):
            raise errors.NumbaTypeError(f"temperature has type {temperature}; accepted is one real number")
        dtype = as_dtype(element)
        compute = kernel.compiled(dtype)
        rescale = rescale_rows.compiled(dtype)

        def contiguous(x, axis=-1, temperature=1.0, out=None):
            axis = checked_axis(axis, x.ndim)
            tau = checked_temperature(temperature)
            result = np.empty(x.shape, dtype) if out is None else out
            if result.shape != x.shape:
                raise ValueError(BAD_OUT_SHAPE)
            values = apart(ready(x, dtype), out)
            n = x.shape[axis]
            if x.size == 0:
                return result
            if axis == x.ndim - 1:
                run(values.reshape(-1), n, tau, result.reshape(-1), compute, rescale)
            else:
                outer = product(x.shape, 0, axis)
                inner = product(x.shape, axis + 1, x.ndim)
                run_columns(values.reshape(-1), outer, n, inner, tau, result.reshape(-1), compute, rescale)
            return result

        def strided_out(x, axis=-1, temperature=1.0, out=None):
            if out.shape != x.shape:
                raise ValueError(BAD_OUT_SHAPE)
            out[...] = function(x, axis, temperature)
            return out

        return contiguous if _absent(out) or out.layout == "C" else strided_out


@helper
def run(x, n, temperature, out, compute, rescale):
    """Run a kernel on flat rows, at any temperature."""
    if SMALLEST_TEMPERATURE <= temperature <= LARGEST_TEMPERATURE:
        compute(x, n, temperature, out)
    else:
        rescale(x, n, temperature, out)
        compute(out, n, split_temperature(temperature)[0], out)


@helper
def run_columns(x, outer, n, inner, temperature, out, compute, rescale):
    """Run a kernel on elements that lie `inner` apart, a row at a time through a buffer."""
    buffer = np.empty(n, x.dtype)
    for block in range(outer):
        for k in range(inner):
            start = block * n * inner + k
            for j in range(n):
                buffer[j] = x[start + j * inner]
            run(buffer, n, temperature, buffer, compute, rescale)
            for j in range(n):
                out[start + j * inner] = buffer[j]


_overload_same_shape(softmax, softmax_rows)
_overload_same_shape(log_softmax, log_softmax_rows)


# ------------------------------------------------------------------------------------------------------ logsumexp


@compiled_as(logsumexp)
def _logsumexp(x, axis=-1, out=None):
    dtype = as_dtype(_checked_types(x, axis, out, dropped=1))
    compute = logsumexp_rows.compiled(dtype)
    if not _absent(out) and out.layout != "C":
        return _logsumexp_into_strided
    return _logsumexp_of_vector(dtype, compute) if x.ndim == 1 and _absent(out) else _logsumexp_of_array(dtype, compute)


def _logsumexp_of_vector(dtype: Any, compute: Any) -> Any:
    def of_vector(x, axis=-1, out=None):
        checked_axis(axis, 1)
        result = np.full(1, -np.inf, dtype)
        if x.size > 0:
            compute(ready(x, dtype), x.size, result)
        return result[0]

    return of_vector


def _logsumexp_of_array(dtype: Any, compute: Any) -> Any:
    def of_array(x, axis=-1, out=None):
        axis = checked_axis(axis, x.ndim)
        shape = x.shape[1:]
        for k in range(axis):
            shape = tuple_setitem(shape, k, x.shape[k])
        result = np.empty(shape, dtype) if out is None else out
        if result.shape != shape:
            raise ValueError(BAD_OUT_SHAPE)
        n = x.shape[axis]
        if n == 0:
            result[...] = -np.inf
        elif x.size > 0:
            values = apart(ready(x, dtype), out).reshape(-1)
            inner = product(x.shape, axis + 1, x.ndim)
            if inner == 1:
                compute(values, n, result.reshape(-1))
            else:
                sum_columns(values, product(x.shape, 0, axis), n, inner, result.reshape(-1), compute)
        return result

    return of_array


def _logsumexp_into_strided(x, axis=-1, out=None):
    result = logsumexp(x, axis)
    if result.shape != out.shape:
        raise ValueError(BAD_OUT_SHAPE)
    out[...] = result
    return out


@helper
def sum_columns(x, outer, n, inner, out, compute):
    """Run a reducing kernel on elements that lie `inner` apart, a row at a time through a buffer."""
    buffer = np.empty(n, x.dtype)
    for block in range(outer):
        for k in range(inner):
            start = block * n * inner + k
            for j in range(n):
                buffer[j] = x[start + j * inner]
            place = block * inner + k
            compute(buffer, n, out[place : place + 1])

"""The compiled twin of ``_args.rows``: arguments of any layout become flat rows, and back."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.core.imputils import impl_ret_borrowed
from numba.cpython.unsafe.tuple import tuple_setitem

from .._args.values import TEMPERATURES
from .._intrinsic import intrinsic
from .._jit import compiled_as, routine
from .._kernels.temperature import ONE_FOR_ALL, ONE_FOR_EACH_ROW, ONE_OF_ANY_RANGE
from .axes import lengths_one, rows_last
from .checks import absent

BAD_TEMPERATURE = f"temperature is negative or NaN; accepted are {TEMPERATURES}"
BAD_TEMPERATURE_SHAPE = "temperature has a shape that does not broadcast to x with length 1 along axis"
BAD_OUT_SHAPE = "out has another shape than the result"


@routine
def broadcasts(shape, to):
    """Whether one shape broadcasts to the other."""
    result = True
    for k in range(1, len(shape) + 1):
        result &= shape[len(shape) - k] in (1, to[len(to) - k])
    return result


@routine
def broadcast_index(index, shape, at):
    """Return the index of an array of a shape that broadcasts to that in which `index` lies; `at` is any such index."""
    for k in range(len(shape)):
        at = tuple_setitem(at, k, 0 if shape[k] == 1 else index[len(index) - len(shape) + k])
    return at


@routine
def next_row(index, order, shape):
    """Return the index after all along the last axis of `order` have been used up."""
    for k in range(len(order) - 2, -1, -1):
        axis = order[k]
        if index[axis] + 1 < shape[axis]:
            return tuple_setitem(index, axis, index[axis] + 1)
        index = tuple_setitem(index, axis, 0)
    return index


# NumPy's transpose, broadcast_to and assignment would do the same in one line each, and take 15 s to compile.


@routine
def row_order(x, shape, is_axis, out):
    """Write the elements of `x`, which broadcasts to `shape`, to flat `out` in the order of the rows; return it."""
    order = rows_last(shape, is_axis)
    last = order[len(order) - 1]
    index = first_index(shape)
    i = 0
    while i < out.size:
        for j in range(shape[last]):
            out[i] = x[broadcast_index(tuple_setitem(index, last, j), x.shape, x.shape)]
            i += 1
        index = next_row(index, order, shape)
    return out


@routine
def put_rows(rows, is_axis, out):
    """Write flat rows to an array of any layout."""
    shape = out.shape
    order = rows_last(shape, is_axis)
    last = order[len(order) - 1]
    index = first_index(shape)
    i = 0
    while i < rows.size:
        for j in range(shape[last]):
            out[tuple_setitem(index, last, j)] = rows[i]
            i += 1
        index = next_row(index, order, shape)


@routine
def first_index(shape):
    """Return the index of the first element."""
    for k in range(len(shape)):
        shape = tuple_setitem(shape, k, 0)
    return shape


def contiguous(x: Any, dtype: Any) -> Any:
    """Return `x` in C order with elements of `dtype`: itself where it is so by type, else a copy."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(contiguous)
def _contiguous(x, dtype):
    if x.dtype != dtype.dtype:
        return lambda x, dtype: np.ascontiguousarray(x).astype(dtype)
    if x.layout != "C":
        return lambda x, dtype: np.ascontiguousarray(x)
    return lambda x, dtype: x


def check_shape(out: Any, shape: Any) -> Any:
    """Raise where there is an `out` of another shape."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(check_shape)
def _check_shape(out, shape):
    if absent(out):
        return lambda out, shape: None

    def implementation(out, shape):
        if out.shape != shape:
            raise ValueError(BAD_OUT_SHAPE)

    return implementation


@intrinsic
def flat_view(typingctx, x):
    """Return a flat view of an array in C order; of another, something of the same type that nobody may read.

    It is ``x.reshape(-1)``, which would find out at each call, and for nothing, how to make one.
    """
    flat = x.copy(ndim=1, layout="C")

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(x)(context, builder, args[0])
        view = context.make_array(flat)(context, builder)
        context.populate_array(
            view,
            data=array.data,
            shape=[array.nitems],
            strides=[array.itemsize],
            itemsize=array.itemsize,
            meminfo=array.meminfo,
            parent=array.parent,
        )
        return impl_ret_borrowed(context, builder, flat, view._getvalue())

    return flat(x), generate


@intrinsic
def retain(typingctx, x):
    """Count one more reference to an array."""
    return types.void(x), _counting("incref")


@intrinsic
def release(typingctx, x):
    """Count one reference to an array less."""
    return types.void(x), _counting("decref")


def _counting(change: str) -> Callable[..., Any]:
    """Return what generates a change of an array's counter, in code that is compiled without counting too."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        getattr(context.subtarget(enable_nrt=True).nrt, change)(builder, sig.args[0], args[0])
        return context.get_dummy_value()

    return generate


@intrinsic
def address(typingctx, x):
    """Return the address of an array's first element."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(x)(context, builder, args[0]).data
        return builder.ptrtoint(data, context.get_value_type(types.intp))

    return types.intp(x), generate


def overlap(x: Any, out: Any) -> Any:
    """Whether writing rows to `out` may overwrite elements of `x` before `contiguous` or a kernel has read them."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(overlap, inline=True)
def _overlap(x, out):
    if absent(out) or x.layout != "C" or x.dtype != out.dtype:
        return lambda x, out: False

    def in_memory(x, out):
        distance, size = address(out) - address(x), x.itemsize
        same = distance == 0 and x.size == out.size
        return not same and -out.size * size < distance < x.size * size

    return in_memory


def temperatures(x: Any, is_axis: Any, temperature: Any) -> Any:
    """Return the temperature as float64: one for all rows, or a flat array with one for each."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(temperatures)
def _temperatures(x, is_axis, temperature):
    if not isinstance(temperature, types.Array):
        return lambda x, is_axis, temperature: checked_temperature(temperature)
    if temperature.ndim == 0:
        return lambda x, is_axis, temperature: checked_temperature(temperature[()])

    def one_for_each_row(x, is_axis, temperature):
        shape = lengths_one(x.shape, is_axis, x.shape)
        if not broadcasts(temperature.shape, shape):
            raise ValueError(BAD_TEMPERATURE_SHAPE)
        count = 1
        for length in shape:
            count *= length
        flat = row_order(temperature, shape, is_axis, np.empty(count, np.float64))
        for value in flat:
            checked_temperature(value)
        return flat

    return one_for_each_row


@routine
def checked_temperature(temperature):
    """Return the temperature as float64."""
    if not temperature >= 0:
        raise ValueError(BAD_TEMPERATURE)
    return np.float64(temperature)


@routine
def as_it_is(temperature):
    """Return the temperature."""
    return temperature


@routine
def in_a_tuple(temperature):
    """Return the temperature in a tuple."""
    return (temperature,)


# What turns the result of `temperatures` into what a kernel takes that is compiled for a `temperature_kind`.
OPERANDS = {ONE_FOR_ALL: as_it_is, ONE_OF_ANY_RANGE: in_a_tuple, ONE_FOR_EACH_ROW: as_it_is}


def broadcast_rows(x: Any, is_axis: Any, other: Any, dtype: Any, refuse: Any) -> Any:
    """Return an array that broadcasts to `x` as a flat array in the order of its rows; None for None.

    `refuse` raises the error for one that does not broadcast.
    """
    raise NotImplementedError("only inside compiled code")


@compiled_as(broadcast_rows)
def _broadcast_rows(x, is_axis, other, dtype, refuse):
    if absent(other):
        return lambda x, is_axis, other, dtype, refuse: None
    if not isinstance(other, types.Array):
        return lambda x, is_axis, other, dtype, refuse: np.full(x.size, other, dtype)
    if other.ndim == 0:
        return lambda x, is_axis, other, dtype, refuse: np.full(x.size, other[()], dtype)

    def implementation(x, is_axis, other, dtype, refuse):
        if not broadcasts(other.shape, x.shape):
            refuse()
        return row_order(other, x.shape, is_axis, np.empty(x.size, dtype))

    return implementation


def source_of(x: Any, where: Any) -> Any:
    """Return what a kernel reads: flat rows, or a tuple of these and their mask."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(source_of, inline=True)
def _source_of(x, where):
    return (lambda x, where: x) if absent(where) else (lambda x, where: (x, where))


@routine
def refuse_where():
    """Raise the error for a mask of a wrong shape."""
    raise ValueError("where has a shape that does not broadcast to that of x")


@routine
def refuse_weights():
    """Raise the error for weights of a wrong shape."""
    raise ValueError("b has a shape that does not broadcast to that of x")


@routine
def refuse_cotangent():
    """Raise the error for a cotangent of a wrong shape."""
    raise ValueError("cotangent has a shape that does not broadcast to that of the first argument")

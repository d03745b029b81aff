"""The axes of one row, as a tuple with True for each of them: its length is known to the compiler, their number not."""

from typing import Any

import numpy as np
from numba import literal_unroll, types
from numba.cpython.unsafe.tuple import tuple_setitem
from numpy.exceptions import AxisError

from .._jit import compiled_as, routine
from .checks import absent

REPEATED_AXIS = "repeated axis in `axis` argument"


def axes_of(x: Any, axis: Any) -> Any:
    """Return for each axis of `x` whether it is one of `axis`."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(axes_of)
def _axes_of(x, axis):
    if absent(axis):
        every = (True,) * x.ndim
        return lambda x, axis: every
    none = (False,) * x.ndim
    if isinstance(axis, types.BaseTuple):
        if len(axis) == 0:
            return lambda x, axis: none

        def of_several(x, axis):
            is_axis = none
            for one in literal_unroll(axis):  # the integers may be of several types
                is_axis = with_axis(is_axis, np.intp(one))
            return is_axis

        return of_several
    return lambda x, axis: with_axis(none, np.intp(axis))


def is_last(axis: Any, last: Any) -> Any:
    """Whether `axis` is the number of the last axis."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(is_last, inline=True)
def _is_last(axis, last):
    if isinstance(axis, types.BaseTuple) or absent(axis):
        return lambda axis, last: False
    return lambda axis, last: axis == -1 or axis == last  # noqa: PLR1714  a tuple would be built


@routine
def with_axis(is_axis, axis):
    """Return the axes and one more; raise where there is none such, or it is there already."""
    ndim = len(is_axis)
    if not -ndim <= axis < ndim:
        raise AxisError(axis, ndim, "axis")
    place = axis + ndim if axis < 0 else axis
    if is_axis[place]:
        raise ValueError(REPEATED_AXIS)
    return tuple_setitem(is_axis, place, True)


@routine
def row_length(shape, is_axis):
    """Return the number of elements in a row."""
    n = 1
    for k in range(len(shape)):
        if is_axis[k]:
            n *= shape[k]
    return n


@routine
def rows_last(shape, is_axis):
    """Return the numbers of all axes, those of a row last."""
    order = shape
    place = 0
    for last in (False, True):
        for k in range(len(shape)):
            if is_axis[k] == last:
                order = tuple_setitem(order, place, k)
                place += 1
    return order


@routine
def are_last(is_axis):
    """Whether the axes of a row come last already."""
    result = True
    for k in range(len(is_axis) - 1):
        result &= is_axis[k + 1] or not is_axis[k]
    return result


@routine
def lengths_one(shape, is_axis, some_shape):
    """Return the shape with length 1 along the axes of a row."""
    for k in range(len(shape)):
        some_shape = tuple_setitem(some_shape, k, 1 if is_axis[k] else shape[k])
    return some_shape

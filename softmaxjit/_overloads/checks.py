"""What the types of arguments decide: refusals at compile time, in the words of `_args`."""

from typing import Any

from numba import types
from numba.core import errors

from .._args.values import AXES, TEMPERATURES
from .._kernels.temperature import ONE_FOR_EACH_ROW, ONE_OF_ANY_RANGE, as_operand

ELEMENTS = "float32, float64, integers or bool in compiled code"


def absent(argument: Any) -> bool:
    """Whether an argument, as the typing sees it, is None."""
    if isinstance(argument, types.Omitted):
        return argument.value is None
    return argument is None or isinstance(argument, types.NoneType)


def constant(name: str, argument: Any) -> bool:
    """Return an argument that has to be True or False in the source, as the result's type depends on it."""
    for attribute in ("value", "literal_value"):
        argument = getattr(argument, attribute, argument)
    if not isinstance(argument, bool):
        raise errors.NumbaTypeError(f"{name} has type {argument}; accepted are the constants True and False")
    return argument


def refuse_threads(threads: Any) -> None:
    """Raise where a number of threads is asked for."""
    if not absent(threads):
        raise errors.NumbaTypeError(
            "threads is not accepted in compiled code, where calls are serial: loop over them with prange"
        )


def checked_array(name: str, x: Any) -> None:
    """Raise where an argument is not an array with an axis."""
    if not isinstance(x, types.Array) or x.ndim == 0:
        raise errors.NumbaTypeError(f"{name} has type {x}; accepted is an array of at least one dimension")


def result_element(name: str, element: Any) -> Any:
    """Return the element type of a result."""
    if isinstance(element, types.Integer | types.Boolean):
        return types.float64
    if element in (types.float32, types.float64):
        return element
    raise errors.NumbaTypeError(f"{name} has dtype {element}; accepted are {ELEMENTS}")


def number_of_axes(x: Any, axis: Any) -> int:
    """Return how many axes one distribution has."""
    if absent(axis):
        return int(x.ndim)
    if isinstance(axis, types.Omitted):
        axis = axis.value
    if isinstance(axis, types.BaseTuple) and all(isinstance(kind, types.Integer) for kind in axis):
        return len(axis)
    if isinstance(axis, int | types.Integer):
        return 1
    raise errors.NumbaTypeError(f"axis has type {axis}; accepted are {AXES}")


def temperature_kind(x: Any, temperature: Any) -> types.Type:
    """Return the Numba type of what a kernel takes for a temperature."""
    number = types.Integer | types.Float | types.Boolean
    if isinstance(temperature, types.Array) and isinstance(temperature.dtype, number):
        if temperature.ndim > x.ndim:
            raise errors.NumbaTypeError(f"temperature has {temperature.ndim} dimensions; accepted are up to {x.ndim}")
        return ONE_FOR_EACH_ROW if temperature.ndim > 0 else ONE_OF_ANY_RANGE
    if isinstance(temperature, types.Omitted):
        temperature = temperature.value
    if isinstance(temperature, number):
        return ONE_OF_ANY_RANGE
    if isinstance(temperature, float | int):
        return as_operand(float(temperature))[1]
    raise errors.NumbaTypeError(f"temperature has type {temperature}; accepted are {TEMPERATURES}")


def checked_where(x: Any, where: Any) -> bool:
    """Return whether there is a mask."""
    if absent(where):
        return False
    if isinstance(where, types.Boolean):
        return True
    if isinstance(where, types.Array) and where.dtype == types.boolean and where.ndim <= x.ndim:
        return True
    raise errors.NumbaTypeError(f"where has type {where}; accepted are None, bool and arrays of it that broadcast to x")


def checked_out(out: Any, element: Any, ndim: int) -> bool:
    """Return whether there is an `out`; raise where its type is not that of the result."""
    if absent(out):
        return False
    if not isinstance(out, types.Array):
        raise errors.NumbaTypeError(f"out has type {out}; accepted is an array")
    if out.dtype != element:
        raise errors.NumbaTypeError(f"out has dtype {out.dtype}; the result has dtype {element}")
    if out.ndim != ndim:
        raise errors.NumbaTypeError(f"out has {out.ndim} dimensions; the result has {ndim}")
    if not out.mutable:
        raise errors.NumbaTypeError("out is read-only; accepted is a writeable array")
    return True

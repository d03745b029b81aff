"""Temperatures: one for all rows or one for each, and what of them the row kernels cannot take as it is.

One for all rows comes as it is where the row kernels can take it, as nearly every one that is asked for.  One out of
that range, or whose value is not known when code is compiled, comes in a tuple, for which there are kernels that
prepare rows.  Without the code for that a first softmax takes 0.9 of the time.
"""

import math
from typing import Any

import numpy as np
from numba import types

from .._jit import compiled_as, helper

ONE_FOR_ALL = types.float64  # which `is_direct`
ONE_OF_ANY_RANGE = types.UniTuple(types.float64, 1)
ONE_FOR_EACH_ROW = types.Array(types.float64, 1, "C", readonly=True)

# Within these bounds neither the reach times a temperature nor the steps in a unit leave the range of float32.
SMALLEST_TEMPERATURE = 2.0**-40
LARGEST_TEMPERATURE = 2.0**40

_FARTHEST_EXPONENT = 1200  # beyond it every difference of two float64 is as good as infinite, or as 0


def as_operand(temperature: Any) -> tuple[Any, types.Type]:
    """Return what a kernel takes for a temperature, a float or an array of them, and its Numba type."""
    if not isinstance(temperature, float):
        return temperature, ONE_FOR_EACH_ROW
    if SMALLEST_TEMPERATURE <= temperature <= LARGEST_TEMPERATURE:
        return temperature, ONE_FOR_ALL
    return (temperature,), ONE_OF_ANY_RANGE


def temperature_at(temperature: Any, row: Any) -> Any:
    """Return the temperature of a row."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(temperature_at, inline=True)
def _temperature_at(temperature, row):
    if isinstance(temperature, types.Array):
        return lambda temperature, row: temperature[row]
    if isinstance(temperature, types.BaseTuple):
        return lambda temperature, row: temperature[0]
    return lambda temperature, row: temperature


@helper
def is_direct(temperature):
    """Whether the row kernels take the temperature as it is; else `prepare` comes first."""
    return SMALLEST_TEMPERATURE <= temperature <= LARGEST_TEMPERATURE


@helper
def split_temperature(temperature):
    """Return ``(t, k)`` with temperature = t * 2**k, 1/4 <= t < 1 and k even.

    With t up to 1, no element divided by 2**k is too large for its dtype unless it is so when divided by t as well.
    """
    if not temperature > 0.0:
        return 1.0, -_FARTHEST_EXPONENT
    if temperature == np.inf:
        return 1.0, _FARTHEST_EXPONENT
    fraction, exponent = math.frexp(temperature)
    # An even exponent, because the scaling is done in two equal steps, neither of which leaves the range.
    k = (exponent + 1) // 2 * 2
    return math.ldexp(fraction, exponent - k), k


@helper
def remaining(temperature):
    """Return what is left of a temperature after `prepare`."""
    return temperature if is_direct(temperature) else split_temperature(temperature)[0]


def settled(temperature: Any) -> Any:
    """Return what is left of the temperature after `prepare`, or the temperatures of all rows as they are."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(settled, inline=True)
def _settled(temperature):
    if isinstance(temperature, types.BaseTuple):
        return lambda temperature: remaining(temperature[0])
    return lambda temperature: temperature


def settled_at(temperature: Any, row: Any) -> Any:
    """Return what is left of a row's temperature; `temperature` is `settled`."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(settled_at, inline=True)
def _settled_at(temperature, row):
    if isinstance(temperature, types.Array):
        return lambda temperature, row: remaining(temperature[row])
    return lambda temperature, row: temperature

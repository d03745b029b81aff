"""Temperatures beyond the range of the kernels: they go into the elements first, of the rows and tiles they concern.

A row is made one whose softmax at the `remaining` temperature is what it was.  Scaling by a power of two is exact; rows
whose maximum m is many temperatures away from 0 become x - m first, which is exact for every x that matters.
"""

import math
from typing import Any

import numpy as np
from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import larger, like, magnitude, select, smaller
from .._simd.lanes import any_lane, widen
from .._simd.memory import (
    data_of,
    element_like,
    lanes,
    load,
    load_float64,
    load_part,
    moved,
    splat,
    store,
    store_element,
    store_part,
)
from .._simd.vector import Vector
from .shift import column_maxima, row_extremes
from .temperature import (
    LARGEST_TEMPERATURE,
    ONE_FOR_ALL,
    SMALLEST_TEMPERATURE,
    is_direct,
    remaining,
    split_temperature,
    temperature_at,
)

_FAR = 4096.0  # |m| / temperature from which x - m is exact for every x that matters


# ----- elements


@helper
def scale_of(temperature):
    """Return the factor by which `rescaled` multiplies twice; 1 for a temperature that needs no preparing."""
    return 1.0 if is_direct(temperature) else math.ldexp(1.0, -split_temperature(temperature)[1] // 2)


@helper
def scaled_from(x, v, largest, scale):
    """Return elements times ``scale**2``, from the maximum on where that is far away."""
    value, peak = widen(v), widen(largest)
    anchor = select(magnitude(peak) * scale * scale <= _FAR, like(peak, 0.0), peak)
    # A difference could overflow: where `scale` is small, it comes first, and loses nothing that counts.
    before, after = smaller(scale, 1.0), larger(scale, 1.0)
    return element_like(x, (value * before - anchor * before) * before * after * after)


@helper
def limit_at_zero(v, largest):
    """Return the elements for temperature 0: the ties for the maximum are left."""
    return select(v < largest, like(v, -np.inf), v - largest)


@helper
def limit_at_infinity(v):
    """Return the elements for infinite temperature: all alike that are not -inf."""
    return select(v == -np.inf, v, v - v)


def rescaled(x: Any, v: Any, largest: Any, temperature: Any, scale: Any) -> Any:
    """Return a vector of elements of a row, or one of each row where what describes a row is a vector."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(rescaled, inline=True)
def _rescaled(x, v, largest, temperature, scale):
    if isinstance(temperature, Vector):

        def of_rows(x, v, largest, temperature, scale):
            changed = select(temperature == np.inf, limit_at_infinity(v), scaled_from(x, v, largest, scale))
            changed = select(temperature == 0.0, limit_at_zero(v, largest), changed)
            return select(scale == 1.0, v, changed)

        return of_rows

    def of_row(x, v, largest, temperature, scale):
        if temperature == 0.0:
            return limit_at_zero(v, largest)
        if temperature == np.inf:
            return limit_at_infinity(v)
        if is_direct(temperature):
            return v
        return scaled_from(x, v, largest, scale)

    return of_row


# ----- rows


def prepare_rows(x: Any, first: Any, last: Any, n: Any, temperature: Any, out: Any) -> Any:
    """Write rows `first` to `last - 1` to `out` with their temperatures gone into them."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(prepare_rows)
def _prepare_rows(x, first, last, n, temperature, out):
    def implementation(x, first, last, n, temperature, out):
        width = lanes(x)
        for row in range(first, last):
            tau = temperature_at(temperature, row)
            scale = scale_of(tau)
            i, end = row * n, row * n + n
            largest, _ = row_extremes(x, i, n, None)
            while i + width <= end:
                store(out, i, rescaled(x, load(x, i), largest, tau, scale))
                i += width
            if i < end:
                v = load_part(x, i, end - i, -np.inf)
                store_part(out, i, end - i, rescaled(x, v, largest, tau, scale))

    return implementation


def prepared(x: Any, first: Any, last: Any, n: Any, temperature: Any, out: Any) -> Any:
    """Return where to read rows from: `x`, or `out` if one of their temperatures has to go into the elements first."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(prepared, inline=True)
def _prepared(x, first, last, n, temperature, out):
    if temperature == ONE_FOR_ALL:
        return lambda x, first, last, n, temperature, out: x
    several = isinstance(temperature, types.Array)

    def of_any_range(x, first, last, n, temperature, out):
        for row in range(first, last if several else first + 1):
            if not is_direct(temperature_at(temperature, row)):
                prepare_rows(x, first, last, n, temperature, out)
                return moved(x, out)
        return x

    return of_any_range


# ----- tiles


def prepare_columns(tile: Any, start: Any, stride: Any, n: Any, temperature: Any, scale: Any) -> Any:
    """Let the temperatures of as many rows as a vector has lanes go into them."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(prepare_columns)
def _prepare_columns(tile, start, stride, n, temperature, scale):
    def implementation(tile, start, stride, n, temperature, scale):
        largest = column_maxima(tile, start, stride, n)
        for i in range(n):
            at = start + i * stride
            store(tile, at, rescaled(tile, load(tile, at), largest, temperature, scale))

    return implementation


def prepared_columns(
    tile: Any, start: Any, stride: Any, n: Any, temperature: Any, first: Any, step: Any, count: Any, memory: Any
) -> Any:
    """Return what is left of the temperatures of `count` rows of a tile: one, or a vector.

    The rows are `first`, ``first + step``, ...
    """
    raise NotImplementedError("only inside compiled code")


@compiled_as(prepared_columns, inline=True)
def _prepared_columns(tile, start, stride, n, temperature, first, step, count, memory):
    if temperature == ONE_FOR_ALL:
        return lambda tile, start, stride, n, temperature, first, step, count, memory: temperature
    if isinstance(temperature, types.BaseTuple):

        def of_any_range(tile, start, stride, n, temperature, first, step, count, memory):
            if not is_direct(temperature[0]):
                prepare_columns(tile, start, stride, n, temperature[0], scale_of(temperature[0]))
            return remaining(temperature[0])

        return of_any_range

    def of_several(tile, start, stride, n, temperature, first, step, count, memory):
        width = lanes(tile)
        tau = temperatures_of(temperature, first, step, count, memory, tile)
        if any_lane(tau < SMALLEST_TEMPERATURE) or any_lane(tau > LARGEST_TEMPERATURE):
            for k in range(width):
                each = temperature[first + k * step] if k < count else 1.0
                store_element(memory, k, remaining(each))
                store_element(memory, width + k, scale_of(each))
            prepare_columns(tile, start, stride, n, tau, load_float64(memory, width, splat(tile, 0)))
            tau = load_float64(memory, 0, splat(tile, 0))
        return tau

    return of_several


@helper
def temperatures_of(temperature, first, step, count, memory, tile):
    """Return the temperatures of as many rows as a vector has lanes; 1 beyond `count`."""
    if step == 1 and count == lanes(tile):
        return load_float64(data_of(temperature), first, splat(tile, 0))
    for k in range(lanes(tile)):
        store_element(memory, k, temperature[first + k * step] if k < count else 1.0)
    return load_float64(memory, 0, splat(tile, 0))

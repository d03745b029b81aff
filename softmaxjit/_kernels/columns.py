"""Rows that lie across a tile: element i of 16 (float32) or 8 (float64) neighbouring rows in one vector.

A tile is a flat array in which element i of row c is at ``i * stride + c``; 2 L lines follow the last, L the lanes of
a vector.  What describes a row, in the row kernels a number, is here a vector with a row in each lane; the functions
that make it are the same, and the sums of a row are taken in the same order, so each row's result has the same bits.

A function of columns leaves in a tile what `finished` makes results of, with the ending that it returns: the last pass
is also the way out of the tile.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import add_exactly
from .._simd.exp_scaled import exp_steps
from .._simd.lanes import widen
from .._simd.memory import lanes, load, load_float64, splat, store, store_float64
from .ahead import ask_upcoming
from .partial import add_term
from .shift import column_maxima, limits_of, shift_of_any_range
from .softmax import inverse_of, scaled_element
from .sums import add_four, missing_from_largest, scaled


@helper
def exponential(tile, at, steps, shift, upcoming, k):
    """Replace one vector by its exponentials, and return them; ask for the upcoming vector k."""
    ask_upcoming(upcoming, k)
    e, _, _ = scaled(load(tile, at), steps, shift, False)
    store(tile, at, e)
    return e


@helper
def partials(tile):
    """Return memory for `sum_columns`, to be aligned: for each partial sum a vector, and one of errors in float64."""
    return np.empty(size_of_partials(tile), np.float64)


@helper
def size_of_partials(tile):
    """Return how many elements of it that takes."""
    return (2 * lanes(tile) + 1) * lanes(tile)


@helper
def sum_fours_of_columns(tile, start, stride, n, steps, shift, sums, upcoming):
    """Replace the elements of whole blocks of 4 L, L the lanes of a vector, by their exponentials.

    Of a block, elements k, k + L, k + 2 L and k + 3 L are added to partial sum k, kept at line k of the tile from
    `sums` on, and what that loses to line L + k.  Upcoming vectors are asked for in order, unlike those of the tile.
    """
    width = lanes(tile)
    step = width * stride
    for k in range(2 * width):
        store(tile, sums + k * stride, splat(tile, 0))
    for i in range(0, n - 4 * width + 1, 4 * width):
        for k in range(width):
            asked = i + 4 * k
            at = start + (i + k) * stride
            a = exponential(tile, at, steps, shift, upcoming, asked)
            b = exponential(tile, at + step, steps, shift, upcoming, asked + 1)
            c = exponential(tile, at + 2 * step, steps, shift, upcoming, asked + 2)
            d = exponential(tile, at + 3 * step, steps, shift, upcoming, asked + 3)
            place = sums + k * stride
            total, error = add_four(load(tile, place), (a + b) + (c + d))
            store(tile, place, total)
            store(tile, place + step, load(tile, place + step) + error)


@helper
def sum_of_rest(tile, start, stride, n, k, steps, shift, upcoming):
    """Replace what follows the whole blocks by its exponentials; return the sum of elements k, k + L, ... of it."""
    width = lanes(tile)
    rest = splat(tile, 0)
    for i in range(n // (4 * width) * (4 * width) + k, n, 2 * width):
        pair = exponential(tile, start + i * stride, steps, shift, upcoming, i)
        if i + width < n:
            pair = pair + exponential(tile, start + (i + width) * stride, steps, shift, upcoming, i + width)
        rest = rest + pair
    return rest


@helper
def sum_columns(tile, start, stride, n, steps, shift, memory, upcoming):
    """Replace rows by their exponentials and return their sums as float64 pairs; the order is that of `sum_row`."""
    width = lanes(tile)
    sums = start + n * stride
    if n >= 4 * width:
        sum_fours_of_columns(tile, start, stride, n, steps, shift, sums, upcoming)
    count = min(n, width)
    for k in range(count):
        rest = sum_of_rest(tile, start, stride, n, k, steps, shift, upcoming)
        if n >= 4 * width:
            total, error = add_exactly(load(tile, sums + k * stride), rest)
            put_partial(memory, k * width, total, load(tile, sums + (width + k) * stride) + error)
        else:
            store(tile, sums + k * stride, rest)
    half = width // 2
    if n < 4 * width:
        put_sums_of_two(tile, sums, stride, count, half, memory)
        return sum_of_partials(tile, memory, min(count, half), half // 2)
    return sum_of_partials(tile, memory, count, half)


@helper
def put_sums_of_two(tile, sums, stride, count, half, memory):
    """Keep the first `count` lines of a tile from `sums` on as partial sums, those `half` lines apart added.

    Conversion of what is in memory takes 1 operation for 8 numbers, of what is in registers 2.5, and the first level of
    the tree no pass of its own: with AVX-512, softmax of (1024, 10), (1024, 16) and (512, 32) float32 took 0.97,
    0.94 and 0.94 of the time (medians of interleaved runs).
    """
    width = lanes(tile)
    nothing_lost = splat(tile, -0.0)
    for k in range(count - half):
        a, b = load(tile, sums + k * stride), load(tile, sums + (k + half) * stride)
        total, lost = add_term(widen(a), nothing_lost, widen(b))
        put_partial(memory, k * width, total, lost)
    for k in range(max(0, count - half), min(count, half)):
        put_partial(memory, k * width, load(tile, sums + k * stride), nothing_lost)


@helper
def sum_of_partials(tile, memory, count, half):
    """Return the sum of the first `count` partial sums, a float64 pair: the tree of a row, first those `half` apart."""
    width = lanes(tile)
    zero = splat(tile, 0)
    while half > 0:
        for k in range(count - half):
            fold_partials(memory, k * width, (k + half) * width, zero)
        count = min(count, half)
        half //= 2
    return load_float64(memory, 0, zero), error_of_partial(memory, 0, zero)


def put_partial(memory: Any, at: Any, total: Any, lost: Any) -> Any:
    """Keep the partial sum ``total + lost``, with `lost` in the dtype of the rows."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(put_partial, inline=True)
def _put_partial(memory, at, total, lost):
    if lost.element == types.float32:
        return lambda memory, at, total, lost: store_float64(memory, at, widen(total) + widen(lost))

    def of_float64(memory, at, total, lost):
        store_float64(memory, at, total)
        store_float64(memory, at + total_size(total), lost)

    return of_float64


def fold_partials(memory: Any, at: Any, other: Any, vector: Any) -> Any:
    """Add the partial sum at `other` to that at `at`."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(fold_partials, inline=True)
def _fold_partials(memory, at, other, vector):
    if vector.element == types.float32:

        def of_float32(memory, at, other, vector):
            store_float64(memory, at, load_float64(memory, at, vector) + load_float64(memory, other, vector))

        return of_float32

    def of_float64(memory, at, other, vector):
        errors = total_size(vector)
        value, lost = add_exactly(load_float64(memory, at, vector), load_float64(memory, other, vector))
        error = load_float64(memory, at + errors, vector) + load_float64(memory, other + errors, vector)
        store_float64(memory, at, value)
        store_float64(memory, at + errors, error + lost)

    return of_float64


def error_of_partial(memory: Any, at: Any, vector: Any) -> Any:
    """Return the low part of a partial sum."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(error_of_partial, inline=True)
def _error_of_partial(memory, at, vector):
    if vector.element == types.float32:
        return lambda memory, at, vector: 0.0
    return lambda memory, at, vector: load_float64(memory, at + total_size(vector), vector)


def total_size(vector: Any) -> Any:
    """Return the number of elements in all partial sums of a vector of rows."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(total_size, inline=True)
def _total_size(vector):
    size = vector.lanes * vector.lanes
    return lambda vector: size


class Scaling(NamedTuple):
    """What is left to do with the exponentials of rows: they are multiplied by 2**-HEADROOM (high + low)."""

    high: Any
    low: Any


def finished(tile: Any, v: Any, ending: Any) -> Any:
    """Return results, from what the function of columns left in a vector of the tile, and from what it returned."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(finished, inline=True)
def _finished(tile, v, ending):
    if isinstance(ending, types.NoneType):
        return lambda tile, v, ending: v
    if ending.instance_class is not Scaling:
        return None

    def implementation(tile, v, ending):
        limits = limits_of(tile)
        smallest = splat(tile, limits.smallest)
        return scaled_element(v, ending.high, ending.low, smallest, splat(tile, 1.0 / limits.headroom), False)

    return implementation


@helper
def softmax_columns(tile, start, stride, n, temperature, memory, upcoming):
    """Replace as many rows as a vector has lanes by exponentials, and return what is left to do with them.

    Every row is treated as one of any range: a second version for those of a small one would gain 10 % of the
    arithmetic and double the time to compile.
    """
    largest = column_maxima(tile, start, stride, n)
    steps = exp_steps(tile, temperature)
    shift = shift_of_any_range(tile, largest, temperature, limits_of(tile).reach)
    missing = missing_from_largest(tile, steps, shift, temperature)
    total, error = sum_columns(tile, start, stride, n, steps, shift, memory, upcoming)
    high, low = inverse_of(tile, total, error + missing)
    return Scaling(high, low)

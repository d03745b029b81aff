"""Softmax of short rows, and along any axis, a tile at a time.

A tile is filled with whole rows such that neighbouring rows become neighbouring lanes, worked on there (see
`columns`), and emptied.  Lanes without a row hold whatever was there before.
"""

from typing import Any

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.memory import (
    data_of,
    lanes,
    load,
    load_float64,
    load_part,
    splat,
    store,
    store_element,
    store_part,
)
from .._simd.transpose import load_square, store_square, transposed
from .._simd.vector import computed
from .columns import partials, softmax_columns
from .softmax import BLOCK_ELEMENTS
from .temperature import settled, settled_at

# Of a tile: a quarter of the smallest second-level caches, which also hold what is read and written.
TILE_BYTES = 1 << 17

# Most vectors of a line of the input in a tile, 256 bytes.
WIDEST = 4

# Consecutive tiles that one thread takes at a time share the memory of a tile: so many blocks of them at most, which is
# enough to share out.
MOST_BLOCKS = 64


def tile_of(x: Any, size: Any) -> Any:
    """Return memory of the dtype in which `x` is computed."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(tile_of)
def _tile_of(x, size):
    dtype = np.dtype(computed(x.dtype).name)
    # Of zeros, since arithmetic on whatever memory holds, subnormal numbers say, can be slow.
    return lambda x, size: np.zeros(size, dtype)


@helper
def tiles_of_block(tiles, elements):
    """Return how many of so many tiles, each of so many elements, one thread takes at a time."""
    return max(1, BLOCK_ELEMENTS // elements, tiles // MOST_BLOCKS)


@helper
def copy_lines(source, at, stride, out, out_at, out_stride, n, length):
    """Copy `length` neighbouring elements of each of n lines."""
    width = lanes(source)
    for _ in range(n):
        j = 0
        while j + width <= length:
            store(out, out_at + j, load(source, at + j))
            j += width
        if j < length:
            store_part(out, out_at + j, length - j, load_part(source, at + j, length - j, 0))
        at += stride
        out_at += out_stride


def temperatures_of(temperature: Any, first: Any, count: Any, memory: Any, vector: Any) -> Any:
    """Return the temperature of all rows, or those of as many rows as `vector` has lanes; 1 beyond `count`."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(temperatures_of, inline=True)
def _temperatures_of(temperature, first, count, memory, vector):
    if not isinstance(temperature, types.Array):
        return lambda temperature, first, count, memory, vector: temperature
    number = vector.lanes

    def of_rows(temperature, first, count, memory, vector):
        for k in range(number):
            store_element(memory, k, settled_at(temperature, first + k) if k < count else 1.0)
        return load_float64(memory, 0, vector)

    return of_rows


# ----- short rows


@helper
def turn_to_tile(line, n, tile):
    """Write consecutive rows, as many as a vector has lanes, to a tile, a square at a time."""
    width = lanes(tile)
    for i in range(0, n, width):
        store_square(tile, i * width, width, transposed(load_square(line, i, n)))


@helper
def turn_to_rows(tile, n, line):
    """Write the rows of a tile one after the other.

    What a square holds beyond the end of a row is overwritten by the next row, or by the square before it, hence the
    descending order.
    """
    width = lanes(tile)
    for i in range((n - 1) // width * width, -1, -width):
        store_square(line, i, n, transposed(load_square(tile, i * width, width)))


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out))
def softmax_short_rows(x, n, temperature, out):
    """Softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`; for small n."""
    rows = x.size // n
    tau = settled(temperature)
    width = lanes(data_of(x))
    tiles = (rows + width - 1) // width
    tiles_per_block = tiles_of_block(tiles, width * n)
    for block in prange((tiles + tiles_per_block - 1) // tiles_per_block):
        line = tile_of(x, width * (n + 1))
        tile = tile_of(x, width * (n + 2 * width))
        memory = partials(data_of(tile))
        for k in range(block * tiles_per_block, min(tiles, (block + 1) * tiles_per_block)):
            first = k * width
            count = min(width, rows - first)
            copy_lines(data_of(x), first * n, 0, data_of(line), 0, 0, 1, count * n)
            turn_to_tile(data_of(line), n, data_of(tile))
            tau_of_rows = temperatures_of(tau, first, count, data_of(memory), splat(data_of(tile), 0))
            softmax_columns(data_of(tile), 0, width, n, tau_of_rows, data_of(memory))
            turn_to_rows(data_of(tile), n, data_of(line))
            copy_lines(data_of(line), 0, 0, data_of(out), first * n, 0, 1, count * n)


# ----- rows along any axis


@helper
def neighbours(row, last, n, inner):
    """Return the index of a row's first element, and how many rows up to `last` follow it side by side."""
    outer = row // inner
    return row + outer * (n - 1) * inner, min(last - row, inner - (row - outer * inner))


@helper
def fill_tile(x, first, last, n, inner, tile, stride):
    """Write rows `first` to `last - 1` of `x` to a tile."""
    row = first
    while row < last:
        at, length = neighbours(row, last, n, inner)
        copy_lines(x, at, inner, tile, row - first, stride, n, length)
        row += length


@helper
def empty_tile(tile, stride, out, first, last, n, inner):
    """Write the rows of a tile to where `fill_tile` found them."""
    row = first
    while row < last:
        at, length = neighbours(row, last, n, inner)
        copy_lines(tile, row - first, stride, out, at, inner, n, length)
        row += length


@kernel(lambda x, out, temperature: (x, types.intp, types.intp, temperature, out))
def softmax_across(x, n, inner, temperature, out):
    """Softmax along the middle of flat `x`, of shape (outer, n, inner), into flat `out`, which may be `x`."""
    rows = x.size // n
    tau = settled(temperature)
    width = lanes(data_of(x))
    vectors = max(1, min(WIDEST, (min(rows, inner) + width - 1) // width, TILE_BYTES // (64 * n)))
    per_tile = vectors * width
    # An odd number of vectors apart, elements do not compete for one place in the cache.
    stride = (vectors | 1) * width
    tiles = (rows + per_tile - 1) // per_tile
    tiles_per_block = tiles_of_block(tiles, per_tile * n)
    for block in prange((tiles + tiles_per_block - 1) // tiles_per_block):
        tile = tile_of(x, stride * (n + 2 * width))
        memory = partials(data_of(tile))
        for k in range(block * tiles_per_block, min(tiles, (block + 1) * tiles_per_block)):
            first = k * per_tile
            count = min(per_tile, rows - first)
            fill_tile(data_of(x), first, first + count, n, inner, data_of(tile), stride)
            for c in range(0, count, width):
                tau_of_rows = temperatures_of(tau, first + c, count - c, data_of(memory), splat(data_of(tile), 0))
                softmax_columns(data_of(tile), c, stride, n, tau_of_rows, data_of(memory))
            empty_tile(data_of(tile), stride, data_of(out), first, first + count, n, inner)

"""Softmax of short rows, and along any axis, a tile at a time; and what its siblings share with it.

A tile is filled with whole rows such that neighbouring rows become neighbouring lanes, worked on there (see
`columns`), and emptied.  Lanes without a row hold whatever was there before.  Kernels differ in what
works on the columns of a tile, and in how many elements of the result that leaves there for each row: n, or 1.
"""

from typing import Any

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.lanes import any_lane
from .._simd.memory import data_of, lanes, load, load_part, store, store_part
from .._simd.target import vector_bytes
from .._simd.transpose import load_square, store_square, transposed
from .._simd.vector import computed
from .columns import partials, softmax_columns
from .fill import fill_lines
from .prepare import prepared_columns
from .softmax import ROWS_BLOCK_ELEMENTS

# Of a tile, by the bytes of the target's vectors: a quarter of the smallest second-level caches, which also hold what
# is read and written.  With AVX-512, whose processors have 1 MB or more, (4, 1000, 1000), (64, 1000, 49) and
# (1, 1000, 64) along axis 1 take 0.84, 0.74 and 0.76 of the time in tiles of 4 vectors of rows instead of 2 (processor
# time, medians of interleaved runs).
TILE_BYTES = {32: 1 << 17, 64: 1 << 18}

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
def rows_of_block(rows, n, rows_per_tile):
    """Return how many of so many rows, whole tiles, one thread takes at a time."""
    tiles = (rows + rows_per_tile - 1) // rows_per_tile
    return rows_per_tile * max(1, ROWS_BLOCK_ELEMENTS // (rows_per_tile * n), tiles // MOST_BLOCKS)


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


@helper
def any_nan(tile, start):
    """Whether any of as many rows as a vector has lanes is NaN, by their first results."""
    v = load(tile, start)
    return any_lane(v != v)


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


@helper
def short_block(columns, x, first, last, n, temperature, results, out, masked):
    """Apply `columns` to rows `first` to `last - 1`, and write `results` elements for each, n or 1.

    `masked` is what masked entries become, None where there are none in the result.
    """
    width = lanes(x)
    line = tile_of(x, width * (n + 1))
    tile = tile_of(x, width * (n + 2 * width))
    memory = partials(data_of(tile))
    for row in range(first, last, width):
        count = min(width, last - row)
        copy_lines(x, row * n, 0, data_of(line), 0, 0, 1, count * n)
        turn_to_tile(data_of(line), n, data_of(tile))
        tau = prepared_columns(data_of(tile), 0, width, n, temperature, row, count, data_of(memory))
        columns(data_of(tile), 0, width, n, tau, data_of(memory))
        if results == 1:
            copy_lines(data_of(tile), 0, 0, out, row, 0, 1, count)
        else:
            turn_to_rows(data_of(tile), n, data_of(line))
            copy_lines(data_of(line), 0, 0, out, row * n, 0, 1, count * n)
        if any_nan(data_of(tile), 0):
            fill_lines(x, row * n, 0, 1, count * n, out, masked)


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out))
def softmax_short_rows(x, n, temperature, out):
    """Softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`; for small n."""
    rows = out.size // n
    rows_per_block = rows_of_block(rows, n, lanes(data_of(x)))
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        last = min(rows, first + rows_per_block)
        short_block(softmax_columns, data_of(x), first, last, n, temperature, n, data_of(out), 0.0)


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


@helper
def fill_across(x, first, last, n, inner, out, value):
    """Give masked entries of rows `first` to `last - 1` a value."""
    row = first
    while row < last:
        at, length = neighbours(row, last, n, inner)
        fill_lines(x, at, inner, n, length, out, value)
        row += length


def tile_bytes() -> int:
    """Return how many bytes of the input a tile takes."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(tile_bytes, inline=True)
def _tile_bytes():
    size = TILE_BYTES[vector_bytes()]
    return lambda: size


@helper
def rows_of_tile(rows, n, inner, width):
    """Return how many rows, whole vectors of them, a tile takes."""
    return width * max(1, min(WIDEST, (min(rows, inner) + width - 1) // width, tile_bytes() // (64 * n)))


@helper
def across_block(columns, x, first, last, n, inner, rows_per_tile, temperature, results, out, masked):
    """`short_block` for rows that lie across memory."""
    width = lanes(x)
    # An odd number of vectors apart, elements do not compete for one place in the cache.
    stride = (rows_per_tile // width | 1) * width
    tile = tile_of(x, stride * (n + 2 * width))
    memory = partials(data_of(tile))
    for row in range(first, last, rows_per_tile):
        end = min(last, row + rows_per_tile)
        fill_tile(x, row, end, n, inner, data_of(tile), stride)
        nan = False
        for c in range(0, end - row, width):
            count = min(width, end - row - c)
            tau = prepared_columns(data_of(tile), c, stride, n, temperature, row + c, count, data_of(memory))
            columns(data_of(tile), c, stride, n, tau, data_of(memory))
            nan |= any_nan(data_of(tile), c)
        empty_tile(data_of(tile), stride, out, row, end, results, inner)
        if nan:
            fill_across(x, row, end, n, inner, out, masked)


@kernel(lambda x, out, temperature: (x, types.intp, types.intp, temperature, out))
def softmax_across(x, n, inner, temperature, out):
    """Softmax along the middle of flat `x`, of shape (outer, n, inner), into flat `out`, which may be `x`."""
    rows = out.size // n
    rows_per_tile = rows_of_tile(rows, n, inner, lanes(data_of(x)))
    rows_per_block = rows_of_block(rows, n, rows_per_tile)
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        last = min(rows, first + rows_per_block)
        across_block(
            softmax_columns, data_of(x), first, last, n, inner, rows_per_tile, temperature, n, data_of(out), 0.0
        )

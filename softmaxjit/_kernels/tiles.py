"""Tiles: memory in which neighbouring rows are neighbouring lanes, and what works on them has them (see `columns`).

A tile is filled with whole rows, worked on, and emptied.  Lanes without a row hold zeros or rows of before.  Kernels
differ in the function that works on the columns of a tile, and in how many elements of the result that leaves there for
each row: n, or 1.
"""

from typing import Any

import numpy as np

from .._jit import compiled_as, helper
from .._simd.lanes import any_lane
from .._simd.memory import counted_from, data_of, lanes, load, load_part, splat, store, store_part, stream_offset
from .._simd.vector import VECTOR_BYTES, computed
from .softmax import ROWS_BLOCK_ELEMENTS

# Consecutive tiles that one thread takes at a time share the memory of a tile: so many blocks of them at most, which is
# enough to share out.
MOST_BLOCKS = 64


def tile_of(x: Any, size: Any) -> Any:
    """Return memory of the dtype in which `x` is computed, with so many elements from `aligned` on, of any value."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(tile_of)
def _tile_of(x, size):
    dtype = np.dtype(computed(x.dtype).name)
    more = VECTOR_BYTES // dtype.itemsize
    return lambda x, size: np.empty(size + more, dtype)


@helper
def aligned(memory):
    """Return the address of the first element at which a vector fills a line of the caches.

    Numba starts arrays at any half of a line.  Where it is the second, every vector needs two lines: in two of three
    processes (4, 100, 100) along axis 1 took 1.17 of the time.
    """
    return counted_from(data_of(memory), -stream_offset(data_of(memory), 0))


@helper
def clear_lanes(tile, c, end, stride, lines):
    """Store zeros in lanes c to `end - 1`, whole vectors of them, of so many lines: in those without a row.

    Arithmetic on whatever memory holds, subnormal numbers say, can be slow.  Without clearing the others, too,
    (4, 1000, 1000) and (64, 1000, 49) along axis 1 took 0.93 and 0.94 of the time (with AVX-512, medians of interleaved
    runs), tiles of (200, 30, 20) 1.02.
    """
    for i in range(0, lines * stride, stride):
        for lane in range(c, end, lanes(tile)):
            store(tile, i + lane, splat(tile, 0))


@helper
def rows_of_block(rows, n, rows_per_tile):
    """Return how many of so many rows, whole tiles, one thread takes at a time."""
    tiles = (rows + rows_per_tile - 1) // rows_per_tile
    return rows_per_tile * max(1, ROWS_BLOCK_ELEMENTS // (rows_per_tile * n), tiles // MOST_BLOCKS)


@helper
def copy_elements(source, at, out, out_at, count):
    """Copy `count` neighbouring elements."""
    width = lanes(source)
    i = 0
    while i + width <= count:
        store(out, out_at + i, load(source, at + i))
        i += width
    if i < count:
        store_part(out, out_at + i, count - i, load_part(source, at + i, count - i, 0))


@helper
def any_nan(v):
    """Whether any of as many rows as a vector has lanes is NaN, by a vector of their results."""
    return any_lane(v != v)

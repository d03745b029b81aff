"""Softmax along an axis whose neighbours are few, a tile at a time; and what its siblings share with it.

A slab is all that lies along the axis, one after the other: n times `inner` elements.  Slabs, as many as a vector has
lanes, are turned into a tile as if each were a short row; every `inner`-th line of that is then of neighbouring rows.
"""

from numba import prange, types

from .._jit import helper, kernel
from .._simd.memory import counted_from, data_of, keep_until_here, lanes, load, store
from .columns import finished, partials, softmax_columns
from .fill import fill_lines
from .prepare import prepared_columns
from .tiles import aligned, any_nan, clear_lanes, rows_of_block, tile_of
from .turning import fill_tile_of_rows, put_tile_of_rows


@helper
def finish_columns(tile, start, stride, results, ending):
    """Replace the first elements of as many rows as a vector has lanes by results."""
    for i in range(start, start + results * stride, stride):
        store(tile, i, finished(tile, load(tile, i), ending))


@helper
def slab_block(columns, x, first, last, slabs, n, inner, temperature, results, out, masked):
    """Apply `columns` to slabs `first` to `last - 1` of so many, and write `results` elements for each row, n or 1.

    `masked` is what masked entries become, None where there are none in the result.  As in `short_block`, a tile is
    filled before the one before it is emptied.
    """
    width = lanes(x)
    stride, size = inner * width, inner * n
    size_of_tile = stride * (n + 2 * width)
    memory_of_tiles, memory_of_copy = tile_of(x, 2 * size_of_tile), tile_of(x, width * (size + 1))
    tile, copy = aligned(memory_of_tiles), aligned(memory_of_copy)
    clear_lanes(copy, 0, width, width, size)
    other = counted_from(tile, -size_of_tile)
    memory_of_sums = partials(tile)
    sums = aligned(memory_of_sums)
    fill_tile_of_rows(x, first, last, slabs, size, tile, copy)
    for slab in range(first, last, width):
        count = min(width, last - slab)
        nan = False
        for k in range(inner):
            tau = prepared_columns(tile, k * width, stride, n, temperature, slab * inner + k, inner, count, sums)
            ending = columns(tile, k * width, stride, n, tau, sums, None)
            finish_columns(tile, k * width, stride, results, ending)
            nan |= any_nan(load(tile, k * width))
        if slab + width < last:
            fill_tile_of_rows(x, slab + width, last, slabs, size, other, copy)
        put_tile_of_rows(tile, slab, last, results * inner, out, copy)
        if nan:
            fill_lines(x, slab * size, 0, 1, count * size, out, masked)
        tile, other = other, tile
    keep_until_here(memory_of_tiles)
    keep_until_here(memory_of_copy)
    keep_until_here(memory_of_sums)


@kernel(lambda x, out, temperature: (x, types.intp, types.intp, temperature, out))
def softmax_slabs(x, n, inner, temperature, out):
    """`softmax_across` where neighbours are few."""
    slabs = out.size // (n * inner)
    slabs_per_block = rows_of_block(slabs, n * inner, lanes(data_of(x)))
    for block in prange((slabs + slabs_per_block - 1) // slabs_per_block):
        first = block * slabs_per_block
        last = min(slabs, first + slabs_per_block)
        slab_block(softmax_columns, data_of(x), first, last, slabs, n, inner, temperature, n, data_of(out), 0.0)

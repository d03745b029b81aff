"""Softmax of short rows, a tile at a time; and what its siblings share with it."""

from numba import prange, types

from .._jit import helper, kernel
from .._simd.memory import counted_from, data_of, keep_until_here, lanes, load, store
from .ahead import ahead_of_tiles, are_far, ask
from .columns import finished, partials, softmax_columns
from .fill import fill_lines
from .prepare import prepared_columns
from .tiles import aligned, any_nan, clear_lanes, copy_elements, rows_of_block, tile_of
from .turning import fill_tile_of_rows, put_tile_of_rows


@helper
def finish_tile(tile, n, results, ending, x, at, ahead):
    """Replace the first lines of a tile by the results, and ask for what comes after the rows from `at` on meanwhile.

    Asked for all at once, lines wait for each other: (65536, 32) float32 took 1.24 of the time (with AVX-512, medians
    of interleaved runs).
    """
    width = lanes(tile)
    for i in range(0, n * width, width):
        ask(x, at + i, ahead)
        if i < results * width:
            store(tile, i, finished(tile, load(tile, i), ending))


@helper
def short_block(columns, x, first, last, rows, n, temperature, results, out, masked, ahead):
    """Apply `columns` to rows `first` to `last - 1` of so many, and write `results` elements for each, n or 1.

    `masked` is what masked entries become, None where there are none in the result.

    A tile is filled before the one before it is finished: that waits for its reciprocals, and the processor does not
    look beyond it for something else to do.  With AVX-512, softmax of (1024, 10) and (1024, 16) took 0.93 and 0.90 of
    the time (float64 0.91 and 0.90; medians of interleaved runs).  In place, too, what is written beyond a tile has
    thus been read.
    """
    width = lanes(x)
    size = width * (n + 2 * width)
    memory_of_tiles, memory_of_copy = tile_of(x, 2 * size), tile_of(x, width * (n + 1))
    tile, copy = aligned(memory_of_tiles), aligned(memory_of_copy)
    clear_lanes(copy, 0, width, width, n)
    other = counted_from(tile, -size)
    memory_of_sums = partials(tile)
    sums = aligned(memory_of_sums)
    fill_tile_of_rows(x, first, last, rows, n, tile, copy)
    for row in range(first, last, width):
        count = min(width, last - row)
        tau = prepared_columns(tile, 0, width, n, temperature, row, 1, count, sums)
        ending = columns(tile, 0, width, n, tau, sums, None)
        if row + width < last:
            fill_tile_of_rows(x, row + width, last, rows, n, other, copy)
        finish_tile(tile, n, results, ending, x, row * n, ahead)
        if results == 1:
            copy_elements(tile, 0, out, row, count)
        else:
            put_tile_of_rows(tile, row, last, n, out, copy)
        if any_nan(load(tile, 0)):
            fill_lines(x, row * n, 0, 1, count * n, out, masked)
        tile, other = other, tile
    keep_until_here(memory_of_tiles)
    keep_until_here(memory_of_copy)
    keep_until_here(memory_of_sums)


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out))
def softmax_short_rows(x, n, temperature, out):
    """Softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`; for small n."""
    rows = out.size // n
    rows_per_block = rows_of_block(rows, n, lanes(data_of(x)))
    far = are_far(out.size, out)
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        last = min(rows, first + rows_per_block)
        ahead = ahead_of_tiles(far, data_of(out))
        short_block(softmax_columns, data_of(x), first, last, rows, n, temperature, n, data_of(out), 0.0, ahead)

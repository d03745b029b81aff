"""Softmax along any axis, a tile at a time; and what its siblings share with it."""

from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import smaller
from .._simd.fields import load_fields, store_fields
from .._simd.memory import counted_from, data_of, keep_until_here, lanes, load, load_part, store, store_part
from .._simd.prefetch import prefetch_to_store
from .._simd.target import vector_bytes
from .ahead import Upcoming
from .columns import finished, partials, softmax_columns
from .fill import fill_lines
from .prepare import prepared_columns
from .tiles import aligned, any_nan, clear_lanes, rows_of_block, tile_of

# Of a tile: half of the second-level cache of a Zen 3 core, which also holds what is read and written.
# (4, 1000, 1000), (64, 1000, 49) and (1, 1000, 64) along axis 1 take 0.84, 0.74 and 0.76 of the time in tiles of 4
# vectors of rows instead of 2 with AVX-512, 0.82, 0.93 and 0.89 on that core (medians of interleaved runs).  Older
# processors with AVX2 have 256 KB, and were not at hand.
TILE_BYTES = 1 << 18

# Most vectors of a line of the input in a tile, by the bytes of the target's vectors.  On that Zen 3 core (512, 65536)
# along axis 0 and (64, 100, 1024) along axis 1 took, with 8 instead of 4, 0.85 to 0.95 and 0.92 of the time, with 16 as
# long again.  With AVX-512 nothing but 4 has been measured.
WIDEST = {32: 8, 64: 4}

# Lines of the result are asked for so many before their turn: nearer ones come late, and of lines a power of two apart
# the first-level cache holds few.  With AVX-512, (4, 1000, 1000), (64, 1000, 49), (2, 512, 65536) and (64, 100, 1024)
# along axis 1 took, 4 and 8 lines ahead, 0.62 and 0.64, 0.78 and 0.72, 0.73 and 0.74, 0.74 and 0.81 of the time without
# (processor time, medians of interleaved runs).  Asking for lines of the input gained nothing.
LINES_AHEAD = 6


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
        for i in range(n):
            fill_line(x, at + i * inner, tile, row - first + i * stride, length)
        row += length


@helper
def fill_line(x, at, tile, place, length):
    """Copy `length` neighbouring elements, in whole vectors, the last of which overlaps the one before.

    Of fewer than a vector zeros come after them, which the next row overwrites, or which are in nobody's way.
    """
    width = lanes(x)
    if length < width:
        store(tile, place, load_part(x, at, length, 0))
        return
    for start in range(0, length, width):
        c = smaller(start, length - width)
        store(tile, place + c, load(x, at + c))


@helper
def empty_tile(tile, stride, fields_at, ending, out, first, last, n, inner):
    """Write the results of rows to where `fill_tile` found them; from line `fields_at` on are those of `ending`."""
    row = first
    while row < last:
        at, length = neighbours(row, last, n, inner)
        fields = fields_at * stride + row - first
        for i in range(n):
            ask_for(out, at + (i + LINES_AHEAD) * inner, length)
            empty_line(tile, row - first + i * stride, stride, fields, ending, out, at + i * inner, length)
        row += length


@helper
def empty_line(tile, place, stride, fields, ending, out, at, length):
    """Write results of neighbouring rows as `fill_line` read them, and nothing beyond them."""
    width = lanes(tile)
    if length < width:
        v = load(tile, place)
        store_part(out, at, length, finished(tile, v, load_fields(tile, fields, stride, ending)))
        return
    for start in range(0, length, width):
        c = smaller(start, length - width)
        v = load(tile, place + c)
        store(out, at + c, finished(tile, v, load_fields(tile, fields + c, stride, ending)))


@helper
def ask_for(out, at, length):
    """Ask for what `length` elements are to be stored in."""
    for i in range(at, at + length, lanes(out)):
        prefetch_to_store(out, i)
    prefetch_to_store(out, at + length - 1)


@helper
def fill_across(x, first, last, n, inner, out, value):
    """Give masked entries of rows `first` to `last - 1` a value."""
    row = first
    while row < last:
        at, length = neighbours(row, last, n, inner)
        fill_lines(x, at, inner, n, length, out, value)
        row += length


def widest() -> int:
    """Return how many vectors of a line of the input are in a tile at most."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(widest, inline=True)
def _widest():
    vectors = WIDEST[vector_bytes()]
    return lambda: vectors


@helper
def rows_of_tile(rows, n, inner, width):
    """Return how many rows, whole vectors of them, a tile takes."""
    return width * max(1, min(widest(), (min(rows, inner) + width - 1) // width, TILE_BYTES // (64 * n)))


@helper
def upcoming_of(x, row, n, inner):
    """Return what to ask for, a vector for each of n lines, so that nothing is missing when `row` is put in a tile.

    That goes through `x` from one end to the other, and stays ahead by all that lies along the axis; where this is much
    more than a tile, it would take the place of the tile in the second-level cache.  Asked for in order, it comes in
    0.76 to 0.91 of the time along axis 1 of (3000, 32, 32), (64, 100, 1024), (64, 500, 100), (64, 1000, 49) and (1000,
    10, 100) float32; line by line of the tile, (64, 1000, 49) took 0.94 to 1.0 (with AVX-512, medians of interleaved
    runs).
    """
    if n * inner > 2 * (TILE_BYTES // 64) * lanes(x):
        return Upcoming(x, 0, 0)
    return Upcoming(x, (row + inner) * n, lanes(x))


@helper
def across_block(columns, x, first, last, n, inner, rows_per_tile, temperature, results, out, masked):
    """Apply `columns` to rows `first` to `last - 1`, and write `results` elements for each, n or 1.

    `masked` is what masked entries become, None where there are none in the result.
    """
    width = lanes(x)
    # Beyond the last row `fill_line` may write zeros, unless all that are neighbours fill vectors.  An odd number of
    # vectors apart, elements do not compete for one place in the cache.
    spare = smaller(inner % width, 1)
    stride = (rows_per_tile // width + spare | 1) * width
    memory_of_tile = tile_of(x, stride * (n + 2 * width))
    tile = aligned(memory_of_tile)
    memory_of_sums = partials(tile)
    sums = aligned(memory_of_sums)
    # Whole vectors are read even where a tile ends within one, and of endings also beyond the last.
    cleared = min(rows_per_tile, last - first) // width * width
    clear_lanes(tile, cleared, rows_per_tile, stride, n)
    clear_lanes(counted_from(tile, -n * stride), cleared, stride, stride, 2 * width)
    for row in range(first, last, rows_per_tile):
        end = min(last, row + rows_per_tile)
        fill_tile(x, row, end, n, inner, tile, stride)
        nan = False
        for c in range(0, end - row, width):
            count = min(width, end - row - c)
            tau = prepared_columns(tile, c, stride, n, temperature, row + c, 1, count, sums)
            ending = columns(tile, c, stride, n, tau, sums, upcoming_of(x, end + c, n, inner))
            store_fields(tile, n * stride + c, stride, ending)
            nan |= any_nan(finished(tile, load(tile, c), ending))
        empty_tile(tile, stride, n, ending, out, row, end, results, inner)
        if nan:
            fill_across(x, row, end, n, inner, out, masked)
    keep_until_here(memory_of_tile)
    keep_until_here(memory_of_sums)


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

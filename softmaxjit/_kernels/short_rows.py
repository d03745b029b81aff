"""Softmax of short rows, a tile at a time; and what its siblings share with it."""

from typing import Any

from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.memory import counted_from, data_of, lanes, load, same_place, store
from .._simd.transpose import load_columns, load_square, store_columns, store_square, transposed
from .ahead import ahead_of_tiles, are_far, ask
from .columns import finished, partials, softmax_columns
from .fill import fill_lines
from .prepare import prepared_columns
from .tiles import any_nan, copy_elements, rows_of_block, tile_of


@helper
def turn_to_tile(rows, n, tile):
    """Write consecutive rows, as many as a vector has lanes, to a tile, a square at a time.

    Of a square, rows of 2 and 3 fill little: taken apart by themselves, and neither read nor written through a copy, as
    `source_of` and `result_of` allow, they took 0.58 and 0.63 of the time, longer ones 0.83 to 0.97.
    """
    width = lanes(tile)
    if n == 2:
        a, b = load_columns(rows, 0, 2)
        store(tile, 0, a)
        store(tile, width, b)
    elif n == 3:
        a, b, c = load_columns(rows, 0, 3)
        store(tile, 0, a)
        store(tile, width, b)
        store(tile, 2 * width, c)
    else:
        for i in range(0, n, width):
            store_square(tile, i * width, width, transposed(load_square(rows, i, n)))


@helper
def turn_to_rows(tile, n, rows):
    """Write the rows of a tile one after the other.

    What a square holds beyond the end of a row is overwritten by the next row, or by the square before it, hence the
    descending order.
    """
    width = lanes(tile)
    if n == 2:
        store_columns(rows, 0, 2, (load(tile, 0), load(tile, width)))
    elif n == 3:
        store_columns(rows, 0, 3, (load(tile, 0), load(tile, width), load(tile, 2 * width)))
    else:
        for i in range((n - 1) // width * width, -1, -width):
            store_square(rows, i, n, transposed(load_square(tile, i * width, width)))


@helper
def reach_of_turning(n, width):
    """Return how many elements `turn_to_tile` and `turn_to_rows` touch of `width` rows of n, and of what follows.

    Rows of one element are turned as a square, too: `load_columns` has nothing for them.
    """
    return width * n if 1 < n <= 3 else (width - 1) * n + (n + width - 1) // width * width


def source_of(x: Any, at: Any, count: Any, direct: Any, copy: Any) -> Any:
    """Return the address of `count` elements of `x` from `at` on, or of a copy of them unless `direct`."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(source_of, inline=True)
def _source_of(x, at, count, direct, copy):
    if x == copy:

        def either(x, at, count, direct, copy):
            if direct:
                return counted_from(x, -at)
            copy_elements(x, at, copy, 0, count)
            return copy

        return either

    def copied(x, at, count, direct, copy):
        copy_elements(x, at, copy, 0, count)
        return copy

    return copied


def result_of(out: Any, at: Any, direct: Any, copy: Any) -> Any:
    """Return the address of elements of `out` from `at` on, if `direct`, or of what is copied there later."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(result_of, inline=True)
def _result_of(out, at, direct, copy):
    if out == copy:
        return lambda out, at, direct, copy: counted_from(out, -at) if direct else copy
    return lambda out, at, direct, copy: copy


def are_alike(x: Any, y: Any) -> Any:
    """Whether two addresses are of the same type."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(are_alike, inline=True)
def _are_alike(x, y):
    alike = x == y
    return lambda x, y: alike


@helper
def finish_tile(tile, n, ending):
    """Replace the lines of a tile by the results."""
    width = lanes(tile)
    for i in range(0, n * width, width):
        store(tile, i, finished(tile, load(tile, i), ending))


@helper
def short_block(columns, x, first, last, rows, n, temperature, results, out, masked, ahead):
    """Apply `columns` to rows `first` to `last - 1` of so many, and write `results` elements for each, n or 1.

    `masked` is what masked entries become, None where there are none in the result.  Rows are read where they lie, and
    written there, unless that touched what is not there, rows of another thread, or, in place, rows yet to be read.
    """
    width = lanes(x)
    copy = tile_of(x, width * (n + 1))
    tile = tile_of(x, width * (n + 2 * width))
    memory = partials(data_of(tile))
    reach = reach_of_turning(n, width)
    overwrites = same_place(x, out) and reach > n * width
    for row in range(first, last, width):
        count = min(width, last - row)
        whole = count == width
        for i in range(row * n, (row + width) * n, width):
            ask(x, i, ahead)
        read_directly = whole and row * n + reach <= rows * n
        turn_to_tile(source_of(x, row * n, count * n, read_directly, data_of(copy)), n, data_of(tile))
        tau = prepared_columns(data_of(tile), 0, width, n, temperature, row, count, data_of(memory))
        ending = columns(data_of(tile), 0, width, n, tau, data_of(memory))
        finish_tile(data_of(tile), results, ending)
        if results == 1:
            copy_elements(data_of(tile), 0, out, row, count)
        else:
            written_directly = whole and not overwrites and row * n + reach <= last * n
            turn_to_rows(data_of(tile), n, result_of(out, row * n, written_directly, data_of(copy)))
            if not (written_directly and are_alike(out, data_of(copy))):
                copy_elements(data_of(copy), 0, out, row * n, count * n)
        if any_nan(load(data_of(tile), 0)):
            fill_lines(x, row * n, 0, 1, count * n, out, masked)


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

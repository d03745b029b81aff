"""Short rows, as many as a vector has lanes, become a tile, and a tile becomes rows."""

from typing import Any

from .._jit import compiled_as, helper
from .._simd.memory import counted_from, lanes, load, store
from .._simd.transpose import (
    columns_loaded,
    columns_stored,
    load_columns,
    load_turned,
    store_columns,
    store_turned,
)
from .tiles import copy_elements


@helper
def turn_to_tile(rows, n, tile):
    """Write consecutive rows, as many as a vector has lanes, to a tile, a few columns at a time.

    Rows of 2 and 3 are less than that: taken apart by themselves, and neither read nor written through a copy, as
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
        for i in range(0, n, columns_loaded(tile)):
            store_lines(tile, i, load_turned(rows, i, n))


@helper
def store_lines(tile, i, columns):
    """Write columns to a tile, from line i on."""
    for column in columns:
        store(tile, i * lanes(tile), column)
        i += 1


@helper
def turn_to_rows(tile, n, rows):
    """Write the rows of a tile one after the other.

    What columns beyond the end of a row hold is overwritten by the next row, or by the columns before them, hence the
    descending order.
    """
    width = lanes(tile)
    if n == 2:
        store_columns(rows, 0, 2, (load(tile, 0), load(tile, width)))
    elif n == 3:
        store_columns(rows, 0, 3, (load(tile, 0), load(tile, width), load(tile, 2 * width)))
    else:
        count = columns_stored(tile)
        for i in range((n - 1) // count * count, -1, -count):
            store_turned(tile, i * width, rows, i, n)


@helper
def reach_of_turning(n, width, columns):
    """Return how many elements of `width` rows of n, and of what follows, are touched by so many columns at a time.

    That goes for rows of one element, too: `load_columns` has nothing for them.
    """
    return width * n if 1 < n <= 3 else (width - 1) * n + (n + columns - 1) // columns * columns


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
def fill_tile_of_rows(x, row, last, rows, n, tile, copy):
    """Write `row` and what follows it, as many as a vector has lanes but none from row `last` on, to a tile.

    Of `rows` rows, they are read where they lie, unless that touched what is not there.
    """
    width = lanes(x)
    count = min(width, last - row)
    directly = count == width and row * n + reach_of_turning(n, width, columns_loaded(tile)) <= rows * n
    turn_to_tile(source_of(x, row * n, count * n, directly, copy), n, tile)


@helper
def put_tile_of_rows(tile, row, last, n, out, copy):
    """Write a tile to `row` and what follows it, as many rows as it has but none from row `last` on.

    They are written where they belong, unless that touched rows from `last` on, which may be another thread's.
    """
    width = lanes(tile)
    count = min(width, last - row)
    directly = count == width and row * n + reach_of_turning(n, width, columns_stored(tile)) <= last * n
    turn_to_rows(tile, n, result_of(out, row * n, directly, copy))
    if not (directly and are_alike(out, copy)):
        copy_elements(copy, 0, out, row * n, count * n)

"""Rows and columns of vectors, tuples of them, and numbers of another width."""

from typing import Any

import numpy as np
import pytest

from softmaxjit._jit import routine
from softmaxjit._simd.arithmetic import both, nearest_integer
from softmaxjit._simd.fields import load_fields, store_fields
from softmaxjit._simd.lanes import widen
from softmaxjit._simd.memory import data_of, element_like, lanes, load, load_float64, store, store_float64
from softmaxjit._simd.transpose import (
    columns_loaded,
    columns_stored,
    load_columns,
    load_turned,
    store_columns,
    store_turned,
)

from .oracles import DTYPES

DTYPE = pytest.mark.parametrize("dtype", DTYPES)


@routine
def turn_columns(rows, at, stride, tile):
    """Write columns to a tile; return how many."""
    place = 0
    for column in load_turned(data_of(rows), at, stride):
        store(data_of(tile), place, column)
        place += lanes(data_of(tile))
    return columns_loaded(data_of(rows))


@DTYPE
def test_rows_become_lanes(dtype: Any) -> None:
    width = 64 // np.dtype(dtype).itemsize
    stride = width + 3
    rows = np.arange(5 + width * stride, dtype=dtype)
    tile = np.zeros(width * width, dtype)
    count = turn_columns(rows, 5, stride, tile)
    columns = np.lib.stride_tricks.sliding_window_view(rows[5:], count)[::stride][:width].T
    np.testing.assert_array_equal(tile.reshape(width, width)[:count], columns)
    assert not tile[count * width :].any()


@routine
def turn_lines(tile, at, rows, row_at, stride):
    """Write lines of a tile as rows; return how many elements of each."""
    store_turned(data_of(tile), at, data_of(rows), row_at, stride)
    return columns_stored(data_of(rows))


@DTYPE
def test_lanes_become_rows(dtype: Any) -> None:
    width = 64 // np.dtype(dtype).itemsize
    stride = width + 3
    tile = np.arange(1, 4 + width * width, dtype=dtype)
    rows = np.zeros(2 + width * stride, dtype)
    count = turn_lines(tile, 3, rows, 2, stride)
    square = rows[2:].reshape(width, stride)
    np.testing.assert_array_equal(square[:, :count], tile[3:].reshape(width, width)[:count].T)
    assert not rows[:2].any()
    assert not square[:, count:].any()


@DTYPE
def test_where_stored_rows_overlap_the_next_one_stays(dtype: Any) -> None:
    width = 64 // np.dtype(dtype).itemsize
    tile = np.arange(1, 1 + width * width, dtype=dtype)
    rows = np.zeros(3 * width + width, dtype)
    count = turn_lines(tile, 0, rows, 0, 3)
    square = tile.reshape(width, width)[:count].T
    expected = np.concatenate([square[:-1, :3].ravel(), square[-1]])
    np.testing.assert_array_equal(rows[: expected.size], expected)
    assert not rows[expected.size :].any()


@routine
def apart_and_together(rows, columns, again):
    a, b = load_columns(data_of(rows), 1, 2)
    store(data_of(columns), 0, a)
    store(data_of(columns), columns.size // 2, b)
    store_columns(data_of(again), 1, 2, (a, b))


@routine
def apart_and_together_by_three(rows, columns, again):
    a, b, c = load_columns(data_of(rows), 1, 3)
    store(data_of(columns), 0, a)
    store(data_of(columns), columns.size // 3, b)
    store(data_of(columns), columns.size // 3 * 2, c)
    store_columns(data_of(again), 1, 3, (a, b, c))


@DTYPE
@pytest.mark.parametrize(("n", "function"), [(2, apart_and_together), (3, apart_and_together_by_three)])
def test_rows_of_few_elements_are_taken_apart_and_joined(n: int, function: Any, dtype: Any) -> None:
    width = 64 // np.dtype(dtype).itemsize
    rows = np.arange(width * n + 2, dtype=dtype)
    columns, again = np.zeros(n * width, dtype), np.zeros_like(rows)
    function(rows, columns, again)
    np.testing.assert_array_equal(columns.reshape(n, width), rows[1:-1].reshape(width, n).T)
    np.testing.assert_array_equal(again, [0, *rows[1:-1], 0])


@routine
def fields_kept(x, lines, out):
    fields = (load(data_of(x), 0), 2.0, (load(data_of(x), lanes(data_of(x))),))
    store_fields(data_of(lines), 1, lines.size // 2, fields)
    kept = load_fields(data_of(lines), 1, lines.size // 2, (fields[0], 3.0, fields[2]))
    store(data_of(out), 0, kept[0])
    store(data_of(out), lanes(data_of(x)), kept[2][0])
    return kept[1]


@DTYPE
def test_fields_that_are_vectors_are_kept_in_lines(dtype: Any) -> None:
    width = 64 // np.dtype(dtype).itemsize
    x = np.arange(2 * width, dtype=dtype)
    lines, out = np.zeros(2 * (width + 3), dtype), np.zeros(2 * width, dtype)
    assert fields_kept(x, lines, out) == 3.0
    np.testing.assert_array_equal(out, x)
    np.testing.assert_array_equal(lines.reshape(2, -1)[:, 1 : width + 1].ravel(), x)


@routine
def widened_and_back(x, wide, back, chosen):
    v = load(data_of(x), 0)
    w = widen(v)
    store_float64(data_of(wide), 1, nearest_integer(w))
    store(data_of(back), 0, element_like(data_of(x), load_float64(data_of(wide), 1, v)))
    chosen[0] = both(widen(x[0]) > 0.0, x[1] > 0)


@DTYPE
def test_vectors_are_widened_rounded_to_integers_and_narrowed(dtype: Any) -> None:
    width = 64 // np.dtype(dtype).itemsize
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.4, 1e6 + 0.25, 7, -7] * (width // 8), dtype)
    wide, back, chosen = np.zeros(width + 2), np.zeros(width, dtype), np.zeros(1, np.bool_)
    widened_and_back(x, wide, back, chosen)
    np.testing.assert_array_equal(wide, [0, *np.rint(x.astype(np.float64)), 0])
    np.testing.assert_array_equal(back, np.rint(x))
    assert chosen[0]
    widened_and_back(-x, wide, back, chosen)
    assert not chosen[0]

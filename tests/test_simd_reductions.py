"""Several rows reduced at once: to the bits of what `lanes` makes of each alone."""

from typing import Any

import numpy as np
import pytest

from softmaxjit._jit import routine
from softmaxjit._simd.fields import load_lane, store_fields
from softmaxjit._simd.lanes import all_lanes, largest_lane, sum_lanes, sum_tree, widen
from softmaxjit._simd.memory import data_of, lanes, load, splat, store, store_float64
from softmaxjit._simd.reductions import largest_of_each, store_sum, sum_of_each

from .exact import assert_same_bits
from .oracles import DTYPES

DTYPE = pytest.mark.parametrize("dtype", DTYPES)


def rows_of(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return as many rows as a vector has lanes, of numbers of very different size, and what they may have lost."""
    rng = np.random.default_rng(0)
    width = 64 // np.dtype(dtype).itemsize
    rows = (rng.standard_normal((width, width)) * 2.0 ** rng.integers(-30, 30, (width, width))).astype(dtype)
    lost = (rng.standard_normal((width, width)) * np.finfo(dtype).eps).astype(dtype)
    return rows, lost


@routine
def largest_ways(rows, together, alone):
    data = data_of(rows)
    store(data_of(together), 0, largest_of_each(data, 0))
    for k in range(lanes(data)):
        alone[k] = largest_lane(load(data, k * lanes(data)))


@DTYPE
def test_the_largest_of_each_row_is_found_wherever_it_is(dtype: Any) -> None:
    width = 64 // np.dtype(dtype).itemsize
    for place in range(width):
        rows, _ = rows_of(dtype)
        rows[np.arange(width), (np.arange(width) + place) % width] = 2.0**40 * (1 + np.arange(width))
        together, alone = np.zeros(width, dtype), np.zeros(width, dtype)
        largest_ways(rows.reshape(-1), together, alone)
        assert_same_bits(together, alone)
        np.testing.assert_array_equal(together, rows.max(1))


@routine
def sums_together(rows, lost, memory, sums, errors, lossy):
    data = data_of(rows)
    for k in range(lanes(data)):
        store_sum(data_of(memory), k, load(data, k * lanes(data)), load(data_of(lost), k * lanes(data)))
    vector = splat(data, 0)
    if lossy:
        total, error = sum_of_each(data_of(memory), vector, True)
        store_float64(data_of(sums), 0, total)
        store_float64(data_of(errors), 0, widen(splat(data, 0)) + error)
    else:
        total, error = sum_of_each(data_of(memory), vector, False)
        store_float64(data_of(sums), 0, total)
        store_float64(data_of(errors), 0, widen(splat(data, 0)) + error)


@routine
def sums_alone(rows, lost, sums, errors):
    data = data_of(rows)
    for k in range(lanes(data)):
        sums[k], errors[k] = sum_lanes(load(data, k * lanes(data)), load(data_of(lost), k * lanes(data)))


@pytest.mark.parametrize("lossy", [True, False])
@DTYPE
def test_sums_of_rows_have_the_bits_of_each_alone(dtype: Any, lossy: bool) -> None:
    rows, lost = rows_of(dtype)
    width = len(rows)
    together, alone = np.zeros((2, width)), np.zeros((2, width))
    stale = lost if lossy else np.full_like(lost, 7)  # which is then not to be read
    sums_together(rows.reshape(-1), stale.reshape(-1), np.zeros(2 * rows.size, dtype), *together, lossy)
    sums_alone(rows.reshape(-1), (lost if lossy else 0 * lost).reshape(-1), *alone)
    assert_same_bits(together, alone)


@routine
def wide_sums_of_float32(rows, memory, together, alone):
    data = data_of(rows)
    for k in range(lanes(data)):
        v = load(data, k * lanes(data))
        store_sum(data_of(memory), k, widen(v) + widen(v) * 0.1, splat(data, -0.0))
        alone[k] = sum_tree(widen(v) + widen(v) * 0.1)
    total, _ = sum_of_each(data_of(memory), splat(data, 0), False)
    store_float64(data_of(together), 0, total)


def test_partial_sums_of_float32_may_be_of_float64() -> None:
    rows, _ = rows_of(np.float32)
    together, alone = np.zeros(16), np.zeros(16)
    wide_sums_of_float32(rows.reshape(-1), np.zeros(128), together, alone)
    assert_same_bits(together, alone)


@routine
def one_lane(x, lines, lane):
    data = data_of(x)
    fields = (load(data, 0), 2.0, (load(data, lanes(data)), True))
    store_fields(data_of(lines), 1, lines.size // 2, fields)
    first, second, (third, fourth) = load_lane(
        data_of(lines), 1, lines.size // 2, (fields[0], 3.0, (fields[2][0], False)), lane
    )
    return first, second, third, fourth


@DTYPE
def test_one_lane_of_fields_comes_back_as_numbers(dtype: Any) -> None:
    width = 64 // np.dtype(dtype).itemsize
    x = np.arange(2 * width, dtype=dtype)
    for lane in range(width):
        found = one_lane(x, np.zeros(2 * (width + 3), dtype), lane)
        assert found == (x[lane], 3.0, x[width + lane], False)


@routine
def all_below(x, bound):
    return all_lanes(load(data_of(x), 0) < bound)


@DTYPE
def test_all_lanes_are_told_from_all_but_one(dtype: Any) -> None:
    width = 64 // np.dtype(dtype).itemsize
    assert all_below(np.zeros(width, dtype), 1.0)
    for lane in range(width):
        for other in (1.0, np.nan):
            x = np.zeros(width, dtype)
            x[lane] = other
            assert not all_below(x, 1.0)

"""All lanes of a vector together: sums in one order, the largest and smallest lane, counts, other widths."""

from fractions import Fraction
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest

from softmaxjit._jit import routine
from softmaxjit._simd.lanes import (
    any_lane,
    first_lane,
    halves,
    joined,
    largest_lane,
    narrow,
    smallest_lane,
    sum_lanes,
    widen,
)
from softmaxjit._simd.memory import data_of, element_like, keep_part, lanes, load, load_element, splat, store

from .oracles import DTYPES
from .vectors import Array, bits, fractions, on_vectors, pairs_of_special_values, values

DTYPE = pytest.mark.parametrize("dtype", DTYPES)


@routine
def across(x, error, numbers):
    """Write what becomes of the lanes of one vector together."""
    data = data_of(x)
    v = load(data, 0)
    numbers[0] = lanes(data)
    numbers[1] = largest_lane(v)
    numbers[2] = smallest_lane(v)
    numbers[3] = first_lane(v)
    numbers[4], numbers[5] = sum_lanes(v, load(data_of(error), 0))
    numbers[6] = load_element(data, 3)
    numbers[7] = element_like(data, 0.1)


def taken_together(x: Array, error: Array | None = None) -> dict[str, Any]:
    numbers = np.zeros(8)
    across(x, np.zeros_like(x) if error is None else error, numbers)
    names = ("lanes", "largest", "smallest", "first", "sum", "sum_error", "fourth", "tenth")
    return dict(zip(names, numbers, strict=True))


@DTYPE
def test_a_vector_has_64_bytes_of_lanes_whatever_the_target(dtype: Any) -> None:
    x = np.arange(16, dtype=dtype)
    found = taken_together(x)
    assert found["lanes"] == 64 // x.itemsize
    assert (found["first"], found["fourth"], found["tenth"]) == (0, 3, dtype(0.1))


@DTYPE
def test_the_largest_and_the_smallest_lane_are_found_in_every_place(dtype: Any) -> None:
    count = 64 // np.dtype(dtype).itemsize
    for place, other in product(range(count), range(count)):
        x = np.linspace(-1, 1, count).astype(dtype)
        x[other], x[place] = -np.inf, 7
        found = taken_together(x)
        assert found["largest"] == 7
        assert found["smallest"] == (-np.inf if other != place else x.min())


@routine
def swapped(x, out):
    """Write the halves of twice as wide a vector in the other order."""
    data, width = data_of(x), lanes(data_of(x))
    low, high = halves(joined(load(data, 0), load(data, width)))
    store(data_of(out), 0, high)
    store(data_of(out), width, low)


@DTYPE
def test_the_halves_of_two_joined_vectors_are_those_two(dtype: Any) -> None:
    x = np.arange(2 * 64 // np.dtype(dtype).itemsize, dtype=dtype)
    out = np.empty_like(x)
    swapped(x, out)
    np.testing.assert_array_equal(out, np.roll(x, x.size // 2))


@routine
def has_negative(x):
    return any_lane(load(data_of(x), 0) < splat(data_of(x), 0))


@DTYPE
def test_a_condition_that_holds_in_one_lane_is_found_in_every_place(dtype: Any) -> None:
    count = 64 // np.dtype(dtype).itemsize
    x = np.zeros(count, dtype)
    assert not has_negative(x)
    for place in range(count):
        x[:] = 0
        x[place] = -1
        assert has_negative(x)


def halves_first(x: Array) -> Any:
    """Return the sum that adds the upper half of the lanes to the lower until one is left."""
    while x.size > 1:
        x = x[: x.size // 2] + x[x.size // 2 :]
    return x[0]


def neighbours_first(x: Array) -> Any:
    while x.size > 1:
        x = x[::2] + x[1::2]
    return x[0]


def one_after_another(x: Array) -> Any:
    return np.add.accumulate(x)[-1]


@DTYPE
def test_lanes_are_summed_as_a_tree_of_halves(dtype: Any) -> None:
    count = 64 // np.dtype(dtype).itemsize
    told_apart = {neighbours_first: 0, one_after_another: 0}
    for places in permutations(range(count), 3):
        x = np.zeros(count, dtype)
        x[list(places)] = 2.0**60, -(2.0**60), 1  # 1 is lost where it meets one of the large numbers first
        total = taken_together(x)["sum"]
        assert total == halves_first(x.astype(np.float64))
        for order in told_apart:
            told_apart[order] += total != order(x.astype(np.float64))
    assert min(told_apart.values()) > 50


def test_a_float32_sum_of_lanes_and_errors_is_made_in_float64() -> None:
    x, error = values(np.float32, count=2, size=16, spread=4)
    error *= np.float32(2.0**-24)
    assert taken_together(x, error)["sum"] == halves_first(x.astype(np.float64) + error)
    assert taken_together(x, error)["sum_error"] == 0


def test_a_float64_sum_of_lanes_and_errors_is_a_pair_that_keeps_what_the_tree_lost() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal(8) * 2.0 ** rng.integers(-20, 20, 8)
        error = x * rng.uniform(-1, 1, 8) * 2.0**-53
        found = taken_together(x, error)
        exact = sum(fractions(x)) + sum(fractions(error))
        left = abs(Fraction(found["sum"]) + Fraction(found["sum_error"]) - exact)
        assert left <= sum(abs(v) for v in fractions(x)) * Fraction(2) ** -103


@routine
def kept_and_filled(x, count, kept, filled):
    store(data_of(kept), 0, keep_part(load(data_of(x), 0), count))
    store(data_of(filled), 0, splat(data_of(x), 2.5))


@DTYPE
def test_a_part_is_kept_with_zeros_beyond_and_a_number_fills_every_lane(dtype: Any) -> None:
    width = 64 // np.dtype(dtype).itemsize
    for count in range(width + 1):
        x = np.where(np.arange(width) < count, 1.5, np.nan).astype(dtype)
        kept, filled = np.empty_like(x), np.empty_like(x)
        kept_and_filled(x, count, kept, filled)
        assert kept.tolist() == [1.5] * count + [0] * (width - count)
        assert filled.tolist() == [2.5] * width


def test_lanes_are_widened_exactly_and_narrowed_with_one_rounding() -> None:
    x, y = values(np.float32, count=2)
    sums = on_vectors(lambda x, y, *_: narrow(widen(x) + widen(y) * 2.0**-30))
    expected = x.astype(np.float64) + y.astype(np.float64) * 2.0**-30
    assert bits(sums(x, y)) == bits(expected.astype(np.float32))
    special, _ = pairs_of_special_values(np.float32)
    assert bits(on_vectors(lambda x, *_: narrow(widen(x)))(special)) == bits(np.float32(np.float64(special)))

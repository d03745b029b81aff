"""The largest and the smallest of a row of float16 or bfloat16, found by their bits as by their float32."""

from typing import Any

import numpy as np
import pytest

from softmaxjit._carriers import carried
from softmaxjit._jit import routine
from softmaxjit._kernels.shift import row_extremes
from softmaxjit._simd.memory import data_of

from .halves import HALVES, converted, every
from .vectors import Array

HALF = pytest.mark.parametrize("dtype", HALVES, ids=str)
LENGTHS = (*range(1, 101), 1000)


@routine
def extremes(x, start, n, found):
    found[0], found[1] = row_extremes(data_of(x), start, n, None)


def found_in(x: Array, start: int = 0) -> list[float]:
    found = np.zeros(2, np.float32)
    extremes(carried(x), start, x.size - start, found)
    return found.tolist()


def expected_of(x: Array) -> list[float]:
    """Return the extremes of what is not NaN."""
    single = converted(x, np.float32)
    kept = single[~np.isnan(single)]
    return [kept.max(initial=-np.inf), kept.min(initial=np.inf)]


def numbers(dtype: Any, signs: str) -> Array:
    """Return every number of a format that has one of the signs, in an order of chance; no NaN."""
    single = converted(every(dtype), np.float32)
    kept = ~np.isnan(single)
    if len(signs) == 1:
        kept &= np.signbit(single) == (signs == "-")
    return np.random.default_rng(0).permutation(every(dtype)[kept])


@pytest.mark.parametrize("signs", ["+", "-", "+-"])
@HALF
def test_of_rows_of_every_length(dtype: Any, signs: str) -> None:
    x = numbers(dtype, signs)
    for n in LENGTHS:
        for k in range(0, 40 * n, n):
            row = np.take(x, range(k, k + n), mode="wrap")
            assert found_in(row) == expected_of(row), (n, k)


@pytest.mark.parametrize("signs", ["+", "-", "+-"])
@HALF
def test_wherever_the_extremes_are(dtype: Any, signs: str) -> None:
    x = np.sort(converted(numbers(dtype, signs), np.float32)).astype(dtype)
    for n in (32, 33, 71):
        row = x[1000 : 1000 + n].copy()
        for k in range(n):
            assert found_in(np.roll(row, k)) == expected_of(row), (n, k)


@pytest.mark.parametrize("signs", ["+", "-", "+-"])
@HALF
def test_nan_of_any_sign_and_payload_are_passed_over(dtype: Any, signs: str) -> None:
    x, patterns = numbers(dtype, signs), every(dtype)
    nans = patterns[np.isnan(converted(patterns, np.float32))]
    for k, nan in enumerate(nans[:: 1 + nans.size // 500]):
        row = x[k : k + 50].copy()
        row[k % 50] = nan
        assert found_in(row) == expected_of(row), k
    assert found_in(nans[:50]) == [-np.inf, np.inf]


@HALF
def test_infinities_are_extremes(dtype: Any) -> None:
    for values in ([np.inf, 1], [-np.inf, -1], [np.inf, -np.inf], [np.inf, np.inf], [-np.inf, -np.inf], [-np.inf, 1]):
        row = np.resize(np.array(values), 40).astype(dtype)
        assert found_in(row) == [max(values), min(values)]


@HALF
def test_what_is_beside_a_row_does_not_count(dtype: Any) -> None:
    whole = np.resize(np.array([np.inf, -np.inf]), 100).astype(dtype)
    for n in range(1, 80):
        whole[20:] = numbers(dtype, "+-")[:80]
        assert found_in(whole[: 20 + n], 20) == expected_of(whole[20 : 20 + n])

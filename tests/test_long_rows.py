"""A long row shared out among threads: the same bits as by one thread, whatever it holds."""

from typing import Any

import numpy as np
import pytest

from softmaxjit import softmax
from softmaxjit._kernels.long_rows import softmax_long_rows
from softmaxjit._kernels.softmax import softmax_rows
from softmaxjit._kernels.sums import FLUSHED_ELEMENTS
from softmaxjit._kernels.temperature import ONE_FOR_ALL, ONE_FOR_EACH_ROW
from softmaxjit._plan import LONG_ROW

from .exact import assert_same_bits
from .oracles import DTYPES
from .test_tiles import FAMILIES

# Around one, two and three blocks, and around what of them the inner loop leaves over.
LENGTHS = [blocks * FLUSHED_ELEMENTS + k for blocks in (1, 2, 3) for k in (-1, 0, 1, 63, 64, 65, 1000)]


def row_of(family: str, n: int, dtype: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        return FAMILIES[family](np.random.default_rng(n), (1, n, 1)).astype(dtype).reshape(-1)


@pytest.mark.parametrize("parallel", [False, True], ids=["serial", "parallel"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_long_rows_have_the_bits_of_rows(family: str, dtype: Any, parallel: bool) -> None:
    for n in LENGTHS:
        x = row_of(family, n, dtype)
        expected, found = np.empty_like(x), np.empty_like(x)
        softmax_rows.compiled(x.dtype, ONE_FOR_ALL)(x, n, 1.0, expected)
        softmax_long_rows.compiled(x.dtype, ONE_FOR_ALL, parallel=parallel)(x, n, 1.0, found)
        assert_same_bits(found, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_several_long_rows_each_at_its_own_temperature(dtype: Any) -> None:
    n = 2 * FLUSHED_ELEMENTS + 100
    x = np.concatenate([row_of("near", n, dtype), row_of("far apart", n, dtype), row_of("equal", n, dtype)])
    temperatures = np.array([0.5, 3.0, 1.0])
    expected = np.empty_like(x)
    softmax_rows.compiled(x.dtype, ONE_FOR_EACH_ROW)(x, n, temperatures, expected)
    for parallel in (False, True):
        found = x.copy()
        softmax_long_rows.compiled(x.dtype, ONE_FOR_EACH_ROW, parallel=parallel)(found, n, temperatures, found)
        assert_same_bits(found, expected)


@pytest.mark.parametrize("dtype", [*DTYPES, np.float16], ids=str)
@pytest.mark.parametrize("temperature", [1.0, 0.3, 0.0, np.inf])
def test_a_row_has_the_same_bits_on_any_number_of_threads(dtype: Any, temperature: float) -> None:
    for n in (LONG_ROW - 1, LONG_ROW, LONG_ROW + 1, 4 * FLUSHED_ELEMENTS):
        x = row_of("near", n, dtype)
        where = np.random.default_rng(1).random(n) < 0.5
        for mask in (None, where):
            expected = softmax(x, temperature=temperature, where=mask, threads=1)
            assert_same_bits(softmax(x, temperature=temperature, where=mask), expected)
            assert_same_bits(softmax(x, temperature=temperature, where=mask, threads=2), expected)
            in_place = x.copy()
            softmax(in_place, temperature=temperature, where=mask, out=in_place)
            assert_same_bits(in_place, expected)
        backwards = softmax(x[::-1], temperature=temperature, threads=1)
        assert_same_bits(softmax(x[::-1], temperature=temperature), backwards)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_in_any_block_makes_the_whole_row_nan(dtype: Any) -> None:
    n = 3 * FLUSHED_ELEMENTS
    for place in (0, FLUSHED_ELEMENTS + 5, n - 1):
        for value in (np.nan, np.inf):
            x = row_of("near", n, dtype)
            x[place] = value
            assert np.isnan(softmax(x)).all()
    x = np.full(n, -np.inf, dtype)
    assert np.isnan(softmax(x)).all()
    x[n - 1] = 3.0
    assert_same_bits(softmax(x), np.eye(1, n, n - 1, dtype)[0])

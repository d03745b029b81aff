"""Short rows and rows that lie across memory: the same bits as rows one by one, whatever they hold."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from softmaxjit import softmax
from softmaxjit._carriers import carried
from softmaxjit._kernels.softmax import softmax_rows
from softmaxjit._kernels.temperature import ONE_FOR_ALL, ONE_FOR_EACH_ROW
from softmaxjit._kernels.tiles import softmax_across, softmax_short_rows
from softmaxjit._plan import LONGEST_ACROSS, SHORT_ROW

from .exact import assert_same_bits
from .oracles import DTYPES

ALL_DTYPES = [*DTYPES, np.float16, ml_dtypes.bfloat16]

# Of up to one vector, of less than a block of the sums, around one and two blocks, and many.
LENGTHS = (1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200, 1000)

FAMILIES = {
    "near": lambda rng, shape: rng.standard_normal(shape),
    "confident": lambda rng, shape: 30 * rng.standard_normal(shape),
    "far apart": lambda rng, shape: 400 * rng.standard_normal(shape),
    "far from 0": lambda rng, shape: rng.standard_normal(shape) + 3e4,
    "all kinds": lambda rng, shape: rng.choice([0.0, -0.0, 1.0, -200.0, 300.0, -np.inf], shape),
    "not finite": lambda rng, shape: rng.choice([0.0, 1.0, 2.0, 3.0, -np.inf, np.inf, np.nan], shape),
}


def one_by_one(x: np.ndarray, temperature: Any) -> np.ndarray:
    """Return the softmax of an array of shape (outer, n, inner) along n, by the kernel of rows."""
    rows = np.ascontiguousarray(x.swapaxes(1, 2))
    out = np.empty_like(rows)
    kind = ONE_FOR_ALL if isinstance(temperature, float) else ONE_FOR_EACH_ROW
    kernel = softmax_rows.compiled(x.dtype, kind)
    kernel(carried(rows.reshape(-1)), x.shape[1], temperature, carried(out.reshape(-1)))
    return np.ascontiguousarray(out.swapaxes(1, 2))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ALL_DTYPES)
def test_tiles_have_the_bits_of_rows_one_by_one(dtype: Any, family: str) -> None:
    rng = np.random.default_rng(0)
    for n in LENGTHS:
        for outer, inner in ((37, 1), (16, 1), (5, 3), (2, 16), (2, 49), (1, 130)):
            x = FAMILIES[family](rng, (outer, n, inner)).astype(dtype)
            for temperature in (1.0, rng.uniform(0.3, 3.0, outer * inner)):
                kind = ONE_FOR_ALL if isinstance(temperature, float) else ONE_FOR_EACH_ROW
                out = np.empty_like(x)
                if inner == 1:
                    kernel = softmax_short_rows.compiled(x.dtype, kind)
                    kernel(carried(x.reshape(-1)), n, temperature, carried(out.reshape(-1)))
                else:
                    kernel = softmax_across.compiled(x.dtype, kind)
                    kernel(carried(x.reshape(-1)), n, inner, temperature, carried(out.reshape(-1)))
                expected = one_by_one(x, temperature)
                assert out.dtype == expected.dtype
                assert_same_bits(out.astype(np.float64), expected.astype(np.float64))  # NumPy knows no NaN of bfloat16


@pytest.mark.parametrize("dtype", ALL_DTYPES)
def test_a_short_row_has_the_same_bits_alone_and_among_others(dtype: Any) -> None:
    for n in range(1, max(SHORT_ROW.values()) + 2):
        x = (4 * np.random.default_rng(n).standard_normal((50, n))).astype(dtype)
        together = softmax(x)
        for row, result in zip(x, together, strict=True):
            assert_same_bits(result, softmax(row))
        assert_same_bits(softmax(x[3:40]), together[3:40])


@pytest.mark.parametrize("axis", [0, 1, (0, 1), -2])
@pytest.mark.parametrize("dtype", ALL_DTYPES)
def test_any_axis_has_the_bits_of_the_last(dtype: Any, axis: Any) -> None:
    x = (4 * np.random.default_rng(0).standard_normal((6, 70, 21))).astype(dtype)
    axes = axis if isinstance(axis, tuple) else (axis,)
    places = tuple(range(-len(axes), 0))
    expected = np.moveaxis(softmax(np.ascontiguousarray(np.moveaxis(x, axes, places)), places), places, axes)
    assert_same_bits(softmax(x, axis), np.ascontiguousarray(expected))
    assert_same_bits(softmax(x, axis, threads=1), np.ascontiguousarray(expected))


def test_along_another_axis_the_result_may_replace_the_logits() -> None:
    x = np.random.default_rng(0).standard_normal((40, 50))
    expected = softmax(x, 0)
    assert softmax(x, 0, out=x) is x
    assert_same_bits(x, expected)


@pytest.mark.parametrize("offset", [-50, -1, 1, 50])
def test_along_another_axis_the_result_may_overlap_the_logits(offset: int) -> None:
    memory = np.random.default_rng(0).standard_normal(40 * 50 + 50)
    start = max(0, -offset)
    x, out = memory[start : start + 2000].reshape(40, 50), memory[start + offset :][:2000].reshape(40, 50)
    expected = softmax(x.copy(), 0)
    softmax(x, 0, out=out)
    assert_same_bits(out, expected)


@pytest.mark.parametrize("n", [LONGEST_ACROSS, LONGEST_ACROSS + 1, 70_000])
def test_rows_that_are_too_long_to_be_taken_as_they_lie_have_the_same_bits(n: int) -> None:
    x = np.random.default_rng(0).standard_normal((n, 3)).astype(np.float32)
    assert_same_bits(softmax(x, 0), np.ascontiguousarray(softmax(np.ascontiguousarray(x.T)).T))


@pytest.mark.parametrize("temperature", [0.0, 1e-30, 1e30, np.inf, [[0.0, 1.0, np.inf, 2.0, 1e-20]]])
def test_along_another_axis_any_temperature_is_taken(temperature: Any) -> None:
    x = np.random.default_rng(0).standard_normal((7, 5))
    columns = np.broadcast_to(temperature, (1, 5)).T
    expected = softmax(np.ascontiguousarray(x.T), temperature=columns).T
    assert_same_bits(softmax(x, 0, temperature=temperature), np.ascontiguousarray(expected))

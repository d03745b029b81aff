"""Rows in groups: the same bits as rows one by one, whatever they hold and however many there are."""

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from softmaxjit import log_softmax, softmax
from softmaxjit._kernels.groups import GROUP_ELEMENTS
from softmaxjit._kernels.others import OTHERS_BLOCK_ELEMENTS
from softmaxjit._plan import FEWEST_ROWS, GROUPED, GROUPED_ROW, KERNELS, SHORT_ROW

from .exact import assert_same_bits
from .oracles import DTYPES
from .test_tiles import FAMILIES, OF_SAME_SHAPE, OPERATIONS, result_of, run

ALL_DTYPES = [*DTYPES, np.float16, ml_dtypes.bfloat16]

# Of a vector, of parts of one more, around what is summed four vectors at a time, and up to what is a group by itself.
LENGTHS = (16, 17, 24, 31, 32, 33, 47, 63, 64, 65, 80, 127, 128, 129, 200, 1000, GROUP_ELEMENTS)

# Fewer than a group, one, one and a row more, and blocks of groups.
NUMBERS = (1, 2, 7, 8, 9, 15, 16, 17, 70, 1500)


def both_ways(operation: str, x: np.ndarray, temperature: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the results of rows in groups, and of rows one by one, as float64."""
    results = []
    for kernels in (GROUPED, KERNELS):
        out = result_of(operation, x, 1)
        run(kernels[operation], x, (x.shape[1],), temperature, out)
        results.append(out.astype(np.float64))  # NumPy knows no NaN of bfloat16
    return results[0], results[1]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ALL_DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_groups_have_the_bits_of_rows_one_by_one(operation: str, dtype: Any, family: str) -> None:
    rng = np.random.default_rng(0)
    for n, rows in itertools.product(LENGTHS, (37, 5)):
        x = np.asarray(FAMILIES[family](rng, (rows, n, 1)))[..., 0].astype(dtype)
        temperatures = (1.0, 0.7, rng.choice([0.3, 1.0, 2.9], rows))
        for temperature in temperatures if operation in OF_SAME_SHAPE else (None,):
            assert_same_bits(*both_ways(operation, x, temperature))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_any_number_of_rows_can_be_a_group(operation: str, dtype: Any) -> None:
    for rows, n in itertools.product(NUMBERS, (16, 40, 150)):
        x = (4 * np.random.default_rng(rows).standard_normal((rows, n))).astype(dtype)
        assert_same_bits(*both_ways(operation, x, 1.0 if operation in OF_SAME_SHAPE else None))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_one_row_of_another_kind_changes_nothing_for_its_group(operation: str, dtype: Any) -> None:
    """Wherever it is, and whatever has to be done for it."""
    rng = np.random.default_rng(1)
    others = {
        "confident": lambda n: np.where(np.arange(n) == n // 2, 200.0, 0.0),
        "nearly confident": lambda n: np.where(np.arange(n) == n - 1, 15.0, rng.random(n)),
        "far": lambda n: rng.standard_normal(n) - 1e5,
        "wide": lambda n: 1e4 * rng.standard_normal(n),
        "empty": lambda n: np.full(n, -np.inf),
        "infinite": lambda n: np.where(np.arange(n) == 3, np.inf, 0.0),
        "NaN": lambda n: np.where(np.arange(n) == n - 1, np.nan, 0.0),
        "NaN and infinity": lambda n: np.where(np.arange(n) % 5 == 0, np.nan, np.inf),
    }
    for n, place, row in itertools.product((16, 41, 70), (0, 5, 15, 16, 20), others.values()):
        x = rng.standard_normal((21, n)).astype(dtype)
        x[place] = row(n)
        in_groups, alone = both_ways(operation, x, 1.0 if operation in OF_SAME_SHAPE else None)
        assert_same_bits(in_groups, alone)


def named(temperature: Any) -> dict[str, Any]:
    return {} if temperature is None else {"temperature": temperature}


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_masks_and_temperatures_of_any_range_give_each_row_the_bits_it_has_alone(operation: str, dtype: Any) -> None:
    rng = np.random.default_rng(2)
    for n in (45, 100):
        x = (5 * rng.standard_normal((40, n))).astype(dtype)
        where = rng.random((40, n)) < 0.6
        where[7] = False
        taus = rng.choice([0.0, np.inf, 1e-30, 0.7, 1.0, 3.0], (40, 1))
        for temperature in (1.0, 0.0, 1e-300, taus) if operation in OF_SAME_SHAPE else (None,):
            together = OPERATIONS[operation](x, where=where, **named(temperature))
            taus_of_rows = [None] * 40 if temperature is None else np.broadcast_to(temperature, (40, 1))
            for k, tau in enumerate(taus_of_rows):
                alone = OPERATIONS[operation](x[k].copy(), where=where[k].copy(), **named(tau))
                assert_same_bits(np.float64(together[k]), np.float64(alone))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ALL_DTYPES)
@pytest.mark.parametrize("operation", [softmax, log_softmax])
def test_results_may_replace_the_logits(operation: Any, dtype: Any, threads: int) -> None:
    for rows, n in ((40, 50), (3000, 127)):
        x = np.random.default_rng(3).standard_normal((rows, n)).astype(dtype)
        expected = operation(x, threads=1)
        assert operation(x, out=x, threads=threads) is x
        assert_same_bits(x, expected)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_group_is_cut_nowhere_that_shows(operation: str) -> None:
    x = np.random.default_rng(4).standard_normal((4000, 50)).astype(np.float32)
    whole = OPERATIONS[operation](x)
    for first, last in ((1, 9), (13, 29), (100, 3999)):
        assert_same_bits(OPERATIONS[operation](x[first:last]), whole[first:last])


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_around_the_boundaries_of_the_plan_bits_are_those_of_a_row_alone(operation: str, dtype: Any) -> None:
    size = np.dtype(dtype).itemsize
    for boundary in (SHORT_ROW[operation][size], GROUPED_ROW[operation][size]):
        for n in (boundary, boundary + 1):
            x = np.random.default_rng(n).standard_normal((FEWEST_ROWS, n)).astype(dtype)
            together = OPERATIONS[operation](x)
            for row, result in zip(x, together, strict=True):
                assert_same_bits(result, OPERATIONS[operation](row))


def test_a_row_of_a_whole_block_of_sums_is_the_longest() -> None:
    x = np.random.default_rng(5).standard_normal((20, OTHERS_BLOCK_ELEMENTS)).astype(np.float32)
    for operation in ("log_softmax", "logsumexp"):
        assert_same_bits(*both_ways(operation, x, 1.0 if operation in OF_SAME_SHAPE else None))

"""Every operation against extended precision, over lengths and input families."""

import warnings
from pathlib import Path
from typing import Any

import mpmath
import numba
import numpy as np
import pytest

from softmaxjit._kernels.shift import _LIMITS

from .children import finish, start
from .oracles import DTYPES, LENGTHS, OPERATIONS, TEMPERATURES, Operation, families, ulp_error


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_error_is_within_the_bound(operation: Operation, dtype: type, n: int) -> None:
    rows = max(4, 2000 // n)
    temperatures = TEMPERATURES if operation.takes_temperature else (1.0,)
    errors = {
        (name, temperature): operation.error(x, temperature)
        for name, x in families(n, dtype, rows)
        for temperature in temperatures
    }
    worst = max(errors, key=lambda case: errors[case])
    assert errors[worst] <= operation.bound, worst


@pytest.mark.parametrize(
    ("dtype", "n", "family", "seed"),
    [
        # Without the correction of the largest exponential: 3.80 and 3.88 ulp.
        (np.float64, 17, "descending", 9),
        (np.float32, 400, "descending", 21),
    ],
)
def test_the_error_of_the_largest_exponential_does_not_spread_over_its_row(
    dtype: type, n: int, family: str, seed: int
) -> None:
    x = dict(families(n, dtype, 20_000 // n, seed))[family]
    assert OPERATIONS[0].error(x, 0.37) <= 3.5


@pytest.mark.parametrize(
    # Where partial sums are taken to be larger than what is added: 3.92 and 4.15 ulp.
    ("dtype", "n", "seed", "shape"),
    [(np.float64, 64, 1, (40_000, 0.1)), (np.float32, 128, 3, (15_625, 0.5))],
)
def test_the_sum_of_a_row_is_as_exact_where_its_largest_exponentials_come_late(
    dtype: type, n: int, seed: int, shape: tuple[int, float]
) -> None:
    rows, spread = shape
    rng = np.random.default_rng(seed)
    x = rng.uniform(-14, -7, (rows, n))
    x[np.arange(rows), rng.integers(n // 2, n, rows)] = rng.uniform(0, spread, rows)
    assert OPERATIONS[0].error(x.astype(dtype), 1.0) <= 3.6


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_agrees_with_fifty_digits_where_the_oracle_is_only_extended(dtype: type) -> None:
    with mpmath.workdps(50), np.errstate(over="ignore", under="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "overflow encountered in conversion from string")
        for n in (2, 5, 17):
            for name, x in families(n, dtype, 2):
                result = OPERATIONS[0].compute(x)
                logs = OPERATIONS[1].compute(x)
                for row, ours, our_logs in zip(x, result, logs, strict=True):
                    largest = mpmath.mpf(float(row.max()))
                    e = [mpmath.exp(mpmath.mpf(float(v)) - largest) for v in row]
                    total = mpmath.fsum(e)
                    others = mpmath.fsum(v for k, v in enumerate(e) if k != int(row.argmax()))
                    exact = np.array([np.longdouble(mpmath.nstr(v / total, 25)) for v in e])
                    z = [mpmath.mpf(float(v)) - largest - mpmath.log1p(others) for v in row]
                    exact_logs = np.array([np.longdouble(mpmath.nstr(v, 25)) for v in z])
                    assert ulp_error(ours, exact) <= 4, (name, n)
                    assert ulp_error(our_logs, exact_logs) <= 2, (name, n)


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_below_the_smallest_normal_number_are_zero(dtype: type) -> None:
    tiny = np.finfo(dtype).tiny
    gap = -np.log(float(tiny))
    for n in (2, 40):
        x = np.full((200, n), -1e4, dtype)
        x[:, 0] = 0
        x[:, 1] = np.linspace(-gap - 3, -gap + 3, 200)
        result = OPERATIONS[0].compute(x)[:, 1]
        with np.errstate(under="ignore"):
            exact = OPERATIONS[0].exact(x)[:, 1]
        assert (result[exact < 0.99 * tiny] == 0).all()
        assert (result[exact > 1.01 * tiny] >= tiny).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [5.3, -1e-3, 1e5, 3e38])
def test_one_element_has_probability_exactly_one(dtype: type, value: float) -> None:
    x = np.array([value], dtype)
    assert OPERATIONS[0].compute(x)[0] == 1
    assert OPERATIONS[1].compute(x)[0] == 0
    assert OPERATIONS[2].compute(x) == x[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 3, 7, 10, 100, 1000])
def test_equal_logits_share_equally_to_the_last_bit(dtype: type, n: int) -> None:
    x = np.full(n, 4.321, dtype)
    assert (OPERATIONS[0].compute(x) == dtype(1) / dtype(n)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_long_rows_of_equal_logits_do_not_drift(dtype: type) -> None:
    n = 300_001
    x = np.full(n, 0.123, dtype)
    assert ulp_error(OPERATIONS[0].compute(x), np.full(n, np.longdouble(1) / n)) <= 1


@pytest.mark.parametrize("values", [(0.0,), (3.7,), (0.5, 0.0, 0.0), (0.0, 1e-3)])
def test_rows_of_thirty_million_keep_the_bounds(values: tuple[float, ...]) -> None:
    """Where float32 partial sums lose count: 85 ulp in softmax and 4.4 in the others before they were flushed."""
    n = 30_000_000
    x = np.resize(np.array(values, np.float32), n)
    few = np.array(values, np.float32).astype(np.longdouble)
    e = np.exp(few - few.max())
    total = e.sum() * (n // len(values))
    first = slice(0, len(values))
    assert ulp_error(OPERATIONS[0].compute(x)[first], e / total) <= 4
    assert ulp_error(OPERATIONS[1].compute(x)[first], few - few.max() - np.log(total)) <= 2
    assert ulp_error(np.atleast_1d(OPERATIONS[2].compute(x)), np.atleast_1d(few.max() + np.log(total))) <= 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [1e-30, 1e-13, 2.0**-40, 1e-3, 1e3, 2.0**40, 1e13, 1e30])
def test_any_temperature_keeps_the_bound(dtype: type, temperature: float) -> None:
    rng = np.random.default_rng(0)
    for spread in (1.0, 30.0, 3000.0):
        x = (rng.standard_normal((50, 33)) * spread * temperature).astype(dtype)
        if not np.isfinite(x).all() or np.abs(x).max() < np.finfo(dtype).tiny * 1e6:
            continue
        for operation in OPERATIONS[:2]:
            assert operation.error(x, temperature) <= operation.bound


def test_a_difference_beyond_the_range_is_divided_by_a_large_temperature() -> None:
    x = np.array([1.7e308, -1.7e308])
    assert OPERATIONS[1].error(x[np.newaxis], 1e300) <= 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [1e-13, 1.9e-30, 3.9e-30, 7.9e-30])
def test_a_quotient_by_a_small_temperature_does_not_overflow_on_the_way(dtype: type, temperature: float) -> None:
    largest = float(np.finfo(dtype).max)
    x = np.array([[0, -0.99 * largest * temperature], [-0.5 * largest * temperature, 0]]).astype(dtype)
    for operation in OPERATIONS[:2]:
        assert operation.error(x, temperature) <= operation.bound
        assert operation.error(x[:, ::-1], temperature) <= operation.bound


def rows_below(gaps: np.ndarray, n: int, dtype: type, at: int) -> np.ndarray:
    """Return rows of which one element is 0 and the others are a little less than `gaps` below."""
    x = (np.random.default_rng(n).uniform(0, 0.5, (gaps.size, n)) - gaps[:, np.newaxis]).astype(dtype)
    x[:, at] = 0
    return x


@pytest.mark.parametrize("n", [2, 17, 100, 2049, 5000])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS[1:], ids=lambda operation: operation.name)
def test_logarithms_of_confident_rows_keep_the_bound(operation: Operation, dtype: type, n: int) -> None:
    """Where the maximum is cancelled from the sum, where it is left out, and where one gives way to the other.

    That is where the others together are 2**-14, 2**-20 or 2**-34 of the maximum.  Cancelling everywhere: infinite.
    """
    changes = [octaves * np.log(2) + np.log(n - 1) + np.linspace(-0.7, 1.2, 20) for octaves in (14, 20, 34)]
    gaps = np.concatenate([*changes, np.linspace(1, 200, 100)])
    for at in (0, n - 1):
        assert operation.error(rows_below(gaps, n, dtype, at)) <= operation.bound


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS[1:], ids=lambda operation: operation.name)
def test_maxima_that_tie_count_each(operation: Operation, dtype: type) -> None:
    for n, ties in ((2, 2), (17, 2), (40, 3), (3000, 2)):
        x = rows_below(np.linspace(1, 200, 50), n, dtype, 0)
        x[:, n - ties + 1 :] = 0
        for shift in (0, 5.3, -1000.7):
            assert operation.error(x + dtype(shift)) <= operation.bound


@pytest.mark.parametrize("n", [2047, 2048, 2049, 4096, 4113, 10_000])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS[1:], ids=lambda operation: operation.name)
def test_the_blocks_of_a_sum_join(operation: Operation, dtype: type, n: int) -> None:
    for _, x in families(n, dtype, 2):
        assert operation.error(x) <= operation.bound


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [1.0, 0.37, 0.5, 2.9, 3.1, 7e-4, 1e10])
def test_infinitely_unlikely_elements_have_logarithms_of_minus_infinity(dtype: type, temperature: float) -> None:
    for largest in (0.0, 0.3, -7.7, 3e38):
        x = np.full(21, largest, dtype)
        x[::2] = -np.inf
        result = OPERATIONS[1].compute(x, temperature=temperature)
        assert (result[::2] == -np.inf).all()
        assert ulp_error(result[1::2], np.full(10, -np.log(np.longdouble(10)))) <= 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [1.0, 1.3, 1e5, 2.0**40])
def test_differences_beyond_the_range_of_the_dtype_are_divided_by_the_temperature(
    dtype: type, temperature: float
) -> None:
    largest = np.finfo(dtype).max
    x = np.array([[1, -1, 0.5, -0.7, 1e-30], [-1, -0.25, -1, -0.9, -0.25], [1e-3, -1, -0.999, 0, 0]]) * largest
    assert OPERATIONS[1].error(x.astype(dtype), temperature) <= 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [1.0, 0.37, 2.9, 2.0**-40])
def test_the_logarithm_of_certainty_is_exactly_zero(dtype: type, temperature: float) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    for value in (0.0, 5.3, -1e-3, 1e5, -3e38, tiny, -3 * tiny):
        assert OPERATIONS[1].compute(np.array([value], dtype), temperature=temperature)[0] == 0
        certain = np.array([value, -np.inf], dtype)
        assert OPERATIONS[1].compute(certain, temperature=temperature).tolist() == [0, -np.inf]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_elements_far_below_the_maximum_meet_no_subnormal_number_and_come_to_nothing(dtype: type) -> None:
    """In powers of two: what is raised to the reach is multiplied by the low part of the inverse of a sum."""
    limits, info = _LIMITS[numba.from_dtype(np.dtype(dtype))], np.finfo(dtype)
    reach, log_reach = -limits.reach / np.log(2), -limits.log_reach / np.log(2)
    most_elements = 24
    assert np.log2(limits.headroom) + reach + np.log2(info.eps) - most_elements > info.minexp
    assert reach < info.minexp
    assert log_reach + most_elements < np.log2(dtype(info.smallest_subnormal)) - 1


def worst_errors(dtype: type) -> dict[str, float]:
    """Return the largest error of each operation, by rows, by tiles of them and by rows across memory."""
    worst = dict.fromkeys((operation.name for operation in OPERATIONS), 0.0)
    for n in (2, 9, 17, 40, 130, 1000, 2049):
        for _, x in families(n, dtype, max(8, 100 // n)):
            for operation in OPERATIONS:
                for temperature in (1.0, 0.37) if operation.takes_temperature else (1.0,):
                    alone = operation._replace(compute=of_each_row(operation.compute))
                    across = operation._replace(compute=along_the_first_axis(operation.compute))
                    errors = [each.error(x, temperature) for each in (operation, alone, across)]
                    worst[operation.name] = max(worst[operation.name], *errors)
    return worst


def of_each_row(function: Any) -> Any:
    return lambda x, **keywords: np.stack([function(row, **keywords) for row in x])


def along_the_first_axis(function: Any) -> Any:
    return lambda x, **keywords: function(x.T.copy(), 0, **keywords).T


WITHOUT_FMA = """
import json
import numpy as np
from numba.core.registry import cpu_target
from tests.test_accuracy import worst_errors
assert "+fma" not in cpu_target.target_context.codegen().magic_tuple()[2].split(",")
print(json.dumps(worst_errors(np.{dtype})))
"""


def test_a_processor_without_fma_keeps_the_bounds(tmp_path: Path) -> None:
    scripts = [WITHOUT_FMA.format(dtype=dtype.__name__) for dtype in DTYPES]
    children = [start(script, tmp_path / "cache", NUMBA_CPU_NAME="generic") for script in scripts]
    for dtype, errors in zip(DTYPES, map(finish, children), strict=True):
        for operation in OPERATIONS:
            assert 0 < errors[operation.name] <= operation.bound, (operation.name, dtype)

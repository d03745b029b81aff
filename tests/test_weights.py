"""b, return_sign and keepdims of logsumexp: weighted sums of exponentials, their logarithms and signs."""

import warnings
from typing import Any

import mpmath
import numpy as np
import pytest

from softmaxjit import logsumexp

from . import exact
from .exact import assert_exact, assert_same_bits
from .oracles import LENGTHS

INF, NAN = np.inf, np.nan


def sample(shape: Any = (3, 4, 5), dtype: Any = np.float64, scale: float = 3.0) -> np.ndarray:
    return (np.random.default_rng(7).standard_normal(shape) * scale).astype(dtype)


def assert_all_exact(results: Any, expected: Any) -> None:
    for result, wanted in zip(results, expected, strict=True):
        assert_exact(result, wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_of_one_sign_in_rows_of_any_length(dtype: Any) -> None:
    for n in LENGTHS:
        x, b = sample((5, n), dtype), np.abs(sample((5, n), dtype, 1)) + dtype(0.01)
        for signed in (b, -b):
            results = logsumexp(x, b=signed, return_sign=True)
            assert_all_exact(results, exact.logsumexp(x, b=signed, return_sign=True))


@pytest.mark.parametrize("axis", [-1, 0, 1, None, (0, 2), ()], ids=str)
@pytest.mark.parametrize("shape", [(), (5,), (4, 1), (3, 1, 1), (3, 4, 5), (2, 1, 1, 5), (2, 3, 4, 5)], ids=str)
def test_b_and_x_broadcast_together(shape: Any, axis: Any) -> None:
    x, b = sample(), np.abs(sample(shape)) + 0.1
    for first, second in ((x, b), (b, x)):
        ranks = {"axis": axis, "keepdims": True, "return_sign": True}
        assert_all_exact(logsumexp(first, b=second, **ranks), exact.logsumexp(first, b=second, **ranks))


@pytest.mark.parametrize("b", [2, 0.5, True, np.float32(3), np.int8(-3), [1, 0, 2, 0], np.array([True, False] * 2)])
def test_scalars_integers_and_bool_are_weights(b: Any) -> None:
    x = sample((3, 4))
    expected = exact.logsumexp(x, b=np.asarray(b, float), return_sign=True)
    assert_all_exact(logsumexp(x, b=b, return_sign=True), expected)


def test_the_dtype_is_that_to_which_numpy_promotes_x_and_b() -> None:
    for x, b, dtype in (
        (np.float32, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.float32, np.int64, np.float64),
        (np.float32, np.int8, np.float64),
        (np.float32, np.bool_, np.float64),
        (np.float16, np.float16, np.float16),
        (np.float16, np.float32, np.float32),
        (np.int64, np.float32, np.float64),
    ):
        assert logsumexp(sample((3, 4)).astype(x), b=np.ones(4, b)).dtype == dtype
    for number in (2, 2.0, True):
        assert logsumexp(sample(4, np.float32), b=number).dtype == np.float32


def test_a_weight_of_zero_takes_an_entry_out_whatever_it_holds() -> None:
    for poison in (NAN, INF, -INF, 1e308):
        x = np.array([[poison, 1.0, 2.0], [3.0, poison, 2.0]])
        b = np.array([[0, 1.5, 0.5], [2.0, -0.0, 1.0]])
        assert_all_exact(logsumexp(x, b=b, return_sign=True), exact.logsumexp(x, b=b, return_sign=True))
        log, sign = logsumexp(x, b=0, return_sign=True)
        assert log.tolist() == [-INF, -INF]
        assert sign.tolist() == [0, 0]


def test_nan_and_infinities_among_values_and_weights() -> None:
    x = np.array([[1, NAN], [1, 2], [1, INF], [1, INF], [INF, INF], [1, 2], [1, 2], [-INF, -INF], [-INF, 3], [-INF, 3]])
    b = np.array([[1, 1], [1, NAN], [1, 2], [1, -2], [1, -1], [1, INF], [-INF, 1], [1, 2], [5, 1], [INF, 1]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log, sign = logsumexp(x, b=b, return_sign=True)
        assert_same_bits(logsumexp(x, b=b), np.where(sign < 0, NAN, log))
    assert np.array2string(log) == "[ nan  nan  inf  inf  nan  inf  inf -inf   3.  nan]"
    assert np.array2string(sign) == "[nan nan  1. -1. nan  1. -1.  0.  1. nan]"


def test_without_a_sign_the_logarithm_of_a_negative_sum_is_nan() -> None:
    x, b = np.zeros((3, 2)), np.array([[1, -2], [2, -1], [1, -1]])
    assert np.array2string(logsumexp(x, b=b)) == "[ nan   0. -inf]"
    log, sign = logsumexp(x, b=b, return_sign=True)
    assert log.tolist() == [0, 0, -INF]
    assert sign.tolist() == [-1, 1, 0]


def exact_with_digits(x: np.ndarray, b: np.ndarray) -> tuple[mpmath.mpf, int]:
    """Return log(abs(sum)) and the sign of the sum, from a sum of many digits."""
    with mpmath.workdps(800):
        total = mpmath.fsum(mpmath.mpf(float(w)) * mpmath.exp(mpmath.mpf(float(v))) for v, w in zip(x, b, strict=True))
        return +mpmath.log(abs(total)), int(mpmath.sign(total))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spread", [0, 1, 30, 700])
@pytest.mark.parametrize("decades", [0, 5, 30, 308])
def test_weights_and_values_of_any_range_are_within_an_ulp(dtype: Any, spread: float, decades: float) -> None:
    rng = np.random.default_rng([8, spread, decades])
    decades = min(decades, np.log10(np.finfo(dtype).max) - 0.6)
    for n in (1, 2, 9, 33):
        x = (spread * rng.uniform(-1, 1, n)).astype(dtype)
        b = (10.0 ** rng.uniform(-decades, decades, n)).astype(dtype)
        for weights in (b, -b):
            log, sign = logsumexp(x, b=weights, return_sign=True)
            value, right_sign = exact_with_digits(x, weights)
            assert sign == right_sign
            scale = np.spacing(dtype(max(abs(log), np.abs(x).max(), np.finfo(dtype).tiny)))
            assert abs(float(mpmath.mpf(float(log)) - value)) <= scale


@pytest.mark.parametrize("distance", [0.0, 479.99, 480.01, 740.0])
@pytest.mark.parametrize("octaves", [0, 199, 200, 201, 500])
def test_ranges_about_the_bounds_of_what_one_pass_sums_are_within_an_ulp(distance: float, octaves: int) -> None:
    for n in (2, 8, 17, 40):
        x = np.linspace(-distance, 0, n)[::-1] + 3.0
        for far, heavy in ((0, -1), (-1, 0), (0, 0)):
            b = np.where(np.arange(n) % 3 == 1, -0.7, 1.1)
            b[far] *= 2.0**-octaves
            b[heavy] *= 2.0**octaves
            log, sign = logsumexp(x, b=b, return_sign=True)
            value, right_sign = exact_with_digits(x, b)
            assert sign == right_sign
            assert abs(float(mpmath.mpf(float(log)) - value)) <= np.spacing(max(abs(log), 480.0))


@pytest.mark.parametrize("octaves", [-1010, 0, 1010])
@pytest.mark.parametrize("digits", [3, 8, 14])
def test_sums_that_cancel_keep_the_accuracy_of_their_terms(digits: int, octaves: int) -> None:
    x = np.random.default_rng(9).uniform(-5, 5, 30)
    b = np.where(np.arange(30) % 2, -(2.0**octaves), 2.0**octaves)
    x[1::2] = x[::2] * (1 + 10.0**-digits)
    log, sign = logsumexp(x, b=b, return_sign=True)
    value, right_sign = exact_with_digits(x, b)
    terms, _ = exact_with_digits(x, abs(b))
    assert sign == right_sign
    rounding = np.spacing(max(abs(log), 5))
    assert abs(float(mpmath.mpf(float(log)) - value)) <= rounding + 2.0**-64 * float(mpmath.exp(terms - value))


def test_the_smallest_and_largest_numbers_meet() -> None:
    for x, b in (
        ([700.0, -700.0], [1e-308, 1e308]),
        ([1e308, -1e308], [5e-324, 1e308]),
        ([-1e308, -1e308], [1e308, 1e308]),
        ([-745.0, 709.0], [-1.7e308, 5e-324]),
        ([0.0, 0.0], [1.7e308, 1.7e308]),
        ([0.0, 1e-300], [5e-324, 5e-324]),
    ):
        log, sign = logsumexp(x, b=b, return_sign=True)
        wanted = exact.logsumexp(np.array(x), b=np.array(b), return_sign=True)
        assert_all_exact((log, sign), wanted)


def test_weights_of_one_give_what_no_weights_give() -> None:
    for dtype in (np.float32, np.float64):
        x = sample((40, 130), dtype, 10)
        np.testing.assert_array_max_ulp(logsumexp(x, b=np.ones_like(x)), logsumexp(x), 1)


def test_the_sign_without_weights_is_one_but_for_nothing_and_nan() -> None:
    x = np.array([[1.0, 2], [-INF, -INF], [NAN, 1], [INF, -INF], [INF, INF]])
    log, sign = logsumexp(x, return_sign=True)
    assert_same_bits(log, logsumexp(x))
    assert np.array2string(sign) == "[ 1.  0. nan  1.  1.]"
    log, sign = logsumexp(np.empty((2, 0)), return_sign=True)
    assert log.tolist() == [-INF, -INF]
    assert sign.tolist() == [0, 0]


@pytest.mark.parametrize("axis", [-1, 0, None, (0, 2), ()], ids=str)
@pytest.mark.parametrize("b", [None, 1.5])
def test_keepdims_and_out_with_and_without_a_sign(axis: Any, b: Any) -> None:
    x = sample()
    for dtype in (np.float16, np.float32, np.float64, np.longdouble):
        plain = logsumexp(x.astype(dtype), axis, b=b)
        kept = logsumexp(x.astype(dtype), axis, b=b, keepdims=True)
        assert kept.shape == x.sum(axis=axis, keepdims=True).shape
        assert_same_bits(kept.reshape(np.shape(plain)), plain)
        out = np.full_like(kept, 77)
        log, sign = logsumexp(x.astype(dtype), axis, b=b, keepdims=True, return_sign=True, out=out)
        assert log is out
        assert_same_bits(out, kept)
        assert_same_bits(sign, np.ones_like(kept))


def test_scalars_come_as_scalars_of_the_right_dtype() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        log, sign = logsumexp(sample(5).astype(dtype), return_sign=True)
        assert type(log) is dtype
        assert type(sign) is dtype


def test_out_may_lie_in_the_memory_of_b_or_x() -> None:
    x, b = sample((4, 6)), np.abs(sample((4, 6)))
    expected = logsumexp(x, b=b)
    for k in range(2):
        arguments = [x.copy(), b.copy()]
        out = arguments[k].reshape(-1)[3:7]
        logsumexp(arguments[0], b=arguments[1], out=out)
        assert_same_bits(out, expected)


def test_large_weighted_calls_are_the_same_in_parallel() -> None:
    x, b = sample((500, 300)), sample((500, 300), scale=1)
    whole = logsumexp(x, b=b, return_sign=True, threads=2)
    for result, alone in zip(whole, logsumexp(x[7:9], b=b[7:9], return_sign=True), strict=True):
        assert_same_bits(result[7:9], alone)

"""The plain NumPy path, which longdouble, complex numbers and ``NUMBA_DISABLE_JIT`` take, where numbers are extreme."""

from typing import Any

import numpy as np
import pytest

from softmaxjit import _plain, _plain_labelled, log_softmax, log_softmax_vjp, logsumexp, softmax
from softmaxjit.calibration import nll

INF, NAN = np.inf, np.nan
L = np.longdouble
HUGE = np.finfo(L).max


@pytest.mark.parametrize("dtype", [np.float64, L, complex])
@pytest.mark.parametrize(
    ("x", "b", "log", "sign"),
    [
        ([1000.0, 1000.0], [1, -1], -INF, 0),
        ([1000.0, 1000.0], [1e-308, 1e308], 1000 + np.log(1e308), 1),
        ([-1000.0, -1000.0], [1e-308, 1e308], -1000 + np.log(1e308), 1),
        ([1000.0, 1000.0], [-1e308, -1e308], 1000 + np.log(1e308) + np.log(2), -1),
        ([INF, 1000.0], [1, -1], INF, 1),
        ([INF, 1000.0], [-2, 1], INF, -1),
        ([-1000.0, 1.0], [INF, 1], INF, 1),
        ([0.0, 1.0], [0, 0], -INF, 0),
        ([-INF, -INF], [1, 2], -INF, 0),
    ],
)
def test_weighted_sums_neither_overflow_nor_lose_their_sign(
    dtype: Any, x: list[float], b: list[float], log: float, sign: float
) -> None:
    result, its_sign = logsumexp(np.array(x, dtype), b=np.array(b, float), return_sign=True)
    assert result == pytest.approx(log, rel=1e-15)
    assert its_sign == pytest.approx(sign)


@pytest.mark.parametrize("dtype", [np.float64, L])
def test_opposite_infinities_and_nan_have_no_sum(dtype: Any) -> None:
    for x, b in (([INF, INF], [1, -1]), ([NAN, 0.0], [1, 1]), ([0.0, INF], [NAN, 1]), ([-INF, 0.0], [INF, 1])):
        log, sign = logsumexp(np.array(x, dtype), b=b, return_sign=True)
        assert np.isnan(log)
        assert np.isnan(sign)


@pytest.mark.parametrize(("x", "y"), [(3.1, -3.0), (-3.1, 3.0), (2.0, 2.5)])
def test_angles_of_complex_sums_lie_between_minus_pi_and_pi(x: float, y: float) -> None:
    z = np.array([1 + 1j * x, 0.9 + 1j * y])
    assert logsumexp(z) == pytest.approx(np.log(np.exp(z).sum()), rel=1e-14)


def test_rows_as_wide_as_the_range_are_uniform_at_infinite_temperature() -> None:
    assert softmax(np.array([HUGE, -HUGE, 1], L), temperature=INF).tolist() == [L(1) / 3] * 3
    assert np.isnan(softmax(np.array([INF, 1], L), temperature=INF)).all()
    assert softmax(np.array([-INF, 1, 2], L), temperature=INF).tolist() == [0, 0.5, 0.5]


def test_a_difference_beyond_the_range_is_divided_by_a_large_temperature() -> None:
    wide = np.array([HUGE / 2, -HUGE, 1], L)
    result = log_softmax(wide, temperature=1e300)
    expected = (wide / L(1e300)) - (wide / L(1e300)).max()
    np.testing.assert_allclose((result[1:] / expected[1:]).astype(float), 1, rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_lies_below_the_smallest_normal_number_is_0_as_in_the_kernels(dtype: Any) -> None:
    tiny = np.finfo(dtype).tiny
    low = np.floor(np.log(tiny))
    x = np.array([[0, low, low - 3], [low - 30, 0, -1], [0, low + 2, low]], dtype)
    cotangent = np.broadcast_to(np.array([0, 0, 1], dtype), x.shape)
    for plain, compiled in (
        (_plain.softmax(x, 1.0, None), softmax(x)),
        (_plain.log_softmax(x, 1.0, None), log_softmax(x)),
        (_plain.log_softmax_vjp(x, cotangent, 1.0), log_softmax_vjp(x, cotangent)),
    ):
        assert (compiled == 0).any()
        assert not ((compiled != 0) & (np.abs(compiled) < tiny)).any()
        np.testing.assert_array_equal(plain == 0, compiled == 0)
        np.testing.assert_allclose(plain, compiled, rtol=64 * np.finfo(dtype).eps)


def test_longdouble_too_has_no_results_below_its_smallest_normal_number() -> None:
    x = np.array([0, np.floor(np.log(np.finfo(L).tiny))], L)
    assert softmax(x).tolist() == [1, 0]
    assert log_softmax(x).tolist() == [0, x[1]]
    assert log_softmax_vjp(x, np.array([1, 0], L)).tolist() == [0, 0]


@pytest.mark.parametrize(("dtype", "gap"), [(np.float32, 110), (np.float64, 800), (np.longdouble, 20000)])
def test_a_row_that_is_surely_wrong_loses_the_gap_and_not_everything(dtype: Any, gap: float) -> None:
    x = np.array([[0, gap, 1]], dtype)
    _, right, loss, brier = _plain_labelled.judgement(x, np.array([0]), True, 1.0)
    assert (right.tolist(), loss.tolist(), brier.tolist()) == ([0], [gap], [2])
    assert nll(x, [0], from_logits=True) == gap

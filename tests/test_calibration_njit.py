"""Losses, fits and metrics inside ``@njit``: the bits and errors of Python."""

import re
from typing import Any

import numpy as np
import pytest
from numba import njit, prange
from numba.core.errors import TypingError

from softmaxjit import cross_entropy, cross_entropy_and_grad
from softmaxjit._args.predictions import BATCH_ROWS
from softmaxjit.calibration import (
    VectorScalingFit,
    accuracy,
    bootstrap,
    brier_decomposition,
    brier_score,
    calibration_report,
    expected_calibration_error,
    fit_temperature,
    fit_vector_scaling,
    nll,
    reliability_curve,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 7)) * 3
LABELS = (X / 2 + RNG.gumbel(size=X.shape)).argmax(axis=1)
P = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
YES, ANSWERS = P[:, 0].copy(), (LABELS == 0).astype(np.int8)


def assert_same(result: Any, expected: Any) -> None:
    """Assert the same bits; a float32 leaves compiled code as a Python float."""
    if isinstance(expected, tuple):
        for ours, python in zip(result, expected, strict=True):
            assert_same(ours, python)
        return
    expected = np.asarray(expected)
    assert np.asarray(result, expected.dtype).tobytes() == expected.tobytes(), (result, expected)


@njit
def losses(x, labels, weight):
    return (
        cross_entropy(x, labels, weight=weight, ignore_index=3, label_smoothing=0.1, temperature=2),
        cross_entropy(x.T, labels, 0, reduction="none"),
        cross_entropy_and_grad(x, labels, weight=weight, label_smoothing=0.1)[1],
    )


@njit
def tempered(x, labels, temperature, out):
    return cross_entropy_and_grad(x, labels, temperature=temperature, reduction="none", out=out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_have_the_bits_of_python(dtype: Any) -> None:
    arguments = X.astype(dtype), LABELS, RNG.uniform(0, 2, 7)
    for result, expected in zip(losses(*arguments), losses.py_func(*arguments), strict=True):
        assert_same(result, expected)


def test_temperatures_and_out_of_any_layout() -> None:
    temperature = RNG.uniform(0.5, 2, (60, 1))
    temperature[7] = 1e-20
    out, other = np.empty((60, 14))[:, ::2], np.empty((60, 14))[:, ::2]
    loss, grad = tempered(X, LABELS, temperature, out)
    assert_same((loss, out), tempered.py_func(X, LABELS, temperature, other))
    assert grad.ctypes.data == out.ctypes.data


@njit
def smoothed(x, labels, weight):
    arguments = x, labels, -1
    loss = cross_entropy(*arguments, weight=weight, label_smoothing=0.5)
    return loss, *cross_entropy_and_grad(*arguments, weight=weight, label_smoothing=0.5)


def test_a_mean_is_nan_where_no_label_has_weight() -> None:
    arguments = X, np.zeros(60, np.int64), np.array([0.0, *[1.0] * 6])
    results = smoothed(*arguments)
    assert all(np.isnan(result).all() for result in results)
    assert all(np.isnan(result).all() for result in smoothed.py_func(*arguments))


@njit
def with_probabilities(x, q):
    return cross_entropy(x, q, label_smoothing=0.2), cross_entropy_and_grad(x, q)[1]


def test_labels_may_be_probabilities() -> None:
    loss, grad = with_probabilities(X, P[::-1].copy())
    expected, gradient = with_probabilities.py_func(X, P[::-1].copy())
    assert loss == pytest.approx(expected, rel=1e-15)
    assert_same(grad, gradient)


@njit(parallel=True)
def row_by_row(x, labels):
    result = np.empty(len(x))
    for i in prange(len(x)):
        result[i] = cross_entropy(x[i], labels[i])
    return result


def test_one_row_takes_one_label_inside_prange() -> None:
    assert_same(row_by_row(X, LABELS), cross_entropy(X, LABELS, reduction="none"))


@njit
def fits(x, labels, weight):
    return fit_temperature(x, labels), fit_temperature(x.T, labels, axis=0, sample_weight=weight)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fits_have_the_bits_of_python(dtype: Any) -> None:
    arguments = X.astype(dtype), LABELS, RNG.integers(0, 3, 60) / 7
    for result, expected in zip(fits(*arguments), fits.py_func(*arguments), strict=True):
        assert result == expected
        assert type(result) is type(expected)
    for labels, temperature in ((X.argmax(axis=1), 0.0), (X.argmin(axis=1), np.inf)):
        assert fits(X, labels, np.ones(60))[0].temperature == temperature
    assert fits(X, labels, np.ones(60))[0] == fit_temperature(X, labels)


@njit
def scalings(x, labels, weight, max_iter):
    return fit_vector_scaling(x, labels, sample_weight=weight, max_iter=max_iter)


def test_vector_scaling_has_the_bits_of_python() -> None:
    weight = RNG.integers(0, 3, 60)
    for max_iter in (500, 3):
        result = scalings(X, LABELS, weight, max_iter)
        assert_same(result, scalings.py_func(X, LABELS, weight, max_iter))
        assert type(result) is VectorScalingFit
        assert result.converged == (max_iter == 500)
    assert not scalings(X, X.argmax(axis=1), weight, 500).converged


@njit
def metrics_of_probabilities(p, labels):
    return (
        accuracy(p, labels),
        nll(p, labels),
        brier_score(p, labels),
        expected_calibration_error(p, labels),
        expected_calibration_error(p, labels, n_bins=5, binning="mass", norm=2, debias=True),
        expected_calibration_error(p, labels, norm=np.inf),
        expected_calibration_error(p, labels, n_bins=5, binning="mass", classwise=True),
        reliability_curve(p, labels, n_bins=4),
        brier_decomposition(p, labels, n_bins=4),
    )


@njit
def metrics_of_logits(x, labels):
    return (
        nll(x, labels, from_logits=True),
        expected_calibration_error(x, labels, from_logits=True),
        expected_calibration_error(x, labels, norm=2, classwise=True, from_logits=True),
        brier_decomposition(x, labels, from_logits=True, binning="mass"),
    )


@pytest.mark.parametrize(("p", "labels"), [(P, LABELS), (YES, ANSWERS)], ids=["classes", "yes"])
def test_metrics_of_probabilities_have_the_bits_of_python(p: Any, labels: Any) -> None:
    result, expected = metrics_of_probabilities(p, labels), metrics_of_probabilities.py_func(p, labels)
    assert_same(result, expected)
    assert [type(ours) for ours in result[-2:]] == [type(python) for python in expected[-2:]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_metrics_of_logits_have_the_bits_of_python(dtype: Any) -> None:
    assert_same(metrics_of_logits(X.astype(dtype), LABELS), metrics_of_logits.py_func(X.astype(dtype), LABELS))
    odds = np.log(YES / (1 - YES)).astype(dtype)
    assert_same(metrics_of_logits(odds, ANSWERS), metrics_of_logits.py_func(odds, ANSWERS))


@njit
def intervals(p, labels):
    return (
        bootstrap(nll, p, labels, n_resamples=30, rng=3),
        bootstrap(expected_calibration_error, p, labels, n_resamples=30, rng=3, confidence_level=0.8),
        bootstrap(expected_calibration_error, p, labels, n_resamples=30, rng=3, binning="mass", norm=2, n_bins=4),
    )


def test_resamples_have_the_bits_of_python() -> None:
    for result, expected in zip(intervals(P, LABELS), intervals.py_func(P, LABELS), strict=True):
        assert type(result) is type(expected)
        assert_same(result, expected)


@njit
def report(x, labels, temperature, where):
    return (
        calibration_report(x[:10], labels[:10], rng=3, n_resamples=20),
        calibration_report(x, labels, temperature=temperature, where=where, rng=3, n_resamples=20, n_bins=4),
    )


def test_reports_have_the_bits_of_python() -> None:
    where = np.arange(60) % 13 != 11
    x = X.astype(np.float32)
    x[where.argmin()] = np.nan  # of a row that does not count
    for temperature in (1.7, 0.0, np.inf, 1e-20, 2.0**-40):
        result, expected = report(x, LABELS, temperature, where), report.py_func(x, LABELS, temperature, where)
        assert_same(result, expected)
        assert type(result[0]) is type(expected[0])
        assert type(result[0].nll) is type(expected[0].nll)
        assert type(result[0].curve) is type(expected[0].curve)


def test_rows_beyond_a_batch_have_the_bits_of_python() -> None:
    rows = 2 * BATCH_ROWS + 5
    p = np.random.default_rng(1).dirichlet(np.ones(3), rows)
    labels = np.random.default_rng(2).integers(3, size=rows)
    assert_same(of_many(p, labels), of_many.py_func(p, labels))


@njit
def of_many(p, labels):
    return (
        nll(p, labels),
        expected_calibration_error(p, labels),
        reliability_curve(p, labels, n_bins=4),
        expected_calibration_error(p, labels, classwise=True, binning="mass"),
        brier_decomposition(p, labels),
    )


@njit
def loss_of(x, labels):
    return cross_entropy(x, labels)


@njit
def loss_with(x, labels, reduction):
    return cross_entropy(x, labels, reduction=reduction)


@njit
def fit_of(x, labels):
    return fit_temperature(x, labels)


@njit
def error_of(p, labels, n_bins, norm):
    return expected_calibration_error(p, labels, n_bins=n_bins, norm=norm)


@njit
def report_of(x, labels, temperature, where, rng):
    return calibration_report(x, labels, temperature=temperature, where=where, rng=rng, n_resamples=2)


@njit
def interval_without_seed(p, labels):
    return bootstrap(nll, p, labels)


@njit
def interval_of_something(p, labels):
    return bootstrap(np.mean, p, labels, rng=1)


def test_wrong_values_raise() -> None:
    bad = LABELS.copy()
    bad[5] = 7
    nan = X.copy()
    nan[3, 3] = np.nan
    impossible = X.copy()
    impossible[0, LABELS[0] - 1] = -np.inf
    for call, arguments, words in (
        (loss_of, (X, bad), "labels holds what is no class"),
        (loss_of, (X, -bad), "labels holds what is no class"),
        (loss_of, (X, LABELS[:5].copy()), "labels has another shape than the logits without the axis of classes"),
        (loss_of, (X, -P), "labels holds a negative number or NaN"),
        (fit_of, (nan, LABELS), "logits have no likelihood"),
        (fit_of, (X[:0], LABELS[:0]), "there are no rows"),
        (scalings, (X, LABELS, LABELS, 0), "max_iter is below 1"),
        (scalings, (impossible, LABELS, LABELS + 1, 5), "logits holds -inf"),
        (scalings, (nan, LABELS, LABELS + 1, 5), "logits have no likelihood"),
        (scalings, (X, LABELS, LABELS * 0, 5), "sample_weight is 0 throughout; accepted is at least one above 0"),
        (error_of, (nan, LABELS, 5, 1), "probs holds a row that is no distribution"),
        (
            report_of,
            (nan, LABELS, 1.0, LABELS >= 0, 0),
            "logits holds a row without a softmax: a NaN, +inf or -inf alone",
        ),
        (report_of, (X, LABELS, -1.0, LABELS >= 0, 0), "temperature"),
        (report_of, (X, LABELS, 1.0, LABELS < 0, 0), "where is False throughout; accepted is at least one True"),
        (report_of, (X, LABELS, 1.0, LABELS[:5] >= 0, 0), "where has another length than logits"),
        (report_of, (X, LABELS, 1.0, LABELS >= 0, -1), "rng is negative"),
        (report_of, (X, bad, 1.0, LABELS >= 0, 0), "labels holds what is no class"),
        (error_of, (P, LABELS[:5], 5, 1), "labels has another shape than the logits without the axis of classes"),
        (error_of, (P, LABELS, 0, 1), "n_bins is below 1"),
        (error_of, (P, LABELS, 5, 3), "norm is another number than 1, 2 and inf"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            call(*arguments)


def test_wrong_types_are_typing_errors_that_say_so() -> None:
    for call, arguments, words in (
        (loss_of, (X, LABELS > 1), "labels has dtype bool; accepted are integers (classes) and floats"),
        (loss_of, (X[0], LABELS), "labels has 1 dimensions; accepted are 0"),
        (loss_of, (X.astype(complex), LABELS), "logits has dtype complex128"),
        (loss_with, (X, LABELS, 1), "accepted are the constants 'mean', 'sum', 'none'"),
        (scalings, (X, P, LABELS, 5), "labels has dtype float64; accepted are integers"),
        (scalings, (X, LABELS, LABELS, 0.5), "max_iter has type float64; accepted are integers from 1"),
        (error_of, (P, P, 5, 1), "labels has dtype float64; accepted are integers, the class of each row"),
        (report_of, (X[0], LABELS, 1.0, LABELS >= 0, 0), "logits has 1 dimensions; accepted are 2, rows and classes"),
        (report_of, (X > 0, P, 1.0, LABELS >= 0, 0), "labels has dtype float64; accepted are integers"),
        (report_of, (X * 1j, LABELS, 1.0, LABELS >= 0, 0), "logits has dtype complex128"),
        (
            report_of,
            (X, LABELS, 1.0, LABELS, 0),
            "where has type array(int64, 1d, C); accepted are None and arrays of bool",
        ),
        (report_of, (X, LABELS, 1.0, LABELS >= 0, None), "rng has type none; accepted in compiled code are integers"),
        (interval_without_seed, (P, LABELS), "accepted in compiled code are integers, seeds"),
        (interval_of_something, (P, LABELS), "accepted in compiled code are accuracy, nll, brier_score and"),
    ):
        with pytest.raises(TypingError, match=re.escape(words)):
            call(*arguments)

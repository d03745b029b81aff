"""bootstrap: reproducible, the same in compiled code as by calling the metric, and with intervals that cover."""

import functools
import re
from typing import Any

import numpy as np
import pytest
import scipy.stats

from softmaxjit.calibration import accuracy, bootstrap, brier_score, expected_calibration_error, nll

from .children import run

RNG = np.random.default_rng(0)
X = 2 * RNG.standard_normal((301, 4))
LABELS = (X / 2 + RNG.gumbel(size=X.shape)).argmax(axis=1)
P = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("metric", [accuracy, nll, brier_score, expected_calibration_error])
def test_compiled_resamples_are_those_of_calling_the_metric(metric: Any) -> None:
    quick = bootstrap(metric, P, LABELS, n_resamples=20, rng=5)
    slow = bootstrap(functools.partial(metric), P, LABELS, n_resamples=20, rng=5)
    assert quick.value == slow.value == metric(P, LABELS)
    np.testing.assert_allclose(quick.distribution, slow.distribution, rtol=1e-12)
    assert len(set(quick.distribution)) > 10


@pytest.mark.parametrize(
    "options",
    [
        {"binning": "mass"},
        {"binning": "mass", "norm": 2, "debias": True, "n_bins": 7},
        {"norm": 2, "debias": True},
        {"norm": np.inf, "n_bins": 3},
        {"classwise": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("rounded", [False, True])
def test_so_are_those_of_every_calibration_error(options: Any, rounded: bool) -> None:
    p = P.round(1) if rounded else P  # many equal confidences, at the edges of bins
    quick = bootstrap(expected_calibration_error, p, LABELS, n_resamples=10, rng=5, **options)
    slow = bootstrap(lambda a, b: expected_calibration_error(a, b, **options), p, LABELS, n_resamples=10, rng=5)
    np.testing.assert_allclose(quick.distribution, slow.distribution, rtol=1e-12)


@pytest.mark.parametrize("metric", [nll, expected_calibration_error])
def test_a_seed_gives_the_same_bits_on_any_number_of_threads(metric: Any) -> None:
    first = bootstrap(metric, X, LABELS, rng=1, from_logits=True, n_resamples=400)
    for threads in (None, 1, 2):
        again = bootstrap(metric, X, LABELS, rng=1, from_logits=True, n_resamples=400, threads=threads)
        assert again.distribution.tobytes() == first.distribution.tobytes()
    drawn = bootstrap(metric, X, LABELS, rng=np.random.default_rng(1), from_logits=True, n_resamples=9)
    assert (
        drawn.distribution.tolist()
        == bootstrap(
            metric, X, LABELS, rng=int(np.random.default_rng(1).integers(1 << 63)), from_logits=True, n_resamples=9
        ).distribution.tolist()
    )
    other = bootstrap(metric, X, LABELS, rng=2, from_logits=True, n_resamples=400)
    assert not np.array_equal(other.distribution, first.distribution)


def test_intervals_are_percentiles() -> None:
    result = bootstrap(accuracy, P, LABELS, rng=3, confidence_level=0.8, n_resamples=999)
    assert (result.low, result.high) == tuple(np.quantile(result.distribution, [0.1, 0.9]))
    assert result.low < result.value < result.high
    assert result.confidence_level == 0.8


def test_the_distribution_is_that_of_scipy() -> None:
    right = (P.argmax(axis=1) == LABELS).astype(float)
    ours = bootstrap(accuracy, P, LABELS, rng=4, n_resamples=5000)
    peer = scipy.stats.bootstrap((right,), np.mean, n_resamples=5000, method="percentile", rng=4)
    assert ours.low == pytest.approx(peer.confidence_interval.low, abs=0.006)
    assert ours.high == pytest.approx(peer.confidence_interval.high, abs=0.006)
    # Drawn with replacement: a binomial distribution.
    counts = np.rint(ours.distribution * 301)
    expected = scipy.stats.binom(301, right.mean())
    assert scipy.stats.kstest(counts + np.random.default_rng(0).random(5000) - 0.5, expected.cdf).statistic < 0.06
    assert counts.var() == pytest.approx(expected.var(), rel=0.1)


def test_any_other_metric_will_do() -> None:
    def share_of_class_0(p: Any, y: Any) -> float:
        assert p.shape[-1] == 4
        return float((y == 0).mean())

    result = bootstrap(share_of_class_0, P.reshape(7, 43, 4), LABELS.reshape(7, 43), rng=0, n_resamples=50)
    assert result.low < (LABELS == 0).mean() < result.high


def len_of_both(p: Any, y: Any) -> float:
    return float(len(p) + len(y))


def test_one_row_has_no_spread() -> None:
    result = bootstrap(nll, P[:1], LABELS[:1], rng=0, n_resamples=5)
    assert result.low == result.high == pytest.approx(result.value)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"n_resamples": 0}, ValueError, "n_resamples is 0; accepted are integers from 1"),
        ({"confidence_level": 1}, ValueError, "confidence_level is 1; accepted are numbers between 0 and 1"),
        ({"confidence_level": 95}, ValueError, "confidence_level is 95; accepted are numbers from 0 to 1"),
        ({"labels": [9] * 301}, ValueError, "labels holds 9 at 0; accepted are classes from 0 to 3"),
        ({"n_bins": 0}, ValueError, "n_bins is 0"),
        ({"metric": nll, "labels": np.ma.array(LABELS)}, TypeError, "labels is a masked array"),
        ({"metric": len_of_both, "labels": np.ma.array(LABELS)}, TypeError, "labels is a masked array"),
        ({"metric": len_of_both, "probs": np.ma.array(P)}, TypeError, "probs is a masked array"),
    ],
)
def test_wrong_arguments_are_named(arguments: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        bootstrap(**{"metric": expected_calibration_error, "probs": P, "labels": LABELS} | arguments)


def test_without_compiling_it_calls_the_metric(tmp_path: Any) -> None:
    script = """
    import json
    import numpy as np
    from softmaxjit.calibration import accuracy, bootstrap
    print(json.dumps(bootstrap(accuracy, np.array([0.9, 0.2, 0.6, 0.7]), [1, 0, 0, 1], rng=0, n_resamples=99)[:3]))
    """
    value, low, high = run(script, tmp_path / "cache", NUMBA_DISABLE_JIT="1")
    assert value == 0.75
    assert low < value <= high


@pytest.mark.filterwarnings("error")
def test_an_interval_may_end_at_infinity() -> None:
    p = P.copy()
    p[0] = 1.0 - np.eye(4)[LABELS[0]]  # the true class has probability 0
    interval = bootstrap(nll, p / p.sum(axis=1, keepdims=True), LABELS, n_resamples=200, rng=0)
    assert (interval.value, interval.high) == (np.inf, np.inf)
    assert np.isfinite(interval.low)
    always = bootstrap(nll, [[0.0, 1.0]], [0], n_resamples=20, rng=0)
    assert (always.low, always.high) == (np.inf, np.inf)

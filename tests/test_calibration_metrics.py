"""Calibration metrics: against their definitions, other libraries' results, and at the edges of bins."""

import re
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from softmaxjit import cross_entropy, softmax
from softmaxjit._args.predictions import BATCH_ROWS
from softmaxjit.calibration import (
    accuracy,
    brier_decomposition,
    brier_score,
    expected_calibration_error,
    nll,
    reliability_curve,
)

from .calibration_peers import inputs
from .children import run
from .oracles import DTYPES
from .test_activations import LAYOUTS

METRICS = (accuracy, nll, brier_score, expected_calibration_error)

ROWS = np.arange(600)
LOGITS = 4 * np.sin(0.37 * ROWS[:, np.newaxis] * (np.arange(5) + 1) + np.arange(5))
PROBS, LABELS = inputs()["classes"]  # their softmax
YES, ANSWERS = inputs()["yes"]


@pytest.mark.parametrize(("norm", "debias", "classwise"), [(1, False, False), (2, True, True)])
def test_logits_and_their_probabilities_have_the_same_error(norm: int, debias: bool, classwise: bool) -> None:
    of_probs, of_logits = (
        expected_calibration_error(
            x, LABELS, binning="mass", norm=norm, debias=debias, classwise=classwise, from_logits=from_logits
        )
        for x, from_logits in ((PROBS, False), (LOGITS, True))
    )
    assert of_logits == pytest.approx(of_probs, rel=1e-12)


def test_a_yes_or_no_question_is_one_class() -> None:
    for options in ({}, {"binning": "mass", "norm": 2, "debias": True}):
        of_class = expected_calibration_error(YES, ANSWERS, classwise=True, **options)
        assert of_class == pytest.approx(expected_calibration_error(YES, ANSWERS, **options), rel=1e-12)


@pytest.mark.parametrize(("binning", "strategy"), [("width", "uniform"), ("mass", "quantile")])
@pytest.mark.parametrize("bins", [1, 5, 15, 40])
def test_agrees_with_scikit_learns_calibration_curve(bins: int, binning: Any, strategy: str) -> None:
    truth, predicted = calibration_curve(ANSWERS, YES, n_bins=bins, strategy=strategy)
    curve = reliability_curve(YES, ANSWERS, n_bins=bins, binning=binning)
    held = curve.counts > 0
    np.testing.assert_allclose(curve.accuracy[held], truth, rtol=1e-13)
    np.testing.assert_allclose(curve.confidence[held], predicted, rtol=1e-13)
    assert np.isnan(curve.accuracy[~held]).all()
    assert curve.counts.sum() == 600
    assert curve.edges.shape == (bins + 1,)


@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_agree_with_scikit_learn(dtype: Any) -> None:
    tolerance = 1e-6 if dtype == np.float32 else 1e-13
    for x, from_logits in ((PROBS.astype(dtype), False), (LOGITS.astype(dtype), True)):
        assert accuracy(x, LABELS, from_logits=from_logits) == accuracy_score(LABELS, PROBS.argmax(axis=1))
        assert nll(x, LABELS, from_logits=from_logits) == pytest.approx(log_loss(LABELS, PROBS), rel=tolerance)
        score = brier_score(x, LABELS, from_logits=from_logits)
        assert score == pytest.approx(((PROBS - np.eye(5)[LABELS]) ** 2).sum(axis=1).mean(), rel=tolerance)
    assert brier_score(YES, ANSWERS) == pytest.approx(brier_score_loss(ANSWERS, YES), rel=1e-13)
    odds = np.log(YES / (1 - YES))
    for metric in (*METRICS, brier_score):
        assert metric(odds, ANSWERS, from_logits=True) == pytest.approx(metric(YES, ANSWERS), rel=1e-12)


@pytest.mark.parametrize("bins", [1, 2, 3, 10, 15, 49])
def test_bins_are_open_below_and_closed_above_and_0_is_in_the_first(bins: int) -> None:
    edges = np.arange(bins + 1) / bins
    counts = reliability_curve(edges, np.zeros(bins + 1, int), n_bins=bins).counts
    assert counts.tolist() == [2] + [1] * (bins - 1)  # 0 and the first edge; then each edge in the bin that it ends
    above = np.nextafter(edges[:-1], 1)
    assert reliability_curve(above, np.zeros(bins, int), n_bins=bins).counts.tolist() == [1] * bins


def test_a_probability_of_1_is_in_the_last_bin() -> None:
    sure = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    curve = reliability_curve(sure, [0, 1, 1])
    assert curve.counts.tolist() == [0] * 14 + [3]
    assert curve.accuracy[-1] == pytest.approx(2 / 3)
    assert expected_calibration_error(sure, [0, 1, 1]) == pytest.approx(1 / 3)
    assert reliability_curve(sure.astype(np.float32) * 400, [0, 1, 1], from_logits=True).counts[-1] == 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_confidences_share_a_bin_whatever_their_order(dtype: Any) -> None:
    p = np.array([0.1] * 5 + [0.3] * 2 + [0.9] * 3, dtype)
    y = np.array([0, 1, 0, 0, 0, 1, 0, 1, 1, 0])
    order = np.random.default_rng(0).permutation(10)
    curve = reliability_curve(p, y, n_bins=4, binning="mass")
    again = reliability_curve(p[order], y[order], n_bins=4, binning="mass")
    assert curve.counts.tolist() == again.counts.tolist()
    assert sorted(curve.counts[curve.counts > 0].tolist()) == [2, 3, 5]


@pytest.mark.parametrize("binning", ["width", "mass"])
@pytest.mark.parametrize(("x", "labels"), [(PROBS, LABELS), (YES, ANSWERS)], ids=["classes", "yes"])
def test_the_parts_of_the_brier_score_add_up(x: Any, labels: Any, binning: Any) -> None:
    parts = brier_decomposition(x, labels, n_bins=7, binning=binning)
    _, reliability, resolution, uncertainty, within, covariance = parts
    assert parts.brier == pytest.approx(brier_score(x, labels), rel=1e-14)
    assert reliability - resolution + uncertainty + within - covariance == pytest.approx(parts.brier, rel=1e-12)
    assert min(reliability, resolution, uncertainty, within) > 0
    frequencies = np.bincount(labels)[1 if x.ndim == 1 else 0 :] / 600
    assert uncertainty == pytest.approx((frequencies * (1 - frequencies)).sum(), rel=1e-12)


def test_a_row_of_its_own_says_nothing_of_its_bias() -> None:
    assert expected_calibration_error([0.2, 0.9], [1, 1], norm=2, debias=True) == 0
    assert expected_calibration_error([0.2, 0.9], [1, 1], norm=2) == pytest.approx(np.sqrt((0.64 + 0.01) / 2))


@pytest.mark.parametrize("dtype", DTYPES)
def test_confident_rows_keep_what_probabilities_lose(dtype: Any) -> None:
    x = np.array([[30.0, 0.0, 1.0], [0.0, 45.0, -1.0]], dtype)
    wide = x.astype(np.longdouble)
    others = np.exp(wide - x.max(axis=1, keepdims=True)).sum(axis=1) - 1
    assert nll(x, [0, 1], from_logits=True) == pytest.approx(float(np.log1p(others).mean()), rel=1e-5)
    assert brier_score(x, [0, 1], from_logits=True) == pytest.approx(
        float((others**2 + [np.exp(-60) + np.exp(-58), np.exp(-90) + np.exp(-92)]).mean()), rel=1e-5
    )


def test_the_first_of_equal_probabilities_is_the_answer() -> None:
    for n in (2, 16, 40):
        x = np.zeros((n, n))
        x[:, -1] = -1
        for from_logits in (True, False):
            p = x if from_logits else softmax(x)
            assert accuracy(p, np.arange(n), from_logits=from_logits) == 1 / n


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_do_not_change_a_bit(layout: str) -> None:
    x, labels = LOGITS.reshape(6, 100, 5).astype(np.float32), LABELS.reshape(6, 100)
    for metric in METRICS:
        expected = metric(x.reshape(-1, 5), LABELS, from_logits=True)
        assert metric(LAYOUTS[layout](x), labels.astype(np.uint8), from_logits=True) == expected


@pytest.mark.parametrize("from_logits", [True, False])
def test_any_number_of_threads_gives_the_same_bits(from_logits: bool) -> None:
    x = np.random.default_rng(0).standard_normal((1500, 70)).astype(np.float32) * 3
    labels = np.random.default_rng(1).integers(70, size=1500)
    x = x if from_logits else softmax(x)
    for metric in METRICS:
        serial = metric(x, labels, from_logits=from_logits, threads=1)
        assert metric(x, labels, from_logits=from_logits) == serial
    assert brier_decomposition(x, labels, from_logits=from_logits) == brier_decomposition(
        x, labels, from_logits=from_logits, threads=1
    )


@pytest.mark.parametrize("from_logits", [True, False])
def test_batches_change_nothing(from_logits: bool) -> None:
    x = np.random.default_rng(0).standard_normal((2 * BATCH_ROWS + 5, 2)) * 3
    labels = np.random.default_rng(1).integers(2, size=len(x))
    x = x if from_logits else softmax(x)
    parts = [slice(None, BATCH_ROWS), slice(BATCH_ROWS, 2 * BATCH_ROWS), slice(2 * BATCH_ROWS, None)]
    for p in (x, x[:, 0].copy()):
        for metric in (accuracy, nll, brier_score):
            whole = metric(p, labels, from_logits=from_logits)
            each = [metric(p[part], labels[part], from_logits=from_logits) for part in parts]
            assert whole == pytest.approx(np.average(each, weights=[BATCH_ROWS, BATCH_ROWS, 5]), rel=1e-13)
            for threads in (1, 2):
                assert metric(p, labels, from_logits=from_logits, threads=threads) == whole
        curve = reliability_curve(p, labels, from_logits=from_logits)
        curves = [reliability_curve(p[part], labels[part], from_logits=from_logits) for part in parts]
        assert curve.counts.tolist() == sum(each.counts for each in curves).tolist()
        right = sum(each.counts * np.nan_to_num(each.accuracy) for each in curves)
        np.testing.assert_allclose(curve.accuracy * curve.counts, np.where(curve.counts > 0, right, np.nan), rtol=1e-13)


def test_a_wrong_row_beyond_a_batch_is_named() -> None:
    x = np.full((BATCH_ROWS + 9, 2), 0.5)
    x[BATCH_ROWS + 7, 1] = np.nan
    labels = np.zeros(len(x), int)
    for metric in (*METRICS, reliability_curve, brier_decomposition):
        with pytest.raises(ValueError, match=f"probs holds nan in row {BATCH_ROWS + 7}; accepted"):
            metric(x, labels)
        with pytest.raises(ValueError, match=f"probs holds nan in row {BATCH_ROWS + 7}; accepted"):
            metric(x[:, 1], labels)
    labels[BATCH_ROWS + 3] = 2
    with pytest.raises(ValueError, match=f"labels holds 2 at {BATCH_ROWS + 3}; accepted"):
        accuracy(x, labels)


def test_float16_and_extended_precision() -> None:
    half, long = LOGITS.astype(np.float16), LOGITS.astype(np.longdouble)
    for metric in METRICS:
        assert metric(half, LABELS, from_logits=True) == metric(half.astype(np.float32), LABELS, from_logits=True)
        assert metric(long, LABELS, from_logits=True) == metric(LOGITS, LABELS, from_logits=True)
    single = expected_calibration_error(half.astype(np.float32), LABELS, classwise=True, from_logits=True)
    assert expected_calibration_error(half, LABELS, classwise=True, from_logits=True) == single


def test_the_likelihood_is_the_cross_entropy() -> None:
    assert nll(LOGITS, LABELS, from_logits=True) == pytest.approx(cross_entropy(LOGITS, LABELS), rel=1e-14)
    assert nll([[1.0, 0.0]], [1]) == np.inf
    assert nll([[0.0, -np.inf]], [1], from_logits=True) == np.inf


P = np.array([[0.5, 0.5], [0.25, 0.75]])
WRONG = [
    (
        {"probs": [[0.5, np.nan], [0, 1]]},
        ValueError,
        "probs holds nan in row 0; accepted are probabilities from 0 to 1",
    ),
    ({"probs": [[0.5, 0.5], [2, 1]]}, ValueError, "probs holds 2.0 in row 1; accepted are probabilities from 0 to 1"),
    ({"probs": [[0.5, 0.5], [1, -1]]}, ValueError, "probs holds -1.0 in row 1; accepted are probabilities from 0 to 1"),
    (
        {"probs": [0.5, 1.5]},
        ValueError,
        "probs holds 1.5 in row 1; accepted are probabilities from 0 to 1, or from_logits",
    ),
    (
        {"probs": [[0.5, np.nan], [0, 1]], "from_logits": True},
        ValueError,
        "probs holds nan in row 0; accepted are finite",
    ),
    (
        {"probs": [[np.inf, 1], [0, 1]], "from_logits": True},
        ValueError,
        "probs holds inf in row 0; accepted are finite",
    ),
    ({"probs": [[0, 1], [-np.inf] * 2], "from_logits": True}, ValueError, "probs holds -inf in row 1"),
    ({"probs": [0.5, np.inf], "from_logits": True}, ValueError, "probs holds inf in row 1"),
    (
        {"probs": np.empty((0, 2)), "labels": []},
        ValueError,
        "probs has shape (0, 2); accepted are arrays with at least",
    ),
    ({"probs": np.empty((2, 0))}, ValueError, "probs has shape (2, 0); accepted are arrays with at least"),
    ({"probs": np.array(["a"])}, TypeError, "probs has dtype <U1"),
    ({"probs": [0.5, 0.5], "labels": [0, 2]}, ValueError, "labels holds 2 at 1; accepted are classes from 0 to 1"),
    ({"labels": [0, 2]}, ValueError, "labels holds 2 at 1; accepted are classes from 0 to 1"),
    ({"labels": [0.0, 1.0]}, TypeError, "labels has dtype float64; accepted are integers, the class of each row"),
    ({"labels": [True, False]}, TypeError, "labels has dtype bool"),
    (
        {"labels": np.ma.array([0, 1], mask=[True, False])},
        TypeError,
        "labels is a masked array, whose mask would be lost; leave out the rows that it masks",
    ),
    ({"labels": [0]}, ValueError, "labels has shape (1,)"),
    ({"from_logits": 1}, TypeError, "from_logits is 1; accepted are True and False"),
    ({"threads": 0}, ValueError, "threads is 0"),
]
WRONG_OPTIONS = [
    ({"n_bins": 0}, ValueError, "n_bins is 0; accepted are integers from 1"),
    ({"n_bins": 2.5}, TypeError, "n_bins is 2.5; accepted are integers from 1"),
    ({"n_bins": True}, ValueError, "n_bins is True; accepted are integers from 1"),
    ({"binning": "equal"}, ValueError, "binning is 'equal'; accepted are 'width' and 'mass'"),
    ({"norm": 3}, ValueError, "norm is 3; accepted are 1, 2 and inf"),
    ({"norm": "l1"}, ValueError, "norm is 'l1'; accepted are 1, 2 and inf"),
    ({"debias": True}, ValueError, "debias is True and norm is 1; accepted is norm 2, whose bias is known"),
    ({"classwise": "yes"}, TypeError, "classwise is 'yes'; accepted are True and False"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), WRONG)
def test_wrong_predictions_and_labels_are_named(arguments: Any, error: Any, words: str) -> None:
    for metric in (*METRICS, reliability_curve, brier_decomposition):
        with pytest.raises(error, match=re.escape(words)):
            metric(**{"probs": P, "labels": [0, 1]} | arguments)


@pytest.mark.parametrize(("arguments", "error", "words"), WRONG_OPTIONS)
def test_wrong_options_are_named(arguments: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        expected_calibration_error(**{"probs": P, "labels": [0, 1]} | arguments)


def test_without_compiling_the_values_are_the_same(tmp_path: Any) -> None:
    script = """
    import json
    import numpy as np
    from softmaxjit.calibration import *
    x = 3 * np.sin(np.arange(60.0)).reshape(20, 3)
    y = np.arange(20) % 3
    ece = expected_calibration_error
    print(json.dumps([
        accuracy(x, y, from_logits=True), nll(x, y, from_logits=True), brier_score(x, y, from_logits=True),
        ece(x, y, from_logits=True), ece(x, y, from_logits=True, classwise=True, binning="mass"),
        *brier_decomposition(x, y, from_logits=True),
    ]))
    """
    x, y = 3 * np.sin(np.arange(60.0)).reshape(20, 3), np.arange(20) % 3
    ours = [metric(x, y, from_logits=True) for metric in METRICS]
    ours.append(expected_calibration_error(x, y, from_logits=True, classwise=True, binning="mass"))
    ours.extend(brier_decomposition(x, y, from_logits=True))
    np.testing.assert_allclose(run(script, tmp_path / "cache", NUMBA_DISABLE_JIT="1"), ours, rtol=1e-10)


def test_a_norm_may_be_a_number_of_numpy() -> None:
    p, labels = [[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]], [0, 0, 1]
    for norm in (np.int64(2), np.float32(2)):
        assert expected_calibration_error(p, labels, norm=norm) == expected_calibration_error(p, labels, norm=2)
    with pytest.raises(ValueError, match="norm is array"):
        expected_calibration_error(p, labels, norm=np.array([1, 2]))

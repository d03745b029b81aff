"""fit_temperature: where extended precision and scikit-learn find the minimum, and data that have none."""

import re
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from softmaxjit import cross_entropy
from softmaxjit.calibration import fit_temperature

from .children import run
from .oracles import DTYPES
from .test_activations import LAYOUTS


def sample(rows: int, n: int, scale: float, dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Return logits whose best temperature is about `scale`, and labels drawn from their softmax at it."""
    rng = np.random.default_rng([rows, n])
    x = 2 * rng.standard_normal((rows, n))
    gumbel = rng.gumbel(size=x.shape)
    return (x * scale).astype(dtype), (x + gumbel).argmax(axis=1)


def exact(x: np.ndarray, targets: np.ndarray, weight: Any = 1.0) -> tuple[float, float]:
    """Return the best temperature, and the mean loss there, by bisection of the slope in extended precision."""
    d = x.max(axis=1, keepdims=True) - x.astype(np.longdouble)
    w = np.broadcast_to(np.asarray(weight, np.longdouble), len(x))
    mass = targets.sum(axis=1)

    def slope(beta: np.longdouble) -> np.longdouble:
        e = np.exp(-beta * d)
        return (w * ((targets * d).sum(axis=1) - mass * (e * d).sum(axis=1) / e.sum(axis=1))).sum()

    low, high = np.longdouble(1e-9), np.longdouble(1e9)
    for _ in range(200):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    loss = mass * np.log(np.exp(-low * d).sum(axis=1)) + low * (targets * d).sum(axis=1)
    return float(1 / low), float((w * loss).sum() / w.sum())


@pytest.mark.parametrize(
    ("rows", "n", "scale"), [(300, 2, 1.5), (200, 17, 0.2), (150, 70, 4.0), (60, 10, 1e4), (60, 9, 1e-4)]
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_temperature_is_that_of_extended_precision(dtype: Any, rows: int, n: int, scale: float) -> None:
    x, labels = sample(rows, n, scale, dtype)
    fit = fit_temperature(x, labels)
    temperature, loss = exact(x, np.eye(n)[labels])
    assert (fit.converged, fit.at_bound) == (True, False)
    assert fit.temperature == pytest.approx(temperature, rel=1e-6 if dtype == np.float32 else 1e-9)
    assert fit.nll_after == pytest.approx(loss, rel=1e-7 if dtype == np.float32 else 1e-13)
    assert fit.nll_before == pytest.approx(cross_entropy(x.astype(np.float64), labels), rel=1e-7)
    assert fit.iterations <= 12


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_and_probabilities_as_labels(dtype: Any) -> None:
    x, labels = sample(120, 9, 2.0, dtype)
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 3, 120).astype(float)
    fit = fit_temperature(x, labels, sample_weight=weight)
    repeated = fit_temperature(np.repeat(x, weight.astype(int), 0), np.repeat(labels, weight.astype(int)))
    assert fit.temperature == pytest.approx(repeated.temperature, rel=1e-7)
    assert fit.nll_after == pytest.approx(repeated.nll_after, rel=1e-7)
    soft = rng.dirichlet(np.ones(9), 120).astype(dtype) + np.eye(9, dtype=dtype)[labels]
    temperature, loss = exact(x, soft, weight)
    fit = fit_temperature(x, soft, sample_weight=weight)
    assert fit.temperature == pytest.approx(temperature, rel=1e-6)
    assert fit.nll_after == pytest.approx(loss, rel=1e-6)


def test_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    features = rng.standard_normal((600, 4))
    labels = (features[:, :3] + rng.gumbel(size=(600, 3))).argmax(axis=1)
    classifier = LogisticRegression(C=1e4).fit(features[:60], labels[:60])
    peer = CalibratedClassifierCV(FrozenEstimator(classifier), method="temperature", ensemble=False)
    peer.fit(features[60:], labels[60:])
    (calibrated,) = peer.calibrated_classifiers_
    fit = fit_temperature(classifier.decision_function(features[60:]), labels[60:])
    assert fit.temperature == pytest.approx(1 / calibrated.calibrators[0].beta_, rel=1e-4)


@given(st.integers(0, 2**32), st.sampled_from([2, 5, 20]), st.floats(1e-3, 1e3), st.integers(2, 30))
@settings(deadline=None, max_examples=50)
def test_no_other_temperature_is_better(seed: int, n: int, scale: float, rows: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, n)) * scale
    labels = rng.integers(n, size=rows)
    fit = fit_temperature(x, labels)
    assert fit.converged
    assert fit.temperature >= 0
    assert fit.nll_after <= fit.nll_before + 1e-15
    for temperature in (0.01, 0.5, 0.99, 1.01, 2, 100, np.inf):
        other = cross_entropy(x, labels, temperature=temperature * (1 if fit.at_bound else fit.temperature))
        assert fit.nll_after <= other * (1 + 1e-14)
    result = scipy.optimize.minimize_scalar(lambda u: cross_entropy(x, labels, temperature=np.exp(u)), (-1, 1))
    assert fit.nll_after <= result.fun * (1 + 1e-12)


@pytest.mark.parametrize("dtype", [np.float16, *DTYPES])
def test_separable_data_want_temperature_0_and_useless_logits_infinity(dtype: Any) -> None:
    x = np.array([[2.0, 0.0, 2.0], [0.0, 3.0, 1.0]], dtype)
    fit = fit_temperature(x, [2, 1])
    assert (fit.temperature, fit.at_bound, fit.converged) == (0.0, True, True)
    assert fit.nll_after == pytest.approx(np.log(2) / 2)  # the first row is a tie
    fit = fit_temperature(x, [1, 0])
    assert (fit.temperature, fit.at_bound, fit.converged) == (np.inf, True, True)
    assert fit.nll_after == pytest.approx(np.log(3))
    assert fit_temperature(np.zeros((3, 4), dtype), [0, 1, 2]).temperature == np.inf


def test_classes_that_cannot_be_take_no_part() -> None:
    x, labels = sample(80, 5, 3.0)
    wider = np.concatenate([np.full((80, 1), -np.inf), x, np.full((80, 30), -np.inf)], axis=1)
    ours, expected = fit_temperature(wider, labels + 1), fit_temperature(x, labels)
    np.testing.assert_allclose(ours[:3], expected[:3], rtol=1e-9)


def test_logits_beyond_all_temperatures_end_at_the_bound() -> None:
    x, labels = sample(50, 4, 1.0)
    fit = fit_temperature(x * 1e30, labels)
    assert fit.at_bound
    assert fit.temperature == 2.0**40


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_axes_do_not_change_a_bit(layout: str) -> None:
    x, labels = sample(60, 19, 2.0, np.float32)
    expected = fit_temperature(x, labels)
    x, labels = x.reshape(3, 20, 19), labels.reshape(3, 20)
    assert fit_temperature(LAYOUTS[layout](x), labels.astype(np.int8)) == expected
    assert fit_temperature(LAYOUTS[layout](x.swapaxes(1, 2)), labels, axis=1) == expected


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_number_of_threads_gives_the_same_bits(dtype: Any) -> None:
    x, labels = sample(2000, 70, 2.0, dtype)
    serial = fit_temperature(x, labels, threads=1)
    assert fit_temperature(x, labels) == serial
    assert fit_temperature(x, labels, threads=2) == serial


def test_float16_is_read_as_it_is() -> None:
    x, labels = sample(100, 12, 2.0, np.float16)
    assert fit_temperature(x, labels) == fit_temperature(x.astype(np.float32), labels)


def test_extended_precision_takes_the_plain_path() -> None:
    x, labels = sample(100, 12, 2.0)
    np.testing.assert_allclose(
        fit_temperature(x.astype(np.longdouble), labels)[:3], fit_temperature(x, labels)[:3], 1e-9
    )


X = np.array([[1.0, 2.0], [3.0, 0.5]])
WRONG = [
    ({"logits": [[1, np.nan], [1, 2]]}, ValueError, "logits holds nan in row 0, class 1; accepted are finite numbers"),
    ({"logits": [[1, 2], [np.inf, 2]]}, ValueError, "logits holds inf in row 1, class 0; accepted are finite numbers"),
    ({"logits": [[1, -np.inf], [0, 2]]}, ValueError, "logits holds -inf in row 0, class 1, which has a label"),
    ({"logits": [[1e308, -1e308], [0, 2]]}, ValueError, "logits holds numbers whose differences are beyond float64"),
    (
        {"logits": np.empty((0, 2)), "labels": []},
        ValueError,
        "logits has shape (0, 2); accepted are arrays with at least",
    ),
    ({"labels": [0, 2]}, ValueError, "labels holds 2 at 1; accepted are classes from 0 to 1"),
    ({"labels": [True, False]}, TypeError, "labels has dtype bool"),
    ({"sample_weight": [1]}, ValueError, "sample_weight has shape (1,); accepted is (2,), one for each row of logits"),
    ({"sample_weight": [1, -1]}, ValueError, "sample_weight holds -1 at 1; accepted are finite numbers from 0"),
    ({"sample_weight": [0, 0]}, ValueError, "sample_weight, of shape (2,), is 0 throughout"),
    ({"threads": 0}, ValueError, "threads is 0"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), WRONG)
def test_wrong_arguments_are_named(arguments: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        fit_temperature(**{"logits": X, "labels": [1, 0]} | arguments)


def test_rows_of_weight_0_may_hold_anything() -> None:
    x = np.array([[np.nan, 1.0], [0.0, 1.0], [1.0, 3.0], [-np.inf, np.inf]])
    fit = fit_temperature(x, [0, 1, 0, 0], sample_weight=[0, 2, 1, 0])
    expected = fit_temperature(x[1:3], [1, 0], sample_weight=[2, 1])
    np.testing.assert_allclose(fit[:3], expected[:3], rtol=1e-12)


def test_without_compiling_the_values_are_the_same(tmp_path: Any) -> None:
    script = """
    import json
    import numpy as np
    from softmaxjit.calibration import fit_temperature
    print(json.dumps(fit_temperature([[4.0, 0.0, 1.0], [0.0, 3.0, 1.0], [2.0, 1.0, -1.0]], [0, 1, 2])))
    """
    expected = fit_temperature([[4.0, 0.0, 1.0], [0.0, 3.0, 1.0], [2.0, 1.0, -1.0]], [0, 1, 2])
    np.testing.assert_allclose(run(script, tmp_path / "cache", NUMBA_DISABLE_JIT="1")[:3], expected[:3], rtol=1e-8)

"""TemperatureScaling and VectorScaling: scikit-learn's conventions, tested with it, and fits that are best."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from sklearn.base import BaseEstimator, TransformerMixin, clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted

import softmaxjit
from softmaxjit import cross_entropy, softmax
from softmaxjit.calibration import TemperatureScaling, VectorScaling, fit_temperature, fit_vector_scaling

from .children import run
from .oracles import DTYPES

RNG = np.random.default_rng(0)
X = RNG.standard_normal((400, 3)) * 2
LABELS = (X * [0.4, 0.7, 1.2] + [0.3, -0.5, 0] + RNG.gumbel(size=X.shape)).argmax(axis=1)
BOTH = (TemperatureScaling, VectorScaling)


class Logits(TransformerMixin, BaseEstimator):
    """A classifier whose logits are the input of the next step."""

    def fit(self, x: Any, y: Any) -> "Logits":
        self.model_ = LogisticRegression().fit(x, y)
        return self

    def transform(self, x: Any) -> Any:
        return self.model_.decision_function(x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_vector_scaling_is_where_scipy_finds_it(dtype: Any) -> None:
    x = X.astype(dtype)

    def loss(parameters: np.ndarray) -> float:
        return float(cross_entropy(x.astype(float) * parameters[:3] + parameters[3:], LABELS))

    found = scipy.optimize.minimize(loss, np.repeat([1.0, 0.0], 3), method="BFGS", options={"gtol": 1e-7})
    fit = fit_vector_scaling(x, LABELS)
    assert fit.converged
    np.testing.assert_allclose(fit.scale, found.x[:3], atol=2e-5)
    np.testing.assert_allclose(fit.bias, found.x[3:] - found.x[3:].mean(), atol=2e-5)
    assert fit.nll_after <= found.fun + 1e-12
    assert fit.nll_after == pytest.approx(loss(np.concatenate([fit.scale, fit.bias])), rel=1e-12)
    assert fit.nll_before == pytest.approx(cross_entropy(x.astype(float), LABELS), rel=1e-6)
    assert fit.nll_after < fit_temperature(x, LABELS).nll_after < fit.nll_before
    assert fit_vector_scaling(x, LABELS, threads=1).scale.tobytes() == fit.scale.tobytes()


def test_vector_scaling_of_scores_that_are_not_about_0_takes_few_passes() -> None:
    with np.load(Path(softmaxjit.__file__).with_name("_data") / "digits_logits.npz") as digits:
        fit = fit_vector_scaling(digits["logits"], digits["labels"])
    assert fit.converged
    assert fit.iterations <= 40  # with one curvature for all parameters, 765
    assert fit.nll_after == pytest.approx(0.2341909858587625, rel=1e-13)  # Newton's method with all second derivatives


def test_vector_scaling_knows_no_unit_and_no_offset() -> None:
    fit = fit_vector_scaling(X, LABELS)
    for unit in (1e-6, 1e6):
        other = fit_vector_scaling(X * unit, LABELS)
        np.testing.assert_allclose(other.scale * unit, fit.scale, rtol=1e-9)
        assert other.converged
    other = fit_vector_scaling(X + np.array([1000, -300, 50]), LABELS)
    assert other.converged
    np.testing.assert_allclose(other.scale, fit.scale, rtol=1e-6)
    assert not fit_vector_scaling(X * 1e200, LABELS).converged  # beyond all temperatures that are tried
    assert fit_vector_scaling(-X, LABELS).nll_after == pytest.approx(fit.nll_after, rel=1e-13)


def test_vector_scaling_of_logits_that_say_nothing_finds_how_frequent_classes_are() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2])
    fit = fit_vector_scaling(np.full((6, 3), 7.0), labels)
    assert fit.converged
    np.testing.assert_allclose(softmax(7 * fit.scale + fit.bias), [1 / 2, 1 / 6, 1 / 3], rtol=1e-7)
    with_another = fit_vector_scaling(np.full((6, 4), 7.0), labels)  # a class that no row has
    assert with_another.converged
    np.testing.assert_allclose(softmax(7 * with_another.scale + with_another.bias)[:3], [1 / 2, 1 / 6, 1 / 3], 1e-7)


def test_vector_scaling_takes_weights_and_any_axis() -> None:
    weight = RNG.integers(0, 3, 400)
    fit = fit_vector_scaling(X, LABELS, sample_weight=weight)
    repeated = fit_vector_scaling(np.repeat(X, weight, 0).T, np.repeat(LABELS, weight), axis=0)
    np.testing.assert_allclose(fit.scale, repeated.scale, rtol=1e-4)
    assert fit.nll_after == pytest.approx(repeated.nll_after, rel=1e-9)


def test_vector_scaling_in_parallel_gives_the_same_bits() -> None:
    x = np.random.default_rng(1).standard_normal((3000, 30))
    labels = np.random.default_rng(2).integers(30, size=3000)
    serial = fit_vector_scaling(x, labels, threads=1, max_iter=3)
    parallel = fit_vector_scaling(x, labels, max_iter=3)
    assert parallel.scale.tobytes() == serial.scale.tobytes()
    assert not parallel.converged


def test_probabilities_are_those_of_calibrated_logits() -> None:
    model = TemperatureScaling().fit(X, LABELS)
    assert model.temperature_ == fit_temperature(X, LABELS).temperature == model.fit_.temperature
    assert np.array_equal(model.predict_proba(X), softmax(X, temperature=model.temperature_))
    np.testing.assert_allclose(softmax(model.transform(X)), model.predict_proba(X), rtol=1e-13)
    assert model.transform(X.astype(np.float32)).dtype == np.float32
    assert np.array_equal(model.predict(X), X.argmax(axis=1))
    vector = VectorScaling().fit(X, LABELS)
    np.testing.assert_array_equal(vector.transform(X), X * vector.scale_ + vector.bias_)
    assert np.array_equal(vector.predict_proba(X), softmax(vector.transform(X)))
    assert np.array_equal(vector.fit_transform(X, LABELS), vector.transform(X))


@pytest.mark.parametrize("estimator", BOTH)
def test_parameters_are_got_set_and_cloned(estimator: Any) -> None:
    model = estimator(threads=1)
    assert model.get_params()["threads"] == 1
    assert model.set_params(threads=2) is model
    copy = clone(model.fit(X, LABELS))
    assert copy.threads == 2
    assert not hasattr(copy, "classes_")
    with pytest.raises(ValueError, match=r"'temperature' is no parameter of .*; accepted are"):
        model.set_params(temperature=1)
    assert "threads=2" in repr(model)
    assert is_classifier(model)


@pytest.mark.parametrize("estimator", BOTH)
def test_it_must_be_fitted_and_given_as_many_columns(estimator: Any) -> None:
    model = estimator()
    for method in (model.transform, model.predict_proba, model.predict):
        with pytest.raises(NotFittedError, match=f"This {estimator.__name__} instance is not fitted yet"):
            method(X)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    check_is_fitted(model.fit(X, LABELS))
    assert model.n_features_in_ == 3
    with pytest.raises(ValueError, match=f"X has 2 features, but {estimator.__name__} is expecting 3 features"):
        model.predict_proba(X[:, :2])


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize("classes", [3, 2])
def test_it_is_the_last_step_of_a_pipeline(estimator: Any, classes: int) -> None:
    features = RNG.standard_normal((300, 4))
    names = np.array(["cat", "dog", "owl"])[:classes]
    y = names[(features[:, :classes] + RNG.gumbel(size=(300, classes))).argmax(axis=1)]
    pipeline = make_pipeline(Logits(), estimator()).fit(features, y)
    p = pipeline.predict_proba(features)
    assert p.shape == (300, classes)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    assert pipeline.classes_.tolist() == names.tolist()
    assert set(pipeline.predict(features)) <= set(names)
    assert pipeline.score(features, y) > 1 / classes
    assert cross_val_score(pipeline, features, y, cv=3).shape == (3,)
    assert "Scaling" in repr(pipeline)


def test_log_odds_of_one_column_are_two_classes() -> None:
    odds, y = X[:, 0], (LABELS == 0).astype(int)
    model = TemperatureScaling().fit(odds, y)
    pairs = np.stack([0 * odds, odds], axis=1)
    assert model.temperature_ == fit_temperature(pairs, y).temperature
    assert np.array_equal(model.predict_proba(odds[:, np.newaxis]), model.predict_proba(pairs))


def test_data_without_a_best_temperature_warn() -> None:
    with pytest.warns(RuntimeWarning, match=r"the likelihood has no maximum: the temperature is at its limit, 0\.0"):
        model = TemperatureScaling().fit(X, X.argmax(axis=1))
    assert np.array_equal(model.predict_proba(X), np.eye(3)[X.argmax(axis=1)])
    assert np.array_equal(softmax(model.transform(X)), model.predict_proba(X))
    logits = np.float32(3e38) * np.tanh(X / 4).astype(np.float32)
    with pytest.warns(RuntimeWarning, match="is best beyond the temperatures that are tried: .* 1099511627776"):
        TemperatureScaling().fit(logits, LABELS)
    with pytest.warns(RuntimeWarning, match="its limit, inf"):
        model = TemperatureScaling().fit(X, X.argmin(axis=1))
    assert (model.predict_proba(X) == 1 / 3).all()
    for max_iter in (20, 500):
        with pytest.warns(
            RuntimeWarning, match="not converged: all labels can be made as certain as one likes"
        ) as seen:
            VectorScaling(max_iter=max_iter).fit(X, X.argmax(axis=1))
        assert "max_iter" not in str(seen[0].message)


def test_what_keeps_vector_scaling_from_converging_is_named() -> None:
    with pytest.warns(RuntimeWarning, match="not converged in 3 passes; raise max_iter"):
        VectorScaling(max_iter=3).fit(X, LABELS)
    with pytest.warns(RuntimeWarning, match="not converged: the logits are too large or too small for float64") as seen:
        VectorScaling().fit(X * 1e200, LABELS)
    assert "max_iter" not in str(seen[0].message)
    # A pass more than are needed is not too few.
    needed = fit_vector_scaling(X, LABELS).iterations - fit_temperature(X, LABELS).iterations
    assert VectorScaling(max_iter=needed).fit(X, LABELS).fit_.converged


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_no_logits_are_too_large_to_be_scaled(dtype: Any) -> None:
    large = np.finfo(dtype).max / 2
    x = np.array([[-large, large, 0], [large, 0, large], [2, 1, 3], [-np.inf, large, 1]], dtype)
    model = TemperatureScaling().fit(X, LABELS)
    model.temperature_ = 1e-3
    expected = np.array([[0, 1, 0], [0.5, 0, 0.5], [0, 0, 1], [0, 1, 0]], dtype)
    assert np.array_equal(model.predict_proba(x), expected)
    scaled = model.transform(x)
    assert scaled.dtype == dtype
    assert np.array_equal(softmax(scaled), expected)
    assert np.array_equal(scaled[2], model.transform(x[2:3])[0])  # whatever the rows beside it
    np.testing.assert_allclose(scaled[2], [2000, 1000, 3000], rtol=1e-3)
    assert np.array_equal(model.predict(x), [1, 0, 2, 1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_no_products_are_too_large_for_the_dtype(dtype: Any) -> None:
    large = np.finfo(dtype).max / 2
    x = np.array([[-large, large, 0], [large, 0, large], [2, 1, 3]], dtype)
    model = VectorScaling().fit(X, LABELS)
    model.scale_, model.bias_ = np.full(3, 1000.0), np.zeros(3)
    expected = np.array([[0, 1, 0], [0.5, 0, 0.5], [0, 0, 1]], dtype)
    assert np.array_equal(model.predict_proba(x), expected)
    assert np.array_equal(softmax(model.transform(x)), expected)
    assert np.array_equal(model.transform(x)[2], [2000, 1000, 3000])
    assert np.array_equal(model.predict(x), [1, 0, 2])


def test_the_prediction_is_the_largest_logit_whatever_the_temperature() -> None:
    x = np.float16([[1.0, 1.001], [1.0, 1.001]])  # which divided by 1000 are one number of 16 bits
    model = TemperatureScaling().fit([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0]], [0, 1, 1])
    for temperature in (1000.0, 1e-3, np.inf, 0.0):
        model.temperature_ = temperature
        assert model.predict(x).tolist() == [1, 1]
        p = model.predict_proba(x)
        assert (p[:, 1] == p.max(axis=1)).all()


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (X, LABELS[:5], "y has shape (5,); accepted is (400,), one label for each row of X"),
        (X, LABELS + 2, "labels holds"),
        (X, np.array(["a", "b"] * 200), "y has 2 different labels and X 3 columns; accepted are integers from 0 to 2"),
        (X[np.newaxis], LABELS, "X has shape (1, 400, 3); accepted are logits of shape (n_samples, n_classes)"),
        (X * np.nan, LABELS, "logits holds nan in row 0"),
    ],
)
def test_wrong_arguments_are_named(x: Any, y: Any, words: str) -> None:
    if words == "labels holds":  # three other integers are three classes
        assert TemperatureScaling().fit(x, y).classes_.tolist() == [2, 3, 4]
        return
    for estimator in BOTH:
        with pytest.raises(ValueError, match=re.escape(words)):
            estimator().fit(x, y)


def test_without_scikit_learn_and_without_compiling(tmp_path: Any) -> None:
    script = """
    import json, sys
    import numpy as np
    from softmaxjit.calibration import TemperatureScaling, VectorScaling
    x = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0], [2.0, 1.0, -1.0], [0.0, 1.0, 2.0], [1.0, 0.0, 0.5]] * 3)
    y = np.array([0, 1, 2, 2, 1] * 2 + [0, 1, 2, 0, 0])
    try:
        TemperatureScaling().predict(x)
    except (ValueError, AttributeError) as error:
        message = str(error)
    p = [estimator().fit(x, y).predict_proba(x[:2]).tolist() for estimator in (TemperatureScaling, VectorScaling)]
    print(json.dumps([message, "sklearn" in sys.modules, p]))
    """
    message, loaded, p = run(script, tmp_path / "cache", NUMBA_DISABLE_JIT="1")
    x = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0], [2.0, 1.0, -1.0], [0.0, 1.0, 2.0], [1.0, 0.0, 0.5]] * 3)
    y = np.array([0, 1, 2, 2, 1] * 2 + [0, 1, 2, 0, 0])
    assert message.startswith("This TemperatureScaling instance is not fitted yet")
    assert not loaded
    expected = [estimator().fit(x, y).predict_proba(x[:2]) for estimator in BOTH]
    np.testing.assert_allclose(p, expected, atol=1e-5)


def test_no_rows_are_no_probabilities() -> None:
    model = TemperatureScaling().fit([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0]], [0, 1, 1])
    assert model.predict_proba(np.empty((0, 2))).shape == (0, 2)
    assert model.predict(np.empty((0, 2))).shape == (0,)


def test_a_mask_is_not_lost() -> None:
    masked = np.ma.array([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0]], mask=[[0, 0], [0, 1], [0, 0]])
    with pytest.raises(TypeError, match="X is a masked array, whose mask would be lost"):
        TemperatureScaling().fit(masked, [0, 1, 1])
    with pytest.raises(TypeError, match="X is a masked array"):
        TemperatureScaling().fit(masked.data, [0, 1, 1]).predict(masked)
    for labels in ([0, 1, 1], ["a", "b", "b"]):
        with pytest.raises(TypeError, match="y is a masked array, whose mask would be lost; leave out the rows"):
            TemperatureScaling().fit(masked.data, np.ma.array(labels, mask=[0, 0, 1]))


def test_a_missing_label_is_no_class() -> None:
    with pytest.raises(ValueError, match="y holds nan at 1; accepted are"):
        TemperatureScaling().fit([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0]], [0.0, np.nan, 0.0])


def test_the_score_takes_weights_and_refuses_other_shapes() -> None:
    x = np.array([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0]])
    model = TemperatureScaling().fit(x, [0, 1, 1])
    assert model.score(x, [0, 1, 1]) == pytest.approx(2 / 3)
    assert model.score(x, [0, 1, 1], sample_weight=[1, 1, 2]) == 0.5
    with pytest.raises(ValueError, match=r"y has shape \(3, 1\); accepted is \(3,\)"):
        model.score(x, [[0], [1], [1]])


def test_vector_scaling_refuses_a_logit_of_minus_infinity_in_a_row_that_counts() -> None:
    x = np.vstack([np.where(np.arange(3) == LABELS[0], 1.0, -np.inf), X])
    labels, weight = np.append(LABELS[0], LABELS), np.ones(401)
    with pytest.raises(ValueError, match="logits holds -inf; accepted by vector scaling are finite numbers"):
        fit_vector_scaling(x, labels, sample_weight=weight)
    weight[0] = 0
    found = fit_vector_scaling(x, labels, sample_weight=weight)
    np.testing.assert_allclose(found.scale, fit_vector_scaling(X, LABELS).scale, rtol=1e-4)


def test_vector_scaling_has_not_converged_where_all_labels_can_be_made_certain() -> None:
    x = RNG.standard_normal((40, 3))
    assert not fit_vector_scaling(x, x.argmax(axis=1)).converged
    assert not fit_vector_scaling(x, np.zeros(40, int)).converged  # a bias is enough
    assert fit_vector_scaling(np.ones((3, 1)), [0, 0, 0]).converged  # one class is certain as it is

"""Calibration in scikit-learn's conventions, which does not need scikit-learn."""

import inspect
import sys
import warnings
from importlib import import_module
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._args.labels import checked_sample_weight, refuse_mask
from .._args.rows import unmasked
from .._args.values import computed_dtype, result_dtype
from ..activations import log_softmax, softmax
from .fitting import fit_temperature, fit_vector_scaling_with_reason


class _NotFittedError(ValueError, AttributeError):
    """What scikit-learn's error of this name is, where scikit-learn is not loaded."""


def _not_fitted_error() -> type[Exception]:
    """Return scikit-learn's error where it is loaded, else ours."""
    if "sklearn" not in sys.modules:
        return _NotFittedError
    error: type[Exception] = import_module("sklearn.exceptions").NotFittedError
    return error


class _LogitCalibrator:
    """What estimators on logits have in common."""

    classes_: NDArray[Any]
    n_features_in_: int

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002  scikit-learn passes it
        """Return the parameters of the constructor."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the constructor; return the estimator."""
        accepted = self.get_params()
        for name, value in params.items():
            if name not in accepted:
                raise ValueError(
                    f"{name!r} is no parameter of {type(self).__name__}; accepted are {', '.join(accepted) or 'none'}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items() if value is not None)
        return f"{type(self).__name__}({given})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "classes_")

    def __sklearn_tags__(self) -> Any:
        utils = import_module("sklearn.utils")  # which is there, as only it calls this
        return utils.Tags(
            estimator_type="classifier",
            target_tags=utils.TargetTags(required=True),
            classifier_tags=utils.ClassifierTags(),
            transformer_tags=utils.TransformerTags(),
        )

    def transform(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803  scikit-learn's name
        """Return calibrated logits.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_classes)
            Logits, or log-odds of shape (n_samples,) or (n_samples, 1) if there are two classes.

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
            Logits whose softmax is what `predict_proba` returns.  In a row in which one would be too large for the
            dtype, but not for float64, they are logarithms of the probabilities.
        """
        x = self._checked(X)
        dtype = result_dtype("X", x.dtype)
        logits, temperature = self._calibrated(x)
        if not 0 < temperature < np.inf:
            return np.asarray(log_softmax(logits, temperature=temperature))
        with np.errstate(all="ignore"):
            quotient: NDArray[Any] = np.divide(logits, temperature, dtype=computed_dtype(logits.dtype))
            scaled = quotient.astype(dtype, copy=False)
            large = (np.isfinite(logits) & ~np.isfinite(scaled)).any(axis=-1)
            scaled[large] = log_softmax(logits[large], temperature=temperature)
        return scaled

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Return calibrated probabilities.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_classes)
            Logits, or log-odds of shape (n_samples,) or (n_samples, 1) if there are two classes.

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
            Probabilities, columns in the order of ``classes_``.
        """
        x = self._checked(X)
        logits, temperature = self._calibrated(x)
        with np.errstate(all="ignore"):
            p: NDArray[Any] = softmax(logits, temperature=temperature)
            return p.astype(result_dtype("X", x.dtype), copy=False)

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Return the most probable class of each row of logits.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_classes)
            Logits, or log-odds of shape (n_samples,) or (n_samples, 1) if there are two classes.

        Returns
        -------
        ndarray, shape (n_samples,)
            The class of the largest calibrated logit, which does not depend on the temperature.
        """
        logits, _ = self._calibrated(self._checked(X))
        return np.asarray(self.classes_[logits.argmax(axis=-1)])

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:  # noqa: N803
        """Return how often the most probable class is the true one."""
        predicted = self.predict(X)
        right = predicted == _one_for_each_row(y, predicted.shape)
        return float(np.average(right, weights=checked_sample_weight(sample_weight, predicted.shape)))

    def fit_transform(self, X: ArrayLike, y: ArrayLike, **fit_params: Any) -> NDArray[Any]:  # noqa: N803
        """Fit, and return calibrated logits."""
        return self.fit(X, y, **fit_params).transform(X)

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:  # noqa: N803
        """Fit to logits and labels of held-out data.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_classes)
            Logits, or log-odds of shape (n_samples,) or (n_samples, 1) if there are two classes.
        y : array_like, shape (n_samples,)
            Integers from 0 to n_classes - 1; or any labels of which there are n_classes different ones, the columns
            being in their order.
        sample_weight : array_like, shape (n_samples,), optional
            Weight of each row.

        Returns
        -------
        self
        """
        x = _two_dimensional(X)
        classes, places = _classes_of(y, x.shape)
        self._fit(x, places, sample_weight)
        self.classes_, self.n_features_in_ = classes, x.shape[1]
        return self

    def _fit(self, x: NDArray[Any], labels: NDArray[Any], weight: Any) -> None:
        raise NotImplementedError

    def _calibrated(self, x: NDArray[Any]) -> tuple[NDArray[Any], float]:
        """Return floats and the temperature at which their softmax is that of the calibrated logits."""
        raise NotImplementedError

    def _checked(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Return logits as an array; raise where they are not such as it was fitted to."""
        name = type(self).__name__
        if not hasattr(self, "classes_"):
            raise _not_fitted_error()(f"This {name} instance is not fitted yet; call fit first")
        x = _two_dimensional(X)
        if x.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {x.shape[1]} features, but {name} is expecting {self.n_features_in_} features as input"
            )
        return x


def _two_dimensional(X: Any) -> NDArray[Any]:  # noqa: N803
    """Return logits of shape (n_samples, n_classes); of log-odds the logit of the first class is 0."""
    x = unmasked("X", X)
    if x.ndim > 2 or x.ndim == 0:
        raise ValueError(f"X has shape {x.shape}; accepted are logits of shape (n_samples, n_classes) and log-odds")
    if x.ndim == 1:
        x = x[:, np.newaxis]
    return np.concatenate([np.zeros_like(x), x], axis=1) if x.shape[1] == 1 else x


def _one_for_each_row(y: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return labels as an array; raise where they are not one for each row."""
    refuse_mask("y", y, "leave out the rows that it masks")
    labels = np.asarray(y)
    if labels.shape != shape:
        raise ValueError(f"y has shape {labels.shape}; accepted is {shape}, one label for each row of X")
    return labels


def _classes_of(y: Any, shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the classes in the order of columns, and the column of each label."""
    labels = _one_for_each_row(y, shape[:1])
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        place = int(np.isnan(labels).argmax())
        raise ValueError(f"y holds nan at {place}; accepted are labels of classes")
    integers = labels.dtype.kind in "iu"
    if integers and (labels.size == 0 or (labels.min() >= 0 and labels.max() < shape[1])):
        return np.arange(shape[1]), labels
    classes, places = np.unique(labels, return_inverse=True)
    if len(classes) != shape[1]:
        raise ValueError(
            f"y has {len(classes)} different labels and X {shape[1]} columns; accepted are integers from 0 to "
            f"{shape[1] - 1} and as many different labels as columns"
        )
    return classes, places.astype(np.int64)


class TemperatureScaling(_LogitCalibrator):
    """Estimator that divides logits by the temperature that fits best.

    Parameters
    ----------
    threads : int, optional
        Largest number of threads of the fit.

    Attributes
    ----------
    temperature_ : float
        The temperature; 0 or inf, with a warning, where the data have no best one, and 2**40 or 2**-40 where that lies
        beyond.
    fit_ : TemperatureFit
        All that `fit_temperature` found.
    classes_ : ndarray, shape (n_classes,)
        Labels in the order of columns.
    n_features_in_ : int
        Number of columns.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit.calibration import TemperatureScaling
    >>> logits = np.array([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0], [4.0, 0.0]])
    >>> model = TemperatureScaling().fit(logits, ["a", "b", "a", "b"])
    >>> model.predict_proba(logits[:1]).round(4)
    array([[0.75, 0.25]])
    """

    def __init__(self, *, threads: int | None = None) -> None:
        self.threads = threads

    def _fit(self, x: NDArray[Any], labels: NDArray[Any], weight: Any) -> None:
        self.fit_ = fit_temperature(x, labels, sample_weight=weight, threads=self.threads)
        self.temperature_ = self.fit_.temperature
        if self.fit_.at_bound:
            searched = 0 < self.temperature_ < np.inf
            reason = "is best beyond the temperatures that are tried" if searched else "has no maximum"
            warnings.warn(
                f"the likelihood {reason}: the temperature is at its limit, {self.temperature_}",
                RuntimeWarning,
                stacklevel=3,
            )

    def _calibrated(self, x: NDArray[Any]) -> tuple[NDArray[Any], float]:
        return x.astype(result_dtype("X", x.dtype), copy=False), self.temperature_


class VectorScaling(_LogitCalibrator):
    """Estimator that gives each class a scale and a bias of its logit, those that fit best.

    Where one of a row's products with them is beyond the range of float64, its probabilities are NaN.

    Parameters
    ----------
    max_iter : int, default 500
        Largest number of passes over the logits.
    threads : int, optional
        Largest number of threads of the fit.

    Attributes
    ----------
    scale_, bias_ : ndarray, shape (n_classes,)
        What logits are multiplied by, and what is added.
    fit_ : VectorScalingFit
        All that `fit_vector_scaling` found.
    classes_ : ndarray, shape (n_classes,)
        Labels in the order of columns.
    n_features_in_ : int
        Number of columns.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit.calibration import VectorScaling
    >>> logits = np.array([[2.0, 0.0]] * 3 + [[0.0, 2.0]] * 3)
    >>> VectorScaling().fit(logits, [0, 0, 1, 1, 1, 0]).predict_proba(logits[:1]).round(4)
    array([[0.6667, 0.3333]])
    """

    def __init__(self, *, max_iter: int = 500, threads: int | None = None) -> None:
        self.max_iter = max_iter
        self.threads = threads

    def _fit(self, x: NDArray[Any], labels: NDArray[Any], weight: Any) -> None:
        self.fit_, reason = fit_vector_scaling_with_reason(
            x, labels, sample_weight=weight, max_iter=self.max_iter, threads=self.threads
        )
        self.scale_, self.bias_ = self.fit_.scale, self.fit_.bias
        if not self.fit_.converged:
            warnings.warn(f"not converged{reason}", RuntimeWarning, stacklevel=3)

    def _calibrated(self, x: NDArray[Any]) -> tuple[NDArray[Any], float]:
        with np.errstate(all="ignore"):
            return x * self.scale_ + self.bias_, 1.0

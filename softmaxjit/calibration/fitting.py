"""The temperature with which a classifier's probabilities fit what is true."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _args
from .._args import labels as _labels
from .._args.labels import Labelled
from .._args.predictions import checked_integers, checked_positive
from .._run_labelled import fitting as _run
from .._run_labelled import total

MAXIMUM_PASSES = 100
ENDLESS = ": all labels can be made as certain as one likes, so that there is no best scale and bias"
TOO_FEW = " in {} passes; raise max_iter"
STUCK = ": the logits are too large or too small for float64; bring them nearer to 1"
MINUS_INFINITY = "logits holds -inf; accepted by vector scaling are finite numbers"


class TemperatureFit(NamedTuple):
    """What `fit_temperature` found."""

    temperature: float  # 0 and inf are the limits of sharpening and flattening
    nll_before: float  # mean negative log-likelihood at temperature 1
    nll_after: float  # and at `temperature`
    iterations: int  # passes over the logits
    converged: bool  # whether it is the best to within the tolerance, or the limit
    at_bound: bool  # whether there is no best temperature but a limit, or it lies beyond those that are tried


def fit_temperature(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    threads: int | None = None,
) -> TemperatureFit:
    r"""Return the temperature at which the likelihood of labels is largest.

    .. math:: \tau^* = \arg\min_\tau -\sum_i w_i \log\mathrm{softmax}(x_i / \tau)_{y_i}

    Parameters
    ----------
    logits : array_like, shape (..., C), with the classes along `axis`
        Logits of held-out data, not those on which the classifier was trained.  Dtypes as in `softmax`.
    labels : array_like
        Integers from 0 to C - 1, of the shape of `logits` without `axis`; or floats of the shape of `logits`, the
        probability of each class.  Bool is refused.
    axis : int, default -1
        Axis of the classes.
    sample_weight : array_like, optional
        Weight of each row, of the shape of `logits` without `axis`, finite and not negative.  What a row of weight 0
        holds does not matter.
    threads : int, optional
        Largest number of threads.  By default Numba's current number for inputs large enough to gain from it.

    Returns
    -------
    TemperatureFit
        Named tuple of ``temperature``, ``nll_before`` and ``nll_after`` (means, in nats), ``iterations``,
        ``converged`` and ``at_bound``.

    Raises
    ------
    TypeError
        An argument has a dtype, or is of a kind, that is not accepted.
    ValueError
        A label is no class; a logit is NaN or +inf, or -inf where its class has a label; there are no rows; or shapes
        do not fit.  The message names the value, its place and what is accepted.
    numpy.exceptions.AxisError
        `axis` is out of range.

    Notes
    -----
    The negative log-likelihood is convex in :math:`\beta = 1/\tau`; Newton's method, kept inside a bracket, takes it
    with both derivatives from one pass over the logits, in which no probability is stored.

    Two kinds of data have no best temperature, which is found out exactly and reported by ``at_bound``: if each label
    is the largest logit of its row, the likelihood grows as the temperature falls to 0, which is then returned; if the
    logits say nothing about the labels, or the contrary, it grows as the temperature rises to infinity.  `softmax`
    takes both.  Temperatures above 2**40 or below 2**-40, which logits as large or small would need, are not tried:
    ``at_bound`` then comes with that number.

    Beside logits of floats in C's order and labels of int64 it needs 24 bytes for each 16384 logits, and 8 for each row
    if labels are probabilities.  Others are copied.

    The result has the same bits for any number of threads, and fits that of extended precision to 1e-9 in float64, 1e-6
    in float32, for logits of the sizes that classifiers have.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017,
    arXiv 1706.04599.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit.calibration import fit_temperature
    >>> logits = np.array([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0], [4.0, 0.0]])
    >>> fit = fit_temperature(logits, [0, 1, 0, 1])  # sure to 98 %, right in three of four
    >>> round(fit.temperature, 4), fit.converged  # 4 / log(3)
    (3.641, True)
    """
    rows = _labels.labelled_rows("logits", logits, labels, axis)
    weight = _labels.checked_sample_weight(sample_weight, rows.shape)
    limit = _args.checked_threads(threads)
    if rows.x.size == 0:
        raise ValueError(f"logits has shape {rows.array.shape}; accepted are arrays with at least one row and class")
    number = _number_of(rows, weight)
    sums, mass = _run.run_distances(rows, np.ones(1) if weight is None else weight, limit)
    of_labels, of_mean, log_finite, log_ties = map(float, sums)
    if not (math.isfinite(of_labels) and math.isfinite(of_mean)):
        raise _unusable(rows, weight)

    def evaluated(beta: float) -> tuple[float, float, float]:
        log, mean, variance = map(float, _run.run_likelihood(rows, beta, mass, limit))
        return beta * of_labels + log, of_labels - mean, variance

    before, slope, curvature = evaluated(1.0)
    if of_labels >= of_mean or of_labels == 0.0:
        useless = of_labels >= of_mean
        after = log_finite if useless else log_ties
        return TemperatureFit(math.inf if useless else 0.0, before / number, after / number, 1, True, True)
    tolerance = 1e-10 if rows.dtype.itemsize >= 8 else 1e-7
    after, iterations = before, 1
    search = _run.next_search(_run.search_from(1.0), slope, curvature, tolerance)
    while not search.found and iterations < MAXIMUM_PASSES:
        after, slope, curvature = evaluated(search.beta)
        iterations += 1
        search = _run.next_search(search, slope, curvature, tolerance)
    at_bound = search.found and _run.is_extreme(search.beta)
    return TemperatureFit(1.0 / search.beta, before / number, after / number, iterations, search.found, at_bound)


class VectorScalingFit(NamedTuple):
    """What `fit_vector_scaling` found."""

    scale: NDArray[np.float64]  # of each class
    bias: NDArray[np.float64]  # of each class, of sum 0
    nll_before: float  # mean negative log-likelihood of the logits as they are
    nll_after: float  # and of ``scale * logits + bias``
    iterations: int  # passes over the logits
    converged: bool


def fit_vector_scaling(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    max_iter: int = 500,
    threads: int | None = None,
) -> VectorScalingFit:
    r"""Return the scale and bias of each class at which the likelihood of labels is largest.

    .. math:: s^*, b^* = \arg\min_{s, b} -\sum_i w_i \log\mathrm{softmax}(s \odot x_i + b)_{y_i}

    Parameters
    ----------
    logits, axis, sample_weight, threads
        As in `fit_temperature`.
    labels : array_like of integers
        The class of each row, from 0 to C - 1.
    max_iter : int, default 500
        Number of passes over the logits, after those of `fit_temperature`, at which no further step is taken.

    Returns
    -------
    VectorScalingFit
        Named tuple of ``scale`` and ``bias``, shape (C,), ``nll_before``, ``nll_after``, ``iterations`` and
        ``converged``, which is False where `max_iter` passes were not enough; where the labels of all rows can be made
        as certain as one likes: such data have no best scale and bias; and where logits are so large or small that no
        step in float64 leads further down.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As in `fit_temperature`; or a logit is -inf.

    Notes
    -----
    Convex, minimised by L-BFGS from the best temperature on, with the curvature of each class by itself to begin with:
    one pass over the logits gives loss, gradient and these, and some tens are enough.  A class that no row has gets a
    bias as low as it takes for its probability not to matter.  It has 2 C parameters where `fit_temperature` has one,
    and can change which class is the most probable: use it where there are hundreds of rows of each class.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017,
    arXiv 1706.04599.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit.calibration import fit_vector_scaling
    >>> logits = np.array([[2.0, 0.0]] * 3 + [[0.0, 2.0]] * 3)
    >>> fit = fit_vector_scaling(logits, [0, 0, 1, 1, 1, 0])
    >>> np.allclose(fit.scale, np.log(2) / 2), fit.converged
    (True, True)
    """
    fit, _ = fit_vector_scaling_with_reason(
        logits, labels, axis=axis, sample_weight=sample_weight, max_iter=max_iter, threads=threads
    )
    return fit


def fit_vector_scaling_with_reason(
    logits: Any, labels: Any, *, axis: Any = -1, sample_weight: Any, max_iter: Any, threads: Any
) -> tuple[VectorScalingFit, str]:
    """Return the fit, and in words why it has not converged, if it has not."""
    checked_integers(labels)
    start = fit_temperature(logits, labels, axis=axis, sample_weight=sample_weight, threads=threads)
    rows = _labels.labelled_rows("logits", logits, labels, axis)
    weight = _labels.checked_sample_weight(sample_weight, rows.shape)
    number, weight = _number_of(rows, weight), np.ones(1) if weight is None else weight
    limit, n = _args.checked_threads(threads), rows.n
    passes = checked_positive("max_iter", max_iter)

    def function(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        return _run.run_vector_scaling(rows, parameters, weight, limit) / number

    temperature = start.temperature if 0 < start.temperature < math.inf else 1.0
    found = _run.run_descent(function, np.concatenate([np.full(n, 1 / temperature), np.zeros(n)]), passes)
    if not math.isfinite(found.value):
        raise ValueError(MINUS_INFINITY)
    # Were every label more probable than not, to double all parameters would make it more so, without end.
    smallest = weight.min(where=weight > 0, initial=math.inf)
    endless = n > 1 and found.value * number < math.log(2) * smallest
    bias = found.place[n:] - total(found.place[n:]) / n
    fit = VectorScalingFit(
        found.place[:n],
        bias,
        start.nll_before,
        found.value,
        start.iterations + found.evaluations,
        found.converged and not endless,
    )
    return fit, ENDLESS if endless else TOO_FEW.format(passes) if found.unfinished else STUCK


def _number_of(rows: Labelled, weight: Any) -> float:
    """Return the number of rows, or the sum of their weights."""
    return float(math.prod(rows.shape) if weight is None else total(weight))


def _unusable(rows: Labelled, weight: Any) -> ValueError:
    """Return the error for logits that have no likelihood."""
    x = rows.x.reshape(-1, rows.n).astype(np.float64)
    counts = np.ones(len(x), bool) if weight is None else weight > 0
    wrong = np.argwhere((np.isnan(x) | (x == np.inf)) & counts[:, np.newaxis])
    accepted = "accepted are finite numbers, and -inf for classes that cannot be"
    if len(wrong):
        row, column = map(int, wrong[0])
        return ValueError(f"logits holds {x[row, column]} in row {row}, class {column}; {accepted}")
    with np.errstate(all="ignore"):
        labels = rows.labels.reshape(x.shape) if rows.soft else np.eye(rows.n)[rows.labels]
        wrong = np.argwhere((x == -np.inf) & (labels > 0) & counts[:, np.newaxis])
    if len(wrong):
        row, column = map(int, wrong[0])
        return ValueError(f"logits holds -inf in row {row}, class {column}, which has a label; {accepted}")
    return ValueError(
        "logits holds numbers whose differences are beyond float64, alone or times labels and sample_weight; "
        "accepted are smaller ones"
    )

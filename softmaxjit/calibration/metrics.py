"""How well probabilities are calibrated, and how good they are: from one pass over probabilities or logits."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _args
from .._args.labels import checked_choice
from .._args.predictions import BINNINGS, NORMS, checked_positive, checked_predictions, prediction_batches
from .._args.values import checked_flag
from .._run_labelled import metrics as _run
from .class_bins import class_bins

Binning = Literal["width", "mass"]
Numbers = NDArray[np.float64]


class ReliabilityCurve(NamedTuple):
    """The bins of a reliability diagram, as data: arrays with one element for each bin."""

    edges: Numbers  # one more than bins; bin b holds confidences in (edges[b], edges[b + 1]], the first 0 too
    counts: NDArray[np.int64]
    confidence: Numbers  # mean in the bin, NaN in an empty one
    accuracy: Numbers  # part that is true, NaN in an empty one


class BrierDecomposition(NamedTuple):
    """What a Brier score is made of: ``brier = reliability - resolution + uncertainty + within - covariance``."""

    brier: float
    reliability: float  # squared distance between confidence and frequency in a bin: lower is better
    resolution: float  # squared distance between the frequency in a bin and that of all: higher is better
    uncertainty: float  # variance of what is true, which no classifier can help
    within: float  # variance of confidences in a bin
    covariance: float  # twice the covariance of confidence and truth in a bin


def expected_calibration_error(
    probs: ArrayLike,
    labels: ArrayLike,
    *,
    n_bins: int = 15,
    binning: Binning = "width",
    norm: float = 1,
    classwise: bool = False,
    debias: bool = False,
    from_logits: bool = False,
    threads: int | None = None,
) -> float:
    r"""Return the calibration error: how far confidence and accuracy lie apart in bins of confidence.

    .. math:: \mathrm{ECE}_q = \Bigl(\sum_b \frac{n_b}{n}\, |\mathrm{acc}_b - \mathrm{conf}_b|^q\Bigr)^{1/q}

    Parameters
    ----------
    probs : array_like, shape (..., C) or (n,)
        Probabilities of C classes, from 0 to 1, the confidence of a row being the largest; or, of one dimension, the
        probability that the answer is yes, which is then itself the confidence.  With `from_logits`, logits.  Whether
        the probabilities of a row add up to 1 is not checked.
    labels : array_like of integers, shape (...) or (n,)
        The true class of each row, from 0 to C - 1; or 1 for yes and 0 for no.  Bool is refused.
    n_bins : int, default 15
        Number of bins.
    binning : {"width", "mass"}, default "width"
        Bins of equal width; or of as nearly equal numbers of rows as equal confidences allow, with the edges at
        quantiles, for which all confidences are held at once.  Bins are (a, b], and 0 is in the first.
    norm : {1, 2, inf}, default 1
        The exponent q: the mean gap, its root mean square, or the largest gap of any bin.
    classwise : bool, default False
        Take, for each class, its probability as the confidence, and average over the classes (with norm 2 their
        squares; with norm inf take the largest).
    debias : bool, default False
        Subtract from the squares what the variance of labels makes of them by chance; only with norm 2.
    from_logits : bool, default False
        Whether `probs` are logits, whose softmax (of one dimension: sigmoid) is then meant and never stored.
    threads : int, optional
        Largest number of threads.  By default Numba's current number for inputs large enough to gain from it.

    Returns
    -------
    float
        The error, from 0 to 1.

    Raises
    ------
    TypeError
        An argument has a dtype, or is of a kind, that is not accepted.
    ValueError
        A label is no class, or a number no probability: the message names it, its place and what is accepted; there are
        no rows; `debias` is asked for without norm 2; or another argument is out of its range.

    Notes
    -----
    With few rows in a bin this error is too large even of perfect probabilities: see `debias`, and `bootstrap`.

    Bins of equal width are filled batch by batch, in 1 to 3 MB whatever the number of rows, of which those are copied
    that are no floats or not in C's order; bins of equal mass take 24 to 40 bytes a row, and with `classwise` 64 MB or,
    if that is more, 32 bytes a row.  With `classwise` a batch takes 4 to 13 MB, and each bin of each class 40 bytes.

    References
    ----------
    M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI
    2015.  C. Guo and others, "On calibration of modern neural networks", ICML 2017.  A. Kumar, P. Liang, T. Ma,
    "Verified uncertainty calibration", NeurIPS 2019.  M. Kull and others, "Beyond temperature scaling", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit.calibration import expected_calibration_error
    >>> probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    >>> round(expected_calibration_error(probs, [0, 1, 1, 0], n_bins=5), 4)
    0.25
    """
    options = checked_options(n_bins, binning, norm, debias)
    limit = _args.checked_threads(threads)
    if not checked_flag("classwise", classwise):
        sums, _ = _bins(probs, labels, from_logits, options.bins, binning, limit)
        return float(_run.rooted(_error(sums, options), options.norm))
    sums = class_bins(probs, labels, from_logits, options.bins, binning, limit)
    return float(_run.rooted(_run.run_error_of_classes(sums, options.norm, options.debias), options.norm))


class Options(NamedTuple):
    """What a calibration error depends on besides the predictions."""

    bins: int
    norm: float
    debias: bool


def checked_options(n_bins: Any, binning: Any, norm: Any, debias: Any) -> Options:
    """Return the options of a calibration error."""
    bins = checked_positive("n_bins", n_bins)
    checked_choice("binning", binning, BINNINGS)
    checked_choice("norm", norm, NORMS)
    if checked_flag("debias", debias) and norm != 2:
        raise ValueError(f"debias is True and norm is {norm!r}; accepted is norm 2, whose bias is known")
    return Options(bins, float(norm), bool(debias))


def _bins(
    probs: Any, labels: Any, from_logits: Any, bins: int, binning: str, threads: int | None
) -> tuple[Numbers, Numbers]:
    """Return the sums of each bin of confidence, and the edges of the bins."""
    if binning == "width":
        batches = prediction_batches(probs, labels, from_logits)
        return _run.run_width_bins(batches, bins, threads), _run.width_edges(bins)
    judged = _run.run_judgement(checked_predictions(probs, labels, from_logits), threads, scored=False)
    edges = _run.mass_edges(judged.confidence, bins)
    return _run.run_bins(judged, edges, False), edges


def _error(sums: Numbers, options: Options) -> float:
    flat, step, rows = sums.reshape(-1).tolist(), sums.shape[-1], sums[:, 0].sum()
    return float(_run.error_of_bins(flat, 0, step, len(sums), rows, options.norm, options.debias))


def reliability_curve(
    probs: ArrayLike,
    labels: ArrayLike,
    *,
    n_bins: int = 15,
    binning: Binning = "width",
    from_logits: bool = False,
    threads: int | None = None,
) -> ReliabilityCurve:
    """Return the bins of a reliability diagram: in each, how sure the predictions are and how often they are right.

    Parameters
    ----------
    probs, labels, n_bins, binning, from_logits, threads
        As in `expected_calibration_error`.

    Returns
    -------
    ReliabilityCurve
        Named tuple of ``edges``, shape (n_bins + 1,), and of ``counts``, mean ``confidence`` and ``accuracy``, shape
        (n_bins,), the last two NaN in empty bins.

    Raises
    ------
    TypeError, ValueError
        As in `expected_calibration_error`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit.calibration import reliability_curve
    >>> curve = reliability_curve(np.array([0.1, 0.2, 0.9, 1.0]), [0, 1, 1, 1], n_bins=2)
    >>> curve.counts, curve.confidence.round(2), curve.accuracy
    (array([2, 2]), array([0.15, 0.95]), array([0.5, 1. ]))
    """
    bins = checked_options(n_bins, binning, 1, False).bins
    return curve_of(*_bins(probs, labels, from_logits, bins, binning, _args.checked_threads(threads)))


def curve_of(sums: Numbers, edges: Numbers) -> ReliabilityCurve:
    """Return the bins of a diagram from their sums."""
    counts, confidence, truth = sums.T
    with np.errstate(invalid="ignore"):
        return ReliabilityCurve(edges, counts.astype(np.int64), confidence / counts, truth / counts)


def accuracy(probs: ArrayLike, labels: ArrayLike, *, from_logits: bool = False, threads: int | None = None) -> float:
    """Return how often the most probable class is the true one; the first counts where several are.

    Parameters
    ----------
    probs, labels, from_logits, threads
        As in `expected_calibration_error`.

    Returns
    -------
    float
        A part of all rows, from 0 to 1.

    Raises
    ------
    TypeError, ValueError
        As in `expected_calibration_error`.

    Examples
    --------
    >>> from softmaxjit.calibration import accuracy
    >>> accuracy([[0.9, 0.1], [0.4, 0.6]], [0, 0])
    0.5
    """
    limit = _args.checked_threads(threads)
    return _run.run_mean(prediction_batches(probs, labels, from_logits), "right", limit)


def nll(probs: ArrayLike, labels: ArrayLike, *, from_logits: bool = False, threads: int | None = None) -> float:
    """Return the mean negative log-likelihood of the true classes, in nats.

    Parameters
    ----------
    probs, labels, from_logits, threads
        As in `expected_calibration_error`.

    Returns
    -------
    float
        From 0; infinite where a true class has probability 0.

    Raises
    ------
    TypeError, ValueError
        As in `expected_calibration_error`.

    Notes
    -----
    From logits it is exact also where a probability is next to 0 or 1: `cross_entropy` in float64.

    Examples
    --------
    >>> from softmaxjit.calibration import nll
    >>> round(nll([[0.9, 0.1], [0.4, 0.6]], [0, 0]), 4)
    0.5108
    """
    limit = _args.checked_threads(threads)
    return _run.run_mean(prediction_batches(probs, labels, from_logits), "loss", limit)


def brier_score(probs: ArrayLike, labels: ArrayLike, *, from_logits: bool = False, threads: int | None = None) -> float:
    r"""Return the mean squared distance of the probabilities from the truth.

    .. math:: \mathrm{BS} = \frac1n \sum_i \sum_c (p_{ic} - [y_i = c])^2

    Of one dimension it is the mean of :math:`(p_i - y_i)^2`, half of what two classes would give.

    Parameters
    ----------
    probs, labels, from_logits, threads
        As in `expected_calibration_error`.

    Returns
    -------
    float
        From 0 to 2, of one dimension to 1.

    Raises
    ------
    TypeError, ValueError
        As in `expected_calibration_error`.

    References
    ----------
    G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78(1),
    1950.

    Examples
    --------
    >>> from softmaxjit.calibration import brier_score
    >>> round(brier_score([[0.9, 0.1], [0.4, 0.6]], [0, 0]), 4)
    0.37
    """
    limit = _args.checked_threads(threads)
    return _run.run_mean(prediction_batches(probs, labels, from_logits), "brier", limit)


def brier_decomposition(
    probs: ArrayLike,
    labels: ArrayLike,
    *,
    n_bins: int = 15,
    binning: Binning = "width",
    from_logits: bool = False,
    threads: int | None = None,
) -> BrierDecomposition:
    r"""Return what the Brier score is made of, each class being binned by its own probability.

    Parameters
    ----------
    probs, labels, n_bins, binning, from_logits, threads
        As in `expected_calibration_error`.

    Returns
    -------
    BrierDecomposition
        Named tuple of ``brier`` and its five parts, which add up: ``brier = reliability - resolution + uncertainty +
        within - covariance``; each is summed over classes.

    Raises
    ------
    TypeError, ValueError
        As in `expected_calibration_error`.

    Notes
    -----
    Murphy's three parts add up only if all probabilities in a bin are equal; the last two are what is missing.

    References
    ----------
    A. H. Murphy, "A new vector partition of the probability score", Journal of Applied Meteorology 12(4), 1973.
    D. B. Stephenson, C. A. S. Coelho, I. T. Jolliffe, "Two extra components in the Brier score decomposition", Weather
    and Forecasting 23(4), 2008.

    Examples
    --------
    >>> from softmaxjit.calibration import brier_decomposition
    >>> parts = brier_decomposition([0.2, 0.2, 0.8, 0.8], [0, 1, 1, 1], n_bins=5)
    >>> [round(part, 4) for part in parts]
    [0.19, 0.065, 0.0625, 0.1875, 0.0, 0.0]
    """
    bins = checked_options(n_bins, binning, 1, False).bins
    limit = _args.checked_threads(threads)
    brier = _run.run_mean(prediction_batches(probs, labels, from_logits), "brier", limit)
    sums = class_bins(probs, labels, from_logits, bins, binning, limit)
    return BrierDecomposition(brier, *_run.run_parts_of_brier(sums))

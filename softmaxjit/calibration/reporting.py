"""All that tells how well a classifier is calibrated, with intervals, from one pass over its logits."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _args
from .._args.labels import checked_fraction
from .._args.predictions import (
    batch_height,
    checked_count,
    checked_integers,
    checked_positive,
    checked_predictions,
    checked_true_classes,
)
from .._args.rows import unmasked
from .._run_labelled import metrics as _run
from .._run_labelled import total
from ..activations import log_softmax
from .metrics import ReliabilityCurve, curve_of
from .resampling import BootstrapInterval, interval_of, seed_of


class CalibrationReport(NamedTuple):
    """What `calibration_report` returns."""

    rows: int
    accuracy: BootstrapInterval
    nll: BootstrapInterval
    brier_score: BootstrapInterval
    expected_calibration_error: BootstrapInterval
    curve: ReliabilityCurve


def calibration_report(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    temperature: float = 1.0,
    where: ArrayLike | None = None,
    n_bins: int = 15,
    n_resamples: int = 2000,
    confidence_level: float = 0.95,
    rng: Any = None,
    threads: int | None = None,
) -> CalibrationReport:
    """Return accuracy, likelihood, Brier score and calibration error with intervals, and the reliability curve.

    Parameters
    ----------
    logits : array_like, shape (n, C)
        Logits.  An array in a memory-mapped file is read batch by batch.
    labels : array_like of integers, shape (n,)
        The true class of each row.
    temperature : float, default 1.0
        What the logits are divided by, from 0 to infinity.
    where : array_like of bool, shape (n,), optional
        Rows that count.
    n_bins : int, default 15
        Number of bins, of equal width.
    n_resamples, confidence_level, rng
        Of the intervals, as in `bootstrap`.
    threads : int, optional
        Largest number of threads.  By default Numba's current number for inputs large enough to gain from it.

    Returns
    -------
    CalibrationReport
        Named tuple of ``rows``, the four metrics as `BootstrapInterval`, and ``curve``.

    Raises
    ------
    TypeError, ValueError
        As in `expected_calibration_error` and `bootstrap`.

    Notes
    -----
    Beside the logits it needs one batch of them and, for the resamples, 40 bytes a row.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit.calibration import calibration_report
    >>> logits = np.array([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0], [4.0, 0.0]] * 10)
    >>> report = calibration_report(logits, [0, 1, 0, 1] * 10, rng=0)
    >>> report.accuracy.value, round(report.expected_calibration_error.value, 3)
    (0.75, 0.232)
    """
    x, truth = np.asanyarray(logits), checked_integers(labels)
    number, bins = checked_positive("n_resamples", n_resamples), checked_positive("n_bins", n_bins)
    level = checked_fraction("confidence_level", confidence_level)
    limit = _args.checked_threads(threads)
    if not isinstance(temperature, int | float | np.integer | np.floating):
        raise TypeError(f"temperature is a {type(temperature).__name__}; accepted is one number from 0 to infinity")
    if x.ndim != 2:
        raise ValueError(f"logits has shape {x.shape}; accepted is (rows, classes)")
    kept = None if where is None else np.asarray(unmasked("where", where), bool)
    if kept is not None and kept.shape != x.shape[:1]:
        raise ValueError(f"where has shape {kept.shape}; accepted is {x.shape[:1]}, one for each row of logits")
    judged = _judged(x, truth, temperature, kept, limit)
    edges = _run.width_edges(bins)
    sums = _run.run_bins(judged, edges, True)
    error = float(_run.error_of_bins(sums.reshape(-1), 0, sums.shape[-1], bins, len(judged.loss), 1, False))
    seed = seed_of(rng)  # one, so that all metrics are of the same resamples

    def mean(values: NDArray[np.float64]) -> BootstrapInterval:
        resampled = _run.run_resampled_means(values, seed, number, limit)
        return interval_of(float(total(values)) / len(values), resampled, level)

    errors = _run.run_resampled_errors(judged, bins, "width", 1.0, False, seed, number, limit)
    return CalibrationReport(
        len(judged.loss),
        mean(judged.right),
        mean(judged.loss),
        mean(judged.brier),
        interval_of(error, errors, level),
        curve_of(sums, edges),
    )


def _judged(
    x: NDArray[Any], labels: NDArray[Any], temperature: float, where: NDArray[Any] | None, threads: int | None
) -> _run.Judged:
    """Judge rows, batch by batch."""
    checked_count("logits", x)
    labels = checked_true_classes(labels, x.shape[:1], x.shape[1], f"logits of shape {x.shape}")
    height, count = batch_height(x.shape[1]), len(x) if where is None else int(where.sum())
    if count == 0:
        raise ValueError(f"where, of shape {labels.shape}, is False throughout; accepted is at least one True")
    confidence, right, loss, brier = (np.empty(count) for _ in range(4))
    place = 0
    for first in range(0, len(x), height):
        some, truth = x[first : first + height], labels[first : first + height]
        if _run.judges_at(temperature):
            predictions = checked_predictions(some, truth, True, "logits", first, temperature)
        else:
            log_probs = log_softmax(some, temperature=temperature)
            predictions = checked_predictions(log_probs, truth, True, "logits", first)
        kept = None if where is None else where[first : first + height]
        judged = _run.run_judgement(predictions, threads, kept)
        here = slice(place, place + (len(truth) if kept is None else int(kept.sum())))
        for of_all, of_batch in (
            (confidence, judged.confidence),
            (right, judged.right),
            (loss, judged.loss),
            (brier, judged.brier),
        ):
            of_all[here] = of_batch if kept is None else of_batch[kept]
        place = here.stop
    return _run.Judged(confidence, right, right, loss, brier)

"""Intervals for metrics, from resampled rows."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _args
from .._args.labels import checked_fraction, refuse_mask
from .._args.predictions import checked_positive, checked_predictions
from .._run_labelled import metrics as _run
from .metrics import Binning, accuracy, brier_score, checked_options, expected_calibration_error, nll

MEANS = {accuracy: "right", nll: "loss", brier_score: "brier"}


class BootstrapInterval(NamedTuple):
    """What `bootstrap` found."""

    value: float  # of the metric on the rows as they are
    low: float
    high: float
    confidence_level: float
    distribution: NDArray[np.float64]  # of the metric over the resamples, in their order


def bootstrap(
    metric: Callable[..., float],
    probs: ArrayLike,
    labels: ArrayLike,
    *,
    n_resamples: int = 2000,
    confidence_level: float = 0.95,
    rng: Any = None,
    from_logits: bool = False,
    n_bins: int = 15,
    binning: Binning = "width",
    norm: float = 1,
    classwise: bool = False,
    debias: bool = False,
    threads: int | None = None,
) -> BootstrapInterval:
    """Return the interval in which a metric lies with some confidence, from resamples of the rows.

    Parameters
    ----------
    metric : callable
        `accuracy`, `nll`, `brier_score` or `expected_calibration_error`, whose resamples are taken in parallel, from
        one pass over the predictions; or any other function of predictions and labels alone, called for each resample.
    probs, labels : array_like
        As the metric takes them; rows are those of the first axes (of `probs` all but the last, unless it has one).
    n_resamples : int, default 2000
        Number of resamples, each of as many rows as there are.
    confidence_level : float, default 0.95
        How probable the interval is; its ends leave out as much of the distribution on either side.
    rng : None, int, numpy.random.Generator or what numpy.random.default_rng takes, optional
        Where randomness comes from; the same seed gives the same bits for any number of threads.
    from_logits, n_bins, binning, norm, classwise, debias
        Passed to the metric if it is one of the four and takes them.
    threads : int, optional
        Largest number of threads.  By default Numba's current number for inputs large enough to gain from it.

    Returns
    -------
    BootstrapInterval
        Named tuple of ``value``, ``low``, ``high``, ``confidence_level`` and the ``distribution``, shape
        (n_resamples,).

    Raises
    ------
    TypeError, ValueError
        As the metric raises; or `n_resamples` is below 1, or `confidence_level` not between 0 and 1.

    Notes
    -----
    Of the four metrics, 16 to 48 bytes a row are needed, since all resamples are of the same judgements of rows.

    These are percentiles.  A calibration error is biased upwards, and that of a resample once more, so that its
    interval may lie above the value where that is near 0; `expected_calibration_error` with `debias` is less so.

    References
    ----------
    B. Efron, R. J. Tibshirani, "An introduction to the bootstrap", Chapman & Hall,
    1993.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit.calibration import accuracy, bootstrap
    >>> probs = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.8, 0.2]] * 25)
    >>> interval = bootstrap(accuracy, probs, [0, 1, 0, 0] * 25, rng=0)
    >>> interval.value, 0.6 < interval.low < 0.7 < 0.8 < interval.high < 0.9
    (0.75, True)
    """
    number = checked_positive("n_resamples", n_resamples)
    level = checked_fraction("confidence_level", confidence_level)
    if level in (0, 1):
        raise ValueError(f"confidence_level is {confidence_level!r}; accepted are numbers between 0 and 1")
    limit = _args.checked_threads(threads)
    seed = seed_of(rng)
    options: dict[str, Any] = {}
    if metric in MEANS:
        options = {"from_logits": from_logits}
    elif metric is expected_calibration_error:
        options = {
            "from_logits": from_logits,
            "n_bins": n_bins,
            "binning": binning,
            "norm": norm,
            "classwise": classwise,
            "debias": debias,
        }
    value = float(metric(probs, labels, **options))
    distribution = _quickly(metric, probs, labels, options, seed, number, limit)
    if distribution is None:
        distribution = _slowly(metric, probs, labels, options, seed, number)
    return interval_of(value, distribution, level)


def seed_of(rng: Any) -> int:
    """Return 63 bits that decide all draws: an integer stands for itself, in compiled code too."""
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool) and 0 <= rng < 1 << 63:
        return int(rng)
    return int(np.random.default_rng(rng).integers(1 << 63))


def interval_of(value: float, distribution: NDArray[np.float64], level: float) -> BootstrapInterval:
    """Return the interval of a metric from its distribution over resamples."""
    ordered = np.sort(distribution)
    low, high = (float(_run.quantile(ordered, part)) for part in ((1.0 - level) / 2.0, (1.0 + level) / 2.0))
    return BootstrapInterval(value, low, high, level, distribution)


def _quickly(
    metric: Any, probs: Any, labels: Any, options: dict[str, Any], seed: int, number: int, threads: int | None
) -> NDArray[np.float64] | None:
    """Return the metric of each resample if it is made of one judgement of the rows, else None."""
    if not (metric is expected_calibration_error or metric in MEANS) or options.get("classwise", False):
        return None
    predictions = checked_predictions(probs, labels, options["from_logits"])
    judged = _run.run_judgement(predictions, threads, scored=MEANS.get(metric) in _run.SCORES)
    if metric in MEANS:
        return _run.run_resampled_means(getattr(judged, MEANS[metric]), seed, number, threads)
    binning = options["binning"]
    bins, norm, debias = checked_options(options["n_bins"], binning, options["norm"], options["debias"])
    return _run.run_resampled_errors(judged, bins, binning, norm, debias, seed, number, threads)


def _slowly(
    metric: Any, probs: Any, labels: Any, options: dict[str, Any], seed: int, number: int
) -> NDArray[np.float64]:
    """Return the metric of each resample, called for each."""
    refuse_mask("probs", probs, "pass probs.filled(0)")
    refuse_mask("labels", labels, "leave out the rows that it masks")
    x, truth = np.asarray(probs), np.asarray(labels)
    axes = truth.ndim
    x, truth = x.reshape(-1, *x.shape[axes:]), truth.reshape(-1)
    result = np.empty(number)
    for r in range(number):
        places = _run.run_draw(seed, r, len(truth))
        result[r] = metric(x[places], truth[places], **options)
    return result

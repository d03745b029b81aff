"""bootstrap inside compiled code: of the metrics that are made of one judgement of the rows."""

import numpy as np
from numba import types
from numba.core import errors

from .. import calibration
from .._args.predictions import BINNINGS
from .._jit import compiled_as, routine
from .._kernels.bins import SUMS, error_of_bins, rooted
from .._kernels.bootstrap import quantile, resample_bins, resample_masses, resample_means
from .._kernels.cross_entropy import total_of
from .checks import refuse_threads
from .judgement import FLAGS, judge_of, judged_by_batches
from .labelled import constant_of
from .metrics import MEANS, SCORES, bins_of, check_error_options, checked_options, edges_of, mean_of

FLOAT64 = np.dtype(np.float64)
BootstrapInterval = calibration.BootstrapInterval
ACCEPTED = "accuracy, nll, brier_score and expected_calibration_error without classwise"


@compiled_as(calibration.bootstrap)
def _bootstrap(
    metric,
    probs,
    labels,
    n_resamples=2000,
    confidence_level=0.95,
    rng=None,
    from_logits=False,
    n_bins=15,
    binning="width",
    norm=1,
    classwise=False,
    debias=False,
    threads=None,
):
    refuse_threads(threads)
    function = getattr(metric, "typing_key", None)
    is_error = function is calibration.expected_calibration_error
    if not (is_error or function in MEANS) or constant_of("classwise", classwise, FLAGS):
        raise errors.NumbaTypeError(f"metric has type {metric}; accepted in compiled code are {ACCEPTED}")
    checked_seed(rng)
    checked_options(n_bins, norm, debias)
    judge, dtype, logits = judge_of(probs, labels, from_logits)
    mass = constant_of("binning", binning, BINNINGS) == "mass"
    total, place = total_of.compiled(FLOAT64), MEANS.get(function, 0)
    scored = place in SCORES
    means = resample_means.compiled(FLOAT64)
    fill = (resample_masses if mass else resample_bins).compiled(FLOAT64)
    bins = bins_of()
    places_of = order_of if mass else sums_places_of

    def of_error(judgement, n_bins, norm, debias, seed, out):
        check_error_options(n_bins, norm, debias)
        confidence, truth = judgement[0], judgement[1]
        edges = edges_of(confidence, n_bins, mass)
        sums = bins(confidence, truth, edges, mass)
        fill(places_of(confidence, edges), confidence, truth, n_bins, norm, debias, seed, out)
        return rooted(error_of_bins(sums, 0, SUMS, n_bins, confidence.size, norm, debias), norm)

    def of_mean(judgement, n_bins, norm, debias, seed, out):
        means(judgement[place], seed, out)
        return mean_of(judgement[place], total)

    resample = routine(of_error if is_error else of_mean)

    def implementation(
        metric,
        probs,
        labels,
        n_resamples=2000,
        confidence_level=0.95,
        rng=None,
        from_logits=False,
        n_bins=15,
        binning="width",
        norm=1,
        classwise=False,
        debias=False,
        threads=None,
    ):
        if n_resamples < 1 or not 0.0 < confidence_level < 1.0:
            raise ValueError("n_resamples is below 1 or confidence_level not between 0 and 1")
        judgement = judged_by_batches(probs, labels, judge, dtype, logits, scored)
        out = np.empty(n_resamples)
        value = resample(judgement, n_bins, np.float64(norm), debias, seed_of(rng), out)
        return interval_of(value, out, confidence_level)

    return implementation


def checked_seed(rng):
    """Raise where `rng` is no integer by type."""
    if not isinstance(rng, int | types.Integer):
        raise errors.NumbaTypeError(f"rng has type {rng}; accepted in compiled code are integers, seeds")


@routine
def seed_of(rng):
    """Return 63 bits that decide all draws."""
    if rng < 0:
        raise ValueError("rng is negative; accepted in compiled code are integers from 0, seeds")
    return np.uint64(rng)


@routine
def interval_of(value, distribution, level):
    """Return the interval of a metric from its distribution over resamples."""
    ordered = np.sort(distribution)
    low, high = quantile(ordered, (1.0 - level) / 2.0), quantile(ordered, (1.0 + level) / 2.0)
    return BootstrapInterval(value, low, high, level, distribution)


@routine
def order_of(confidence, edges):
    """Return the rows in ascending order of confidence."""
    return np.argsort(confidence, kind="mergesort").astype(np.int64)


@routine
def sums_places_of(confidence, edges):
    """Return where the sums of each row's bin are."""
    result = np.empty(confidence.size, np.int64)
    for row in range(confidence.size):
        result[row] = SUMS * np.searchsorted(edges[1:-1], confidence[row])
    return result

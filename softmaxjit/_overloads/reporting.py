"""calibration_report inside compiled code."""

import numpy as np
from numba import types
from numba.core import errors

from .. import calibration
from .._jit import compiled_as, routine
from .._kernels.bins import SUMS, error_of_bins
from .._kernels.bootstrap import resample_bins, resample_means
from .._kernels.cross_entropy import total_of
from .._kernels.judgement import judge_logits
from .._kernels.temperature import is_direct
from ..activations import log_softmax
from .checks import absent, refuse_threads
from .judgement import height_of_rows, holds_nan, judge_of
from .labelled import NOTHING, classes_of
from .metrics import bins_of, checked_options, curve_of, edges_of, mean_of
from .resampling import checked_seed, interval_of, seed_of, sums_places_of

FLOAT64 = np.dtype(np.float64)
BAD_ROW = "logits holds a row without a softmax: a NaN, +inf or -inf alone"
CalibrationReport = calibration.CalibrationReport


@compiled_as(calibration.calibration_report)
def _calibration_report(
    logits,
    labels,
    temperature=1.0,
    where=None,
    n_bins=15,
    n_resamples=2000,
    confidence_level=0.95,
    rng=None,
    threads=None,
):
    refuse_threads(threads)
    checked_seed(rng)
    checked_options(n_bins, 1, False)
    _, dtype, _ = judge_of(logits, labels, True, "logits")
    judge = judge_logits.compiled(dtype)
    if logits.ndim != 2:
        raise errors.NumbaTypeError(f"logits has {logits.ndim} dimensions; accepted are 2, rows and classes")
    if not isinstance(temperature, int | float | types.Integer | types.Float | types.Omitted):
        raise errors.NumbaTypeError(f"temperature has type {temperature}; accepted is one number from 0 to infinity")
    if not absent(where) and not (isinstance(where, types.Array) and where.dtype == types.boolean and where.ndim == 1):
        raise errors.NumbaTypeError(f"where has type {where}; accepted are None and arrays of bool, one for each row")
    total, bins_of_rows = total_of.compiled(FLOAT64), bins_of()
    means, errors_of = resample_means.compiled(FLOAT64), resample_bins.compiled(FLOAT64)

    def implementation(
        logits,
        labels,
        temperature=1.0,
        where=None,
        n_bins=15,
        n_resamples=2000,
        confidence_level=0.95,
        rng=None,
        threads=None,
    ):
        check_report_options(n_bins, n_resamples, confidence_level)
        if logits.size == 0:
            raise ValueError(NOTHING)
        count, n = logits.shape
        truth = classes_of(labels, count, n, None)
        places = places_of(where, count)
        height = height_of_rows(n)
        some = np.empty((min(height, places.size), n), dtype)
        confidence, right = np.empty(places.size), np.empty(places.size)
        loss, brier = np.empty(places.size), np.empty(places.size)
        true = truth[places]
        for first in range(0, places.size, height):
            last = min(first + height, places.size)
            for row in range(first, last):
                for c in range(n):
                    some[row - first, c] = logits[places[row], c]
            direct = is_direct(temperature)
            rows = some[: last - first] if direct else log_softmax(some[: last - first], temperature=temperature)
            judge(
                rows.reshape(-1),
                n,
                temperature if direct else 1.0,
                true[first:last],
                confidence[first:last],
                right[first:last],
                loss[first:last],
                brier[first:last],
            )
            if holds_nan(confidence[first:last]):
                raise ValueError(BAD_ROW)
        edges = edges_of(confidence, n_bins, False)
        sums = bins_of_rows(confidence, right, edges, False)
        seed, error = seed_of(rng), error_of_bins(sums, 0, SUMS, n_bins, places.size, 1.0, False)
        of_right, of_loss, of_brier = np.empty(n_resamples), np.empty(n_resamples), np.empty(n_resamples)
        of_error = np.empty(n_resamples)
        means(right, seed, of_right)
        means(loss, seed, of_loss)
        means(brier, seed, of_brier)
        errors_of(sums_places_of(confidence, edges), confidence, right, n_bins, 1.0, False, seed, of_error)
        return CalibrationReport(
            places.size,
            interval_of(mean_of(right, total), of_right, confidence_level),
            interval_of(mean_of(loss, total), of_loss, confidence_level),
            interval_of(mean_of(brier, total), of_brier, confidence_level),
            interval_of(error, of_error, confidence_level),
            curve_of(edges, sums),
        )

    return implementation


@routine
def check_report_options(n_bins, n_resamples, confidence_level):
    """Raise where an option is out of its range."""
    if n_bins < 1 or n_resamples < 1:
        raise ValueError("n_bins or n_resamples is below 1; accepted are integers from 1")
    if not 0.0 <= confidence_level <= 1.0:
        raise ValueError("confidence_level is no number from 0 to 1")


def places_of(where, count):
    """Return the numbers of the rows that count."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(places_of)
def _places_of(where, count):
    if absent(where):
        return lambda where, count: np.arange(count)

    def implementation(where, count):
        if where.size != count:
            raise ValueError("where has another length than logits; accepted is one for each row")
        result = np.flatnonzero(where)
        if result.size == 0:
            raise ValueError("where is False throughout; accepted is at least one True")
        return result

    return implementation

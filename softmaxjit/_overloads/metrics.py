"""The metrics of calibration inside compiled code."""

from typing import Any

import numpy as np
from numba import types
from numba.core import errors

from .. import calibration
from .._args.predictions import BINNINGS
from .._jit import compiled_as, routine
from .._kernels.bins import CLASS_SUMS, PARTS, SUMS, bin_classes, bin_rows, error_of_bins, rooted
from .._kernels.cross_entropy import total_of
from .._kernels.softmax import softmax_rows
from .._kernels.temperature import ONE_FOR_ALL
from .checks import refuse_threads
from .judgement import FLAGS, batch_length, judge_of, judged
from .labelled import constant_of

FLOAT64 = np.dtype(np.float64)
ReliabilityCurve = calibration.ReliabilityCurve


def _overload_mean(function: Any, place: int) -> None:
    @compiled_as(function)
    def _factory(probs, labels, from_logits=False, threads=None):
        refuse_threads(threads)
        judge, dtype, logits = judge_of(probs, labels, from_logits)
        total = total_of.compiled(FLOAT64)

        def implementation(probs, labels, from_logits=False, threads=None):
            height = batch_length(probs, labels)
            totals, number = np.empty((len(probs) + height - 1) // height), 0
            for k in range(totals.size):
                some, truth = probs[k * height : (k + 1) * height], labels[k * height : (k + 1) * height]
                values = judged(some, truth, judge, dtype, logits)[place]
                totals[k] = sum_of(values, total)
                number += values.size
            return sum_of(totals, total) / number

        return implementation


@routine
def sum_of(values, total):
    """Return the sum of numbers."""
    out = np.empty(1)
    total(values, out)
    return out[0]


@routine
def mean_of(values, total):
    """Return the mean of numbers."""
    return sum_of(values, total) / values.size


# What `judged` returns of them.
MEANS = {calibration.accuracy: 2, calibration.nll: 3, calibration.brier_score: 4}
for _function, _place in MEANS.items():
    _overload_mean(_function, _place)


def checked_options(n_bins: Any, norm: Any, debias: Any) -> None:
    """Raise where options of a calibration error are of a wrong type."""
    for name, value, kinds in (
        ("n_bins", n_bins, types.Integer),
        ("norm", norm, types.Integer | types.Float),
        ("debias", debias, types.Boolean),
    ):
        if not isinstance(value, kinds | types.Omitted | int | float):
            raise errors.NumbaTypeError(f"{name} has type {value}; accepted are constants and {name} of Python's kind")


@routine
def check_error_options(bins, norm, debias):
    """Raise where options of a calibration error are out of range."""
    if bins < 1:
        raise ValueError("n_bins is below 1; accepted are integers from 1")
    if norm not in (1.0, 2.0, np.inf):
        raise ValueError("norm is another number than 1, 2 and inf")
    if debias and norm != 2.0:
        raise ValueError("debias is True and norm is not 2; accepted is norm 2, whose bias is known")


@routine
def edges_of(values, bins, mass):
    """Return the edges of bins of equal width, or of equal mass of the values."""
    edges = np.empty(bins + 1)
    for k in range(bins + 1):
        edges[k] = k / bins
    if mass:
        ordered = np.sort(values)
        for k in range(1, bins):
            edges[k] = ordered[k * (values.size - 1) // bins]
    return edges


def bins_of() -> Any:
    """Return what sums up the rows of each bin."""
    fill = bin_rows.compiled(FLOAT64)

    def implementation(confidence, truth, edges, mass):
        sums = np.empty(SUMS * (edges.size - 1))
        fill(confidence, truth, edges, not mass, sums)
        return sums

    return routine(implementation)


def width_bins_of(judge: Any, dtype: Any, logits: bool) -> Any:
    """Return what sums up the predictions in each bin of equal width, batch by batch."""
    bins_of_rows = bins_of()

    def implementation(probs, labels, edges):
        height = batch_length(probs, labels)
        sums = np.zeros(SUMS * (edges.size - 1))
        for first in range(0, len(probs), height):
            some, truth = probs[first : first + height], labels[first : first + height]
            confidence, true, _, _, _, _, _ = judged(some, truth, judge, dtype, logits)
            added = bins_of_rows(confidence, true, edges, False)
            for k in range(sums.size):
                sums[k] += added[k]
        return sums

    return routine(implementation)


def binned_of(judge: Any, dtype: Any, logits: bool, mass: bool) -> Any:
    """Return what finds the edges of bins and sums up the predictions in each."""
    bins_of_rows, width_bins = bins_of(), width_bins_of(judge, dtype, logits)

    def of_width(probs, labels, bins):
        edges = edges_of(np.empty(0), bins, False)
        return edges, width_bins(probs, labels, edges)

    def of_mass(probs, labels, bins):
        confidence, truth, _, _, _, _, _ = judged(probs, labels, judge, dtype, logits)
        edges = edges_of(confidence, bins, True)
        return edges, bins_of_rows(confidence, truth, edges, True)

    return routine(of_mass if mass else of_width)


@routine
def edges_of_classes(rows, n, bins, mass):
    """Return the edges of all classes one after another, or once where all have the same."""
    if not mass:
        return edges_of(rows[:0].astype(np.float64), bins, False)
    count = rows.size // n
    edges = np.empty(n * (bins + 1))
    column = np.empty(count)
    for k in range(n):
        for row in range(count):
            column[row] = min(np.float64(rows[row * n + k]), 1.0)
        edges[k * (bins + 1) : (k + 1) * (bins + 1)] = edges_of(column, bins, True)
    return edges


@compiled_as(calibration.expected_calibration_error)
def _expected_calibration_error(
    probs,
    labels,
    n_bins=15,
    binning="width",
    norm=1,
    classwise=False,
    debias=False,
    from_logits=False,
    threads=None,
):
    refuse_threads(threads)
    checked_options(n_bins, norm, debias)
    judge, dtype, logits = judge_of(probs, labels, from_logits)
    mass = constant_of("binning", binning, BINNINGS) == "mass"
    by_class = constant_of("classwise", classwise, FLAGS)
    binned = binned_of(judge, dtype, logits, mass)
    sums_of_classes = class_sums_of(probs, dtype, logits)

    def of_confidence(
        probs,
        labels,
        n_bins=15,
        binning="width",
        norm=1,
        classwise=False,
        debias=False,
        from_logits=False,
        threads=None,
    ):
        exponent = np.float64(norm)
        check_error_options(n_bins, exponent, debias)
        _, sums = binned(probs, labels, n_bins)
        rows = probs.size // (probs.shape[-1] if probs.ndim > 1 else 1)
        return rooted(error_of_bins(sums, 0, SUMS, n_bins, rows, exponent, debias), exponent)

    def of_classes(
        probs,
        labels,
        n_bins=15,
        binning="width",
        norm=1,
        classwise=False,
        debias=False,
        from_logits=False,
        threads=None,
    ):
        exponent = np.float64(norm)
        check_error_options(n_bins, exponent, debias)
        judgement = judged(probs, labels, judge, dtype, logits)
        sums = sums_of_classes(judgement, n_bins, mass)
        step = n_bins * CLASS_SUMS
        error = 0.0
        for first in range(0, sums.size, step):
            each = error_of_bins(sums, first, CLASS_SUMS, n_bins, judgement[0].size, exponent, debias)
            error = max(error, each) if exponent == np.inf else error + each * step / sums.size
        return rooted(error, exponent)

    return of_classes if by_class else of_confidence


def class_sums_of(probs: Any, dtype: Any, logits: bool) -> Any:
    """Return what sums up classes and bins; it is compiled with the dtype of rows."""
    from_answers = probs.ndim == 1
    compute = bin_classes.compiled(FLOAT64 if from_answers else dtype)
    activate = softmax_rows.compiled(dtype, ONE_FOR_ALL)

    def of_answers(judgement, bins, mass):
        confidence, truth = judgement[0], judgement[1]
        edges = edges_of(confidence, bins, mass)
        sums = np.empty(PARTS * bins * CLASS_SUMS)
        places = (1.0 - truth).astype(np.int64)  # of the one class there is, 0, or none
        compute(confidence, 1, places, False, edges, 0, not mass, sums)
        return sums[: bins * CLASS_SUMS]

    def of_rows(judgement, bins, mass):
        rows, labels = judgement[5], judgement[6]
        n = rows.size // labels.size
        if logits:
            activate(rows, n, 1.0, rows)
        edges = edges_of_classes(rows, n, bins, mass)
        sums = np.empty(PARTS * n * bins * CLASS_SUMS)
        compute(rows, n, labels, False, edges, bins + 1 if mass else 0, not mass, sums)
        return sums[: n * bins * CLASS_SUMS]

    return routine(of_answers if from_answers else of_rows)


@compiled_as(calibration.reliability_curve)
def _reliability_curve(probs, labels, n_bins=15, binning="width", from_logits=False, threads=None):
    refuse_threads(threads)
    checked_options(n_bins, 1, False)
    judge, dtype, logits = judge_of(probs, labels, from_logits)
    mass = constant_of("binning", binning, BINNINGS) == "mass"
    binned = binned_of(judge, dtype, logits, mass)

    def implementation(probs, labels, n_bins=15, binning="width", from_logits=False, threads=None):
        check_error_options(n_bins, 1.0, False)
        edges, sums = binned(probs, labels, n_bins)
        return curve_of(edges, sums)

    return implementation


@routine
def curve_of(edges, sums):
    """Return the bins of a diagram from their sums."""
    bins = edges.size - 1
    counts, means, accuracy = np.empty(bins, np.int64), np.empty(bins), np.empty(bins)
    for b in range(bins):
        counts[b] = sums[SUMS * b]
        means[b] = sums[SUMS * b + 1] / sums[SUMS * b]
        accuracy[b] = sums[SUMS * b + 2] / sums[SUMS * b]
    return ReliabilityCurve(edges, counts, means, accuracy)


@compiled_as(calibration.brier_decomposition)
def _brier_decomposition(probs, labels, n_bins=15, binning="width", from_logits=False, threads=None):
    refuse_threads(threads)
    checked_options(n_bins, 1, False)
    judge, dtype, logits = judge_of(probs, labels, from_logits)
    mass = constant_of("binning", binning, BINNINGS) == "mass"
    sums_of_classes = class_sums_of(probs, dtype, logits)
    total = total_of.compiled(FLOAT64)
    result_of = calibration.BrierDecomposition

    def implementation(probs, labels, n_bins=15, binning="width", from_logits=False, threads=None):
        check_error_options(n_bins, 1.0, False)
        judgement = judged(probs, labels, judge, dtype, logits)
        sums = sums_of_classes(judgement, n_bins, mass)
        parts = parts_of_brier(sums, n_bins, judgement[0].size)
        return result_of(mean_of(judgement[4], total), parts[0], parts[1], parts[2], parts[3], parts[4])

    return implementation


@routine
def parts_of_brier(sums, bins, rows):
    """Return reliability, resolution, uncertainty, variance within bins, and twice the covariance there."""
    reliability = resolution = uncertainty = within = covariance = 0.0
    step = bins * CLASS_SUMS
    for first in range(0, sums.size, step):
        frequency = 0.0
        for k in range(first, first + step, CLASS_SUMS):
            frequency += sums[k + 2] / rows
        uncertainty += frequency * (1.0 - frequency)
        for k in range(first, first + step, CLASS_SUMS):
            count, p, true = sums[k], sums[k + 1], sums[k + 2]
            if count > 0.0:
                reliability += (p - true) * (p - true) / count / rows
                resolution += count * (true / count - frequency) * (true / count - frequency) / rows
                within += (sums[k + 3] - p * p / count) / rows
                covariance += 2.0 * (sums[k + 4] - p * true / count) / rows
    return reliability, resolution, uncertainty, within, covariance

"""The metrics of calibration inside compiled code."""

from typing import Any

import numpy as np
from numba import types
from numba.core import errors

from .. import calibration
from .._args.predictions import BINNINGS
from .._jit import compiled_as, routine
from .._kernels.bins import (
    BRIER_PARTS,
    CLASS_SUMS,
    SUMS,
    bin_classes,
    bin_rows,
    error_of_bins,
    error_of_classes,
    parts_of_brier,
    rooted,
)
from .._kernels.cross_entropy import total_of
from .._kernels.softmax import softmax_rows
from .._kernels.temperature import ONE_FOR_ALL
from ..calibration.class_bins import HELD
from .checks import refuse_threads
from .judgement import FLAGS, batch_length, judge_of, judged, judged_by_batches
from .labelled import constant_of

FLOAT64 = np.dtype(np.float64)
ReliabilityCurve = calibration.ReliabilityCurve


def _overload_mean(function: Any, place: int) -> None:
    @compiled_as(function)
    def _factory(probs, labels, from_logits=False, threads=None):
        refuse_threads(threads)
        judge, dtype, logits = judge_of(probs, labels, from_logits)
        total, scored = total_of.compiled(FLOAT64), place in SCORES

        def implementation(probs, labels, from_logits=False, threads=None):
            height = batch_length(probs, labels)
            totals, number = np.empty((len(probs) + height - 1) // height), 0
            for k in range(totals.size):
                some, truth = probs[k * height : (k + 1) * height], labels[k * height : (k + 1) * height]
                values = judged(some, truth, judge, dtype, logits, scored)[place]
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
SCORES = (3, 4)
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
            confidence, true, _, _, _, _, _ = judged(some, truth, judge, dtype, logits, False)
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
        confidence, truth, _, _, _ = judged_by_batches(probs, labels, judge, dtype, logits, False)
        edges = edges_of(confidence, bins, True)
        return edges, bins_of_rows(confidence, truth, edges, True)

    return routine(of_mass if mass else of_width)


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
    sums_of_classes = class_sums_of(probs, judge, dtype, logits, mass)
    of_all = error_of_classes.compiled(FLOAT64)

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
        sums, rows = sums_of_classes(probs, labels, n_bins)
        error = np.empty(1)
        of_all(sums, n_bins, rows, exponent, debias, error)
        return rooted(error[0], exponent)

    return of_classes if by_class else of_confidence


def probabilities_of(probs: Any, judge: Any, dtype: Any, logits: bool) -> Any:
    """Return what gives the flat probabilities of a batch, and the class of each row; of answers, class 0 is yes."""
    activate = softmax_rows.compiled(dtype, ONE_FOR_ALL)

    def of_answers(probs, labels):
        confidence, truth, _, _, _, _, _ = judged(probs, labels, judge, dtype, logits, False)
        return confidence, (1.0 - truth).astype(np.int64)

    def of_rows(probs, labels):
        _, _, _, _, _, rows, truth = judged(probs, labels, judge, dtype, logits, False)
        if logits:
            activate(rows, rows.size // truth.size, 1.0, rows)
        return rows, truth

    return routine(of_answers if probs.ndim == 1 else of_rows)


def class_sums_of(probs: Any, judge: Any, dtype: Any, logits: bool, mass: bool) -> Any:
    """Return what sums up classes and bins, batch by batch, and gives the number of rows."""
    from_answers = probs.ndim == 1
    compute = bin_classes.compiled(FLOAT64 if from_answers else dtype)
    probabilities = probabilities_of(probs, judge, dtype, logits)
    edges_of_classes = edges_of_classes_of(probabilities)

    def implementation(probs, labels, bins):
        height = batch_length(probs, labels)
        n = 1 if from_answers else probs.shape[-1]
        edges = edges_of_classes(probs, labels, n, bins) if mass else edges_of(np.empty(0), bins, False)
        sums = np.zeros(n * bins * CLASS_SUMS)
        for first in range(0, len(probs), height):
            p, truth = probabilities(probs[first : first + height], labels[first : first + height])
            compute(p, n, truth, edges, bins + 1 if mass else 0, not mass, sums)
        return sums, np.float64(probs.size // n)

    return routine(implementation)


def edges_of_classes_of(probabilities: Any) -> Any:
    """Return what finds the edges of bins of equal mass of all classes, one after another."""

    def implementation(probs, labels, n, bins):
        height, count = batch_length(probs, labels), probs.size // n
        width = min(n, max(1, HELD // count))
        edges, columns = np.empty(n * (bins + 1)), np.empty((width, count))
        for first_class in range(0, n, width):
            classes, row = min(width, n - first_class), 0
            for first in range(0, len(probs), height):
                p, truth = probabilities(probs[first : first + height], labels[first : first + height])
                for i in range(truth.size):
                    for k in range(classes):
                        columns[k, row + i] = min(np.float64(p[i * n + first_class + k]), 1.0)
                row += truth.size
            for k in range(classes):
                place = (first_class + k) * (bins + 1)
                edges[place : place + bins + 1] = edges_of(columns[k], bins, True)
        return edges

    return routine(implementation)


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
    sums_of_classes = class_sums_of(probs, judge, dtype, logits, mass)
    fill = parts_of_brier.compiled(FLOAT64)
    score, result_of = calibration.brier_score, calibration.BrierDecomposition

    def implementation(probs, labels, n_bins=15, binning="width", from_logits=False, threads=None):
        check_error_options(n_bins, 1.0, False)
        sums, rows = sums_of_classes(probs, labels, n_bins)
        parts = np.empty(BRIER_PARTS)
        fill(sums, n_bins, rows, parts)
        brier = score(probs, labels, from_logits=logits)
        return result_of(brier, parts[0], parts[1], parts[2], parts[3], parts[4])

    return implementation

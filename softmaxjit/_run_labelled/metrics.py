"""Run what metrics are made of: judgements of rows, sums over bins, and resamples of both."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numba.core import config

from .. import _plain_labelled
from .._args.labels import Labelled
from .._args.predictions import Predictions, refuse_row
from .._carriers import carried
from .._kernels import bins as _bins
from .._kernels import bootstrap as _bootstrap
from .._kernels.bins import BRIER_PARTS, CLASS_SUMS, SUMS, bin_classes, bin_rows, error_of_classes, parts_of_brier
from .._kernels.bootstrap import draw_rows, resample_bins, resample_masses, resample_means
from .._kernels.judgement import judge_answers, judge_logits, judge_probabilities
from .._kernels.temperature import LARGEST_TEMPERATURE, SMALLEST_TEMPERATURE
from . import FLOAT64, Array, granted, has_kernel, total

error_of_bins = getattr(_bins.error_of_bins, "py_func", _bins.error_of_bins)
quantile = getattr(_bootstrap.quantile, "py_func", _bootstrap.quantile)
rooted = getattr(_bins.rooted, "py_func", _bins.rooted)


SCORES = ("loss", "brier")  # of a judgement; there are none if it is not scored


class Judged(NamedTuple):
    """One number for each prediction, in float64."""

    confidence: Array
    truth: Array  # 1 where what the confidence is about is true, else 0
    right: Array  # 1 where the most probable class is the true one, else 0
    loss: Array
    brier: Array


def run_judgement(
    predictions: Predictions, threads: int | None, where: Array | None = None, scored: bool = True
) -> Judged:
    """Judge predictions, with losses if they are to be `scored`; raise ValueError where one that counts is none."""
    if not has_kernel(FLOAT64 if predictions.rows is None else predictions.rows.dtype):
        judged = _plainly_judged(predictions)
    else:
        confidence, right = np.empty(predictions.number), np.empty(predictions.number)
        loss, brier = (np.empty(predictions.number if scored else 0) for _ in range(2))
        if predictions.rows is None:
            judge = judge_answers.compiled(FLOAT64)
            judge(predictions.yes, predictions.from_logits, predictions.answers, confidence, right, loss, brier)
            judged = Judged(confidence, predictions.answers, right, loss, brier)
        else:
            _judge_rows(predictions.rows, predictions.from_logits, threads, confidence, right, loss, brier)
            judged = Judged(confidence, right, right, loss, brier)
    wrong = np.isnan(judged.confidence) if where is None else np.isnan(judged.confidence) & where
    if wrong.any():
        refuse_row(predictions, int(np.argmax(wrong)))
    return judged


def _plainly_judged(predictions: Predictions) -> Judged:
    """Judge predictions without compiled code."""
    rows, from_logits = predictions.rows, predictions.from_logits
    with np.errstate(all="ignore"):
        if rows is None:
            truth = predictions.answers
            confidence, right, loss, brier = _plain_labelled.judged_answers(predictions.yes, truth, from_logits)
            return Judged(confidence, truth, right, loss, brier)
        x = rows.x.reshape(-1, rows.n)
        confidence, right, loss, brier = _plain_labelled.judgement(x, rows.labels, from_logits, rows.temperature)
        return Judged(confidence, right, right, loss, brier)


def _judge_rows(rows: Labelled, from_logits: bool, threads: int | None, *out: Array) -> None:
    """Write what is found out about rows."""
    kernel = judge_logits if from_logits else judge_probabilities
    temperature = (rows.temperature,) if from_logits else ()
    with granted(rows.x.size, threads) as number:
        judge = kernel.compiled(rows.x.dtype, parallel=number > 1)
        judge(carried(rows.x), rows.n, *temperature, rows.labels, *out)


def run_mean(batches: Iterable[Predictions], name: str, threads: int | None) -> float:
    """Return the mean over all predictions of one number of a judgement, by its name."""
    number, totals = 0, []
    for predictions in batches:
        totals.append(total(getattr(run_judgement(predictions, threads, scored=name in SCORES), name)))
        number += predictions.number
    return float(total(np.array(totals)) / number)


def run_width_bins(batches: Iterable[Predictions], bins: int, threads: int | None) -> Array:
    """Return the sums of bins of equal width, of shape (bins, SUMS)."""
    sums, edges = np.zeros((bins, SUMS)), width_edges(bins)
    for predictions in batches:
        sums += run_bins(run_judgement(predictions, threads, scored=False), edges, True)
    return sums


def width_edges(bins: int) -> Array:
    """Return the edges of bins of equal width."""
    return np.arange(bins + 1) / bins


def mass_edges(values: Array, bins: int) -> Array:
    """Return the edges of bins of equal mass: elements of the values such that as many lie between as can be."""
    ranks = np.arange(1, bins) * (len(values) - 1) // bins
    edges = np.empty(bins + 1)
    edges[0], edges[-1] = 0.0, 1.0
    edges[1:-1] = np.partition(values, ranks)[ranks] if bins > 1 else []
    return edges


def run_bins(judged: Judged, edges: Array, uniform: bool) -> Array:
    """Return the sums of each bin, of shape (bins, SUMS)."""
    bins = len(edges) - 1
    if config.DISABLE_JIT:
        return _plain_labelled.sums_of_bins(judged.confidence, judged.truth, edges)[:, :SUMS]
    sums = np.empty(SUMS * bins)
    bin_rows.compiled(FLOAT64)(judged.confidence, judged.truth, edges, uniform, sums)
    return sums.reshape(bins, SUMS)


def no_class_sums(n: int, bins: int) -> Array:
    """Return the sums of bins of so many classes before there are any rows, of shape (n, bins, CLASS_SUMS)."""
    return np.zeros((n, bins, CLASS_SUMS))


def add_class_bins(p: Array, labels: Array, edges: Array, uniform: bool, sums: Array, threads: int | None) -> None:
    """Add rows of probabilities to sums of shape (classes, bins, CLASS_SUMS); `edges` has a row for all or each."""
    if config.DISABLE_JIT:
        sums += _plain_labelled.class_bins(p, labels, edges)
        return
    stride = 0 if len(edges) == 1 else edges.shape[1]
    with granted(p.size, threads) as number:
        kernel = bin_classes.compiled(p.dtype, parallel=number > 1)
        kernel(p.reshape(-1), p.shape[1], labels, edges.reshape(-1), stride, uniform, sums.reshape(-1))


def run_error_of_classes(sums: Array, norm: float, debias: bool) -> float:
    """Return the calibration error of all classes before its root."""
    error = np.empty(1)
    _of_numbers(error_of_classes)(sums.reshape(-1), sums.shape[1], sums[0, :, 0].sum(), norm, debias, error)
    return float(error[0])


def run_parts_of_brier(sums: Array) -> list[float]:
    """Return all parts of a Brier score."""
    parts = np.empty(BRIER_PARTS)
    _of_numbers(parts_of_brier)(sums.reshape(-1), sums.shape[1], sums[0, :, 0].sum(), parts)
    return [float(part) for part in parts]


def _of_numbers(kernel: Any) -> Any:
    """Return what of a kernel of float64 can be called."""
    return kernel.body if config.DISABLE_JIT else kernel.compiled(FLOAT64)


def run_resampled_means(values: Array, seed: int, number: int, threads: int | None) -> Array:
    """Return the mean of each of so many resamples."""
    if config.DISABLE_JIT:
        return np.array([values[run_draw(seed, r, len(values))].mean() for r in range(number)])
    out = np.empty(number)
    with granted(len(values) * number, threads) as threads_granted:
        resample_means.compiled(FLOAT64, parallel=threads_granted > 1)(values, np.uint64(seed), out)
    return out


def run_resampled_errors(
    judged: Judged, bins: int, binning: str, norm: float, debias: bool, seed: int, number: int, threads: int | None
) -> Array:
    """Return the calibration error of each of so many resamples; each has its own bins if they are of equal mass."""
    if config.DISABLE_JIT:
        draws = (run_draw(seed, r, len(judged.truth)) for r in range(number))
        resamples = (Judged(*(each[places] for each in judged)) for places in draws)
        return np.array([_error_of(resample, bins, binning, norm, debias) for resample in resamples])
    out = np.empty(number)
    with granted(len(judged.confidence) * number, threads) as granted_threads:
        parallel = granted_threads > 1
        if binning == "width":
            inner = width_edges(bins)[1:-1]
            places = np.searchsorted(inner, judged.confidence, side="left").astype(np.int64, copy=False)
            places *= SUMS
            kernel = resample_bins.compiled(FLOAT64, parallel=parallel)
            kernel(places, judged.confidence, judged.truth, bins, norm, debias, np.uint64(seed), out)
        else:
            order = np.argsort(judged.confidence, kind="stable").astype(np.int64)
            kernel = resample_masses.compiled(FLOAT64, parallel=parallel)
            kernel(order, judged.confidence, judged.truth, bins, norm, debias, np.uint64(seed), out)
    return out


def _error_of(judged: Judged, bins: int, binning: str, norm: float, debias: bool) -> float:
    uniform = binning == "width"
    sums = run_bins(judged, width_edges(bins) if uniform else mass_edges(judged.confidence, bins), uniform)
    error = error_of_bins(sums.reshape(-1), 0, SUMS, bins, len(judged.truth), norm, debias)
    return float(rooted(error, norm))


def run_draw(seed: int, resample: int, count: int) -> Array:
    """Return the rows of one resample."""
    places = np.empty(count, np.int64)
    if config.DISABLE_JIT:
        return np.random.default_rng([seed, resample]).integers(count, size=count)
    draw_rows.compiled(FLOAT64)(np.uint64(seed), resample, places)
    return places


def judges_at(temperature: float) -> bool:
    """Whether logits are judged at a temperature as they are; elsewhere `log_softmax` comes first."""
    return SMALLEST_TEMPERATURE <= temperature <= LARGEST_TEMPERATURE

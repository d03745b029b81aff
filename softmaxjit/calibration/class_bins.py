"""Bins of each class's own probability."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .._args.labels import Labelled
from .._args.predictions import checked_predictions, prediction_batches, widened_rows
from .._run_labelled import metrics as _run
from ..activations import softmax

# Probabilities that are held at once, of as many classes as that makes, to find quantiles.
HELD = 1 << 23
BATCH = 1 << 20


def class_bins(probs: Any, labels: Any, from_logits: Any, bins: int, binning: str, threads: int | None) -> NDArray[Any]:
    """Return the sums of each class and bin, of shape (classes, bins, 5); a yes-or-no question counts as one class."""
    if np.ndim(probs) == 1:
        return _answer_bins(probs, labels, from_logits, bins, binning, threads)
    predictions = checked_predictions(probs, labels, from_logits)
    rows = widened_rows(cast(Labelled, predictions.rows))
    uniform = binning == "width"
    edges = _run.width_edges(bins)[np.newaxis] if uniform else _quantiles(rows, predictions.from_logits, bins)
    return _run.run_class_bins(rows, predictions.from_logits, edges, uniform, threads)


def _answer_bins(
    probs: Any, labels: Any, from_logits: Any, bins: int, binning: str, threads: int | None
) -> NDArray[Any]:
    """Return the sums of each bin, of shape (1, bins, 5)."""
    if binning == "width":
        return _run.run_width_answer_bins(prediction_batches(probs, labels, from_logits), bins, threads)
    judged = _run.run_judgement(checked_predictions(probs, labels, from_logits), threads)
    return _run.run_answer_bins(judged, _run.mass_edges(judged.confidence, bins))


def _quantiles(rows: Labelled, from_logits: bool, bins: int) -> NDArray[np.float64]:
    """Return the edges of bins of equal mass, a row of them for each class."""
    x = rows.x.reshape(-1, rows.n)
    width = min(rows.n, max(1, HELD // len(x)))
    height = max(1, BATCH // rows.n)
    edges = np.empty((rows.n, bins + 1))
    for first in range(0, rows.n, width):
        columns = np.empty((min(width, rows.n - first), len(x)))
        for row in range(0, len(x), height):
            some = x[row : row + height]
            p = softmax(some) if from_logits else some
            columns[:, row : row + height] = p[:, first : first + len(columns)].T
        for k, column in enumerate(columns):
            edges[first + k] = _run.mass_edges(np.minimum(column, 1.0), bins)
    return edges

"""Bins of each class's own probability."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._args.labels import Labelled
from .._args.predictions import Predictions, widened_rows
from .._run_labelled import metrics as _run
from ..activations import softmax

# Probabilities that are held at once, of as many classes as that makes, to find quantiles.
HELD = 1 << 23
BATCH = 1 << 20


def class_bins(
    predictions: Predictions, judged: _run.Judged, bins: int, binning: str, threads: int | None
) -> NDArray[Any]:
    """Return the sums of each class and bin, of shape (classes, bins, 5); a yes-or-no question counts as one class."""
    if predictions.rows is None:
        return _run.run_answer_bins(judged, _run.edges_of(judged.confidence, bins, binning))
    rows = widened_rows(predictions.rows)
    if binning == "width":
        edges = _run.edges_of(judged.confidence, bins, binning)[np.newaxis]
    else:
        edges = _quantiles(rows, predictions.from_logits, bins)
    return _run.run_class_bins(rows, predictions.from_logits, edges, binning == "width", threads)


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
            edges[first + k] = _run.edges_of(np.minimum(column, 1.0), bins, "mass")
    return edges

"""Bins of each class's own probability."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._args.predictions import Predictions, prediction_batches, widened_rows
from .._run_labelled import metrics as _run
from ..activations import softmax

# Probabilities that are held at once, of as many classes as that makes, to find quantiles.
HELD = 1 << 23
# Of a batch: they are read once for each share of the classes, and 2 or 4 MB stay in the cache.
BATCH = 1 << 19


def class_bins(probs: Any, labels: Any, from_logits: Any, bins: int, binning: str, threads: int | None) -> NDArray[Any]:
    """Return the sums of each class and bin, of shape (classes, bins, 5); a yes-or-no question counts as one class."""
    batches = partial(prediction_batches, probs, labels, from_logits, elements=BATCH)
    batches()  # raises where they are no predictions
    shape, uniform = np.shape(probs), binning == "width"
    n = 1 if len(shape) == 1 else shape[-1]
    edges = _run.width_edges(bins)[np.newaxis] if uniform else _quantiles(batches, n, np.size(labels), bins, threads)
    sums = _run.no_class_sums(n, bins)
    for predictions in batches():
        _run.run_judgement(predictions, threads, scored=False)  # raises where a row is no distribution
        p, truth = _probabilities(predictions, threads)
        _run.add_class_bins(p, truth, edges, uniform, sums, threads)
    return sums


def _probabilities(predictions: Predictions, threads: int | None) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return rows of probabilities, and the class of each row; of answers, class 0 is yes, and there is no other."""
    if predictions.rows is None:
        judged = _run.run_judgement(predictions, threads, scored=False)
        return judged.confidence[:, np.newaxis], (1 - judged.truth).astype(np.int64)
    rows = widened_rows(predictions.rows)
    x = rows.x.reshape(-1, rows.n)
    return softmax(x, threads=threads) if predictions.from_logits else x, rows.labels


def _quantiles(
    batches: Callable[[], Iterator[Predictions]], n: int, count: int, bins: int, threads: int | None
) -> NDArray[np.float64]:
    """Return the edges of bins of equal mass of so many rows, a row of edges for each of n classes."""
    width = min(n, max(1, HELD // count))
    edges = np.empty((n, bins + 1))
    for first in range(0, n, width):
        columns, row = np.empty((min(width, n - first), count)), 0
        for predictions in batches():
            p, _ = _probabilities(predictions, threads)
            columns[:, row : row + len(p)] = p[:, first : first + len(columns)].T
            row += len(p)
        for k, column in enumerate(columns):
            edges[first + k] = _run.mass_edges(np.minimum(column, 1.0), bins)
    return edges

"""Predictions whose quality is measured: rows of probabilities or logits, or a number each for a yes or no."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .labels import Labelled, check_classes, checked_classes, checked_label_array, labelled_rows
from .rows import flat_rows, unmasked
from .values import Array, checked_flag, computed_dtype, result_dtype

BINNINGS = ("width", "mass")
NORMS = (1, 2, math.inf)

# Of a batch: rows, each of which needs four numbers of 8 bytes, so that they stay in the cache; and elements, of which
# there may have to be a copy.  A function of the length of rows alone, and with it the order of sums.
BATCH_ROWS = 1 << 15
BATCH_ELEMENTS = 1 << 22


class Predictions(NamedTuple):
    """Rows with the class of each, or probabilities of a yes with the answers."""

    rows: Labelled | None  # None where there is one number for each
    yes: Array  # flat float64, of one dimension: probabilities or logits of a yes; empty where there are rows
    answers: Array  # flat float64: 0 or 1
    from_logits: bool
    name: str
    number: int
    first: int = 0  # number of the first of them among those that the user gave


def checked_predictions(
    predictions: Any, labels: Any, from_logits: Any, name: str = "probs", first: int = 0, temperature: float = 1.0
) -> Predictions:
    """Return predictions as kernels take them; logits of several classes may be meant at a temperature."""
    logits = checked_flag("from_logits", from_logits)
    array = unmasked(name, predictions)
    result_dtype(name, array.dtype)
    checked_integers(labels)
    checked_count(name, array)
    if array.ndim == 1:
        answers = checked_true_classes(labels, array.shape, 2, f"{name} of shape {array.shape}").astype(np.float64)
        yes = flat_rows(array, (0,), np.dtype(np.float64))
        return Predictions(None, yes, answers, logits, name, array.size, first)
    rows = labelled_rows(name, array, labels, -1, temperature=temperature)
    if rows.dtype.itemsize > 8:
        rows = rows._replace(x=rows.x.astype(np.float64), dtype=np.dtype(np.float64))
    return Predictions(rows, np.empty(0), np.empty(0), logits, name, len(rows.labels), first)


def prediction_batches(
    predictions: Any, labels: Any, from_logits: Any, name: str = "probs", elements: int | None = None
) -> Iterator[Predictions]:
    """Return predictions, checked as a whole, batch by batch: what is copied for the kernels is no more than that.

    A batch has no more than so many elements, if it is said how many, unless that is a row.
    """
    checked_flag("from_logits", from_logits)
    array = unmasked(name, predictions)
    result_dtype(name, array.dtype)
    truth = checked_integers(labels)
    if array.ndim == 0 or array.size == 0:
        return iter((checked_predictions(array, labels, from_logits, name),))  # which raises
    shape, n = (array.shape, 2) if array.ndim == 1 else (array.shape[:-1], array.shape[-1])
    check_classes(truth, shape, n, None, f"{name} of shape {array.shape}")
    x, y = array if array.ndim == 1 else array.reshape(-1, n), truth.reshape(-1)
    height = batch_height(n) if elements is None else min(batch_height(n), max(1, elements // n))
    return (
        checked_predictions(x[first : first + height], y[first : first + height], from_logits, name, first)
        for first in range(0, len(y), height)
    )


def batch_height(n: int) -> int:
    """Return how many rows of a length are a batch."""
    return max(1, min(BATCH_ROWS, BATCH_ELEMENTS // n))


def checked_integers(labels: Any) -> Array:
    """Return labels as an array of integers; raise where they are none."""
    truth = checked_label_array(labels)
    if truth.dtype.kind not in "iu":
        raise TypeError(f"labels has dtype {truth.dtype}; accepted are integers, the class of each row")
    return truth


def checked_true_classes(labels: Any, shape: tuple[int, ...], n: int, where: str) -> Array:
    """Return flat labels as int64; raise where one is no class."""
    return checked_classes(checked_integers(labels), shape, n, None, where)


def checked_count(name: str, array: Array) -> None:
    """Raise where there is nothing to measure."""
    if array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; accepted are arrays with at least one prediction")


def widened_rows(rows: Labelled) -> Labelled:
    """Return rows of 16 bits as float32."""
    dtype = computed_dtype(rows.dtype)
    return rows if dtype == rows.dtype else rows._replace(x=rows.x.astype(dtype), dtype=dtype)


def refuse_row(predictions: Predictions, row: int) -> None:
    """Raise the error for a row that is no distribution."""
    name, rows, first = predictions.name, predictions.rows, predictions.first
    values = predictions.yes[row : row + 1] if rows is None else rows.x.reshape(-1, rows.n)[row].astype(np.float64)
    if predictions.from_logits:
        wrong = values[np.isnan(values) | (values == np.inf)]
        held = wrong[0] if len(wrong) else values[0]
        raise ValueError(
            f"{name} holds {held} in row {first + row}; accepted are finite logits, and -inf beside one of them"
        )
    wrong = values[~((values >= 0) & (values <= 1))]
    held = wrong[0] if len(wrong) else values[0]
    raise ValueError(
        f"{name} holds {held} in row {first + row}; accepted are probabilities from 0 to 1, or from_logits=True"
    )


def checked_positive(name: str, value: Any) -> int:
    """Return an integer from 1 on."""
    try:
        number = int(value.__index__()) if not isinstance(value, bool) else 0
    except (AttributeError, TypeError):
        raise TypeError(f"{name} is {value!r}; accepted are integers from 1") from None
    if number < 1:
        raise ValueError(f"{name} is {value!r}; accepted are integers from 1")
    return number

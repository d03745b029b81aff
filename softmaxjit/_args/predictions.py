"""Predictions whose quality is measured: rows of probabilities or logits, or a number each for a yes or no."""

import math
from typing import Any, NamedTuple

import numpy as np

from .labels import Labelled, checked_classes, checked_label_array, labelled_rows
from .rows import flat_rows, unmasked
from .values import Array, checked_flag, computed_dtype, result_dtype

BINNINGS = ("width", "mass")
NORMS = (1, 2, math.inf)


class Predictions(NamedTuple):
    """Rows with the class of each, or probabilities of a yes with the answers."""

    rows: Labelled | None  # None where there is one number for each
    yes: Array  # flat float64, of one dimension: probabilities or logits of a yes; empty where there are rows
    answers: Array  # flat float64: 0 or 1
    from_logits: bool
    name: str
    number: int


def checked_predictions(predictions: Any, labels: Any, from_logits: Any, name: str = "probs") -> Predictions:
    """Return predictions as kernels take them."""
    logits = checked_flag("from_logits", from_logits)
    array = unmasked(name, predictions)
    result_dtype(name, array.dtype)
    checked_integers(labels)
    if array.ndim == 1:
        answers = checked_true_classes(labels, array.shape, 2, f"{name} of shape {array.shape}").astype(np.float64)
        yes = flat_rows(array, (0,), np.dtype(np.float64))
        checked_count(name, array)
        return Predictions(None, yes, answers, logits, name, array.size)
    rows = labelled_rows(name, array, labels, -1)
    checked_count(name, array)
    if rows.dtype.itemsize > 8:
        rows = rows._replace(x=rows.x.astype(np.float64), dtype=np.dtype(np.float64))
    return Predictions(rows, np.empty(0), np.empty(0), logits, name, len(rows.labels))


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


def refuse_row(predictions: Predictions, row: int, first: int) -> None:
    """Raise the error for a row that is no distribution; `first` is the number of that which is here row 0."""
    name, rows = predictions.name, predictions.rows
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

"""What metrics are made of, inside compiled code: judgements of predictions."""

from typing import Any

import numpy as np
from numba import types
from numba.core import errors
from numba.np.numpy_support import as_dtype

from .._args.predictions import batch_height
from .._jit import compiled_as, routine
from .._kernels.judgement import judge_answers, judge_logits, judge_probabilities
from .checks import checked_array, result_element
from .labelled import BAD_LABELS_SHAPE, NOTHING, classes_of, constant_of
from .rows import row_order

FLAGS = (False, True)
BAD_ROW = "probs holds a row that is no distribution: a NaN, an infinity, or with probabilities one not from 0 to 1"


def judged(probs: Any, labels: Any, judge: Any, dtype: Any, from_logits: Any, scored: Any) -> Any:
    """Return confidence, truth, right, loss and Brier score of each prediction, and flat rows and labels.

    There are losses and scores only if it is to be `scored`.
    """
    raise NotImplementedError("only inside compiled code")


@compiled_as(judged)
def _judged(probs, labels, judge, dtype, from_logits, scored):
    last = (False,) * (probs.ndim - 1) + (True,)

    def of_rows(probs, labels, judge, dtype, from_logits, scored):
        if probs.size == 0:
            raise ValueError(NOTHING)
        n = probs.shape[-1]
        count = probs.size // n
        truth = classes_of(labels, count, n, None)
        rows = row_order(probs, probs.shape, last, np.empty(probs.size, dtype))
        confidence, right = np.empty(count), np.empty(count)
        loss, brier = np.empty(count if scored else 0), np.empty(count if scored else 0)
        judge(rows, n, truth, confidence, right, loss, brier)
        check_confidence(confidence)
        return confidence, right, right, loss, brier, rows, truth

    def of_answers(probs, labels, judge, dtype, from_logits, scored):
        count = probs.size
        if count == 0:
            raise ValueError(NOTHING)
        truth = classes_of(labels, count, 2, None)
        x, answers, confidence, right = np.empty(count), np.empty(count), np.empty(count), np.empty(count)
        loss, brier = np.empty(count if scored else 0), np.empty(count if scored else 0)
        for i in range(count):
            x[i], answers[i] = probs[i], truth[i]
        judge(x, from_logits, answers, confidence, right, loss, brier)
        check_confidence(confidence)
        return confidence, answers, right, loss, brier, np.empty(0, dtype), truth

    return of_answers if probs.ndim == 1 else of_rows


height_of_rows = routine(batch_height)


def batch_length(probs: Any, labels: Any) -> Any:
    """Return how many elements of the first axis are a batch; raise where there are none, or not as many labels."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(batch_length)
def _batch_length(probs, labels):
    of_answers = probs.ndim == 1

    def implementation(probs, labels):
        if probs.size == 0:
            raise ValueError(NOTHING)
        if len(labels) != len(probs):
            raise ValueError(BAD_LABELS_SHAPE)
        n = 1 if of_answers else probs.shape[-1]
        return max(1, height_of_rows(n) // (probs.size // n // len(probs)))

    return implementation


def judged_by_batches(probs: Any, labels: Any, judge: Any, dtype: Any, from_logits: Any, scored: Any) -> Any:
    """Return confidence, truth, right, loss and Brier score of each prediction, copying a batch at a time."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(judged_by_batches)
def _judged_by_batches(probs, labels, judge, dtype, from_logits, scored):
    of_answers = probs.ndim == 1

    def implementation(probs, labels, judge, dtype, from_logits, scored):
        height = batch_length(probs, labels)
        count = probs.size // (1 if of_answers else probs.shape[-1])
        confidence, truth, right = np.empty(count), np.empty(count), np.empty(count)
        loss, brier = np.empty(count if scored else 0), np.empty(count if scored else 0)
        start = 0
        for first in range(0, len(probs), height):
            some, classes = probs[first : first + height], labels[first : first + height]
            batch = judged(some, classes, judge, dtype, from_logits, scored)
            end = start + batch[0].size
            confidence[start:end], truth[start:end], right[start:end] = batch[0], batch[1], batch[2]
            if scored:
                loss[start:end], brier[start:end] = batch[3], batch[4]
            start = end
        return confidence, truth, right, loss, brier

    return implementation


@routine
def check_confidence(confidence):
    """Raise where a row is no distribution."""
    if holds_nan(confidence):
        raise ValueError(BAD_ROW)


@routine
def holds_nan(numbers):
    """Whether one of the numbers is NaN."""
    for value in numbers:
        if value != value:
            return True
    return False


def judge_of(probs: Any, labels: Any, from_logits: Any, name: str = "probs") -> tuple[Any, Any, bool]:
    """Return the compiled kernel, the dtype of rows and whether they are logits; raise where types are wrong."""
    checked_array(name, probs)
    if not isinstance(labels, types.Array) or not isinstance(labels.dtype, types.Integer):
        held = labels.dtype if isinstance(labels, types.Array) else labels
        raise errors.NumbaTypeError(f"labels has dtype {held}; accepted are integers, the class of each row")
    if labels.ndim != max(1, probs.ndim - 1):
        raise errors.NumbaTypeError(f"labels has {labels.ndim} dimensions; accepted are {max(1, probs.ndim - 1)}")
    logits = constant_of("from_logits", from_logits, FLAGS)
    dtype = as_dtype(result_element(name, probs.dtype))
    if probs.ndim == 1:
        return judge_answers.compiled(np.dtype(np.float64)), dtype, logits
    return judge_at_1_of(dtype) if logits else judge_probabilities.compiled(dtype), dtype, logits


def judge_at_1_of(dtype: Any) -> Any:
    """Return what judges logits as `judge_probabilities` does probabilities."""
    judge = judge_logits.compiled(dtype)

    def implementation(rows, n, truth, confidence, right, loss, brier):
        judge(rows, n, 1.0, truth, confidence, right, loss, brier)

    return routine(implementation)

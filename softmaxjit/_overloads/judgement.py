"""What metrics are made of, inside compiled code: judgements of predictions."""

import math
from typing import Any

import numpy as np
from numba import types
from numba.core import errors
from numba.np.numpy_support import as_dtype

from .._args.predictions import batch_height
from .._jit import compiled_as, routine
from .._kernels.judgement import judge_logits, judge_probabilities
from .checks import checked_array, result_element
from .labelled import BAD_LABELS_SHAPE, NOTHING, classes_of, constant_of
from .rows import row_order

FLAGS = (False, True)
BAD_ROW = "probs holds a row that is no distribution: a NaN, an infinity, or with probabilities one not from 0 to 1"


def judged(probs: Any, labels: Any, judge: Any, dtype: Any, from_logits: Any) -> Any:
    """Return confidence, truth, right, loss and Brier score of each prediction, and flat rows and labels."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(judged)
def _judged(probs, labels, judge, dtype, from_logits):
    last = (False,) * (probs.ndim - 1) + (True,)

    def of_rows(probs, labels, judge, dtype, from_logits):
        if probs.size == 0:
            raise ValueError(NOTHING)
        n = probs.shape[-1]
        count = probs.size // n
        truth = classes_of(labels, count, n, None)
        rows = row_order(probs, probs.shape, last, np.empty(probs.size, dtype))
        confidence, right, loss, brier = np.empty(count), np.empty(count), np.empty(count), np.empty(count)
        judge(rows, n, truth, confidence, right, loss, brier)
        check_confidence(confidence)
        return confidence, right, right, loss, brier, rows, truth

    def of_answers(probs, labels, judge, dtype, from_logits):
        count = probs.size
        if count == 0:
            raise ValueError(NOTHING)
        truth = classes_of(labels, count, 2, None)
        answers, p, right = np.empty(count), np.empty(count), np.empty(count)
        loss, brier = np.empty(count), np.empty(count)
        for i in range(count):
            answers[i] = truth[i]
            p[i], loss[i] = answered(np.float64(probs[i]), truth[i], from_logits)
            right[i] = 1.0 if (p[i] > 0.5) == (truth[i] == 1) else 0.0
            brier[i] = (p[i] - answers[i]) * (p[i] - answers[i])
        check_confidence(p)
        return p, answers, right, loss, brier, np.empty(0, dtype), truth

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


@routine
def answered(x, answer, from_logits):
    """Return the probability of a yes, NaN for none, and the loss of the answer."""
    if not from_logits:
        p = x if 0.0 <= x <= 1.0 else np.nan
        return p, -math.log(p if answer == 1 else 1.0 - p) + 0.0
    if not abs(x) < np.inf:
        return np.nan, np.nan
    small = math.exp(-abs(x))
    p = 1.0 / (1.0 + small) if x > 0.0 else small / (1.0 + small)
    wrong = (x > 0.0) != (answer == 1)
    return p, math.log1p(small) + (abs(x) if wrong else 0.0)


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
    return judge_at_1_of(dtype) if logits else judge_probabilities.compiled(dtype), dtype, logits


def judge_at_1_of(dtype: Any) -> Any:
    """Return what judges logits as `judge_probabilities` does probabilities."""
    judge = judge_logits.compiled(dtype)

    def implementation(rows, n, truth, confidence, right, loss, brier):
        judge(rows, n, 1.0, truth, confidence, right, loss, brier)

    return routine(implementation)

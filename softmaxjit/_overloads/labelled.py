"""The compiled twin of ``_args.labels``: labels of rows, weights, and what types decide about them."""

from typing import Any

import numpy as np
from numba import types
from numba.core import errors

from .._args.labels import LABELS, LEFT_OUT
from .._jit import compiled_as, routine
from .._kernels.targets import CLASSES, PROBABILITIES
from .checks import absent, checked_array

BAD_CLASS = "labels holds what is no class; accepted are integers from 0 to the number of classes - 1"
BAD_LABELS_SHAPE = "labels has another shape than the logits without the axis of classes"
BAD_PROBABILITIES_SHAPE = "labels has another shape than the logits"
NOTHING = "there are no rows; accepted are arrays with at least one row and class"
BAD_PROBABILITY = "labels holds a negative number or NaN; accepted are probabilities"


def label_kind(name: str, x: Any, labels: Any) -> Any:
    """Return CLASSES or PROBABILITIES; raise where labels are neither by type."""
    checked_array(name, x)
    if isinstance(labels, types.Integer) and x.ndim == 1:
        return CLASSES
    if isinstance(labels, types.Array) and isinstance(labels.dtype, types.Integer):
        if labels.ndim != x.ndim - 1:
            raise errors.NumbaTypeError(f"labels has {labels.ndim} dimensions; accepted are {x.ndim - 1}")
        return CLASSES
    if isinstance(labels, types.Array) and labels.dtype in (types.float32, types.float64):
        if labels.ndim != x.ndim:
            raise errors.NumbaTypeError(f"labels are probabilities of {labels.ndim} dimensions; accepted are {x.ndim}")
        return PROBABILITIES
    held = labels.dtype if isinstance(labels, types.Array) else labels
    raise errors.NumbaTypeError(f"labels has dtype {held}; accepted are {LABELS}")


def constant_of(name: str, argument: Any, accepted: tuple[Any, ...]) -> Any:
    """Return an argument that has to be a constant of the source, as what is compiled depends on it."""
    for attribute in ("value", "literal_value"):
        argument = getattr(argument, attribute, argument)
    if not isinstance(argument, str | bool | int | float) or argument not in accepted:
        raise errors.NumbaTypeError(
            f"{name} is {argument}; accepted are the constants {', '.join(map(repr, accepted))}"
        )
    return argument


def checked_weight(name: str, weight: Any) -> None:
    """Raise where weights are neither None nor numbers of one dimension."""
    number = types.Integer | types.Float | types.Boolean
    if not absent(weight) and not (
        isinstance(weight, types.Array) and weight.ndim == 1 and isinstance(weight.dtype, number)
    ):
        raise errors.NumbaTypeError(f"{name} has type {weight}; accepted are None and arrays of one dimension")


def classes_of(labels: Any, count: Any, n: Any, ignored: Any) -> Any:
    """Return flat labels as int64, LEFT_OUT for those that are ignored; raise where one is no class."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(classes_of)
def _classes_of(labels, count, n, ignored):
    none_ignored = absent(ignored)

    def of_array(labels, count, n, ignored):
        if labels.size != count:
            raise ValueError(BAD_LABELS_SHAPE)
        result = np.empty(count, np.int64)
        for i, label in enumerate(labels.flat):
            result[i] = checked_class(label, n, False if none_ignored else label == ignored)
        return result

    def of_number(labels, count, n, ignored):
        result = np.empty(1, np.int64)
        result[0] = checked_class(labels, n, False if none_ignored else labels == ignored)
        return result

    return of_array if isinstance(labels, types.Array) else of_number


@routine
def checked_class(label, n, is_ignored):
    """Return a label as int64."""
    if is_ignored:
        return np.int64(LEFT_OUT)
    place = np.int64(label)
    if place < 0 or place >= n:
        raise ValueError(BAD_CLASS)
    return place


@routine
def refuse_probabilities():
    """Raise the error for probabilities of a wrong shape."""
    raise ValueError(BAD_PROBABILITIES_SHAPE)


@routine
def check_probabilities(labels):
    """Raise where a probability is negative or NaN."""
    for p in labels:
        if not p >= 0:
            raise ValueError(BAD_PROBABILITY)


def weights_of(weight: Any, count: Any, dtype: Any) -> Any:
    """Return so many weights, 1 each where there are none; raise where one is negative or not finite."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(weights_of)
def _weights_of(weight, count, dtype):
    if absent(weight):
        return lambda weight, count, dtype: np.ones(count, dtype)

    def implementation(weight, count, dtype):
        if weight.size != count:
            raise ValueError("weights of another number than what they are for")
        result = np.empty(count, dtype)
        for i in range(count):
            result[i] = weight[i]
            if not 0 <= result[i] < np.inf:
                raise ValueError("a weight is negative or not finite; accepted are finite numbers from 0")
        return result

    return implementation

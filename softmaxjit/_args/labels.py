"""Logits with what is true of them: a class for each row, or probabilities of all classes."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._recycled import new_array, new_copy
from .rows import flat_rows, promoted, rows_last, same_memory, unmasked, unspoilt
from .values import Array, checked_axes, checked_temperature, computed_dtype, result_dtype

LABELS = "integers (classes) and floats (probabilities of all classes)"
LEFT_OUT = -1  # the label, in a kernel, of a row that does not count


class Labelled(NamedTuple):
    """Operands of a kernel that compares rows of logits with what is true of them."""

    x: Array  # flat
    n: int  # number of classes, the length of a row
    labels: Array  # flat: int64, LEFT_OUT for a row that does not count; or probabilities, in the dtype of x
    weight: Array  # of each class, in the dtype in which x is computed
    shape: tuple[int, ...]  # of what has one element for each row
    dtype: "np.dtype[Any]"  # of results
    array: Array  # logits as given
    axis: int
    temperature: float | Array = 1.0  # one for all rows, or one for each
    weighted: bool = False  # whether weights were given; otherwise all are 1

    @property
    def soft(self) -> bool:
        """Whether labels are probabilities."""
        return bool(self.labels.dtype != np.int64)


def labelled_rows(
    name: str, logits: Any, labels: Any, axis: Any, weight: Any = None, ignore_index: Any = None, temperature: Any = 1.0
) -> Labelled:
    """Return the operands of a kernel from what the user gave."""
    array = unmasked(name, logits)
    axis = checked_class_axis(name, axis, array)
    n = array.shape[axis]
    truth = checked_label_array(labels)
    shape = tuple(length for k, length in enumerate(array.shape) if k != axis)
    dtype = result_dtype(name, array.dtype)
    ignored = checked_ignore_index(ignore_index)
    if truth.dtype.kind in "iu":
        classes = checked_classes(truth, shape, n, ignored, f"{name} of shape {array.shape}")
    else:
        dtype = promoted("labels", labels, truth, name, dtype)
        if ignored is not None:
            raise ValueError(f"ignore_index is {ignore_index!r}; accepted is None where labels are probabilities")
        classes = flat_rows(checked_probabilities(truth, array.shape), (axis,), dtype)
    tau = checked_temperature(temperature, array.shape, (axis,), positive=True)
    if not isinstance(tau, float):
        tau = flat_rows(tau, (axis,), np.dtype(np.float64))
    rows = flat_rows(array, (axis,), dtype)
    weights, weighted = checked_weight(weight, n, dtype), weight is not None
    return Labelled(rows, n, classes, weights, shape, dtype, array, axis, tau, weighted)


def checked_class_axis(name: str, axis: Any, array: Array) -> int:
    """Return the one axis of the classes, not negative."""
    if axis is None or isinstance(axis, Sequence):
        raise TypeError(f"axis is {axis!r}; accepted is an integer, the axis of the classes")
    if array.ndim == 0:
        raise ValueError(f"{name} has shape (); accepted are arrays with an axis of the classes")
    return checked_axes(axis, array.ndim)[0]


def checked_label_array(labels: Any) -> Array:
    """Return labels as an array of integers or floats."""
    refuse_mask("labels", labels, "leave out the rows that it masks")
    array = np.asarray(labels)
    if array.size == 0 and array.dtype == np.float64 and not isinstance(labels, np.ndarray):
        array = array.astype(np.int64)  # NumPy has a dtype of its own for an empty list
    if array.dtype.kind in "iuf" or array.dtype.name == "bfloat16":
        return array
    raise TypeError(f"labels has dtype {array.dtype}; accepted are {LABELS}")


def refuse_mask(name: str, value: Any, remedy: str) -> None:
    """Raise where a value is a masked array."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost; {remedy}")


def check_classes(labels: Array, shape: tuple[int, ...], n: int, ignored: int | None, where: str) -> Array | None:
    """Raise where a label is no class; return which count if some of them are `ignored`."""
    if labels.shape != shape:
        raise ValueError(f"labels has shape {labels.shape}; accepted for {where} are integers of shape {shape}")
    counts = None if ignored is None else labels != ignored
    if labels.size == 0 or (labels.min() >= 0 and labels.max() < n):
        return counts
    bad = (labels < 0) | (labels >= n)
    if counts is not None:
        bad &= counts
    if bad.any() and not labels.shape:
        raise ValueError(f"labels is {labels}; accepted are classes from 0 to {n - 1}")
    if bad.any():
        place = tuple(int(k[0]) for k in np.nonzero(bad))
        position = place[0] if len(place) == 1 else place
        raise ValueError(f"labels holds {labels[place]} at {position}; accepted are classes from 0 to {n - 1}")
    return counts


def checked_classes(labels: Array, shape: tuple[int, ...], n: int, ignored: int | None, where: str) -> Array:
    """Return flat labels as int64, LEFT_OUT for those that are `ignored`; raise where one is no class."""
    counts = check_classes(labels, shape, n, ignored, where)
    flat = np.ascontiguousarray(labels.reshape(-1), np.int64)
    return flat if counts is None else np.where(counts.reshape(-1), flat, LEFT_OUT)


def checked_probabilities(labels: Array, shape: tuple[int, ...]) -> Array:
    """Return labels that are probabilities; raise where one is negative."""
    if labels.shape != shape:
        raise ValueError(
            f"labels has dtype {labels.dtype} and shape {labels.shape}; "
            f"accepted are probabilities of shape {shape}, that of the logits, and integers without the axis of classes"
        )
    if labels.size and not labels.min() >= 0:
        place = tuple(int(k[0]) for k in np.nonzero(~(labels >= 0)))
        raise ValueError(f"labels holds {labels[place]} at {place}; accepted are probabilities, which are not negative")
    return labels


def checked_ignore_index(ignore_index: Any) -> int | None:
    """Return the label of rows that do not count, or None."""
    if ignore_index is None:
        return None
    try:
        return int(ignore_index.__index__())
    except (AttributeError, TypeError):
        raise TypeError(f"ignore_index is {ignore_index!r}; accepted are None and integers") from None


def checked_weight(weight: Any, n: int, dtype: "np.dtype[Any]") -> Array:
    """Return the weights of classes in the dtype in which elements of `dtype` are computed."""
    computed = computed_dtype(dtype)
    if weight is None:
        return np.ones(n, computed)
    array = unmasked("weight", weight)
    if array.shape != (n,):
        raise ValueError(f"weight has shape {array.shape}; accepted is ({n},), one for each class")
    not_negative("weight", array)
    with np.errstate(over="ignore"):
        weights = np.ascontiguousarray(array, computed)
    largest = int(weights.argmax()) if n else 0
    if n and not weights[largest] < math.inf:
        raise ValueError(
            f"weight holds {array[largest]} at {largest}; accepted are finite numbers of {computed} from 0"
        )
    return weights


def checked_sample_weight(weight: Any, shape: tuple[int, ...]) -> Array | None:
    """Return the weights of rows as flat float64, or None where all are 1."""
    if weight is None:
        return None
    array = unmasked("sample_weight", weight)
    if array.shape != shape:
        raise ValueError(f"sample_weight has shape {array.shape}; accepted is {shape}, one for each row of logits")
    flat = np.ascontiguousarray(not_negative("sample_weight", array).reshape(-1), np.float64)
    if not flat.any():
        raise ValueError(f"sample_weight, of shape {array.shape}, is 0 throughout; accepted is at least one above 0")
    return flat


def not_negative(name: str, array: Array) -> Array:
    """Return an array of finite numbers that are not negative; raise where one is."""
    bad = ~((array >= 0) & (array < math.inf))
    if bad.any():
        place = tuple(int(k[0]) for k in np.nonzero(bad))
        raise ValueError(f"{name} holds {array[place]} at {place[0]}; accepted are finite numbers from 0")
    return array


def checked_fraction(name: str, value: Any) -> float:
    """Return a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise TypeError(f"{name} is {value!r}; accepted are numbers from 0 to 1")
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value!r}; accepted are numbers from 0 to 1")
    return float(value)


def checked_choice(name: str, value: Any, accepted: tuple[Any, ...]) -> Any:
    """Return one of the accepted values."""
    if not isinstance(value, bool) and any(
        isinstance(value, type(each) | float | np.integer | np.floating) and value == each for each in accepted
    ):
        return value
    *most, last = map(repr, accepted)
    raise ValueError(f"{name} is {value!r}; accepted are {', '.join(most)} and {last}")


def gradient_rows(rows: Labelled, result: Array) -> tuple[Labelled, Array]:
    """Return the rows as the kernel of the gradient takes them, in no 16 bits, and where it writes.

    That is `result` itself if its rows lie in order; the rows are then read from it, or from where it does not write.
    """
    dtype = computed_dtype(rows.dtype)
    if dtype != rows.dtype:
        labels = new_copy(rows.labels, dtype) if rows.soft else rows.labels
        rows = rows._replace(x=new_copy(rows.x, dtype), labels=labels)
    ordered = rows_last(result, (rows.axis,))
    if result.dtype != dtype or not ordered.flags.carray:
        return rows, new_array((rows.x.size,), dtype)
    target = ordered.reshape(-1)
    tau = rows.temperature
    return rows._replace(
        x=unspoilt(rows.x, target),
        labels=apart(rows.labels, target),
        weight=apart(rows.weight, target),
        temperature=tau if isinstance(tau, float) else apart(tau, target),
    ), target


def apart(array: Array, target: Array) -> Array:
    """Return an array, a copy where it may share memory with the target."""
    return new_copy(array, array.dtype) if np.may_share_memory(array, target) else array


def put_gradient(rows: Labelled, target: Array, result: Array) -> None:
    """Write the gradient of the rows where the user wants it, unless it is there."""
    ordered = rows_last(result, (rows.axis,))
    if not same_memory(target, ordered):
        with np.errstate(all="ignore"):
            ordered[...] = target.reshape(ordered.shape)

"""What is true of several rows at once, a row in each lane (see `targets`)."""

from typing import Any, NamedTuple

import numpy as np
from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import larger, like, select
from .._simd.lanes import widen
from .._simd.memory import data_of, lanes, load, load_element, load_float64, splat, store, store_element, store_float64
from .targets import Target, is_left_out, target_of_class, target_of_row
from .tiles import copy_elements

FIELDS = len(Target._fields)
LEFT_OUT_MASS = -1.0  # of rows that do not count; that of all others is not negative


class Truth(NamedTuple):
    """What is true of rows, and memory for that of as many as a vector has lanes."""

    labels: Any
    weight: Any
    smoothing: Any
    numbers: Any  # a vector of the dtype in which rows are computed
    beside: Any  # FIELDS vectors of float64


@helper
def memory_of_targets(x):
    """Return memory for `Truth.beside`.  Lanes that never have a row hold 0: what memory holds can be subnormal."""
    return np.zeros(FIELDS * lanes(x), np.float64)


@helper
def truth_of(labels, weight, smoothing, numbers, beside):
    """Return what is true of rows; `numbers` are cleared."""
    store(numbers, 0, splat(numbers, 0))
    return Truth(data_of(labels), data_of(weight), smoothing, numbers, data_of(beside))


def targets_in_lanes(x: Any, first: Any, count: Any, n: Any, largest: Any, truth: Any) -> Target:
    """Return the targets of `count` rows from row `first` on, whose maxima are `largest`."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(targets_in_lanes, inline=True)
def _targets_in_lanes(x, first, count, n, largest, truth):
    if truth.types[0].dtype != types.int64:
        return lambda x, first, count, n, largest, truth: targets_by_row(x, first, count, n, largest, truth)

    def of_classes(x, first, count, n, largest, truth):
        if truth.smoothing == 0.0:
            return targets_of_classes(x, first, count, n, largest, truth)
        return targets_by_row(x, first, count, n, largest, truth)

    return of_classes


@helper
def targets_of_classes(x, first, count, n, largest, truth):
    """Return the targets of rows whose labels are classes, of which each has its weight."""
    for k in range(count):
        label = truth.labels[first + k]
        there = larger(label, 0)
        store_element(truth.numbers, k, load_element(x, (first + k) * n + there))
        store_element(truth.beside, k, widen(truth.weight[there]) if label >= 0 else LEFT_OUT_MASS)
    return target_of_class(load_float64(truth.beside, 0, largest), largest, load(truth.numbers, 0))


@helper
def targets_by_row(x, first, count, n, largest, truth):
    """Return the targets of any rows."""
    width = lanes(x)
    store(truth.numbers, 0, largest)
    for k in range(count):
        row = first + k
        if is_left_out(truth.labels, row):
            put_target(truth.beside, width, k, Target(0.0, 0.0, LEFT_OUT_MASS, 0.0))
        else:
            maximum = load_element(truth.numbers, k)
            target = target_of_row(x, truth.labels, truth.weight, row, n, maximum, truth.smoothing)
            put_target(truth.beside, width, k, target)
    return Target(
        load_float64(truth.beside, 0, largest),
        load_float64(truth.beside, width, largest),
        load_float64(truth.beside, 2 * width, largest),
        load_float64(truth.beside, 3 * width, largest),
    )


@helper
def put_target(beside, width, k, target):
    """Keep the target of row k."""
    store_element(beside, k, target.distance)
    store_element(beside, width + k, target.distance_low)
    store_element(beside, 2 * width + k, target.mass)
    store_element(beside, 3 * width + k, target.scaled)


@helper
def put_losses(first, count, target, loss, memory, losses):
    """Write the losses of `count` rows from row `first` on, 0 for those that do not count."""
    store_float64(memory, 0, select(target.mass < 0.0, like(loss, 0.0), loss))
    copy_elements(memory, 0, losses, first, count)

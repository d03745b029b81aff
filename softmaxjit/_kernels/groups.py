"""Rows of middling length in groups: what is done once a row is done for as many at once as a vector has lanes.

A row is read for its extremes, read for its sum, and written, as one by one; between these passes its maximum and its
sum go to a lane, where its shift and what its results are made of are found as for a single row, and come back as
numbers.  So no row is reduced by itself, and none waits.

Lanes without a row have the maximum of the first; what they hold of sums is of rows before.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import both, larger, smaller
from .._simd.exp_scaled import Steps
from .._simd.fields import load_lane, store_fields
from .._simd.lanes import all_lanes, smallest_lane
from .._simd.memory import data_of, lanes, load, load_float64, splat, store, store_element
from .._simd.reductions import largest_of_each
from .ahead import Ahead
from .columns import Scaling
from .log_softmax import Output
from .shift import Shift, extremes_in_lanes, limits_of, row_shift
from .temperature import LARGEST_TEMPERATURE, SMALLEST_TEMPERATURE, remaining

# Of a group, at most: the next one, exponentials and results are to stay in the first-level cache with it.  Softmax of
# rows of 192 and 256 float32 took, in groups of 1024, 2048 and 3072 elements, 0.82, 0.74 and 0.91, and 0.96, 0.86 and
# 1.02 of the time one by one (65536 elements, medians of interleaved runs with AVX-512).
GROUP_ELEMENTS = 1 << 11

# Vectors of a group's memory after the maxima: what sums are made of, and what results are.
FIELDS_OF_SHIFT = 4
NUMBERS_OF_SUMS = len(Steps._fields) + FIELDS_OF_SHIFT
NUMBERS_OF_RESULTS = max(len(Output._fields), len(Scaling._fields))

# What is kept of each row in float64, at most.
BESIDE = 3


class Places(NamedTuple):
    """Where a group keeps what there is to know of its rows."""

    numbers: Any  # maxima, then what sums and results are made of
    sums: Any
    # In turn: temperatures, what sums begin with, and sums that are taken again or logarithms.  So a group begins only
    # after the logarithms of the one before it are found.
    beside: Any


@helper
def rows_of_group(x, n):
    """Return how many rows of n elements are a group."""
    return larger(1, smaller(lanes(x), GROUP_ELEMENTS // n))


@helper
def padded(x, n):
    """Return the elements of whole vectors that hold n."""
    return (n + lanes(x) - 1) // lanes(x) * lanes(x)


@helper
def size_of_numbers(x):
    """Return how many elements of memory the numbers of a group take."""
    return (lanes(x) + NUMBERS_OF_SUMS + NUMBERS_OF_RESULTS) * lanes(x)


@helper
def size_of_sums(sums):
    """Return how many elements of memory `store_sum` takes, in the dtype of `sums`."""
    return 2 * lanes(sums) * lanes(sums)


@helper
def begin_sums(sums):
    """Give lanes that never have a row a sum like any other: what memory holds can be subnormal, which is slow."""
    for i in range(0, size_of_sums(sums), lanes(sums)):
        store(sums, i, splat(sums, limits_of(sums).headroom))


@helper
def memory_beside(x):
    """Return memory for what is kept in float64."""
    return np.empty(BESIDE * lanes(x), np.float64)


@helper
def keep_for_sums(x, steps, shift, places):
    """Keep what the sums of rows are made of, and return it as `for_sum` wants it.

    Of the shift that is `FIELDS_OF_SHIFT`, as any other would take a vector.
    """
    of_sums = steps, Shift(shift.largest, shift.anchor, shift.lowest, shift.magic, 0.0, False, False)
    store_fields(places.numbers, lanes(x) * lanes(x), lanes(x), of_sums)
    return of_sums


@helper
def for_sum(x, of_sums, k, places):
    """Return the steps and the shift of row k of a group."""
    return load_lane(places.numbers, lanes(x) * lanes(x), lanes(x), of_sums, k)


@helper
def keep_for_results(x, of_results, places):
    """Keep what the results of rows are made of."""
    store_fields(places.numbers, (lanes(x) + NUMBERS_OF_SUMS) * lanes(x), lanes(x), of_results)


@helper
def for_result(x, of_results, k, places):
    """Return what the results of row k of a group are made of."""
    return load_lane(places.numbers, (lanes(x) + NUMBERS_OF_SUMS) * lanes(x), lanes(x), of_results, k)


@helper
def ahead_of_groups(x, n, out):
    """Return what to ask for in a pass over groups: the next one, and lines of the result before they are written.

    In the caches, too: softmax of rows of 100, 128 and 256 float32 took 0.94, 0.88 and 0.85 of the time so (65536
    elements, medians of interleaved runs with AVX-512).
    """
    return Ahead(out, rows_of_group(x, n) * n, 0)


@helper
def extremes_of_group(x, first, count, n, places):
    """Return the largest elements of `count` rows from row `first` on, one in each lane, and the smallest of all."""
    width, numbers = lanes(x), places.numbers
    low = low2 = splat(x, np.inf)
    for k in range(count):
        high, low, low2 = extremes_in_lanes(x, (first + k) * n, n, low, low2, None)
        store(numbers, k * width, high)
    for k in range(count, width):
        store(numbers, k * width, load(numbers, 0))
    return largest_of_each(numbers, 0), smallest_lane(smaller(low, low2))


def settled_in_lanes(temperature: Any, first: Any, count: Any, memory: Any, vector: Any) -> Any:
    """Return what is left of the temperatures of `count` rows: one, as it is settled, or in each lane that of a row."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(settled_in_lanes, inline=True)
def _settled_in_lanes(temperature, first, count, memory, vector):
    if not isinstance(temperature, types.Array):
        return lambda temperature, first, count, memory, vector: temperature
    width = vector.lanes

    def of_each(temperature, first, count, memory, vector):
        if count == width:
            tau = load_float64(data_of(temperature), first, vector)
            if all_lanes(both(tau >= SMALLEST_TEMPERATURE, tau <= LARGEST_TEMPERATURE)):
                return tau
        for k in range(width):
            store_element(memory, k, remaining(temperature[first + smaller(k, count - 1)]))
        return load_float64(memory, 0, vector)

    return of_each


@helper
def shift_of_group(x, first, count, n, temperature, farthest, places):
    """Return what is left of the temperatures of `count` rows from row `first` on, and their shifts."""
    tau = settled_in_lanes(temperature, first, count, places.beside, splat(x, 0))
    largest, smallest = extremes_of_group(x, first, count, n, places)
    return tau, row_shift(x, n, largest, splat(x, smallest), tau, farthest)

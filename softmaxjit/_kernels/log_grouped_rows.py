"""Log-softmax and log-sum-exp of rows of middling length, a group at a time (see `groups`).

Rows have a vector of elements at least, and no more than a block of `others`; the bits are those of rows one by one.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import like, magnitude, smaller
from .._simd.lanes import all_lanes, any_lane, widen
from .._simd.memory import (
    counted_from,
    data_of,
    element_like,
    keep_part,
    keep_until_here,
    lanes,
    load_element,
    load_float64,
    splat,
    store,
    store_element,
    store_float64,
)
from .._simd.reductions import store_sum, sum_of_each
from .._simd.vector import VECTOR_BYTES, computed
from .fill import fill_rows
from .groups import (
    Places,
    ahead_of_groups,
    begin_sums,
    for_result,
    for_sum,
    keep_for_results,
    keep_for_sums,
    memory_beside,
    padded,
    rows_of_group,
    shift_of_group,
    size_of_numbers,
)
from .kept import add_kept, keep_row
from .log_softmax import log_softmax_output, output_of
from .logsumexp import has_nan, log1p_of_ratio, start_of_shift, sum_with_largest
from .others import add_block_of_others, is_too_small, minus_largest, sum_without_largest
from .partial import nothing
from .prepare import prepared
from .shift import limits_of
from .temperature import settled, settled_at
from .tiles import aligned, copy_elements, rows_of_block, tile_of

FLOAT64_LANES = VECTOR_BYTES // 8


class StartOfLogGroup(NamedTuple):
    """What the sums of a group need, and what their logarithms do; with a row in each lane where rows differ."""

    of_sums: Any  # steps and shift
    reached: Any  # whether all rows are
    largest: Any
    unit: Any  # the exponential of the maximum, as a pair
    unit_error: Any
    temperature: Any


@helper
def memory_of_sums():
    """Return memory for `store_sum` of float64, to be aligned."""
    return np.empty((2 * FLOAT64_LANES + 1) * FLOAT64_LANES, np.float64)


def store_openings(places: Any, total: Any, lost: Any) -> Any:
    """Keep what the partial sums of rows begin with, `total` and `lost` with a row in each lane."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(store_openings, inline=True)
def _store_openings(places, total, lost):
    if lost.element == types.float32:
        return lambda places, total, lost: store_float64(places.beside, 0, total)
    width = total.lanes

    def of_float64(places, total, lost):
        store_float64(places.beside, 0, total)
        store_float64(places.beside, width, lost)

    return of_float64


def opening_of_row(x: Any, places: Any, k: Any) -> Any:
    """Return what the partial sums of row k of a group begin with, and what they have lost."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(opening_of_row, inline=True)
def _opening_of_row(x, places, k):
    if computed(x.dtype) == types.float32:

        def of_float32(x, places, k):
            total, lost = nothing(x)
            return keep_part(like(total, load_element(places.beside, k)), 1), lost

        return of_float32

    def of_float64(x, places, k):
        total, lost = load_element(places.beside, k), load_element(places.beside, lanes(x) + k)
        return keep_part(splat(x, total), 1), keep_part(splat(x, lost), 1)

    return of_float64


@helper
def start_of_log_group(x, first, count, n, temperature, precise, places):
    """Return what the sums of `count` rows from row `first` on need; a row finds its own in `places`."""
    tau, shift = shift_of_group(x, first, count, n, temperature, limits_of(x).log_reach, places)
    begun = start_of_shift(x, shift, tau)
    of_sums = keep_for_sums(x, begun.steps, shift, places)
    total, lost = minus_largest(x, begun.steps, shift, precise)
    store_openings(places, total, lost)
    return StartOfLogGroup(of_sums, all_lanes(shift.reached), shift.largest, begun.unit, begun.unit_error, tau)


@helper
def size_of_log_group(x, n):
    """Return how many elements of memory a group takes: its numbers, and two rows of exponentials in two parts each."""
    return size_of_numbers(x) + 4 * padded(x, n)


def sum_others_of_group(
    x: Any, first: Any, count: Any, n: Any, of_sums: Any, reached: Any, precise: Any, places: Any, ahead: Any
) -> Any:
    """Keep the partial sums of rows but for their maxima."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(sum_others_of_group, inline=True)
def _sum_others_of_group(x, first, count, n, of_sums, reached, precise, places, ahead):
    if computed(x.dtype) != types.float32:

        def in_registers(x, first, count, n, of_sums, reached, precise, places, ahead):
            for k in range(count):
                steps, shift = for_sum(x, of_sums, k, places)
                total, lost = opening_of_row(x, places, k)
                i = (first + k) * n
                total, lost = add_block_of_others(
                    x, i, i + n, total, lost, steps, shift, reached, precise, False, None, ahead
                )
                store_sum(places.sums, k, total, lost)

        return in_registers

    # While the exponentials of a row are computed, those of the row before are added.
    def by_memory(x, first, count, n, of_sums, reached, precise, places, ahead):
        size = padded(x, n)
        kept = counted_from(places.numbers, -size_of_numbers(x))
        for k in range(count + 1):
            if k < count:
                steps, shift = for_sum(x, of_sums, k, places)
                keep_row(x, (first + k) * n, n, steps, shift, reached, precise, kept, (k & 1) * size, 2 * size, ahead)
            if k > 0:
                total, lost = opening_of_row(x, places, k - 1)
                total = add_kept(total, kept, (~k & 1) * size, n, precise, 2 * size)
                store_sum(places.sums, k - 1, total, lost)

    return by_memory


@helper
def log_of_group(x, first, count, n, begun, precise, places, ahead):
    """Return what `log_of_sum` returns, of a row in each lane."""
    if begun.reached:
        sum_others_of_group(x, first, count, n, begun.of_sums, True, precise, places, ahead)
    else:
        sum_others_of_group(x, first, count, n, begun.of_sums, False, precise, places, ahead)
    rest, error = sum_of_each(places.sums, splat(x, 0), True)
    error = like(rest, error)
    if any_lane(is_too_small(x, rest, begun.unit, precise)):
        rest, error = without_largest_of_rows(x, first, count, n, begun, rest, error, precise, places, ahead)
    return log1p_of_ratio(x, rest, error, begun.unit, begun.unit_error)


@helper
def without_largest_of_rows(x, first, count, n, begun, rest, error, precise, places, ahead):
    """Return sums and their errors, of rows in which too little is left by reading these without their maximum."""
    width, beside = lanes(x), places.beside
    store_float64(beside, 0, rest)
    store_float64(beside, width, error)
    store_float64(beside, 2 * width, begun.unit)
    for k in range(count):
        if is_too_small(x, load_element(beside, k), load_element(beside, 2 * width + k), precise):
            steps, shift = for_sum(x, begun.of_sums, k, places)
            alone, alone_error = sum_without_largest(x, (first + k) * n, n, steps, shift, precise, ahead)
            store_element(beside, k, alone)
            store_element(beside, width + k, alone_error)
    return load_float64(beside, 0, splat(x, 0)), load_float64(beside, width, splat(x, 0))


@helper
def log_softmax_of_groups(x, first, last, n, temperature, out):
    """Log-softmax of rows `first` to `last - 1`.

    As in `log_softmax_block`, the next group's start fills the wait for logarithms.
    """
    group = rows_of_group(x, n)
    memory, sums, memory_of_float64 = tile_of(x, size_of_log_group(x, n)), memory_of_sums(), memory_beside(x)
    places = Places(aligned(memory), aligned(sums), data_of(memory_of_float64))
    begin_sums(places.sums)
    ahead = ahead_of_groups(x, n, out)
    begun = start_of_log_group(x, first, smaller(group, last - first), n, temperature, False, places)
    for row in range(first, last, group):
        count = smaller(group, last - row)
        log, log_error = log_of_group(x, row, count, n, begun, False, places, ahead)
        o = output_of(x, begun.largest, log, log_error, begun.temperature)
        keep_for_results(x, o, places)
        if row + group < last:
            count_of_next = smaller(group, last - row - group)
            begun = start_of_log_group(x, row + group, count_of_next, n, temperature, False, places)
        for k in range(count):
            own = for_result(x, o, k, places)
            log_softmax_output(x, (row + k) * n, n, own, settled_at(temperature, row + k), out)
    keep_until_here(memory)
    keep_until_here(sums)
    keep_until_here(memory_of_float64)


@helper
def logs_beside_infinity(x, first, count, n, begun, log, log_error, places):
    """Return logarithms and their errors, of rows with an infinite maximum NaN or 0."""
    width, beside = lanes(x), places.beside
    store_float64(beside, 0, log)
    store_float64(beside, width, log_error)
    for k in range(count):
        _, shift = for_sum(x, begun.of_sums, k, places)
        if abs(shift.largest) == np.inf:
            store_element(beside, k, np.nan if has_nan(x, (first + k) * n, n) else 0.0)
            store_element(beside, width + k, 0.0)
    return load_float64(beside, 0, splat(x, 0)), load_float64(beside, width, splat(x, 0))


@helper
def logsumexp_of_groups(x, first, last, n, out):
    """Log-sum-exp of rows `first` to `last - 1`."""
    group = rows_of_group(x, n)
    memory, sums, memory_of_float64 = tile_of(x, size_of_log_group(x, n)), memory_of_sums(), memory_beside(x)
    places = Places(aligned(memory), aligned(sums), data_of(memory_of_float64))
    begin_sums(places.sums)
    ahead = ahead_of_groups(x, n, None)
    for row in range(first, last, group):
        count = smaller(group, last - row)
        begun = start_of_log_group(x, row, count, n, 1.0, True, places)
        log, log_error = log_of_group(x, row, count, n, begun, True, places, ahead)
        largest = widen(begun.largest)
        if any_lane(magnitude(largest) == np.inf):
            log, log_error = logs_beside_infinity(x, row, count, n, begun, log, log_error, places)
        store(places.numbers, 0, element_like(x, sum_with_largest(largest, log, log_error)))
        copy_elements(places.numbers, 0, out, row, count)
    keep_until_here(memory)
    keep_until_here(sums)
    keep_until_here(memory_of_float64)


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out))
def log_softmax_grouped_rows(x, n, temperature, out):
    """Log-softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`."""
    rows = out.size // n
    tau = settled(temperature)
    rows_per_block = rows_of_block(rows, n, lanes(data_of(x)))
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        last = min(rows, first + rows_per_block)
        source = prepared(data_of(x), first, last, n, temperature, data_of(out))
        log_softmax_of_groups(source, first, last, n, tau, data_of(out))
        fill_rows(source, first, last, n, data_of(out), -np.inf)


@kernel(lambda x, out: (x, types.intp, out))
def logsumexp_grouped_rows(x, n, out):
    """Log-sum-exp of every n consecutive elements of flat `x` into one element of flat `out`."""
    rows = out.size
    rows_per_block = rows_of_block(rows, n, lanes(data_of(x)))
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        logsumexp_of_groups(data_of(x), first, min(rows, first + rows_per_block), n, data_of(out))

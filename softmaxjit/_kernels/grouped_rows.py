"""Softmax of rows of middling length, a group at a time (see `groups`), with the bits of `softmax_rows`."""

from typing import Any, NamedTuple

from numba import prange, types

from .._jit import helper, kernel
from .._simd.arithmetic import add_exactly, smaller
from .._simd.exp_scaled import exp_steps
from .._simd.lanes import all_lanes
from .._simd.memory import counted_from, data_of, keep_until_here, lanes, load, splat, store, store_normal
from .._simd.reductions import store_sum, sum_of_each
from .columns import Scaling
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
    size_of_sums,
)
from .prepare import prepared
from .shift import largest_exp, limits_of
from .softmax import inverse_of, scaled_element
from .sums import missing_from_unit, partials_of_rest, sum_fours
from .temperature import settled
from .tiles import aligned, rows_of_block, tile_of


class StartOfGroup(NamedTuple):
    """What the sums of a group need, and what they lack."""

    of_sums: Any  # steps and shift, with a row in each lane where rows differ
    unit: Any  # the exponential of the maximum, as a pair
    unit_error: Any
    missing: Any  # see `missing_from_largest`
    plain: Any  # whether all rows are; see `Shift`
    temperature: Any


@helper
def size_of_group(x, n):
    """Return how many elements of memory a group takes: its numbers, its sums, and its exponentials."""
    return size_of_numbers(x) + size_of_sums(x) + rows_of_group(x, n) * padded(x, n)


@helper
def start_of_group(x, first, count, n, temperature, places):
    """Return what the sums of `count` rows from row `first` on need; a row finds its own in `places`."""
    tau, shift = shift_of_group(x, first, count, n, temperature, limits_of(x).reach, places)
    steps = exp_steps(x, tau)
    of_sums = keep_for_sums(x, steps, shift, places)
    unit, unit_error = largest_exp(x, shift, tau)
    missing = missing_from_unit(x, steps, shift, unit, unit_error)
    return StartOfGroup(of_sums, unit, unit_error, missing, all_lanes(shift.plain), tau)


@helper
def row_of_group(x, first, k, n, of_sums, places, terms):
    """Return where row `first + k` starts, its steps and its shift, and where its exponentials go."""
    steps, shift = for_sum(x, of_sums, k, places)
    start = (first + k) * n
    return start, steps, shift, counted_from(terms, start - k * padded(x, n))


@helper
def sum_group(x, first, count, n, of_sums, places, reached, terms, ahead):
    """Store the exponentials of rows in `terms`, each in whole vectors, and return what `sum_row` would of each.

    Rows are shorter than what `sum_row` flushes.  Of those of up to four vectors nothing is lost, as partial sums are
    added to 0: softmax of rows of 64 float32 takes 0.83 to 0.86 of the time so (medians of 7 interleaved rounds, one
    Zen 3 core).
    """
    width = lanes(x)
    if n <= 4 * width:
        for k in range(count):
            start, steps, shift, own = row_of_group(x, first, k, n, of_sums, places, terms)
            total = partials_of_rest(x, start, start + n, steps, shift, reached, own, True, ahead)
            store(places.sums, k * width, total)
        return sum_of_each(places.sums, splat(x, 0), False)
    for k in range(count):
        start, steps, shift, own = row_of_group(x, first, k, n, of_sums, places, terms)
        i, total, lost = sum_fours(x, start, start + n, splat(x, 0), splat(x, 0), steps, shift, reached, own, ahead)
        rest = partials_of_rest(x, i, start + n, steps, shift, reached, own, True, ahead)
        total, error = add_exactly(total, rest)
        store_sum(places.sums, k, total, lost + error)
    return sum_of_each(places.sums, splat(x, 0), True)


@helper
def scale_group(terms, first, count, n, scaling, places, plain, out):
    """Write the results of rows of at least a vector, the last of which overlaps the one before."""
    for k in range(count):
        each = for_result(terms, scaling, k, places)
        start = (first + k) * n
        scale_terms(counted_from(terms, start - k * padded(terms, n)), start, n, each.high, each.low, plain, out)


@helper
def scale_terms(terms, start, n, high, low, plain, out):
    """`scale_row`, of at least a vector, the last of which overlaps the one before: what is written may not be read."""
    width = lanes(terms)
    limits = limits_of(terms)
    unscale, smallest = splat(terms, 1.0 / limits.headroom), splat(terms, limits.smallest)
    high, low = splat(terms, high), splat(terms, low)
    if plain:
        high, low = high * unscale, low * unscale
    i, end = start, start + n
    while i + width <= end:
        store_normal(out, i, scaled_element(load(terms, i), high, low, smallest, unscale, plain))
        i += width
    if i < end:
        i = end - width
        store_normal(out, i, scaled_element(load(terms, i), high, low, smallest, unscale, plain))


@helper
def softmax_of_groups(x, first, last, n, temperature, out):
    """Softmax of rows `first` to `last - 1`.

    As in `softmax_of_rows`, the next group's shifts are found before one is scaled.
    """
    group = rows_of_group(x, n)
    memory, memory_of_float64 = tile_of(x, size_of_group(x, n)), memory_beside(x)
    numbers = aligned(memory)
    places = Places(numbers, counted_from(numbers, -size_of_numbers(x)), data_of(memory_of_float64))
    terms = counted_from(places.sums, -size_of_sums(x))
    begin_sums(places.sums)
    ahead = ahead_of_groups(x, n, out)
    begun = start_of_group(x, first, smaller(group, last - first), n, temperature, places)
    for row in range(first, last, group):
        count = smaller(group, last - row)
        plain = begun.plain
        if plain:
            total, error = sum_group(x, row, count, n, begun.of_sums, places, True, terms, ahead)
        else:
            total, error = sum_group(x, row, count, n, begun.of_sums, places, False, terms, ahead)
        high, low = inverse_of(out, total, error + begun.missing)
        scaling = Scaling(high, low)
        keep_for_results(x, scaling, places)
        if row + group < last:
            count_of_next = smaller(group, last - row - group)
            begun = start_of_group(x, row + group, count_of_next, n, temperature, places)
        if plain:
            scale_group(terms, row, count, n, scaling, places, True, out)
        else:
            scale_group(terms, row, count, n, scaling, places, False, out)
    keep_until_here(memory)
    keep_until_here(memory_of_float64)


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out))
def softmax_grouped_rows(x, n, temperature, out):
    """Softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`; n is at least a vector."""
    rows = out.size // n
    tau = settled(temperature)
    rows_per_block = rows_of_block(rows, n, lanes(data_of(x)))
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        last = min(rows, first + rows_per_block)
        source = prepared(data_of(x), first, last, n, temperature, data_of(out))
        softmax_of_groups(source, first, last, n, tau, data_of(out))
        fill_rows(source, first, last, n, data_of(out), 0.0)

"""Cross-entropy of rows of middling length with its gradient, a group at a time (see `groups` and `grouped_rows`)."""

from numba import prange

from .._jit import helper, kernel
from .._simd.arithmetic import smaller
from .._simd.lanes import all_lanes
from .._simd.memory import (
    counted_from,
    data_of,
    element_like,
    keep_until_here,
    lanes,
    load_element,
    load_float64,
    store_element,
    store_float64,
)
from .cross_entropy_grad import (
    factor_of,
    rest_of_sum,
    stored_rest,
    takes_no_care,
    types_of_gradients,
)
from .cross_entropy_grad_of_several import (
    GradientScaling,
    factor_in_lanes,
    memory_of_terms,
    put_losses_and_terms,
    subtract_truths,
)
from .grouped_rows import row_of_group, scale_terms, size_of_group, start_of_group, sum_group
from .groups import (
    Places,
    ahead_of_groups,
    begin_sums,
    for_result,
    keep_for_results,
    memory_beside,
    padded,
    rows_of_group,
    size_of_numbers,
    size_of_sums,
)
from .targets_in_lanes import memory_of_targets, targets_in_lanes, truth_of
from .temperature import settled
from .tiles import aligned, rows_of_block, tile_of


@helper
def stored_rests(x, terms, first, count, n, begun, rest, places):
    """Return the sums of rows without their maxima, from stored exponentials where `rest` is less than these."""
    width = lanes(x)
    store_float64(places.beside, 0, rest)
    store_float64(places.beside, width, begun.unit)
    for k in range(count):
        unit = load_element(places.beside, width + k)
        if not load_element(places.beside, k) >= unit:
            start, steps, shift, own = row_of_group(x, first, k, n, begun.of_sums, places, terms)
            store_element(places.beside, k, stored_rest(own, start, n, steps, shift, unit))
    return load_float64(places.beside, 0, rest)


@helper
def scale_gradients(terms, first, count, n, scaling, places, out):
    """Write probabilities of rows times their factors."""
    for k in range(count):
        each = for_result(terms, scaling, k, places)
        start = (first + k) * n
        own = counted_from(terms, start - k * padded(terms, n))
        if each.careless == 1.0:
            scale_terms(own, start, n, each.high, each.low, True, out)
        else:
            scale_terms(own, start, n, each.high, each.low, False, out)


@helper
def gradients_of_groups(x, first, last, n, temperature, labels, weight, smoothing, scale, losses, out):
    """Cross-entropy and its gradient of rows `first` to `last - 1`; see `softmax_of_groups`."""
    group, tau = rows_of_group(x, n), settled(temperature)
    memory, memory_of_float64 = tile_of(x, size_of_group(x, n) + lanes(x)), memory_beside(x)
    beside, memory_of_own = memory_of_targets(x), memory_of_terms(x)
    numbers, kept = aligned(memory), data_of(memory_of_own)
    places = Places(numbers, counted_from(numbers, -size_of_numbers(x)), data_of(memory_of_float64))
    terms = counted_from(places.sums, -size_of_sums(x))
    truth = truth_of(labels, weight, smoothing, counted_from(numbers, -size_of_group(x, n)), beside)
    begin_sums(places.sums)
    ahead = ahead_of_groups(x, n, out)
    begun = start_of_group(x, first, smaller(group, last - first), n, tau, places)
    for row in range(first, last, group):
        count = smaller(group, last - row)
        largest = begun.of_sums[1].largest
        target = targets_in_lanes(x, row, count, n, largest, truth)
        plain = begun.plain
        if plain:
            total, error = sum_group(x, row, count, n, begun.of_sums, places, True, terms, ahead)
        else:
            total, error = sum_group(x, row, count, n, begun.of_sums, places, False, terms, ahead)
        rest = rest_of_sum(total, error, begun.missing, begun.unit, begun.unit_error)
        if not all_lanes(rest >= begun.unit):
            rest = stored_rests(x, terms, row, count, n, begun, rest, places)
        factor = factor_in_lanes(scale, temperature, row, count, places.beside, x)
        put_losses_and_terms(
            x,
            row,
            count,
            largest,
            rest,
            begun.unit,
            begun.unit_error,
            target,
            factor,
            begun.temperature,
            truth,
            kept,
            data_of(losses),
        )
        by_factor = target.mass * factor
        high, low = factor_of(out, total, error + begun.missing, by_factor)
        scaling = GradientScaling(high, low, element_like(x, takes_no_care(plain, by_factor)))
        keep_for_results(x, scaling, places)
        if row + group < last:
            begun = start_of_group(x, row + group, smaller(group, last - row - group), n, tau, places)
        scale_gradients(terms, row, count, n, scaling, places, out)
        subtract_truths(out, row, count, n, truth, kept)
    keep_until_here(memory)
    keep_until_here(memory_of_float64)
    keep_until_here(beside)
    keep_until_here(memory_of_own)


@kernel(types_of_gradients)
def cross_entropy_and_grad_grouped_rows(x, n, temperature, labels, weight, smoothing, scale, losses, out):
    """`cross_entropy_and_grad_rows` for n of middling size."""
    rows = losses.size
    rows_per_block = rows_of_block(rows, n, lanes(data_of(x)))
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        last = min(rows, first + rows_per_block)
        gradients_of_groups(
            data_of(x), first, last, n, temperature, labels, weight, smoothing, scale, losses, data_of(out)
        )

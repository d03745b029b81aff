"""Cross-entropy of short rows with its gradient, a tile at a time (see `columns` and `short_rows`)."""

from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import select, smaller
from .._simd.exp_scaled import exp_steps
from .._simd.lanes import all_lanes, any_lane, widen
from .._simd.memory import (
    counted_from,
    data_of,
    element_like,
    keep_until_here,
    lanes,
    load,
    splat,
)
from .ahead import ahead_of_tiles, are_far
from .columns import finished, partials, put_partial, sum_columns, sum_of_partials
from .cross_entropy_grad import (
    factor_of,
    rest_of_sum,
    stored_term,
    takes_no_care,
    terms_of_extremes,
    types_of_gradients,
)
from .cross_entropy_grad_of_several import (
    GradientScaling,
    factor_in_lanes,
    memory_of_terms,
    put_losses_and_terms,
    subtract_truths,
)
from .groups import (
    settled_in_lanes,
)
from .others import is_too_small
from .partial import add_term, nothing
from .shift import column_maxima, largest_exp, limits_of, shift_of_any_range
from .short_rows import finish_tile
from .softmax import scaled_element
from .sums import missing_from_unit
from .targets_in_lanes import memory_of_targets, targets_in_lanes, truth_of
from .temperature import settled
from .tiles import aligned, clear_lanes, rows_of_block, tile_of
from .turning import fill_tile_of_rows, put_tile_of_rows


@compiled_as(finished, inline=True)
def _finished_gradient(tile, v, ending):
    if isinstance(ending, types.NoneType) or ending.instance_class is not GradientScaling:
        return None

    def implementation(tile, v, ending):
        limits = limits_of(tile)
        unscale, smallest = splat(tile, 1.0 / limits.headroom), splat(tile, limits.smallest)
        careful = scaled_element(v, ending.high, ending.low, smallest, unscale, False)
        careless = scaled_element(v, ending.high * unscale, ending.low * unscale, smallest, unscale, True)
        return select(ending.careless == 1.0, careless, careful)

    return implementation


@helper
def sum_of_stored_columns(tile, n, largest_term, lowest_term, alone, memory):
    """Return the sums of stored exponentials but for those of maxima; the order is that of `sum_of_stored_others`."""
    width = lanes(tile)
    count = smaller(n, width)
    for k in range(count):
        total, lost = nothing(tile)
        if k == 0 and not alone:
            total, lost = add_term(total, lost, widen(-largest_term))
        for i in range(k, n, width):
            e = stored_term(load(tile, i * width), largest_term, lowest_term, alone)
            total, lost = add_term(total, lost, e)
        put_partial(memory, k * width, total, lost)
    high, low = sum_of_partials(tile, memory, count, width // 2)
    return high + low


@helper
def stored_rest_of_columns(tile, n, steps, shift, unit, memory):
    """Return what `stored_rest` does, of a row in each lane."""
    largest_term, lowest_term = terms_of_extremes(tile, steps, shift)
    rest = sum_of_stored_columns(tile, n, largest_term, lowest_term, False, memory)
    too_small = is_too_small(tile, rest, unit, False)
    if any_lane(too_small):
        return select(too_small, sum_of_stored_columns(tile, n, largest_term, lowest_term, True, memory), rest)
    return rest


@helper
def gradients_of_columns(tile, first, count, n, largest, target, tau, factor, truth, kept, losses, memory):
    """Write the losses of a tile of rows, replace them by exponentials, and return what is left to do with these."""
    width = lanes(tile)
    steps = exp_steps(tile, tau)
    shift = shift_of_any_range(tile, largest, tau, limits_of(tile).reach)
    unit, unit_error = largest_exp(tile, shift, tau)
    missing = missing_from_unit(tile, steps, shift, unit, unit_error)
    total, error = sum_columns(tile, 0, width, n, steps, shift, memory, None)
    rest = rest_of_sum(total, error, missing, unit, unit_error)
    enough = rest >= unit
    if not all_lanes(enough):
        rest = select(enough, rest, stored_rest_of_columns(tile, n, steps, shift, unit, memory))
    put_losses_and_terms(tile, first, count, largest, rest, unit, unit_error, target, factor, tau, truth, kept, losses)
    by_factor = target.mass * factor
    high, low = factor_of(tile, total, error + missing, by_factor)
    return GradientScaling(high, low, element_like(tile, takes_no_care(False, by_factor)))


@helper
def gradients_of_tiles(x, first, last, rows, n, temperature, labels, weight, smoothing, scale, losses, out, ahead):
    """Cross-entropy and its gradient of rows `first` to `last - 1` of so many.

    As in `short_block`, a tile is filled, and what is true of its rows is found, before the one before it is written,
    which may be beyond its rows.
    """
    width = lanes(x)
    size = width * (n + 2 * width)
    memory_of_tiles, memory_of_copy = tile_of(x, 2 * size + width), tile_of(x, width * (n + 1))
    memory_of_sums, beside = partials(data_of(memory_of_tiles)), memory_of_targets(x)
    terms = memory_of_terms(x)
    tile, copy, sums, kept = aligned(memory_of_tiles), aligned(memory_of_copy), aligned(memory_of_sums), data_of(terms)
    clear_lanes(copy, 0, width, width, n)
    other = counted_from(tile, -size)
    truth = truth_of(labels, weight, smoothing, counted_from(tile, -2 * size), beside)
    fill_tile_of_rows(x, first, last, rows, n, tile, copy)
    largest = column_maxima(tile, 0, width, n)
    target = targets_in_lanes(x, first, smaller(width, last - first), n, largest, truth)
    for row in range(first, last, width):
        count = smaller(width, last - row)
        tau = settled_in_lanes(settled(temperature), row, count, sums, splat(x, 0))
        factor = factor_in_lanes(scale, temperature, row, count, sums, x)
        ending = gradients_of_columns(
            tile, row, count, n, largest, target, tau, factor, truth, kept, data_of(losses), sums
        )
        if row + width < last:
            fill_tile_of_rows(x, row + width, last, rows, n, other, copy)
            largest = column_maxima(other, 0, width, n)
            target = targets_in_lanes(x, row + width, smaller(width, last - row - width), n, largest, truth)
        finish_tile(tile, n, n, ending, x, row * n, ahead)
        put_tile_of_rows(tile, row, last, n, out, copy)
        subtract_truths(out, row, count, n, truth, kept)
        tile, other = other, tile
    keep_until_here(memory_of_tiles)
    keep_until_here(memory_of_copy)
    keep_until_here(memory_of_sums)
    keep_until_here(beside)
    keep_until_here(terms)


@kernel(types_of_gradients)
def cross_entropy_and_grad_short_rows(x, n, temperature, labels, weight, smoothing, scale, losses, out):
    """`cross_entropy_and_grad_rows` for small n."""
    rows = losses.size
    rows_per_block = rows_of_block(rows, n, lanes(data_of(x)))
    far = are_far(out.size, out)
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        last = min(rows, first + rows_per_block)
        ahead = ahead_of_tiles(far, data_of(out))
        gradients_of_tiles(
            data_of(x),
            first,
            last,
            rows,
            n,
            temperature,
            labels,
            weight,
            smoothing,
            scale,
            losses,
            data_of(out),
            ahead,
        )

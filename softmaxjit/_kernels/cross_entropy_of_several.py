"""Cross-entropy of several rows at once: short ones in tiles, longer ones in groups (see `columns` and `groups`).

Both find the logarithms of as many rows as a vector has lanes, which are then compared with what is true of them.
"""

from numba import prange

from .._jit import helper, kernel
from .._simd.arithmetic import smaller
from .._simd.memory import counted_from, data_of, keep_until_here, lanes, splat
from .ahead import ahead_of_tiles, are_far
from .columns import partials
from .cross_entropy import loss_of, types_of_losses
from .groups import (
    Places,
    ahead_of_groups,
    begin_sums,
    memory_beside,
    rows_of_group,
    settled_in_lanes,
)
from .log_columns import logs_of_columns
from .log_grouped_rows import log_of_group, memory_of_sums, size_of_log_group, start_of_log_group
from .short_rows import finish_tile
from .targets_in_lanes import memory_of_targets, put_losses, targets_in_lanes, truth_of
from .temperature import settled
from .tiles import aligned, clear_lanes, rows_of_block, tile_of
from .turning import fill_tile_of_rows


@helper
def losses_of_tiles(x, first, last, rows, n, temperature, labels, weight, smoothing, losses, ahead):
    """Cross-entropy of rows `first` to `last - 1` of so many; as in `short_block`, the next tile fills a wait."""
    width = lanes(x)
    size = width * (n + 2 * width)
    memory_of_tiles, memory_of_copy = tile_of(x, 2 * size + width), tile_of(x, width * (n + 1))
    memory_of_sums, beside = partials(data_of(memory_of_tiles)), memory_of_targets(x)
    tile, copy, sums = aligned(memory_of_tiles), aligned(memory_of_copy), aligned(memory_of_sums)
    clear_lanes(copy, 0, width, width, n)
    other = counted_from(tile, -size)
    truth = truth_of(labels, weight, smoothing, counted_from(tile, -2 * size), beside)
    fill_tile_of_rows(x, first, last, rows, n, tile, copy)
    for row in range(first, last, width):
        count = smaller(width, last - row)
        tau = settled_in_lanes(temperature, row, count, sums, splat(x, 0))
        largest, log, log_error = logs_of_columns(tile, 0, width, n, tau, False, sums, None)
        if row + width < last:
            fill_tile_of_rows(x, row + width, last, rows, n, other, copy)
        finish_tile(tile, n, 0, None, x, row * n, ahead)
        target = targets_in_lanes(x, row, count, n, largest, truth)
        put_losses(row, count, target, loss_of(largest, log, log_error, target, tau), truth.beside, losses)
        tile, other = other, tile
    keep_until_here(memory_of_tiles)
    keep_until_here(memory_of_copy)
    keep_until_here(memory_of_sums)
    keep_until_here(beside)


@helper
def losses_of_groups(x, first, last, n, temperature, labels, weight, smoothing, losses):
    """Cross-entropy of rows `first` to `last - 1`; as in `log_softmax_of_groups`, the next group fills a wait."""
    group = rows_of_group(x, n)
    memory, sums, memory_of_float64 = tile_of(x, size_of_log_group(x, n) + lanes(x)), memory_of_sums(), memory_beside(x)
    beside = memory_of_targets(x)
    places = Places(aligned(memory), aligned(sums), data_of(memory_of_float64))
    truth = truth_of(labels, weight, smoothing, counted_from(places.numbers, -size_of_log_group(x, n)), beside)
    begin_sums(places.sums)
    ahead = ahead_of_groups(x, n, None)
    begun = start_of_log_group(x, first, smaller(group, last - first), n, temperature, False, places)
    for row in range(first, last, group):
        count = smaller(group, last - row)
        log, log_error = log_of_group(x, row, count, n, begun, False, places, ahead)
        largest, tau = begun.largest, begun.temperature
        if row + group < last:
            count_of_next = smaller(group, last - row - group)
            begun = start_of_log_group(x, row + group, count_of_next, n, temperature, False, places)
        target = targets_in_lanes(x, row, count, n, largest, truth)
        put_losses(row, count, target, loss_of(largest, log, log_error, target, tau), truth.beside, losses)
    keep_until_here(memory)
    keep_until_here(sums)
    keep_until_here(memory_of_float64)
    keep_until_here(beside)


@kernel(types_of_losses)
def cross_entropy_short_rows(x, n, temperature, labels, weight, smoothing, losses):
    """`cross_entropy_rows` for small n."""
    rows = losses.size
    tau = settled(temperature)
    rows_per_block = rows_of_block(rows, n, lanes(data_of(x)))
    far = are_far(x.size, x)
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        last = min(rows, first + rows_per_block)
        ahead = ahead_of_tiles(far, None)
        losses_of_tiles(data_of(x), first, last, rows, n, tau, labels, weight, smoothing, data_of(losses), ahead)


@kernel(types_of_losses)
def cross_entropy_grouped_rows(x, n, temperature, labels, weight, smoothing, losses):
    """`cross_entropy_rows` for n of middling size."""
    rows = losses.size
    tau = settled(temperature)
    rows_per_block = rows_of_block(rows, n, lanes(data_of(x)))
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        last = min(rows, first + rows_per_block)
        losses_of_groups(data_of(x), first, last, n, tau, labels, weight, smoothing, data_of(losses))

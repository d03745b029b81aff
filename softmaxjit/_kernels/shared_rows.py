"""Softmax of one long row on several threads: each pass over it is shared out among them, block by block.

Such a row in 16 bits, and any on one thread, is left to `softmax_long_rows`.  As there, blocks are read piece by piece,
once for their extremes and exponentials, and twice more where one refuses.

A block is what `sum_row` flushes its partial sums after, so the sums of blocks, added in order, have the bits of
`sum_row`.
"""

import math

import numpy as np
from numba import prange, types

from .._jit import helper, kernel
from .._simd.exp_scaled import exp_steps
from .._simd.memory import are_same, data_of, element_like
from .ahead import ahead_of, are_far
from .fill import fill_rows
from .long_rows import factor_of_pieces, sum_pieces
from .pieces import PIECE_ELEMENTS, Extremes, are_near, extremes_of_both, extremes_of_ends, extremes_of_piece
from .shift import limits_of, row_extremes, row_shift
from .softmax import inverse_of, scale_row
from .sums import FLUSHED_ELEMENTS, add_pairs, missing_from_largest, sum_row
from .temperature import settled, settled_at


@helper
def shift_of_extremes(x, n, largest, smallest, temperature, farthest):
    """Return the shift of a row of which the extremes are known.

    Each block finds it for itself, as Numba shares out no loops that take named tuples from outside.
    """
    return row_shift(x, n, element_like(x, largest), element_like(x, smallest), temperature, farthest)


@helper
def extremes_to_begin_with(x, start, n, temperature, reach, farthest):
    """Return the extremes of a row's ends, and whether to go on under a shift by these: see `pieces`."""
    ends, _ = extremes_of_ends(x, start, start + n)
    first = row_shift(x, n, ends.largest, ends.smallest, temperature, reach)
    return np.float64(ends.largest), np.float64(ends.smallest), are_near(ends, first, temperature, farthest)


@helper
def extremes_of_blocks(largest, smallest):
    """Return the extremes of a row from those of its blocks.

    Numba would share out what NumPy's functions do: a first softmax took 6.3 instead of 4.8 s.
    """
    high, low = largest[0], smallest[0]
    for block in range(1, largest.size):
        high, low = max(high, largest[block]), min(low, smallest[block])
    return high, low


@helper
def sum_pieces_of_block(x, start, count, n, largest, smallest, temperature, farthest, out, far):
    """Return the sum of a block as a pair, under the shift of the row's ends, and the extremes of it and these.

    Where the extremes do not allow that, no more of it is read.
    """
    first = shift_of_extremes(x, n, largest, smallest, temperature, limits_of(x).reach)
    ends = Extremes(element_like(x, largest), element_like(x, smallest))
    of_piece, stop = extremes_of_piece(x, start, start + count)
    extremes = extremes_of_both(of_piece, ends)
    ahead = ahead_of(x, PIECE_ELEMENTS, far, out)
    steps = exp_steps(x, temperature)
    _, total, error, extremes = sum_pieces(
        x, start, count, steps, first, extremes, stop, temperature, farthest, out, ahead
    )
    return total, error, np.float64(extremes.largest), np.float64(extremes.smallest)


@helper
def factor_of_blocks(x, n, ends, extremes, temperature, farthest, totals, errors, out):
    """Return what `factor_of_pieces` returns, from the sums of blocks and the extremes of the ends and of the row.

    Where the extremes of a block did not allow all of it to be read, those of the row are not near either.
    """
    first = shift_of_extremes(x, n, ends[0], ends[1], temperature, limits_of(x).reach)
    of_row = Extremes(element_like(x, extremes[0]), element_like(x, extremes[1]))
    total, error = sum_of_flushed_blocks(totals, errors)
    steps = exp_steps(x, temperature)
    found, high, low = factor_of_pieces(x, n, steps, first, of_row, total, error, temperature, out)
    return found and are_near(of_row, first, temperature, farthest), high, low


@helper
def sum_flushed_block(x, start, count, n, largest, smallest, temperature, out, far):
    """Return the sum of a block's exponentials, which are stored in `out`, as a float64 pair."""
    shift = shift_of_extremes(x, n, largest, smallest, temperature, limits_of(x).reach)
    steps = exp_steps(x, temperature)
    ahead = ahead_of(x, n, far, out)
    if shift.reached:
        return sum_row(x, start, count, steps, shift, True, out, ahead)
    return sum_row(x, start, count, steps, shift, False, out, ahead)


@helper
def sum_of_flushed_blocks(totals, errors):
    """Return the sum of a row from those of its blocks, a pair."""
    total = error = 0.0
    for block in range(totals.size):
        total, error = add_pairs(total, error, (totals[block], errors[block]))
    return total, error


@helper
def inverse_of_blocks(x, n, largest, smallest, temperature, totals, errors, out):
    """Return the factor of a row's exponentials as a pair: see `inverse_of`."""
    total, error = sum_of_flushed_blocks(totals, errors)
    shift = shift_of_extremes(x, n, largest, smallest, temperature, limits_of(x).reach)
    return inverse_of(out, total, error + missing_from_largest(x, exp_steps(x, temperature), shift, temperature))


@helper
def scale_block(x, start, count, n, largest, smallest, temperature, high, low, out):
    """Scale a block's exponentials."""
    if shift_of_extremes(x, n, largest, smallest, temperature, limits_of(x).reach).plain:
        scale_row(out, start, count, high, low, True, out, None)
    else:
        scale_row(out, start, count, high, low, False, out, None)


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out))
def softmax_shared_rows(x, n, temperature, out):
    """Softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`; for large n."""
    size = FLUSHED_ELEMENTS
    blocks = (n + size - 1) // size
    largest, smallest = np.empty(blocks), np.empty(blocks)
    totals, errors = np.empty(blocks), np.empty(blocks)
    tau_of_rows = settled(temperature)
    far = are_far(out.size, out)
    limits = limits_of(data_of(x))
    farthest = limits.plain_reach - math.log(n)
    for row in range(out.size // n):
        start, end, tau = row * n, row * n + n, settled_at(tau_of_rows, row)
        high_end, low_end, promising = extremes_to_begin_with(data_of(x), start, n, tau, limits.reach, farthest)
        found, factor, error = False, element_like(data_of(out), 0.0), element_like(data_of(out), 0.0)
        if promising and not are_same(data_of(x), data_of(out)):
            for block in prange(blocks):
                at = start + block * size
                count = min(size, end - at)
                totals[block], errors[block], largest[block], smallest[block] = sum_pieces_of_block(
                    data_of(x), at, count, n, high_end, low_end, tau, farthest, data_of(out), far
                )
            high, low = extremes_of_blocks(largest, smallest)
            found, factor, error = factor_of_blocks(
                data_of(x), n, (high_end, low_end), (high, low), tau, farthest, totals, errors, data_of(out)
            )
        if not found:
            for block in prange(blocks):
                at = start + block * size
                largest[block], smallest[block] = row_extremes(data_of(x), at, min(size, end - at), None)
            high, low = extremes_of_blocks(largest, smallest)
            for block in prange(blocks):
                at = start + block * size
                count = min(size, end - at)
                totals[block], errors[block] = sum_flushed_block(
                    data_of(x), at, count, n, high, low, tau, data_of(out), far
                )
            factor, error = inverse_of_blocks(data_of(x), n, high, low, tau, totals, errors, data_of(out))
        for block in prange(blocks):
            at = start + block * size
            scale_block(data_of(x), at, min(size, end - at), n, high, low, tau, factor, error, data_of(out))
        fill_rows(data_of(x), row, row + 1, n, data_of(out), 0.0)

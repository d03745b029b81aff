"""Log-softmax and log-sum-exp of one long row on several threads: each pass over it is shared out among them.

Blocks are read piece by piece, once for their extremes and exponentials, as `log_softmax_long_rows` and
`logsumexp_long_rows` do on one thread, and twice more where a row is refused.  Their sums are kept, and added up in the
order of one thread.  The loops stand in both kernels because Numba shares out no others.
"""

import numpy as np
from numba import prange, types

from .._jit import helper, kernel
from .._simd.exp_scaled import exp_steps
from .._simd.memory import data_of, element_like, store_element
from .ahead import ahead_of, are_far
from .fill import fill_rows
from .kept import memory_to_keep
from .log_long_rows import sum_piece_of_others
from .log_softmax import log_softmax_output, output_of
from .logsumexp import log1p_of_ratio, logsumexp_of_row, start_of_shift
from .others import OTHERS_BLOCK_ELEMENTS, is_too_small, sum_block_of_others, sum_without_largest, without_largest
from .partial import nothing
from .pieces import PIECE_ELEMENTS, Extremes, excess, extremes_of_both, extremes_of_piece
from .shared_rows import extremes_of_blocks, extremes_to_begin_with, shift_of_extremes
from .shift import limits_of, row_extremes
from .sums import add_pairs
from .temperature import settled, settled_at

# Whole blocks, and few enough to share out evenly.
PART_ELEMENTS = 8 * OTHERS_BLOCK_ELEMENTS


@helper
def start_of_extremes(x, n, largest, smallest, temperature):
    """Return what the sum of a row needs of which the extremes are known."""
    shift = shift_of_extremes(x, n, largest, smallest, temperature, limits_of(x).log_reach)
    return start_of_shift(x, shift, temperature)


@helper
def sum_part(x, start, i, stop, begun, reached, precise, ahead, totals, errors):
    """Keep the sums of the blocks of ``x[i : stop]``, of a row that begins at `start`."""
    kept = memory_to_keep(x)
    while i < stop:
        end = min(stop, i + OTHERS_BLOCK_ELEMENTS)
        if i == start:
            total, lost = without_largest(x, begun.steps, begun.shift, reached, precise, False)
        else:
            total, lost = nothing(x)
        block = (i - start) // OTHERS_BLOCK_ELEMENTS
        totals[block], errors[block] = sum_block_of_others(
            x, i, end, total, lost, begun.steps, begun.shift, reached, precise, False, kept, ahead
        )
        i = end


@helper
def sum_parts(x, start, i, stop, n, largest, smallest, temperature, precise, far, out, totals, errors):
    """`sum_part` from the extremes of the row; `out` is None where nothing is written."""
    begun = start_of_extremes(x, n, largest, smallest, temperature)
    ahead = ahead_of(x, n, far, out)
    if begun.shift.reached:
        sum_part(x, start, i, stop, begun, True, precise, ahead, totals, errors)
    else:
        sum_part(x, start, i, stop, begun, False, precise, ahead, totals, errors)


@helper
def sum_pieces_of_part(x, start, i, stop, n, largest, smallest, temperature, precise, far, out, totals, errors):
    """Keep the sums of the blocks of ``x[i : stop]``, but the one that begins the row, under the shift of its ends.

    Return the extremes of what was read and the ends: where these do not allow it, no more is.
    """
    first = shift_of_extremes(x, n, largest, smallest, temperature, limits_of(x).log_reach)
    extremes = Extremes(element_like(x, largest), element_like(x, smallest))
    steps = exp_steps(x, temperature)
    ahead = ahead_of(x, PIECE_ELEMENTS, far, out)
    i = max(i, start + PIECE_ELEMENTS)
    kept = memory_to_keep(x)
    near = True
    while near and i < stop:
        block = (i - start) // PIECE_ELEMENTS
        of_piece, end = extremes_of_piece(x, i, stop)
        extremes = extremes_of_both(of_piece, extremes)
        near, totals[block], errors[block] = sum_piece_of_others(
            x, i, end, False, steps, first, extremes, temperature, precise, kept, ahead
        )
        i = end
    return np.float64(extremes.largest), np.float64(extremes.smallest)


@helper
def scale_of_pieces(x, start, n, ends, extremes, temperature, precise, totals, errors):
    """Keep the sum of the block that begins the row, and return by what sums are too large; 0 if they do not serve.

    Where the extremes of a part did not allow all of it to be read, those of the row do not allow this block to be.
    """
    first = shift_of_extremes(x, n, ends[0], ends[1], temperature, limits_of(x).log_reach)
    shift = shift_of_extremes(x, n, extremes[0], extremes[1], temperature, limits_of(x).log_reach)
    of_row = Extremes(element_like(x, extremes[0]), element_like(x, extremes[1]))
    steps = exp_steps(x, temperature)
    ahead = ahead_of(x, n, False, None)
    stop = start + min(n, PIECE_ELEMENTS)
    near, totals[0], errors[0] = sum_piece_of_others(
        x, start, stop, True, steps, first, of_row, temperature, precise, memory_to_keep(x), ahead
    )
    return excess(first, shift) if near else 0.0


@helper
def log_of_blocks(x, start, n, largest, smallest, temperature, precise, totals, errors, scale):
    """Return what `log_of_sum` returns, from the sums of all blocks, which are too large by `scale`."""
    begun = start_of_extremes(x, n, largest, smallest, temperature)
    rest = error = 0.0
    for block in range(1, totals.size):
        rest, error = add_pairs(rest, error, (totals[block], errors[block]))
    rest, error = add_pairs(rest, error, (totals[0], errors[0]))
    rest, error = rest / scale, error / scale
    if is_too_small(x, rest, begun.unit, precise):
        ahead = ahead_of(x, n, False, None)
        rest, error = sum_without_largest(x, start, n, begun.steps, begun.shift, precise, ahead)
    return log1p_of_ratio(x, rest, error, begun.unit, begun.unit_error)


@helper
def log_softmax_part(x, i, count, n, largest, smallest, log, log_error, temperature, out):
    """Write the results of a part of a row."""
    o = output_of(x, element_like(x, largest), log, log_error, temperature)
    log_softmax_output(x, i, count, o, temperature, out)


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out))
def log_softmax_shared_rows(x, n, temperature, out):
    """Log-softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`; for large n."""
    size = PART_ELEMENTS
    parts, blocks = (n + size - 1) // size, (n + OTHERS_BLOCK_ELEMENTS - 1) // OTHERS_BLOCK_ELEMENTS
    largest, smallest = np.empty(parts), np.empty(parts)
    totals, errors = np.empty(blocks), np.empty(blocks)
    tau_of_rows = settled(temperature)
    far = are_far(out.size, out)
    reach = limits_of(data_of(x)).log_reach
    for row in range(out.size // n):
        start, end, tau = row * n, row * n + n, settled_at(tau_of_rows, row)
        high_end, low_end, promising = extremes_to_begin_with(data_of(x), start, n, tau, reach, reach)
        scale = 0.0
        if promising:
            for part in prange(parts):
                i = start + part * size
                stop = min(end, i + size)
                largest[part], smallest[part] = sum_pieces_of_part(
                    data_of(x), start, i, stop, n, high_end, low_end, tau, False, far, data_of(out), totals, errors
                )
            high, low = extremes_of_blocks(largest, smallest)
            scale = scale_of_pieces(data_of(x), start, n, (high_end, low_end), (high, low), tau, False, totals, errors)
        if scale == 0.0:
            for part in prange(parts):
                i = start + part * size
                largest[part], smallest[part] = row_extremes(data_of(x), i, min(size, end - i), None)
            (high, low), scale = extremes_of_blocks(largest, smallest), 1.0
            for part in prange(parts):
                i = start + part * size
                stop = min(end, i + size)
                sum_parts(data_of(x), start, i, stop, n, high, low, tau, False, far, data_of(out), totals, errors)
        log, log_error = log_of_blocks(data_of(x), start, n, high, low, tau, False, totals, errors, scale)
        for part in prange(parts):
            i = start + part * size
            count = min(size, end - i)
            log_softmax_part(data_of(x), i, count, n, high, low, log, log_error, tau, data_of(out))
        fill_rows(data_of(x), row, row + 1, n, data_of(out), -np.inf)


@kernel(lambda x, out: (x, types.intp, out))
def logsumexp_shared_rows(x, n, out):
    """Log-sum-exp of every n consecutive elements of flat `x` into one element of flat `out`; for large n."""
    size = PART_ELEMENTS
    parts, blocks = (n + size - 1) // size, (n + OTHERS_BLOCK_ELEMENTS - 1) // OTHERS_BLOCK_ELEMENTS
    largest, smallest = np.empty(parts), np.empty(parts)
    totals, errors = np.empty(blocks), np.empty(blocks)
    far = are_far(out.size * n, out)
    reach = limits_of(data_of(x)).log_reach
    for row in range(out.size):
        start, end, tau = row * n, row * n + n, 1.0
        high_end, low_end, promising = extremes_to_begin_with(data_of(x), start, n, tau, reach, reach)
        scale = 0.0
        if promising:
            for part in prange(parts):
                i = start + part * size
                stop = min(end, i + size)
                largest[part], smallest[part] = sum_pieces_of_part(
                    data_of(x), start, i, stop, n, high_end, low_end, tau, True, far, None, totals, errors
                )
            high, low = extremes_of_blocks(largest, smallest)
            scale = scale_of_pieces(data_of(x), start, n, (high_end, low_end), (high, low), tau, True, totals, errors)
        if scale == 0.0:
            for part in prange(parts):
                i = start + part * size
                largest[part], smallest[part] = row_extremes(data_of(x), i, min(size, end - i), None)
            (high, low), scale = extremes_of_blocks(largest, smallest), 1.0
            for part in prange(parts):
                i = start + part * size
                stop = min(end, i + size)
                sum_parts(data_of(x), start, i, stop, n, high, low, tau, True, far, None, totals, errors)
        log, log_error = log_of_blocks(data_of(x), start, n, high, low, tau, True, totals, errors, scale)
        store_element(data_of(out), row, logsumexp_of_row(data_of(x), start, n, high, log, log_error))

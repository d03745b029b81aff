"""Log-softmax and log-sum-exp of rows that leave the first-level cache, each on one thread, with the bits of others."""

import numpy as np
from numba import prange, types

from .._jit import helper, kernel
from .._simd.arithmetic import smaller
from .._simd.exp_scaled import exp_steps
from .._simd.memory import data_of, store_element
from .ahead import ahead_of, are_far
from .fill import fill_rows
from .kept import memory_to_keep
from .log_softmax import log_softmax_output, output_of
from .logsumexp import log1p_of_ratio, logsumexp_of_row
from .others import is_too_small, sum_block_of_others, sum_blocks_of_others, sum_without_largest, without_largest
from .partial import nothing
from .pieces import PIECE_ELEMENTS, are_near, excess, extremes_of_both, extremes_of_ends, extremes_of_piece
from .shift import Shift, largest_exp, limits_of, row_shift, shift_of_row
from .sums import add_pairs
from .temperature import settled, settled_at


@helper
def sum_piece_of_others(x, i, stop, begins_row, steps, first, extremes, temperature, precise, kept, ahead):
    """Return whether extremes allow the provisional shift `first`, then the sum of the piece ``x[i : stop]`` as a pair.

    With the one that begins the row comes the exponential of the maximum, the largest of `extremes`.
    """
    if not are_near(extremes, first, temperature, limits_of(x).log_reach):
        return False, 0.0, 0.0
    total, lost = nothing(x)
    if begins_row:
        shift = Shift(extremes.largest, first.anchor, first.lowest, first.magic, first.octaves, True, True)
        total, lost = without_largest(x, steps, shift, True, precise, False)
    value, error = sum_block_of_others(x, i, stop, total, lost, steps, first, True, precise, False, kept, ahead)
    return True, value, error


@helper
def sum_pieces_of_others(x, start, n, steps, first, extremes, temperature, precise, kept, ahead):
    """Return whether a row was read to its end, then the sum of others under the provisional shift `first`.

    Last come the extremes of what was read; those of both ends are known before.  The piece that begins the row is the
    last in the order of the sum; it is taken in the same loop, so that this is compiled once.
    """
    end = start + n
    blocks = (n + PIECE_ELEMENTS - 1) // PIECE_ELEMENTS
    value = error = 0.0
    for block in range(1, blocks + 1):
        begins_row = block == blocks
        i = start if begins_row else start + block * PIECE_ELEMENTS
        stop = smaller(end, i + PIECE_ELEMENTS)
        if not begins_row:
            of_piece, _ = extremes_of_piece(x, i, end)
            extremes = extremes_of_both(of_piece, extremes)
        near, piece_value, piece_error = sum_piece_of_others(
            x, i, stop, begins_row, steps, first, extremes, temperature, precise, kept, ahead
        )
        if not near:
            return False, value, error, extremes
        value, error = add_pairs(value, error, (piece_value, piece_error))
    return True, value, error, extremes


@helper
def rest_by_pieces(x, start, n, temperature, precise, kept, ahead):
    """Return whether a row could be taken piece by piece, then its shift, and its sum of others as a pair."""
    reach = limits_of(x).log_reach
    steps = exp_steps(x, temperature)
    extremes, _ = extremes_of_ends(x, start, start + n)
    first = row_shift(x, n, extremes.largest, extremes.smallest, temperature, reach)
    complete, rest, error, extremes = sum_pieces_of_others(
        x, start, n, steps, first, extremes, temperature, precise, kept, ahead
    )
    shift = row_shift(x, n, extremes.largest, extremes.smallest, temperature, reach)
    scale = excess(first, shift)
    return complete and scale > 0.0, shift, rest / scale, error / scale


@helper
def log_of_long_row(x, start, n, temperature, precise, ahead):
    """Return a row's maximum and what `log_of_sum` returns."""
    kept = memory_to_keep(x)
    found, shift, rest, error = rest_by_pieces(x, start, n, temperature, precise, kept, ahead)
    steps = exp_steps(x, temperature)
    if not found:
        shift = shift_of_row(x, start, n, temperature, limits_of(x).log_reach, None)
        rest, error = sum_blocks_of_others(x, start, n, steps, shift, False, precise, False, kept, ahead)
    unit, unit_error = largest_exp(x, shift, temperature)
    if is_too_small(x, rest, unit, precise):
        rest, error = sum_without_largest(x, start, n, steps, shift, precise, ahead)
    log, log_error = log1p_of_ratio(x, rest, error, unit, unit_error)
    return shift.largest, log, log_error


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out), counted=False)
def log_softmax_long_rows(x, n, temperature, out):
    """Log-softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`; for large n."""
    tau = settled(temperature)
    far = are_far(out.size, out)
    for row in prange(out.size // n):
        temperature_of_row = settled_at(tau, row)
        ahead = ahead_of(data_of(x), PIECE_ELEMENTS, far, data_of(out))
        largest, log, log_error = log_of_long_row(data_of(x), row * n, n, temperature_of_row, False, ahead)
        o = output_of(data_of(x), largest, log, log_error, temperature_of_row)
        log_softmax_output(data_of(x), row * n, n, o, temperature_of_row, data_of(out))
        fill_rows(data_of(x), row, row + 1, n, data_of(out), -np.inf)


@kernel(lambda x, out: (x, types.intp, out), counted=False)
def logsumexp_long_rows(x, n, out):
    """Log-sum-exp of every n consecutive elements of flat `x` into one element of `out`; for large n."""
    far = are_far(out.size * n, out)
    for row in prange(out.size):
        ahead = ahead_of(data_of(x), PIECE_ELEMENTS, far, None)
        largest, log, log_error = log_of_long_row(data_of(x), row * n, n, 1.0, True, ahead)
        store_element(data_of(out), row, logsumexp_of_row(data_of(x), row * n, n, largest, log, log_error))

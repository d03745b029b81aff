"""Softmax of one long row on several threads: each pass over it is shared out among them, block by block.

Such a row in 16 bits, and any on one thread, is left to `softmax_long_rows`.

A block is what `sum_row` flushes its partial sums after, so the sums of blocks, added in order, have the bits of
`sum_row`.
"""

import numpy as np
from numba import prange, types

from .._jit import helper, kernel
from .._simd.exp_scaled import exp_steps
from .._simd.memory import data_of, element_like
from .ahead import ahead_of, are_far
from .fill import fill_rows
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
def sum_flushed_block(x, start, count, n, largest, smallest, temperature, out, far):
    """Return the sum of a block's exponentials, which are stored in `out`, as a float64 pair."""
    shift = shift_of_extremes(x, n, largest, smallest, temperature, limits_of(x).reach)
    steps = exp_steps(x, temperature)
    ahead = ahead_of(x, n, far, out)
    if shift.reached:
        return sum_row(x, start, count, steps, shift, True, out, ahead)
    return sum_row(x, start, count, steps, shift, False, out, ahead)


@helper
def inverse_of_blocks(x, n, largest, smallest, temperature, totals, errors, out):
    """Return the factor of a row's exponentials as a pair: see `inverse_of`."""
    total = error = 0.0
    for block in range(totals.size):
        total, error = add_pairs(total, error, (totals[block], errors[block]))
    shift = shift_of_extremes(x, n, largest, smallest, temperature, limits_of(x).reach)
    return inverse_of(out, total, error + missing_from_largest(x, exp_steps(x, temperature), shift, temperature))


@helper
def scale_block(x, start, count, n, largest, smallest, temperature, high, low, out):
    """Scale a block's exponentials."""
    if shift_of_extremes(x, n, largest, smallest, temperature, limits_of(x).reach).plain:
        scale_row(out, start, count, high, low, True, out)
    else:
        scale_row(out, start, count, high, low, False, out)


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out))
def softmax_shared_rows(x, n, temperature, out):
    """Softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`; for large n."""
    size = FLUSHED_ELEMENTS
    blocks = (n + size - 1) // size
    largest, smallest = np.empty(blocks), np.empty(blocks)
    totals, errors = np.empty(blocks), np.empty(blocks)
    tau_of_rows = settled(temperature)
    far = are_far(out.size, out)
    for row in range(out.size // n):
        start, end = row * n, row * n + n
        for block in prange(blocks):
            at = start + block * size
            largest[block], smallest[block] = row_extremes(data_of(x), at, min(size, end - at))
        high, low, tau = largest.max(), smallest.min(), settled_at(tau_of_rows, row)
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

"""Softmax of rows that leave the first-level cache, each on one thread, with the bits of `softmax_rows`."""

import math
from typing import Any

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import magnitude
from .._simd.exp_scaled import exp_steps
from .._simd.lanes import sum_lanes
from .._simd.memory import are_same, data_of, element_like, keep_until_here, splat
from .._simd.vector import computed
from .ahead import ahead_of, are_far
from .fill import fill_rows
from .pieces import PIECE_ELEMENTS, are_near, excess, extremes_of_both, extremes_of_ends, extremes_of_piece
from .shift import limits_of, row_shift
from .softmax import inverse_of, scale_row, softmax_of_rows, terms_of_row
from .sums import FLUSHED_ELEMENTS, add_pairs, missing_from_largest, sum_fours, sum_rest
from .temperature import settled, settled_at


@helper
def sum_pieces(x, start, n, steps, first, extremes, stop, temperature, farthest, out, ahead):
    """Return whether a row was read to its end, then what `sum_row` returns, under the provisional shift `first`.

    Last come the extremes of what was read; those of both ends, of which the first ends at `stop`, are known before.
    """
    i, end = start, start + n
    total = lost = splat(x, 0)
    flushed, flushed_error = 0.0, 0.0
    while are_near(extremes, first, temperature, farthest):
        i, total, lost = sum_fours(x, i, stop, total, lost, steps, first, True, out, ahead)
        if stop == end:
            rest = sum_rest(x, i, end, total, lost, steps, first, True, out, ahead)
            flushed, flushed_error = add_pairs(flushed, flushed_error, rest)
            return True, flushed, flushed_error, extremes
        if (stop - start) % FLUSHED_ELEMENTS == 0:
            flushed, flushed_error = add_pairs(flushed, flushed_error, sum_lanes(total, lost))
            total = lost = splat(x, 0)
        of_piece, stop = extremes_of_piece(x, stop, end)
        extremes = extremes_of_both(of_piece, extremes)
    return False, flushed, flushed_error, extremes


@helper
def factor_of_pieces(x, n, steps, first, extremes, total, error, temperature, out):
    """Return whether what was computed under the provisional shift `first` serves; then what `scale_row` takes."""
    limits = limits_of(x)
    shift = row_shift(x, n, extremes.largest, extremes.smallest, temperature, limits.reach)
    scale = excess(first, shift)
    missing = missing_from_largest(x, steps, shift, temperature)
    high, low = inverse_of(out, total / scale, error / scale + missing)
    unscale = element_like(x, 1.0 / scale)
    # `scale_row` takes the headroom from it as well: what then is subnormal may be rounded otherwise than unscaled.
    rounded = scale > 1.0 and low != 0.0 and magnitude(low * unscale) < limits.smallest
    return shift.plain and scale > 0.0 and not rounded, high * unscale, low * unscale


@helper
def softmax_by_pieces(x, start, n, temperature, terms, out, far):
    """Write a row's results and return True, or spoil `terms` and return False."""
    limits = limits_of(x)
    steps = exp_steps(x, temperature)
    extremes, stop = extremes_of_ends(x, start, start + n)
    first = row_shift(x, n, extremes.largest, extremes.smallest, temperature, limits.reach)
    farthest = limits.plain_reach - math.log(n)
    ahead = ahead_of(x, PIECE_ELEMENTS, far, out)
    complete, total, error, extremes = sum_pieces(
        x, start, n, steps, first, extremes, stop, temperature, farthest, terms, ahead
    )
    found, high, low = factor_of_pieces(x, n, steps, first, extremes, total, error, temperature, out)
    if complete and found:
        scale_row(terms, start, n, high, low, True, out, None)
        return True
    return False


@helper
def softmax_of_long_row(x, row, n, temperature, scratch, out, far):
    """Softmax of a row through `scratch` of n elements, or None where `out` can hold the exponentials."""
    start = row * n
    terms = terms_of_row(scratch, start, out)
    if are_same(x, terms) or not softmax_by_pieces(x, start, n, settled_at(temperature, row), terms, out, far):
        softmax_of_rows(x, row, row + 1, n, temperature, scratch, out, far)


def through_scratch(x: Any, row: Any, n: Any, temperature: Any, out: Any, far: Any) -> Any:
    """`softmax_of_long_row` with the scratch that the dtype needs."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(through_scratch, inline=True)
def _through_scratch(x, row, n, temperature, out, far):
    if out.dtype == computed(out.dtype):
        return lambda x, row, n, temperature, out, far: softmax_of_long_row(x, row, n, temperature, None, out, far)

    def with_scratch(x, row, n, temperature, out, far):
        scratch = np.empty(n, np.float32)
        softmax_of_long_row(x, row, n, temperature, data_of(scratch), out, far)
        keep_until_here(scratch)

    return with_scratch


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out), counted=False)
def softmax_long_rows(x, n, temperature, out):
    """Softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`; for large n."""
    tau = settled(temperature)
    far = are_far(out.size, out)
    for row in prange(out.size // n):
        through_scratch(data_of(x), row, n, tau, data_of(out), far)
        fill_rows(data_of(x), row, row + 1, n, data_of(out), 0.0)

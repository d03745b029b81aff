"""Log-softmax of contiguous rows."""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, types

from .._jit import helper, kernel
from .._simd.arithmetic import fma, larger, like, magnitude, residue, select, smaller
from .._simd.lanes import widen
from .._simd.memory import data_of, element_like, lanes, load, load_part, store_normal, store_part
from .ahead import ahead_of, are_far
from .fill import fill_rows
from .logsumexp import log_of_sum, start_of_log_row
from .prepare import prepared
from .shift import limits_of
from .softmax import ROWS_BLOCK_ELEMENTS
from .temperature import settled, settled_at


class Output(NamedTuple):
    """What the results of a row are computed from, all in the dtype of the row; or those of a row in each lane."""

    largest: Any
    log: Any  # of the sum, as a pair
    log_low: Any
    part: Any  # of distances from the maximum, so that none overflows
    high: Any  # 1 / (part * temperature) as a pair
    low: Any
    lowest: Any  # distances are raised to this before `low` multiplies them


@helper
def output_of(x, largest, log, log_error, temperature):
    """Return the numbers of a row, or of one row in each lane of `largest`."""
    limits = limits_of(x)
    size = magnitude(widen(largest))
    log = select(size < np.inf, log, np.nan)
    vanishes = log < limits.smallest / limits.headroom  # a subnormal number would slow every element
    log, log_error = select(vanishes, like(log, 0.0), log), select(vanishes, like(log_error, 0.0), log_error)
    part = select(size > 1.0, like(size, 0.5), 1.0)  # halving is exact there, and no distance from 1 overflows
    divisor = part * temperature
    inverse = 1.0 / divisor
    inverse_error = residue(-inverse, divisor, 1.0) * inverse
    log_high, high = element_like(x, log), element_like(x, inverse)
    log_low = element_like(x, (log - widen(log_high)) + log_error)
    low = element_like(x, (inverse - widen(high)) + inverse_error)
    lowest = element_like(x, -limits.highest * smaller(1.0, temperature))
    return Output(largest, log_high, log_low, element_like(x, part), high, low, lowest)


@helper
def log_softmax_element(v, o, tempered):
    """Return (v - largest) / temperature - log; `tempered`, a constant of the compiled code, if that is not 1.

    The low part of the logarithm would gain too little at temperature 1, where nothing else is rounded but the
    difference and the result: worst errors of 1.79 ulp, and of 1.85 instead of 2.00 at others.
    """
    if not tempered:
        return (v - o.largest) - o.log
    d = fma(v, o.part, -(o.largest * o.part))
    # Infinity would give NaN with a low part that is 0 or of the other sign.
    low = fma(larger(o.lowest, d), o.low, -o.log_low)
    return fma(d, o.high, low - o.log)


@helper
def log_softmax_output(x, start, n, o, temperature, out):
    """Write the results of a row, or of a part of one."""
    if temperature == 1.0:
        log_softmax_elements(x, start, n, o, out, False)
    else:
        log_softmax_elements(x, start, n, o, out, True)


@helper
def log_softmax_elements(x, start, n, o, out, tempered):
    """`log_softmax_output`, of which none is subnormal: next to a distance that small is the logarithm of 2."""
    width = lanes(x)
    i, end = start, start + n
    while i + 4 * width <= end:
        for k in range(4):
            store_normal(out, i + k * width, log_softmax_element(load(x, i + k * width), o, tempered))
        i += 4 * width
    while i + width <= end:
        store_normal(out, i, log_softmax_element(load(x, i), o, tempered))
        i += width
    if i < end:
        v = load_part(x, i, end - i, o.largest)
        store_part(out, i, end - i, log_softmax_element(v, o, tempered))


@helper
def log_softmax_block(x, first, last, n, temperature, out, far):
    """Log-softmax of rows `first` to `last - 1`.

    As in `softmax_block`, the next row's start fills the wait for the logarithm of a row's sum.
    """
    ahead = ahead_of(x, n, far, out)
    tau = settled_at(temperature, first)
    begun = start_of_log_row(x, first * n, n, tau)
    for row in range(first, last):
        start = row * n
        log, log_error = log_of_sum(x, start, n, begun, False, ahead)
        o = output_of(x, begun.shift.largest, log, log_error, tau)
        if row + 1 < last:
            next_tau = settled_at(temperature, row + 1)
            begun = start_of_log_row(x, start + n, n, next_tau)
        log_softmax_output(x, start, n, o, tau, out)
        if row + 1 < last:
            tau = next_tau


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out), counted=False)
def log_softmax_rows(x, n, temperature, out):
    """Log-softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`."""
    rows = out.size // n
    tau = settled(temperature)
    rows_per_block = larger(ROWS_BLOCK_ELEMENTS // n, 1)
    far = are_far(out.size, out)
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        last = smaller(rows, first + rows_per_block)
        source = prepared(data_of(x), first, last, n, temperature, data_of(out))
        log_softmax_block(source, first, last, n, tau, data_of(out), far)
        fill_rows(source, first, last, n, data_of(out), -np.inf)

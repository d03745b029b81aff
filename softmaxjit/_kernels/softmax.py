"""Softmax of contiguous rows."""

from typing import Any

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import fma, larger, multiply_exactly, select, smaller
from .._simd.exp_scaled import exp_steps
from .._simd.lanes import largest_lane, sum_lanes, widen
from .._simd.memory import (
    counted_from,
    data_of,
    element_like,
    keep_part,
    keep_until_here,
    lanes,
    load,
    load_part,
    splat,
    store_normal,
    store_part,
)
from .._simd.vector import computed
from .ahead import are_far, ask, in_extremes, in_results, in_sum
from .fill import fill_rows
from .prepare import prepared
from .shift import limits_of, shift_of_any_range, shift_of_row
from .sums import missing_from_largest, scaled, sum_row
from .temperature import settled, settled_at

# Of consecutive rows that one thread takes at a time: enough to hide the start of a block, few enough to share out.
ROWS_BLOCK_ELEMENTS = 1 << 14


def inverse_of(out: Any, total: Any, error: Any) -> Any:
    """Return 2**HEADROOM over total + error, as a pair of the dtype of `out`, so that scaling costs no accuracy."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(inverse_of, inline=True)
def _inverse_of(out, total, error):
    if computed(out.dtype) == types.float32:
        # Nothing of what float64 rounds shows: softmax of (1000000, 2) and (300000, 3) took 0.92 and 0.94 of the time
        # with what float64 needs (with AVX-512, medians of interleaved runs).
        def of_float32(out, total, error):
            inverse = limits_of(out).headroom / (total + error)
            high = element_like(out, inverse)
            return high, element_like(out, inverse - widen(high))

        return of_float32

    def of_float64(out, total, error):
        headroom = limits_of(out).headroom
        inverse = headroom / total
        product, product_error = multiply_exactly(inverse, total)
        correction = ((headroom - product) - product_error - inverse * error) * (inverse / headroom)
        return inverse, correction

    return of_float64


@helper
def scale_row(terms, start, n, high, low, plain, out, ahead):
    """Write a row of `terms` times 2**-HEADROOM (high + low); `plain` is a constant of the compiled code."""
    limits = limits_of(out)
    unscale = element_like(out, 1.0 / limits.headroom)
    smallest = element_like(out, limits.smallest)
    if plain:
        high, low = high * unscale, low * unscale
    width = lanes(out)
    i, end = start, start + n
    while i + 2 * width <= end:
        ask(terms, i, ahead)
        for k in range(2):
            e = load(terms, i + k * width)
            store_normal(out, i + k * width, scaled_element(e, high, low, smallest, unscale, plain))
        i += 2 * width
    if i + width <= end:
        store_normal(out, i, scaled_element(load(terms, i), high, low, smallest, unscale, plain))
        i += width
    if i < end:
        e = load_part(terms, i, end - i, 0)
        store_part(out, i, end - i, scaled_element(e, high, low, smallest, unscale, plain))


@helper
def scaled_element(e, high, low, smallest, unscale, plain):
    """Return e * (high + low), flushed to 0 below the smallest normal number without ever computing one."""
    p = fma(e, high, e * low)
    if plain:
        return p
    return select(p < smallest, p * 0, p) * unscale


@helper
def start_of_softmax_row(x, row, n, temperature, far):
    """Return what the sum of a row needs: the steps of its exponentials, its shift, the error of its largest."""
    tau = settled_at(temperature, row)
    steps = exp_steps(x, tau)
    shift = shift_of_row(x, row * n, n, tau, limits_of(x).reach, in_extremes(x, row * n, n, far))
    return steps, shift, missing_from_largest(x, steps, shift, tau)


def terms_of_row(scratch: Any, start: Any, out: Any) -> Any:
    """Return where the exponentials of the row from index `start` go, under the indices of their results in `out`."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(terms_of_row, inline=True)
def _terms_of_row(scratch, start, out):
    if isinstance(scratch, types.NoneType):
        return lambda scratch, start, out: out
    return lambda scratch, start, out: counted_from(scratch, start)


@helper
def softmax_of_rows(x, first, last, n, temperature, scratch, out, far):
    """`softmax_block` through `scratch` of n elements, or None where `out` can hold the exponentials.

    The shift of the next row is found between a row's sum and its scaling, neither of which it depends on: the
    processor fills the wait for the one with the work of the other (rows of 64 float32: 57 instead of 78 ns, of 1000:
    298 instead of 327 ns, interleaved runs on one Zen 4 core).
    """
    steps, shift, missing = start_of_softmax_row(x, first, n, temperature, far)
    for row in range(first, last):
        start = row * n
        terms = terms_of_row(scratch, start, out)
        ahead = in_sum(x, start, n, far, out)
        if shift.reached:
            total, error = sum_row(x, start, n, steps, shift, True, terms, ahead)
        else:
            total, error = sum_row(x, start, n, steps, shift, False, terms, ahead)
        high, low = inverse_of(out, total, error + missing)
        plain = shift.plain
        if row + 1 < last:
            steps, shift, missing = start_of_softmax_row(x, row + 1, n, temperature, far)
        ahead_of_results = in_results(x, start, n, far, out)
        if plain:
            scale_row(terms, start, n, high, low, True, out, ahead_of_results)
        else:
            scale_row(terms, start, n, high, low, False, out, ahead_of_results)


@helper
def softmax_of_vectors(x, first, last, n, temperature, out):
    """`softmax_block` for rows that fit a vector: nothing is stored but the result.

    A row of ten float32 took 60 instead of 75 ns: what is stored in part can be read again only after a while.
    """
    limits = limits_of(out)
    unscale = element_like(out, 1.0 / limits.headroom)
    tiniest = element_like(out, limits.smallest)
    for row in range(first, last):
        start = row * n
        tau = settled_at(temperature, row)
        steps = exp_steps(x, tau)
        largest = largest_lane(load_part(x, start, n, -np.inf))
        shift = shift_of_any_range(x, largest, tau, limits.reach)
        e, _, _ = scaled(load_part(x, start, n, largest), steps, shift, False)
        e = keep_part(e, n)
        total, error = sum_lanes(e, splat(out, 0))
        high, low = inverse_of(out, total, error + missing_from_largest(x, steps, shift, tau))
        store_part(out, start, n, scaled_element(e, high, low, tiniest, unscale, False))


def softmax_block(x: Any, first: Any, last: Any, n: Any, temperature: Any, out: Any, far: Any) -> Any:
    """Softmax of rows `first` to `last - 1`; `far` if memory is to be asked for ahead."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(softmax_block, inline=True)
def _softmax_block(x, first, last, n, temperature, out, far):
    if out.dtype == computed(out.dtype):

        def without_scratch(x, first, last, n, temperature, out, far):
            if n <= lanes(x):
                softmax_of_vectors(x, first, last, n, temperature, out)
                return
            softmax_of_rows(x, first, last, n, temperature, None, out, far)

        return without_scratch

    # Rounded to 16 bits, exponentials would lose what makes the result exact to its last bit, or overflow.
    def with_scratch(x, first, last, n, temperature, out, far):
        scratch = np.empty(n, np.float32)
        softmax_of_rows(x, first, last, n, temperature, data_of(scratch), out, far)
        keep_until_here(scratch)

    return with_scratch


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out), counted=False)
def softmax_rows(x, n, temperature, out):
    """Softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`."""
    rows = out.size // n
    tau = settled(temperature)
    rows_per_block = larger(ROWS_BLOCK_ELEMENTS // n, 1)
    far = are_far(out.size, out)
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        last = smaller(rows, first + rows_per_block)
        source = prepared(data_of(x), first, last, n, temperature, data_of(out))
        softmax_block(source, first, last, n, tau, data_of(out), far)
        fill_rows(source, first, last, n, data_of(out), 0.0)

"""Log-softmax and log-sum-exp of rows that lie across memory, line by line (see `panels`), with the bits of rows."""

from typing import Any

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import like, magnitude, select, smaller
from .._simd.exp_scaled import exp_steps
from .._simd.lanes import any_lane, smallest_lane, widen
from .._simd.memory import (
    data_of,
    element_like,
    keep_part,
    lanes,
    load,
    load_float64,
    load_part,
    splat,
    store_float64,
    store_part,
)
from .ahead import ask
from .columns import put_partial, sum_of_partials
from .groups import settled_in_lanes
from .log_columns import Distances, are_tempered
from .log_softmax import output_of
from .logsumexp import log1p_of_ratio, sum_with_largest
from .others import add_exp, is_too_small, minus_largest, parts_of_exp
from .panels import (
    FEWEST_PANELS,
    ahead_of_panel,
    blocks_of_panels,
    extremes_of_panel,
    fields_at,
    finish_panel,
    keep_fields,
    last_vector,
    lost_at,
    panels_block,
    shifts_of_panel,
)
from .partial import nothing
from .shift import largest_exp, limits_of, shift_of_any_range
from .tiles import any_nan


def keep_wide(memory: Any, at: Any, apart: Any, total: Any, lost: Any) -> Any:
    """Keep partial sums and, where there is such, what they have lost, so far behind them."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(keep_wide, inline=True)
def _keep_wide(memory, at, apart, total, lost):
    if lost.element == types.float32:
        return lambda memory, at, apart, total, lost: store_float64(memory, at, total)

    def of_float64(memory, at, apart, total, lost):
        store_float64(memory, at, total)
        store_float64(memory, at + apart, lost)

    return of_float64


def kept_wide(x: Any, memory: Any, at: Any, apart: Any) -> Any:
    """Return what `keep_wide` has kept."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(kept_wide, inline=True)
def _kept_wide(x, memory, at, apart):
    if x.dtype == types.float32:
        return lambda x, memory, at, apart: (load_float64(memory, at, splat(x, 0)), splat(x, -0.0))

    def of_float64(x, memory, at, apart):
        return load_float64(memory, at, splat(x, 0)), load_float64(memory, at + apart, splat(x, 0))

    return of_float64


@helper
def begin_sums_of_others(x, panel, of_sums, precise, places):
    """Keep what partial sums begin with, see `others`."""
    width, lost = lanes(x), lost_at(panel, lanes(x))
    for place in range(0, lost, width):
        keep_wide(places.wide_sums, place, lost, *nothing(x))
    for c in range(0, panel.line, width):
        steps, shift = fields_at(places, panel, c, of_sums, width)
        keep_wide(places.wide_sums, c, lost, *minus_largest(x, steps, shift, precise))
    keep_wide(places.wide_sums, panel.line, lost, *nothing(x))  # where the last vector was too long


@helper
def sum_panel_of_others(x, panel, of_sums, places, reached, precise):
    """Keep partial sums of rows of up to `OTHERS_BLOCK_ELEMENTS`, of which none is flushed; see `others`."""
    width, lost = lanes(x), lost_at(panel, lanes(x))
    begin_sums_of_others(x, panel, of_sums, precise, places)
    ahead = ahead_of_panel(panel)
    at = panel.at
    further = panel.runs * panel.apart  # elements to the L-th line after one
    for _ in range(panel.n // (4 * width)):
        for r in range(panel.runs):
            for c in range(0, panel.run, width):
                steps, shift = fields_at(places, panel, c, of_sums, width)
                place = r * panel.run + c
                total, error = kept_wide(x, places.wide_sums, place, lost)
                i = at + r * panel.apart + c
                for k in range(4):
                    ask(x, i + k * further, ahead)
                    v = load(x, i + k * further)
                    u, scale = parts_of_exp(v, steps, shift, reached, False)
                    total, error = add_exp(total, error, u, scale, precise)
                keep_wide(places.wide_sums, place, lost, total, error)
        at += 4 * further
    for done in range(panel.n // (4 * width) * 4 * width, panel.n, width):
        remaining = smaller(width, panel.n - done) * panel.line
        for r in range(panel.runs):
            for c in range(0, panel.run, width):
                place = r * panel.run + c
                count = smaller(width, remaining - place)
                if count > 0:
                    steps, shift = fields_at(places, panel, c, of_sums, width)
                    total, error = kept_wide(x, places.wide_sums, place, lost)
                    i = at + r * panel.apart + c
                    v = load(x, i) if count == width else load_part(x, i, count, shift.largest)
                    u, scale = parts_of_exp(v, steps, shift, reached, False)
                    total, error = add_exp(total, error, u, keep_part(scale, count), precise)
                    keep_wide(places.wide_sums, place, lost, total, error)
        at += further


@helper
def sum_without_maxima(x, panel, c, count, steps, shift, precise, memory):
    """Return the sums of `count` rows from c on but for their maxima, as float64 pairs; they are read once more."""
    width = lanes(x)
    for k in range(width):
        total, lost = nothing(x)
        for i in range(k, panel.n, width):
            v = load_part(x, panel.at + c + i * panel.to_next_line, count, shift.largest)
            u, scale = parts_of_exp(v, steps, shift, False, True)
            total, lost = add_exp(total, lost, u, scale, precise)
        put_partial(memory, k * width, total, lost)
    return sum_of_partials(x, memory, width, width // 2)


@helper
def logs_of_vector(x, panel, c, count, tau, precise, places):
    """Return the maxima m of rows from c on and log(sum(exp((x - m) / temperature))), as `logs_of_columns` does."""
    width, lost = lanes(x), lost_at(panel, lanes(x))
    largest = load(places.maxima, c)
    shift = shift_of_any_range(x, largest, tau, limits_of(x).log_reach)
    unit, unit_error = largest_exp(x, shift, tau)
    for k in range(width):
        put_partial(places.memory, k * width, *kept_wide(x, places.wide_sums, k * panel.line + c, lost))
    rest, error_of_rest = sum_of_partials(x, places.memory, width, width // 2)
    error = like(rest, error_of_rest)
    too_small = is_too_small(x, rest, unit, precise)
    if any_lane(too_small):
        steps = exp_steps(x, tau)
        only, only_error = sum_without_maxima(x, panel, c, count, steps, shift, precise, places.memory)
        rest, error = select(too_small, only, rest), select(too_small, like(rest, only_error), error)
    return (largest, *log1p_of_ratio(x, rest, error, unit, unit_error))


@helper
def sums_of_others_of_panel(x, panel, first, temperature, precise, places):
    """Keep the maxima of rows from `first` on, and partial sums of the others."""
    smallest = smallest_lane(extremes_of_panel(x, panel, panel.n, places.maxima))
    farthest = limits_of(x).log_reach
    of_sums, reached, _, _ = shifts_of_panel(x, panel, first, temperature, smallest, farthest, 0.0, places)
    if reached:
        sum_panel_of_others(x, panel, of_sums, places, True, precise)
    else:
        sum_panel_of_others(x, panel, of_sums, places, False, precise)


@helper
def log_softmax_of_panel(x, panel, first, temperature, places, out):
    """Log-softmax of rows from `first` on; return whether one is NaN."""
    sums_of_others_of_panel(x, panel, first, temperature, False, places)
    nan = False
    for c in range(last_vector(panel, lanes(x)), -1, -lanes(x)):
        count = smaller(lanes(x), panel.line - c)
        tau = settled_in_lanes(temperature, first + c, count, places.memory, splat(x, 0))
        largest, log, log_error = logs_of_vector(x, panel, c, count, tau, False, places)
        ending = Distances(output_of(x, largest, log, log_error, tau), are_tempered(x, tau))
        keep_fields(places, panel, c, ending, lanes(x))
        nan |= any_nan(log)
    finish_panel(x, panel, ending, places, out)
    return nan


@helper
def has_nan_in_lanes(x, panel, c, count):
    """Return NaN for rows from c on that hold one, 0 for others."""
    found = splat(x, 0)
    for i in range(panel.n):
        v = load_part(x, panel.at + c + i * panel.to_next_line, count, 0)
        found = select(v == v, found, np.nan)
    return found


@helper
def logsumexp_of_panel(x, panel, first, temperature, places, out):
    """Log-sum-exp of rows from `first` on; what a NaN makes of them needs no filling."""
    sums_of_others_of_panel(x, panel, first, temperature, True, places)
    for c in range(0, panel.line, lanes(x)):
        count = smaller(lanes(x), panel.line - c)
        largest, log, log_error = logs_of_vector(x, panel, c, count, temperature, True, places)
        wide = widen(largest)
        infinite = magnitude(wide) == np.inf
        if any_lane(infinite):
            nothing_or_nan = widen(has_nan_in_lanes(x, panel, c, count))
            log, log_error = select(infinite, nothing_or_nan, log), select(infinite, like(log, 0.0), log_error)
        store_part(out, first + c, count, element_like(x, sum_with_largest(wide, log, log_error)))
    return False


@kernel(lambda x, out, temperature: (x, types.intp, types.intp, temperature, out))
def log_softmax_lines(x, n, inner, temperature, out):
    """`log_softmax_across`, as `softmax_lines`."""
    slabs = out.size // (n * inner)
    for block in prange(blocks_of_panels(slabs, n, inner, 1, lanes(data_of(x)))):
        panels_block(log_softmax_of_panel, data_of(x), block, slabs, n, inner, 1, temperature, data_of(out), -np.inf)


@kernel(lambda x, out, temperature: (x, types.intp, types.intp, temperature, out))
def log_softmax_shared_lines(x, n, inner, temperature, out):
    """`log_softmax_across`, as `softmax_shared_lines`."""
    slabs = out.size // (n * inner)
    parts = FEWEST_PANELS // slabs
    for block in prange(blocks_of_panels(slabs, n, inner, parts, lanes(data_of(x)))):
        panels_block(
            log_softmax_of_panel, data_of(x), block, slabs, n, inner, parts, temperature, data_of(out), -np.inf
        )


@kernel(lambda x, out: (x, types.intp, types.intp, out))
def logsumexp_lines(x, n, inner, out):
    """`logsumexp_across`, as `softmax_lines`."""
    slabs = out.size // inner
    for block in prange(blocks_of_panels(slabs, n, inner, 1, lanes(data_of(x)))):
        panels_block(logsumexp_of_panel, data_of(x), block, slabs, n, inner, 1, 1.0, data_of(out), None)


@kernel(lambda x, out: (x, types.intp, types.intp, out))
def logsumexp_shared_lines(x, n, inner, out):
    """`logsumexp_across`, as `softmax_shared_lines`."""
    slabs = out.size // inner
    parts = FEWEST_PANELS // slabs
    for block in prange(blocks_of_panels(slabs, n, inner, parts, lanes(data_of(x)))):
        panels_block(logsumexp_of_panel, data_of(x), block, slabs, n, inner, parts, 1.0, data_of(out), None)

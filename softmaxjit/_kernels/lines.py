"""Softmax of rows that lie across memory, line by line (see `panels`), with the bits of `softmax_rows`.

Exponentials stay in the result until they are scaled.
"""

from typing import Any, NamedTuple

from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import add_exactly, smaller
from .._simd.exp_scaled import exp_steps
from .._simd.memory import data_of, lanes, load, splat, store
from .ahead import ask
from .columns import Scaling, finished, put_partial, sum_of_partials
from .groups import settled_in_lanes
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
from .shift import limits_of, shift_of_any_range
from .softmax import inverse_of, scaled_element
from .sums import add_four, missing_from_largest, next_term, term
from .tiles import any_nan


@helper
def sum_panel(x, panel, of_sums, places, reached, out):
    """Replace rows by their exponentials and keep their partial sums; the order is that of `sum_row`."""
    width, lost = lanes(x), lost_at(panel, lanes(x))
    for k in range(0, 2 * lost, width):
        store(places.sums, k, splat(x, 0))
    ahead = ahead_of_panel(panel)
    at = panel.at
    further = panel.runs * panel.apart  # elements to the L-th line after one
    for _ in range(panel.n // (4 * width)):
        for r in range(panel.runs):
            for c in range(0, panel.run, width):
                steps, shift = fields_at(places, panel, c, of_sums, width)
                i = at + r * panel.apart + c
                for k in range(4):
                    ask(x, i + k * further, ahead)
                first = term(x, i, steps, shift, reached, out)
                second = term(x, i + further, steps, shift, reached, out)
                third = term(x, i + 2 * further, steps, shift, reached, out)
                fourth = term(x, i + 3 * further, steps, shift, reached, out)
                place = r * panel.run + c
                total, error = add_four(load(places.sums, place), (first + second) + (third + fourth))
                store(places.sums, place, total)
                store(places.sums, lost + place, load(places.sums, lost + place) + error)
        at += 4 * further
    if panel.n % (4 * width) > 0:
        sum_rest_of_panel(x, panel, at, of_sums, places, reached, out)


@helper
def sum_rest_of_panel(x, panel, at, of_sums, places, reached, out):
    """Do what `sum_panel` does with the last lines, less than 4 L of them, which begin at index `at`."""
    width, lost = lanes(x), lost_at(panel, lanes(x))
    further = panel.runs * panel.apart
    whole = panel.n % (4 * width) // width
    remaining = panel.n % width * panel.line
    for r in range(panel.runs):
        for c in range(0, panel.run, width):
            steps, shift = fields_at(places, panel, c, of_sums, width)
            place = r * panel.run + c
            first = second = splat(x, 0)
            for k in range(whole + 1):
                count = width if k < whole else smaller(width, remaining - place)
                if count > 0:
                    i = at + k * further + r * panel.apart + c
                    e = next_term(x, i, count, steps, shift, reached, out, False)
                    if k < 2:
                        first = first + e
                    else:
                        second = second + e
            total, error = add_exactly(load(places.sums, place), first + second)
            store(places.sums, place, total)
            store(places.sums, lost + place, load(places.sums, lost + place) + error)


class PlainScaling(NamedTuple):
    """`Scaling` of rows none of whose results is below the smallest normal number: a type, as `finished` goes by it."""

    high: Any
    low: Any


@compiled_as(finished, inline=True)
def _finished_plainly(tile, v, ending):
    if isinstance(ending, types.NoneType) or ending.instance_class is not PlainScaling:
        return None
    return lambda tile, v, ending: scaled_element(v, ending.high, ending.low, 0.0, 0.0, True)


@helper
def inverses_of_panel(x, panel, first, temperature, places, plain):
    """Keep what results are made of; return one of that, for `fields_at`, and whether a row is NaN."""
    width, lost, limits = lanes(x), lost_at(panel, lanes(x)), limits_of(x)
    unscale = splat(x, 1.0 / limits.headroom if plain else 1.0)
    nan = False
    for c in range(last_vector(panel, width), -1, -width):
        for k in range(width):
            i = k * panel.line + c
            put_partial(places.memory, k * width, load(places.sums, i), load(places.sums, lost + i))
        total, error = sum_of_partials(x, places.memory, width, width // 2)
        tau = settled_in_lanes(temperature, first + c, smaller(width, panel.line - c), places.memory, splat(x, 0))
        shift = shift_of_any_range(x, load(places.maxima, c), tau, limits.reach)
        high, low = inverse_of(x, total, error + missing_from_largest(x, exp_steps(x, tau), shift, tau))
        scaling = Scaling(high * unscale, low * unscale)
        keep_fields(places, panel, c, scaling, width)
        nan |= any_nan(high)
    return scaling, nan


@helper
def softmax_of_panel(x, panel, first, temperature, places, out):
    """Softmax of rows from `first` on; return whether one is NaN."""
    smallest = extremes_of_panel(x, panel, places.maxima)
    farthest = limits_of(x).reach
    of_sums, _, plain = shifts_of_panel(x, panel, first, temperature, smallest, farthest, places)
    if plain:
        sum_panel(x, panel, of_sums, places, True, out)
    else:
        sum_panel(x, panel, of_sums, places, False, out)
    scaling, nan = inverses_of_panel(x, panel, first, temperature, places, plain)
    if plain:
        finish_panel(out, panel, PlainScaling(scaling.high, scaling.low), places, out)
    else:
        finish_panel(out, panel, scaling, places, out)
    return nan


@kernel(lambda x, out, temperature: (x, types.intp, types.intp, temperature, out))
def softmax_lines(x, n, inner, temperature, out):
    """`softmax_across`, for lines that are whole vectors or few enough to be taken whole."""
    slabs = out.size // (n * inner)
    for block in prange(blocks_of_panels(slabs, n, inner, 1, lanes(data_of(x)))):
        panels_block(softmax_of_panel, data_of(x), block, slabs, n, inner, 1, temperature, data_of(out), 0.0)


@kernel(lambda x, out, temperature: (x, types.intp, types.intp, temperature, out))
def softmax_shared_lines(x, n, inner, temperature, out):
    """`softmax_lines` for threads, to which lines are shared out where slabs are too few."""
    slabs = out.size // (n * inner)
    parts = FEWEST_PANELS // slabs
    for block in prange(blocks_of_panels(slabs, n, inner, parts, lanes(data_of(x)))):
        panels_block(softmax_of_panel, data_of(x), block, slabs, n, inner, parts, temperature, data_of(out), 0.0)

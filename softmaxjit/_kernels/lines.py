"""Softmax of rows that lie across memory, line by line (see `panels`), with the bits of `softmax_rows`.

Exponentials stay in the result until they are scaled.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import POWER_MAGIC, add_exactly, both, magnitude, power_of_two, smaller
from .._simd.exp_scaled import exp_steps
from .._simd.lanes import all_lanes, any_lane, smallest_lane, widen
from .._simd.memory import are_same, data_of, element_like, keep_part, lanes, load, splat, store
from .ahead import ask
from .columns import Scaling, finished, put_partial, sum_of_partials
from .groups import settled_in_lanes
from .panels import (
    FEWEST_PANELS,
    ahead_of_panel,
    blocks_of_panels,
    end_maxima,
    extremes_of_four,
    extremes_of_lines,
    extremes_of_panel,
    fields_at,
    finish_panel,
    keep_fields,
    last_vector,
    lost_at,
    panels_block,
    shifts_of_panel,
)
from .shift import limits_of, row_shift
from .softmax import inverse_of, scaled_element
from .sums import add_four, missing_from_largest, next_term, term
from .tiles import any_nan


@helper
def sum_panel(x, panel, of_sums, places, reached, lowest, low, out):
    """Replace rows by their exponentials and keep their partial sums; the order is that of `sum_row`.

    If they are `reached`, a constant of the compiled code, find their extremes meanwhile.  `low` has in its lanes what
    elements are the smallest so far.  Before every block of lines rows are left if that is below `lowest`.  Return
    whether they were read to the end, and the smallest then.
    """
    width, lost = lanes(x), lost_at(panel, lanes(x))
    for k in range(0, 2 * lost, width):
        store(places.sums, k, splat(x, 0))
    ahead = ahead_of_panel(panel)
    at = panel.at
    further = panel.runs * panel.apart  # elements to the L-th line after one
    for _ in range(panel.n // (4 * width)):
        if reached and any_lane(low < lowest):
            return False, low
        for r in range(panel.runs):
            for c in range(0, panel.run, width):
                steps, shift = fields_at(places, panel, c, of_sums, width)
                i = at + r * panel.apart + c
                for k in range(4):
                    ask(x, i + k * further, ahead)
                if reached:
                    low = extremes_of_four(x, i, further, places.maxima, c, low)
                first = term(x, i, steps, shift, reached, out)
                second = term(x, i + further, steps, shift, reached, out)
                third = term(x, i + 2 * further, steps, shift, reached, out)
                fourth = term(x, i + 3 * further, steps, shift, reached, out)
                place = r * panel.run + c
                total, error = add_four(load(places.sums, place), (first + second) + (third + fourth))
                store(places.sums, place, total)
                store(places.sums, lost + place, load(places.sums, lost + place) + error)
        at += 4 * further
    rest = panel.n % (4 * width)
    if rest > 0:
        if reached:
            low = extremes_of_lines(x, panel, at, rest, places.maxima, low)
        sum_rest_of_panel(x, panel, at, of_sums, places, reached, out)
    return True, low


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
def inverses_of_panel(x, panel, first, temperature, of_sums, smallest, places, plain):
    """Keep what results are made of; return one of that, for `fields_at`, and whether a row is NaN.

    Then comes whether the shifts of `of_sums` have served, if rows were taken for plain by what their ends suggest.
    """
    width, lost, limits = lanes(x), lost_at(panel, lanes(x)), limits_of(x)
    headroom = splat(x, 1.0 / limits.headroom if plain else 1.0)
    nan, served = False, True
    for c in range(last_vector(panel, width), -1, -width):
        for k in range(width):
            i = k * panel.line + c
            put_partial(places.memory, k * width, load(places.sums, i), load(places.sums, lost + i))
        total, error = sum_of_partials(x, places.memory, width, width // 2)
        count = smaller(width, panel.line - c)
        tau = settled_in_lanes(temperature, first + c, count, places.memory, splat(x, 0))
        shift = row_shift(x, panel.n, load(places.maxima, c), splat(x, smallest), tau, limits.reach)
        _, provisional = fields_at(places, panel, c, of_sums, width)
        rise = keep_part((widen(provisional.magic) - widen(shift.magic)) * 0.125, count)  # octaves, see `exp_magic`
        unscale = power_of_two(POWER_MAGIC - rise)
        missing = missing_from_largest(x, exp_steps(x, tau), shift, tau)
        high, low = inverse_of(x, total * unscale, error * unscale + missing)
        factor = headroom * element_like(x, unscale)
        scaling = Scaling(high * factor, low * factor)
        served &= all_lanes(both(shift.plain, rise <= limits.lead))
        # What is subnormal may be rounded otherwise than unscaled.
        inexact = both(low != splat(x, 0), magnitude(scaling.low) < splat(x, limits.smallest / limits.headroom))
        served &= not any_lane(both(rise > 0.0, inexact))
        keep_fields(places, panel, c, scaling, width)
        nan |= any_nan(high)
    return scaling, nan, served


@helper
def terms_of_panel(x, panel, first, temperature, known, places, out):
    """Replace rows from `first` on by exponentials; return whether these serve, and if so, what results are made of.

    Then come whether rows are plain, and whether one is NaN.  If extremes are to be `known` before, exponentials serve
    in any case; else extremes are found meanwhile, and shifts are provisional, see `pieces`.  They are larger than what
    both ends suggest, as L lines of each say little: so maxima may lie 40 octaves (float64 400) above theirs.
    """
    limits = limits_of(x)
    serve, nan = known, False
    low = extremes_of_panel(x, panel, panel.n if known else lanes(x), places.maxima)
    smallest, lead = smallest_lane(low), 0.0 if known else limits.lead
    of_sums, _, plain, lowest = shifts_of_panel(x, panel, first, temperature, smallest, limits.reach, lead, places)
    if plain:
        serve, low = sum_panel(x, panel, of_sums, places, True, -np.inf if known else lowest, low, out)
        end_maxima(panel, places.maxima)
    elif known:
        sum_panel(x, panel, of_sums, places, False, lowest, low, out)
    scaling = Scaling(splat(x, 0), splat(x, 0))
    if serve:
        smallest = smallest_lane(low)
        scaling, nan, serve = inverses_of_panel(x, panel, first, temperature, of_sums, smallest, places, plain)
    return serve or known, scaling, plain, nan


@helper
def softmax_of_panel(x, panel, first, temperature, places, out):
    """Softmax of rows from `first` on; return whether one is NaN.

    In place nothing could be taken back, so that extremes are to be known; and where both ends are all there is.
    """
    known, serve = are_same(x, out) or panel.n <= 2 * lanes(x), False
    while not serve:
        serve, scaling, plain, nan = terms_of_panel(x, panel, first, temperature, known, places, out)
        known = True
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

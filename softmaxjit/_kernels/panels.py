"""Rows that lie across memory, many of them together, line by line as these lie.

A line is what neighbouring rows have at one place along the axis.  Lines are read and written in turn, whole ones or
equal parts of them, so that nothing is copied; what there is to know of each row is kept beside.  Element i of a row is
added to partial sum i mod L, L the lanes of a vector.  So the partial sums of rows are as many numbers as L lines have,
and lie as these do: whether a line is whole vectors or not.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from .._jit import helper
from .._simd.arithmetic import larger, smaller
from .._simd.exp_scaled import exp_magic, exp_steps
from .._simd.fields import load_fields, store_fields
from .._simd.lanes import all_lanes, largest_lane
from .._simd.memory import counted_from, element_like, keep_until_here, lanes, load, load_part, splat, store, store_part
from .across import fill_across, neighbours
from .ahead import Ahead
from .columns import finished, size_of_partials
from .groups import NUMBERS_OF_RESULTS, NUMBERS_OF_SUMS, settled_in_lanes
from .shift import Shift, limits_of, row_shift
from .softmax import ROWS_BLOCK_ELEMENTS
from .tiles import aligned, tile_of

# Neighbouring rows that are taken together, at most, where lines are whole vectors: others are not cut.  Softmax of
# (512, 65536) float32 along axis 0 took, with 64, 128, 256, 512 and 2048, 1.7, 1.4, 1.26, 1.12 and 1.02 of the time
# (medians of 9 runs on one Zen 3 core).
WIDEST_PANEL = 1 << 10

# Threads are to have so many panels to share out, unless these become narrower than that: parts of 496 and 240 of 1000
# neighbours took 1.16 and 1.07 of the time of whole lines (the same runs).
FEWEST_PANELS = 4
NARROWEST_PANEL = 1 << 8

# Vectors in a slab up to which the next one is asked for while one is summed.  Log_softmax and logsumexp of (300, 256,
# 100) float32 took 0.71 of the time so, of (16, 1000, 400), which is 1.6 MB, 0.85 and 0.78, of (8, 1000, 1000) 0.95 and
# 0.92; softmax 0.86, 1.0 and 1.0 (medians of 13 runs on one Zen 3 core with 32 MB of third-level cache).
FARTHEST_SLAB = 1 << 16

# Vectors that are kept for a vector of rows: what sums are made of, or what results are, of log_softmax with whether
# a temperature is 1.
FIELDS_OF_PANEL = max(NUMBERS_OF_SUMS, NUMBERS_OF_RESULTS + 1)


class Panel(NamedTuple):
    """Neighbouring rows, of n lines.

    A run is as few lines, one after the other, as are whole vectors: of 32 neighbours 1, of 20 4, of 49 16.  What is
    left of n lines after the last run, ``n * line % run`` elements, follows it.
    """

    at: Any  # the first element
    n: Any
    line: Any  # elements of a line, one of each row
    run: Any  # elements of a run
    runs: Any  # how many runs L lines are
    apart: Any  # elements from one run to the next
    to_next_line: Any  # elements from one line to the next
    ahead: Any  # how far ahead elements are asked for while sums are taken; 0 for not at all


class PlacesOfPanel(NamedTuple):
    """Where it is kept what there is to know of the rows of a panel."""

    maxima: Any
    fields: Any  # what sums, then results, are made of, for each element of a run
    sums: Any  # partial sums, then what they have lost
    memory: Any  # in float64, for a vector of rows: temperatures, or partial sums, which are there at other times
    wide_sums: Any  # as `sums`, in float64


@helper
def rows_of_panel(inner, parts, width):
    """Return how many of `inner` neighbouring rows are taken together: all, or whole vectors, if there are such.

    Into so many parts, 0 or more, they are cut if that leaves them wide enough, into more where they are too wide.
    """
    if inner % width != 0:
        return inner
    number = larger((inner + WIDEST_PANEL - 1) // WIDEST_PANEL, smaller(parts, inner // NARROWEST_PANEL))
    return (inner // width + number - 1) // number * width


@helper
def shares(slabs, n, inner, parts, width):
    """Return how many rows are a panel, how many panels there are, and how many one thread takes at a time."""
    rows_per_panel = rows_of_panel(inner, parts, width)
    panels = slabs * ((inner + rows_per_panel - 1) // rows_per_panel)
    return rows_per_panel, panels, larger(1, ROWS_BLOCK_ELEMENTS // (n * rows_per_panel))


@helper
def blocks_of_panels(slabs, n, inner, parts, width):
    """Return how many times a thread takes panels of so many slabs, each cut into so many parts if it has to be."""
    _, panels, panels_per_block = shares(slabs, n, inner, parts, width)
    return (panels + panels_per_block - 1) // panels_per_block


@helper
def panel_of(first, last, n, inner, width, is_last):
    """Return where rows `first` to `last - 1` lie; `is_last` if no panel follows."""
    at, _ = neighbours(first, last, n, inner)
    if last - first < inner:
        return Panel(at, n, last - first, last - first, width, inner, inner, 0)
    runs = smaller(inner & -inner, width)  # of as few lines as are whole vectors
    run = inner * width // runs
    return Panel(at, n, inner, run, runs, run, inner, 0 if is_last or n * inner > FARTHEST_SLAB * width else n * inner)


@helper
def places_of(panel, of_rows, of_float64):
    """Return places for a panel, and for narrower ones, in memory of `size_of_places` and `size_of_float64`."""
    width = lanes(of_rows)
    fields = counted_from(of_rows, -stride_of_fields(panel, width))
    sums = counted_from(fields, -FIELDS_OF_PANEL * stride_of_fields(panel, width))
    return PlacesOfPanel(of_rows, fields, sums, of_float64, counted_from(of_float64, -size_of_partials(of_rows)))


@helper
def stride_of_fields(panel, width):
    """Return how far fields are apart: they reach a vector beyond a run."""
    return panel.run + width


@helper
def size_of_places(panel, width):
    """Return how many elements of memory what is in the dtype of the rows takes."""
    return (1 + FIELDS_OF_PANEL) * stride_of_fields(panel, width) + 2 * lost_at(panel, width)


@helper
def size_of_float64(panel, x):
    """Return how many elements of memory what is in float64 takes."""
    return size_of_partials(x) + 2 * lost_at(panel, lanes(x))


@helper
def lost_at(panel, width):
    """Return how far from partial sums it is kept what they have lost: vectors are loaded beyond the last of them."""
    return (panel.line + 1) * width


@helper
def begin_maxima(x, panel, maxima):
    """Begin to keep the largest elements of rows, for each line of a run by itself."""
    for c in range(0, panel.run + lanes(x), lanes(x)):
        store(maxima, c, splat(x, -np.inf))


@helper
def extremes_of_lines(x, panel, at, n, maxima, low):
    """Keep the largest elements of n lines from index `at` on, and return the smallest; NaN are passed over."""
    width, run, apart = lanes(x), panel.run, panel.apart
    runs = n * panel.line // run
    for _ in range(runs // 4):
        for c in range(0, run, width):
            low = extremes_of_four(x, at + c, apart, maxima, c, low)
        at += 4 * apart
    for _ in range(runs % 4):
        for c in range(0, run, width):
            v = load(x, at + c)
            store(maxima, c, larger(v, load(maxima, c)))
            low = smaller(v, low)
        at += apart
    remaining = n * panel.line % run
    for c in range(0, remaining, width):
        count = smaller(width, remaining - c)
        store(maxima, c, larger(load_part(x, at + c, count, -np.inf), load(maxima, c)))
        low = smaller(load_part(x, at + c, count, np.inf), low)
    return low


@helper
def extremes_of_four(x, i, apart, maxima, c, low):
    """Do what `extremes_of_lines` does with four vectors that are so far apart."""
    high = load(maxima, c)
    for k in range(4):
        v = load(x, i + k * apart)
        high, low = larger(v, high), smaller(v, low)
    store(maxima, c, high)
    return low


@helper
def end_maxima(panel, maxima):
    """Keep the largest elements of rows at the first line of a run."""
    for other in range(panel.line, panel.run, panel.line):
        for c in range(0, panel.line, lanes(maxima)):
            store(maxima, c, larger(load(maxima, c), load(maxima, other + c)))


@helper
def extremes_of_panel(x, panel, at_ends, maxima):
    """Keep the largest elements of rows, and return the smallest of all, in lanes; NaN are passed over.

    Only so many lines at either end are read, unless they are all.  A smallest element for each row would cost memory;
    that one for all makes more rows need care costs no bits.
    """
    begin_maxima(x, panel, maxima)
    low = extremes_of_lines(x, panel, panel.at, at_ends, maxima, splat(x, np.inf))
    if at_ends < panel.n:
        last = panel.at + (panel.n - at_ends) * panel.to_next_line
        low = extremes_of_lines(x, panel, last, at_ends, maxima, low)
    end_maxima(panel, maxima)
    return low


@helper
def keep_fields(places, panel, c, fields, width):
    """Keep the fields of rows from c on for each line of a run; what is too much, those of rows before c overwrite."""
    for line in range(0, panel.run, panel.line):
        store_fields(places.fields, line + c, stride_of_fields(panel, width), fields)


@helper
def fields_at(places, panel, c, like, width):
    """Return what `keep_fields` kept for a vector of elements of a run; what is no vector is as in `like`."""
    return load_fields(places.fields, c, stride_of_fields(panel, width), like)


@helper
def last_vector(panel, width):
    """Return where the last vector of a line begins."""
    return (panel.line - 1) // width * width


@helper
def shifts_of_panel(x, panel, first, temperature, smallest, farthest, lead, places):
    """Keep what sums are made of; return one of that, for `fields_at`, and whether all rows are reached and plain.

    Then comes what no element of plain rows lies below.  See `Shift`; `farthest` is for `row_shift`, and exponentials
    become smaller by so many octaves, `lead`.
    """
    distance = limits_of(x).plain_reach - math.log(panel.n)
    width = lanes(x)
    reached = plain = True
    lowest = splat(x, -np.inf)
    for c in range(last_vector(panel, width), -1, -width):
        tau = settled_in_lanes(temperature, first + c, smaller(width, panel.line - c), places.memory, splat(x, 0))
        shift = row_shift(x, panel.n, load(places.maxima, c), splat(x, smallest), tau, farthest)
        reached &= all_lanes(shift.reached)
        plain &= all_lanes(shift.plain)
        lowest = larger(shift.largest - element_like(x, distance * tau), lowest)
        magic = exp_magic(x, shift.octaves + lead)
        of_sums = exp_steps(x, tau), Shift(shift.largest, shift.anchor, shift.lowest, magic, 0.0, False, False)
        keep_fields(places, panel, c, of_sums, width)
    return of_sums, reached, plain, largest_lane(lowest)


@helper
def ahead_of_panel(panel):
    """Return what to ask for while sums are taken."""
    return Ahead(None, panel.ahead, 0)


@helper
def finish_panel(source, panel, ending, places, out):
    """Write results of what `source` has of rows, with the endings that are kept; `ending` is as these."""
    width = lanes(out)
    at = panel.at
    for _ in range(panel.n * panel.line // panel.run):
        for c in range(0, panel.run, width):
            each = fields_at(places, panel, c, ending, width)
            store(out, at + c, finished(out, load(source, at + c), each))
        at += panel.apart
    remaining = panel.n * panel.line % panel.run
    for c in range(0, remaining, width):
        count = smaller(width, remaining - c)
        each = fields_at(places, panel, c, ending, width)
        store_part(out, at + c, count, finished(out, load_part(source, at + c, count, 0), each))


@helper
def panels_block(of_panel, x, block, slabs, n, inner, parts, temperature, out, masked):
    """Apply `of_panel` to the panels of a block, those of one slab after those of another.

    It writes results, and returns whether a row is NaN; `masked` is what masked entries become, None where there are
    none in the result.
    """
    width = lanes(x)
    rows_per_panel, panels, panels_per_block = shares(slabs, n, inner, parts, width)
    widest = panel_of(0, rows_per_panel, n, inner, width, True)
    memory_of_rows = tile_of(x, size_of_places(widest, width))
    memory_of_float64 = np.empty(size_of_float64(widest, x) + width, np.float64)
    places = places_of(widest, aligned(memory_of_rows), aligned(memory_of_float64))
    panels_per_slab = panels // slabs
    first = block * panels_per_block
    for k in range(first, smaller(panels, first + panels_per_block)):
        slab = k // panels_per_slab
        row = slab * inner + k % panels_per_slab * rows_per_panel
        end = smaller((slab + 1) * inner, row + rows_per_panel)
        panel = panel_of(row, end, n, inner, width, k + 1 == panels)
        if of_panel(x, panel, row, temperature, places, out):
            fill_across(x, row, end, n, inner, out, masked)
    keep_until_here(memory_of_rows)
    keep_until_here(memory_of_float64)

"""Long rows piece by piece: extremes are found just before exponentials are computed, so that both read a row once.

A row that does not stay in the first-level cache would else come twice from farther away.  But the shift is needed
before the row's maximum is known.  A provisional one serves, by the first and the last piece: under it all that is
computed is the same times a power of two, and so are the results, as long as nothing overflows or becomes subnormal,
which the extremes tell in the end.

Rows that are refused are computed in the ordinary way: at once if either end tells, as where a row is padded, masked
from some place on, or sorted; if it shows later, what was done before was in vain.
"""

import math
from typing import Any, NamedTuple

from .._jit import helper
from .._simd.arithmetic import both, larger, smaller
from .._simd.exp import LN2
from .others import OTHERS_BLOCK_ELEMENTS
from .shift import row_extremes

# A piece, which is a block of `others`, stays in the first-level cache.  Of the time with passes over whole rows,
# softmax of 32000, 65536 and 128256 float32 took 0.92, 0.87 and 0.87, by pieces of 4096 0.98, 0.95 and 0.94, of 16384
# 1.05, 1.01 and 1.0 (one thread, medians of interleaved runs with AVX-512).
PIECE_ELEMENTS = OTHERS_BLOCK_ELEMENTS

# By how many octaves a row's shift may exceed the provisional one: 2**20 times as large, sums stay finite.
LARGEST_RISE = 20.0


class Extremes(NamedTuple):
    """Of a row as far as it was read."""

    largest: Any
    smallest: Any


@helper
def extremes_of_piece(x, i, end):
    """Return the extremes of the piece from index i, and where it ends."""
    stop = smaller(end, i + PIECE_ELEMENTS)
    largest, smallest = row_extremes(x, i, stop - i, None)
    return Extremes(largest, smallest), stop


@helper
def extremes_of_ends(x, start, end):
    """Return the extremes of the first and the last piece, and where the first ends."""
    last, _ = extremes_of_piece(x, larger(start, end - PIECE_ELEMENTS), end)
    first, stop = extremes_of_piece(x, start, end)
    return extremes_of_both(first, last), stop


@helper
def extremes_of_both(a, b):
    """Return the extremes of what either is of."""
    return Extremes(larger(a.largest, b.largest), smaller(a.smallest, b.smallest))


@helper
def are_near(extremes, first, temperature, farthest):
    """Whether to go on under the provisional shift `first`; about what `excess` and the shift tell in the end."""
    spread = extremes.largest - extremes.smallest
    rise = extremes.largest - first.largest
    return first.reached and both(spread <= farthest * temperature, rise <= LARGEST_RISE * LN2 * temperature)


@helper
def excess(first, shift):
    """Return the power of two by which exponentials under the provisional shift `first` are too large; 0 if unknown.

    Elements are rounded to the same steps under either: an octave is 8, an even number, as halves are rounded to.
    """
    octaves = shift.octaves - first.octaves
    if not (first.reached and shift.reached and octaves <= LARGEST_RISE):
        return 0.0
    return math.ldexp(1.0, int(octaves))

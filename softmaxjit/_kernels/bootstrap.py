"""Metrics of resampled rows, one resample after another or in parallel: resample r is a function of seed and r alone.

Which row is drawn k-th is a hash of a number of the resample and of k: SplitMix64 (Steele, Lea and Flood, "Fast
splittable pseudorandom number generators", OOPSLA 2014), of which 53 bits become a row.
"""

import numpy as np
from numba import prange, types

from .._jit import helper, kernel, routine
from .bins import SUMS, error_of_bins, rooted
from .targets import CLASSES, NUMBERS, READ_NUMBERS

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_A, _B, _C, _REST = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
PLACES = types.Array(types.int64, 1, "C")


@helper
def mixed(z):
    """Return the bits of a number, mixed."""
    z = (z ^ (z >> _A)) * _FIRST
    z = (z ^ (z >> _B)) * _SECOND
    return z ^ (z >> _C)


@helper
def stream_of(seed, resample):
    """Return where the numbers of a resample start."""
    return mixed(seed ^ mixed(np.uint64(resample + 1) * _GOLDEN))


@helper
def drawn(stream, k, scale):
    """Return the row that is drawn k-th, `scale` being their number times 2**-53."""
    bits = mixed(stream + np.uint64(k) * _GOLDEN) >> _REST
    return np.int64(np.float64(np.int64(bits)) * scale)


@routine
def quantile(ordered, part):
    """Return what NumPy's function of this name returns of numbers in ascending order, and infinity next to it."""
    if ordered[-1] != ordered[-1]:  # NaN is last
        return np.nan
    place = part * (ordered.size - 1)
    below = int(place)
    above = min(below + 1, ordered.size - 1)
    low, high, t = ordered[below], ordered[above], place - below
    if t == 0.0 or low == high:
        return low
    if high == np.inf:
        return high
    return high - (high - low) * (1.0 - t) if t >= 0.5 else low + (high - low) * t


@kernel(lambda x, out: (types.uint64, types.intp, PLACES))
def draw_rows(seed, resample, places):
    """Write the rows of one resample."""
    stream, scale = stream_of(seed, resample), places.size * 2.0**-53
    for k in range(places.size):
        places[k] = drawn(stream, k, scale)


@kernel(lambda x, out: (READ_NUMBERS, types.uint64, NUMBERS))
def resample_means(values, seed, out):
    """Write the mean of each resample."""
    rows = values.size
    for r in prange(out.size):
        stream, scale = stream_of(seed, r), rows * 2.0**-53
        total = other = 0.0
        for k in range(0, rows - 1, 2):
            total += values[drawn(stream, k, scale)]
            other += values[drawn(stream, k + 1, scale)]
        if rows % 2 == 1:
            total += values[drawn(stream, rows - 1, scale)]
        out[r] = (total + other) / rows


def binned(x, out):
    """Return the types of what the kernels of calibration errors take."""
    return CLASSES, READ_NUMBERS, READ_NUMBERS, types.intp, types.float64, types.boolean, types.uint64, NUMBERS


@kernel(binned)
def resample_bins(places, confidence, truth, bins, norm, debias, seed, out):
    """Write the calibration error of each resample; row i is in the bin whose sums are at ``places[i]``."""
    rows = places.size
    for r in prange(out.size):
        stream, scale = stream_of(seed, r), rows * 2.0**-53
        # Two sets of sums take turns, as adding to one bin twice waits for the first.
        sums = np.zeros(2 * SUMS * bins)
        second = SUMS * bins
        for k in range(0, rows - 1, 2):
            i, j = drawn(stream, k, scale), drawn(stream, k + 1, scale)
            a, b = places[i], second + places[j]
            sums[a] += 1.0
            sums[b] += 1.0
            sums[a + 1] += confidence[i]
            sums[b + 1] += confidence[j]
            sums[a + 2] += truth[i]
            sums[b + 2] += truth[j]
        if rows % 2 == 1:
            i = drawn(stream, rows - 1, scale)
            sums[places[i]] += 1.0
            sums[places[i] + 1] += confidence[i]
            sums[places[i] + 2] += truth[i]
        for k in range(second):
            sums[k] += sums[second + k]
        out[r] = rooted(error_of_bins(sums, 0, SUMS, bins, rows, norm, debias), norm)


@kernel(binned)
def resample_masses(order, confidence, truth, bins, norm, debias, seed, out):
    """Write the calibration error of each resample in bins of equal mass of its own.

    Sorted by confidence, row k is ``order[k]``.  A row is in the bin whose number is that of the inner edges below it,
    and edge j is element ``j (rows - 1) // bins``.
    """
    rows = confidence.size
    for r in prange(out.size):
        stream, scale = stream_of(seed, r), rows * 2.0**-53
        times = np.zeros(rows, np.int32)
        for k in range(rows):
            times[drawn(stream, k, scale)] += 1
        sums = np.zeros(SUMS * bins)
        place = below = taken = 0  # the bin; resampled rows below this confidence; and those up to here
        value = -1.0
        for k in range(rows):
            i = order[k]
            if times[i] > 0:
                if confidence[i] > value:
                    value, below = confidence[i], taken
                    while place < bins - 1 and (place + 1) * (rows - 1) // bins < below:
                        place += 1
                count = np.float64(times[i])
                sums[SUMS * place] += count
                sums[SUMS * place + 1] += count * confidence[i]
                sums[SUMS * place + 2] += count * truth[i]
                taken += times[i]
        out[r] = rooted(error_of_bins(sums, 0, SUMS, bins, rows, norm, debias), norm)

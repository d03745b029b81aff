"""Rows sorted into bins of confidence, and how far these are from what is true.

A bin is (a, b]; a confidence of 0 is in the first.  Sums of bin b are those of the confidences and of what is true.
"""

import math

import numpy as np
from numba import prange, types

from .._jit import helper, kernel, routine
from .._simd.memory import data_of, load_element
from .targets import CLASSES, NUMBERS, READ_NUMBERS

BRIER_PARTS = 5
SUMS = 3  # of a bin: how many, their confidences, how many are true
CLASS_SUMS = 5  # likewise, and the squares of confidences and those of what is true
CLASSES_AT_ONCE = 32  # whose sums, of 15 bins, are 20 kB
SHARES = 4  # into which classes are shared out at least, if there are as many


@helper
def bin_of(value, edges, first, bins, uniform):
    """Return the bin of a value among `bins` with edges from `first` on; `uniform` if these are multiples."""
    if uniform:
        k = min(max(np.int64(value * bins), 0), bins - 1)
        while k > 0 and value <= edges[first + k]:
            k -= 1
        while k < bins - 1 and value > edges[first + k + 1]:
            k += 1
        return k
    low, high = 0, bins - 1
    while low < high:  # how many inner edges are below the value
        middle = (low + high) // 2
        if edges[first + middle + 1] < value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel(lambda x, out: (READ_NUMBERS, READ_NUMBERS, READ_NUMBERS, types.boolean, NUMBERS))
def bin_rows(confidence, truth, edges, uniform, sums):
    """Add up the rows of each bin: SUMS numbers for each."""
    bins = edges.size - 1
    sums[:] = 0.0
    for row in range(confidence.size):
        k = SUMS * bin_of(confidence[row], edges, 0, bins, uniform)
        sums[k] += 1.0
        sums[k + 1] += confidence[row]
        sums[k + 2] += truth[row]


@kernel(lambda x, out: (x, types.intp, CLASSES, READ_NUMBERS, types.intp, types.boolean, NUMBERS))
def bin_classes(x, n, labels, edges, stride, uniform, sums):
    """Add, for each class and bin of its probability, CLASS_SUMS numbers to those of the rows before.

    Edges of class c start at ``c * stride``.  Classes are shared out rather than rows, so that each sum is in the order
    of the rows whatever the batches and threads, and those that are added to meanwhile stay in the nearest cache.
    """
    bins = sums.size // (n * CLASS_SUMS)
    width = max(1, min(CLASSES_AT_ONCE, n // SHARES))
    for share in prange((n + width - 1) // width):
        source = data_of(x)
        for row in range(labels.size):
            for c in range(share * width, min(n, (share + 1) * width)):
                value = min(np.float64(load_element(source, row * n + c)), 1.0)
                k = CLASS_SUMS * (c * bins + bin_of(value, edges, c * stride, bins, uniform))
                sums[k] += 1.0
                sums[k + 1] += value
                sums[k + 3] += value * value
                if c == labels[row]:
                    sums[k + 2] += 1.0
                    sums[k + 4] += value


@routine
def error_of_bins(sums, first, step, bins, rows, norm, debias):
    """Return a calibration error before its root: of norms 1 and 2 the mean over rows, of infinity the largest.

    `sums` has `step` numbers for each bin, from `first` on.  Of a debiased square, what the variance of as many
    labels makes of it by chance is taken away (Kumar, Liang and Ma, "Verified uncertainty calibration", NeurIPS 2019);
    of a single row that is all there is.
    """
    result = 0.0
    for b in range(bins):
        k = first + b * step
        count = sums[k]
        if count > 0.0:
            gap = abs(sums[k + 2] - sums[k + 1]) / count
            if norm == math.inf:
                result = max(result, gap)
            elif norm == 1.0:
                result += gap * (count / rows)
            elif not debias:
                result += gap * gap * (count / rows)
            elif count > 1.0:
                true = sums[k + 2] / count
                result += (gap * gap - true * (1.0 - true) / (count - 1.0)) * (count / rows)
    return result


@kernel(lambda x, out: (READ_NUMBERS, types.intp, types.float64, types.float64, types.boolean, NUMBERS))
def error_of_classes(sums, bins, rows, norm, debias, out):
    """Write the calibration error before its root of all classes: of norm infinity the largest, else the mean."""
    step = bins * CLASS_SUMS
    result = 0.0
    for first in range(0, sums.size, step):
        error = error_of_bins(sums, first, CLASS_SUMS, bins, rows, norm, debias)
        result = max(result, error) if norm == math.inf else result + error
    out[0] = result if norm == math.inf else result / (sums.size // step)


@kernel(lambda x, out: (READ_NUMBERS, types.intp, types.float64, NUMBERS))
def parts_of_brier(sums, bins, rows, out):
    """Write reliability, resolution, uncertainty, variance within bins, and twice the covariance there."""
    step = bins * CLASS_SUMS
    out[:] = 0.0
    for first in range(0, sums.size, step):
        frequency = 0.0
        for k in range(first, first + step, CLASS_SUMS):
            frequency += sums[k + 2] / rows
        out[2] += frequency * (1.0 - frequency)
        for k in range(first, first + step, CLASS_SUMS):
            count, p, true = sums[k], sums[k + 1], sums[k + 2]
            if count > 0.0:
                out[0] += (p - true) * (p - true) / count / rows
                out[1] += count * (true / count - frequency) * (true / count - frequency) / rows
                out[3] += (sums[k + 3] - p * p / count) / rows
                out[4] += 2.0 * (sums[k + 4] - p * true / count) / rows


@routine
def rooted(error, norm):
    """Return an error as one of probabilities."""
    return math.sqrt(max(error, 0.0)) if norm == 2.0 else error

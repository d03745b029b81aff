"""Rows sorted into bins of confidence, and how far these are from what is true.

A bin is (a, b]; a confidence of 0 is in the first.  Sums of bin b are those of the confidences and of what is true.
"""

import math

import numpy as np
from numba import prange, types

from .._jit import helper, kernel, routine
from .._simd.memory import counted_from, data_of, keep_until_here, load_element
from .softmax import softmax_block
from .targets import CLASSES, NUMBERS, READ_NUMBERS

SUMS = 3  # of a bin: how many, their confidences, how many are true
CLASS_SUMS = 5  # likewise, and the squares of confidences and those of what is true
PARTS = 16  # into which rows are shared out, whatever the number of threads


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


@helper
def add_to_classes(p, start, n, label, edges, stride, bins, uniform, sums, first):
    """Add one row of probabilities to the bins of all classes, whose sums start at `first`."""
    for c in range(n):
        value = min(np.float64(load_element(p, start + c)), 1.0)
        k = first + CLASS_SUMS * (c * bins + bin_of(value, edges, c * stride, bins, uniform))
        sums[k] += 1.0
        sums[k + 1] += value
        sums[k + 3] += value * value
        if c == label:
            sums[k + 2] += 1.0
            sums[k + 4] += value


@kernel(lambda x, out: (x, types.intp, CLASSES, types.boolean, READ_NUMBERS, types.intp, types.boolean, NUMBERS))
def bin_classes(x, n, labels, from_logits, edges, stride, uniform, sums):
    """Add up, for each class and bin of its probability, CLASS_SUMS numbers.

    Edges of class c start at ``c * stride``.  `sums` has one such set for each of PARTS parts of the rows, the first of
    which becomes the result.
    """
    rows = labels.size
    size = sums.size // PARTS
    bins = size // (n * CLASS_SUMS)
    sums[:] = 0.0
    for part in prange(PARTS):
        source = data_of(x)
        scratch = np.empty(n, x.dtype)
        place = data_of(scratch)
        for row in range(part * rows // PARTS, (part + 1) * rows // PARTS):
            if from_logits:
                softmax_block(source, row, row + 1, n, 1.0, counted_from(place, row * n), False)
                add_to_classes(place, 0, n, labels[row], edges, stride, bins, uniform, sums, part * size)
            else:
                add_to_classes(source, row * n, n, labels[row], edges, stride, bins, uniform, sums, part * size)
        keep_until_here(scratch)
    for part in range(1, PARTS):
        for k in range(size):
            sums[k] += sums[part * size + k]


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


@routine
def rooted(error, norm):
    """Return an error as one of probabilities."""
    return math.sqrt(max(error, 0.0)) if norm == 2.0 else error

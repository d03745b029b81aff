"""The likelihood of labels under ``softmax(scale * x + bias)``, with derivatives in scale and bias, from one pass."""

import numpy as np
from numba import prange, types

from .._jit import kernel
from .._simd.memory import counted_from, data_of, keep_until_here, load_element
from .ahead import ahead_of
from .cross_entropy_grad import loss_and_gradient_of_row
from .targets import CLASSES, NUMBERS, READ_NUMBERS, weight_at

PARTS = 16  # into which rows are shared out, whatever the number of threads
DERIVATIVES = 5  # for each class: by its scale, its bias, twice by its scale, by both, and twice by its bias


@kernel(lambda x, out: (x, types.intp, READ_NUMBERS, READ_NUMBERS, CLASSES, READ_NUMBERS, NUMBERS))
def vector_scaling_rows(x, n, scale, bias, labels, weight, sums):
    """Write the loss and its DERIVATIVES, one after the other for all classes, of rows.

    `weight` has one number for each row, or one for all.

    `sums` has one such set of 1 + 5 n numbers for each of PARTS parts of the rows, the first of which becomes the
    result.  All is computed in float64, for the fit's sake.
    """
    rows = labels.size
    size = sums.size // PARTS
    sums[:] = 0.0
    for part in prange(PARTS):
        source, truth = data_of(x), data_of(labels)
        scratch, ones = np.empty(n), np.ones(n)
        first = part * size
        for row in range(part * rows // PARTS, (part + 1) * rows // PARTS):
            of_row = weight_at(weight, row)
            if of_row != 0.0:
                for c in range(n):
                    scratch[c] = scale[c] * np.float64(load_element(source, row * n + c)) + bias[c]
                place = counted_from(data_of(scratch), row * n)
                ahead = ahead_of(place, n, False, place)
                sums[first] += of_row * loss_and_gradient_of_row(
                    place, row, n, 1.0, truth, data_of(ones), 0.0, of_row, place, ahead
                )
                for c in range(n):
                    v, slope = np.float64(load_element(source, row * n + c)), scratch[c]
                    # Slopes are w p, and w (p - 1) of the label: of either, the curvature is w p (1 - p).
                    curved = abs(slope) * (1.0 - abs(slope) / of_row)
                    k = first + 1 + c
                    sums[k] += slope * v
                    sums[k + n] += slope
                    sums[k + 2 * n] += curved * v * v
                    sums[k + 3 * n] += curved * v
                    sums[k + 4 * n] += curved
        keep_until_here(scratch)
        keep_until_here(ones)
    for part in range(1, PARTS):
        for k in range(size):
            sums[k] += sums[part * size + k]

"""fit_temperature inside compiled code."""

import numpy as np
from numba import types
from numba.np.numpy_support import as_dtype

from .. import calibration
from .._jit import compiled_as
from .._kernels.likelihood import DISTANCES, MOMENTS, labelled_distances, likelihood_rows
from .._kernels.newton import HIGHEST_BETA, LOWEST_BETA, next_search, search_from
from .._kernels.targets import CLASSES
from ..calibration.fitting import MAXIMUM_PASSES
from .axes import axes_of, row_length
from .checks import refuse_threads, result_element
from .labelled import NOTHING, checked_weight, label_kind, weights_of
from .losses import truth_of
from .rows import row_order
from .sums import number_of_rows

FLOAT64 = np.dtype(np.float64)
BAD_LOGITS = "logits have no likelihood: one is NaN or +inf, or -inf where its class has a label"


@compiled_as(calibration.fit_temperature)
def _fit_temperature(logits, labels, axis=-1, sample_weight=None, threads=None):
    refuse_threads(threads)
    kind = label_kind("logits", logits, labels)
    element = result_element("logits", logits.dtype)
    if kind != CLASSES and types.float64 in (element, labels.dtype):
        element = types.float64
    dtype = as_dtype(element)
    checked_weight("sample_weight", sample_weight)
    distances, likelihood = labelled_distances.compiled(dtype, kind), likelihood_rows.compiled(dtype)
    tolerance = 1e-10 if element == types.float64 else 1e-7
    result_of = calibration.TemperatureFit

    def implementation(logits, labels, axis=-1, sample_weight=None, threads=None):
        is_axis = axes_of(logits, axis)
        if logits.size == 0:
            raise ValueError(NOTHING)
        count, n = number_of_rows(logits.shape, is_axis), row_length(logits.shape, is_axis)
        truth = truth_of(logits, is_axis, labels, count, n, None, dtype)
        mass = weights_of(sample_weight, count, FLOAT64)
        rows = row_order(logits, logits.shape, is_axis, np.empty(logits.size, dtype))
        sums, moments = np.empty(DISTANCES), np.empty(MOMENTS)
        number = 0.0
        for weight in mass:
            number += weight
        distances(rows, n, truth, np.ones(n, dtype), mass, sums)
        if not number > 0 or not (abs(sums[0]) < np.inf and abs(sums[1]) < np.inf):
            raise ValueError(BAD_LOGITS)
        likelihood(rows, n, 1.0, mass, moments)
        before = after = (sums[0] + moments[0]) / number
        if sums[0] >= sums[1]:
            return result_of(np.inf, before, sums[2] / number, 1, True, True)
        if sums[0] == 0.0:
            return result_of(0.0, before, sums[3] / number, 1, True, True)
        search = next_search(search_from(1.0), sums[0] - moments[1], moments[2], tolerance)
        iterations = 1
        while not search.found and iterations < MAXIMUM_PASSES:
            likelihood(rows, n, search.beta, mass, moments)
            after = (search.beta * sums[0] + moments[0]) / number
            iterations += 1
            search = next_search(search, sums[0] - moments[1], moments[2], tolerance)
        extreme = search.found and (search.beta == LOWEST_BETA or search.beta == HIGHEST_BETA)  # noqa: PLR1714
        return result_of(1.0 / search.beta, before, after, iterations, search.found, extreme)

    return implementation

"""fit_temperature and fit_vector_scaling inside compiled code."""

import math

import numpy as np
from numba import types
from numba.core import errors
from numba.np.numpy_support import as_dtype

from .. import calibration
from .._jit import compiled_as, routine
from .._kernels.cross_entropy import total_of
from .._kernels.descent import FAILED, FOUND, SEARCH, SEARCHING, STARTED, STATUS, VALUE, VECTORS, descend
from .._kernels.likelihood import DISTANCES, MOMENTS, labelled_distances, likelihood_rows
from .._kernels.newton import HIGHEST_BETA, LOWEST_BETA, next_search, search_from
from .._kernels.targets import CLASSES
from .._kernels.vector_scaling import DERIVATIVES, PARTS, vector_scaling_rows
from ..calibration.fitting import MAXIMUM_PASSES, MINUS_INFINITY
from .axes import axes_of, row_length
from .checks import absent, refuse_threads, result_element
from .labelled import NOTHING, checked_weight, label_kind, weights_of
from .losses import truth_of
from .metrics import sum_of
from .rows import row_order
from .sums import number_of_rows

FLOAT64 = np.dtype(np.float64)
NO_WEIGHT = "sample_weight is 0 throughout; accepted is at least one above 0"
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
    total = total_of.compiled(FLOAT64)
    tolerance = 1e-10 if element == types.float64 else 1e-7
    soft, unweighted = kind != CLASSES, absent(sample_weight)
    result_of = calibration.TemperatureFit

    def implementation(logits, labels, axis=-1, sample_weight=None, threads=None):
        is_axis = axes_of(logits, axis)
        if logits.size == 0:
            raise ValueError(NOTHING)
        count, n = number_of_rows(logits.shape, is_axis), row_length(logits.shape, is_axis)
        truth = truth_of(logits, is_axis, labels, count, n, None, dtype)
        weight = weights_of(sample_weight, 1 if unweighted else count, FLOAT64)
        rows = row_order(logits, logits.shape, is_axis, np.empty(logits.size, dtype))
        sums, moments = np.empty(DISTANCES), np.empty(MOMENTS)
        number = np.float64(count) if unweighted else sum_of(weight, total)
        if number == 0.0:
            raise ValueError(NO_WEIGHT)
        masses = np.empty(count if soft else 0)
        distances(rows, n, truth, np.ones(n, dtype), weight, masses, sums)
        mass = masses if soft else weight
        if not (abs(sums[0]) < np.inf and abs(sums[1]) < np.inf):
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


@compiled_as(calibration.fit_vector_scaling)
def _fit_vector_scaling(logits, labels, axis=-1, sample_weight=None, max_iter=500, threads=None):
    refuse_threads(threads)
    if label_kind("logits", logits, labels) != CLASSES:
        raise errors.NumbaTypeError(f"labels has dtype {labels.dtype}; accepted are integers, the class of each row")
    if not isinstance(max_iter, int | types.Integer | types.Omitted):
        raise errors.NumbaTypeError(f"max_iter has type {max_iter}; accepted are integers from 1")
    dtype = as_dtype(result_element("logits", logits.dtype))
    checked_weight("sample_weight", sample_weight)
    evaluate, step, total = vector_scaling_rows.compiled(dtype), descend.compiled(FLOAT64), total_of.compiled(FLOAT64)
    fit_temperature, result_of = calibration.fit_temperature, calibration.VectorScalingFit
    unweighted = absent(sample_weight)

    def implementation(logits, labels, axis=-1, sample_weight=None, max_iter=500, threads=None):
        if max_iter < 1:
            raise ValueError("max_iter is below 1; accepted are integers from 1")
        start = fit_temperature(logits, labels, axis=axis, sample_weight=sample_weight)
        is_axis = axes_of(logits, axis)
        count, n = number_of_rows(logits.shape, is_axis), row_length(logits.shape, is_axis)
        truth = truth_of(logits, is_axis, labels, count, n, None, dtype)
        weight = weights_of(sample_weight, 1 if unweighted else count, FLOAT64)
        rows = row_order(logits, logits.shape, is_axis, np.empty(logits.size, dtype))
        number = np.float64(count) if unweighted else sum_of(weight, total)
        place, sums = np.zeros(2 * n), np.empty(PARTS * (1 + DERIVATIVES * n))
        place[:n] = 1.0 / start.temperature if 0.0 < start.temperature < np.inf else 1.0
        numbers, vectors = np.zeros(SEARCH), np.zeros(VECTORS * 2 * n)
        evaluations = 0
        while evaluations < max_iter and (numbers[STATUS] == STARTED or numbers[STATUS] == SEARCHING):
            evaluate(rows, n, place[:n], place[n:], truth, weight, sums)
            divide(sums[: 1 + DERIVATIVES * n], number)
            step(sums[0], sums[1 : 1 + 2 * n], sums[1 + 2 * n : 1 + DERIVATIVES * n], numbers, vectors, place)
            evaluations += 1
        if numbers[STATUS] == SEARCHING:
            place[:] = vectors[: 2 * n]
        elif numbers[STATUS] == FAILED:
            raise ValueError(MINUS_INFINITY)
        endless = n > 1 and numbers[VALUE] * number < math.log(2.0) * smallest_of_positive(weight)
        return result_of(
            place[:n].copy(),
            place[n:] - sum_of(place[n:], total) / n,
            start.nll_before,
            numbers[VALUE],
            start.iterations + evaluations,
            numbers[STATUS] == FOUND and not endless,
        )

    return implementation


@routine
def divide(numbers, divisor):
    """Divide numbers in place."""
    for k in range(numbers.size):
        numbers[k] /= divisor


@routine
def smallest_of_positive(weight):
    """Return the smallest weight above 0."""
    result = np.inf
    for each in weight:
        if each > 0.0:
            result = min(result, each)
    return result

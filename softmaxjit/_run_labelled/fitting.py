"""Run what a temperature is fitted with."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba.core import config

from .. import _plain_labelled
from .._args.labels import Labelled
from .._carriers import carried
from .._kernels import descent, newton
from .._kernels.likelihood import DISTANCES, MOMENTS, labelled_distances, likelihood_rows
from .._kernels.vector_scaling import DERIVATIVES, PARTS, vector_scaling_rows
from . import FLOAT64, Array, granted, has_kernel, kind_of_labels

# Plain numbers: to compile them would take longer than they ever take.
search_from: Callable[[float], newton.Search] = getattr(newton.search_from, "py_func", newton.search_from)
next_search: Callable[..., newton.Search] = getattr(newton.next_search, "py_func", newton.next_search)


def run_distances(rows: Labelled, weight: Array, threads: int | None) -> tuple[Array, Array]:
    """Return the sums of `labelled_distances`, and masses times weights, as many as rows or one for all."""
    if not has_kernel(rows.dtype):
        with np.errstate(all="ignore"):
            return _plain_labelled.distances(rows.x.reshape(-1, rows.n), rows.labels, weight)
    out, mass = np.empty(DISTANCES), np.empty(math.prod(rows.shape) if rows.soft else 0)
    with granted(rows.x.size, threads) as number:
        kernel = labelled_distances.compiled(rows.x.dtype, kind_of_labels(rows), parallel=number > 1)
        labels = carried(rows.labels) if rows.soft else rows.labels
        kernel(carried(rows.x), rows.n, labels, rows.weight, weight, mass, out)
    return out, mass if rows.soft else weight


def run_likelihood(rows: Labelled, beta: float, mass: Array, threads: int | None) -> Array:
    """Return the sums of `likelihood_rows`."""
    if not has_kernel(rows.dtype):
        with np.errstate(all="ignore"):
            return _plain_labelled.moments(rows.x.reshape(-1, rows.n), beta, mass)
    out = np.empty(MOMENTS)
    with granted(rows.x.size, threads) as number:
        kernel = likelihood_rows.compiled(rows.x.dtype, parallel=number > 1)
        kernel(carried(rows.x), rows.n, beta, mass, out)
    return out


def run_vector_scaling(rows: Labelled, parameters: Array, weight: Array, threads: int | None) -> Array:
    """Return the sums of `vector_scaling_rows` for scales and biases."""
    n = rows.n
    scale, bias = parameters[:n], parameters[n:]
    if not has_kernel(rows.dtype):
        with np.errstate(all="ignore"):
            return _plain_labelled.vector_scaling(rows.x.reshape(-1, n), scale, bias, rows.labels, weight)
    sums = np.empty(PARTS * (1 + DERIVATIVES * n))
    with granted(rows.x.size, threads) as number:
        kernel = vector_scaling_rows.compiled(rows.x.dtype, parallel=number > 1)
        kernel(carried(rows.x), n, scale, bias, rows.labels, weight, sums)
    return sums[: 1 + DERIVATIVES * n]


class Found(NamedTuple):
    """Where a function is lowest."""

    place: Array
    value: float  # NaN if the function has none
    evaluations: int
    converged: bool
    unfinished: bool  # for want of evaluations


def run_descent(function: Callable[[Array], Array], place: Array, limit: int) -> Found:
    """Return where a function is lowest that gives its value and its derivatives as `vector_scaling_rows` does."""
    descend = descent.descend.body if config.DISABLE_JIT else descent.descend.compiled(FLOAT64)
    numbers, vectors = np.zeros(descent.SEARCH), np.zeros(descent.VECTORS * place.size)
    evaluations = 0
    while evaluations < limit and numbers[descent.STATUS] in (descent.STARTED, descent.SEARCHING):
        value, gradient, curvature = np.split(function(place), [1, 1 + place.size])
        with np.errstate(all="ignore"):
            descend(value[0], gradient, curvature, numbers, vectors, place)
        evaluations += 1
    lowest = vectors[: place.size] if numbers[descent.STATUS] == descent.SEARCHING else place
    lowest_value = math.nan if numbers[descent.STATUS] == descent.FAILED else float(numbers[descent.VALUE])
    status = numbers[descent.STATUS]
    return Found(lowest, lowest_value, evaluations, bool(status == descent.FOUND), bool(status == descent.SEARCHING))


def is_extreme(beta: float) -> bool:
    """Whether an inverse temperature is at the end of what kernels take."""
    return beta in (newton.LOWEST_BETA, newton.HIGHEST_BETA)

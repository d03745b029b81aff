"""Run what a temperature is fitted with."""

from collections.abc import Callable

import numpy as np

from .. import _plain_labelled
from .._args.labels import Labelled
from .._carriers import carried
from .._kernels import newton
from .._kernels.bins import PARTS
from .._kernels.likelihood import DISTANCES, MOMENTS, labelled_distances, likelihood_rows
from .._kernels.vector_scaling import vector_scaling_rows
from . import Array, granted, has_kernel, kinds

# Plain numbers: to compile them would take longer than they ever take.
search_from: Callable[[float], newton.Search] = getattr(newton.search_from, "py_func", newton.search_from)
next_search: Callable[..., newton.Search] = getattr(newton.next_search, "py_func", newton.next_search)


def run_distances(rows: Labelled, mass: Array, threads: int | None) -> Array:
    """Return the sums of `labelled_distances`; multiply the weights of rows, `mass`, by their masses."""
    if not has_kernel(rows.dtype):
        with np.errstate(all="ignore"):
            return _plain_labelled.distances(rows.x.reshape(-1, rows.n), rows.labels, mass)
    out = np.empty(DISTANCES)
    with granted(rows.x.size, threads) as number:
        kernel = labelled_distances.compiled(rows.x.dtype, kinds(rows)[1], parallel=number > 1)
        labels = carried(rows.labels) if rows.soft else rows.labels
        kernel(carried(rows.x), rows.n, labels, rows.weight, mass, out)
    return out


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


def run_vector_scaling(
    rows: Labelled, scale: Array, bias: Array, weight: Array, threads: int | None
) -> tuple[float, Array, Array]:
    """Return the loss of weighted rows under per-class scale and bias, and its gradient in both."""
    n = rows.n
    if not has_kernel(rows.dtype):
        with np.errstate(all="ignore"):
            return _plain_labelled.vector_scaling(rows.x.reshape(-1, n), scale, bias, rows.labels, weight)
    sums = np.empty(PARTS * (1 + 2 * n))
    with granted(rows.x.size, threads) as number:
        kernel = vector_scaling_rows.compiled(rows.x.dtype, parallel=number > 1)
        kernel(carried(rows.x), n, scale, bias, rows.labels, weight, sums)
    return float(sums[0]), sums[1 : 1 + n], sums[1 + n : 1 + 2 * n]


def is_extreme(beta: float) -> bool:
    """Whether an inverse temperature is at the end of what kernels take."""
    return beta in (newton.LOWEST_BETA, newton.HIGHEST_BETA)

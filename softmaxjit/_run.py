"""Run a planned kernel on rows, and return these, or what stood in for them, with the result."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numba.core import config

from . import _threads
from ._args import Rows, reordered, widened
from ._carriers import carried
from ._kernels.temperature import ONE_FOR_ALL, ONE_FOR_EACH_ROW
from ._plan import Facts, Plan, plan
from ._simd.target import vector_bytes

Array = np.ndarray[Any, Any]

SERIAL = nullcontext(1)


def run_rows(operation: str, rows: Rows, threads: int | None) -> Rows:
    """Apply softmax or log_softmax to rows."""
    if rows.x.size == 0:
        return rows
    chosen, rows = _planned(operation, rows, threads)
    if chosen.kernel is None:
        x, where, _ = _two_dimensional(rows)
        with np.errstate(all="ignore"):
            rows.target[...] = chosen.plain(x, rows.temperature, where).reshape(-1)
        return rows
    kind = _kind(rows.temperature)
    with _threads_for(chosen, threads) as granted:
        parallel = granted > 1
        x = _source(rows)
        kernel = chosen.kernel.compiled(rows.x.dtype, kind, parallel=parallel, masked=isinstance(x, tuple))
        kernel(x, *_lengths(rows), rows.temperature, carried(rows.target))
    return rows


def run_logsumexp(rows: Rows, threads: int | None) -> Rows:
    """Apply logsumexp to rows, with weights or without."""
    if rows.target.size == 0:
        return rows
    if rows.n == 0:
        rows.target.fill(-np.inf)
        if rows.sign is not None:
            rows.sign.fill(0)
        return rows
    chosen, rows = _planned("logsumexp", rows, threads)
    if chosen.kernel is None:
        _run_plain_logsumexp(chosen, rows)
        return rows
    with _threads_for(chosen, threads) as granted:
        parallel = granted > 1
        x = _source(rows)
        kernel = chosen.kernel.compiled(rows.x.dtype, parallel=parallel, masked=isinstance(x, tuple))
        if rows.second is not None:
            kernel(x, rows.second, rows.n, rows.target, rows.sign)
            return rows
        kernel(x, *_lengths(rows), carried(rows.target))
    if rows.sign is not None:
        rows.sign[...] = _sign_of_sum(rows.target)
    return rows


def run_vjp(operation: str, rows: Rows, threads: int | None) -> Rows:
    """Apply a vector-Jacobian product to rows and cotangents."""
    if rows.x.size == 0:
        return rows
    chosen, rows = _planned(operation, rows, threads)
    if chosen.kernel is None:
        x, _, cotangent = _two_dimensional(rows)
        with np.errstate(all="ignore"):
            rows.target[...] = chosen.plain(x, cotangent, rows.temperature).reshape(-1)
        return rows
    with _threads_for(chosen, threads) as granted:
        parallel = granted > 1
        kernel = chosen.kernel.compiled(rows.x.dtype, _kind(rows.temperature), parallel=parallel)
        second = carried(np.asarray(rows.second))
        kernel(carried(rows.x), second, rows.n, rows.temperature, carried(rows.target))
    return rows


def on_threads(chosen: Plan, threads: int | None, dtype: "np.dtype[Any]", *variant: Any) -> Callable[..., None] | None:
    """Return what runs a planned kernel on flat arrays, on as many threads as there are for it at each call."""
    kernel = chosen.kernel
    if kernel is None:
        return None
    compiled = functools.cache(lambda parallel: kernel.compiled(dtype, *variant, parallel=parallel))

    def run(*args: Any) -> None:
        with _threads_for(chosen, threads) as granted:
            compiled(granted > 1)(*args)

    return run


def _source(rows: Rows) -> Any:
    """Return what a kernel reads: the elements, or a tuple of these and the mask."""
    return carried(rows.x) if rows.where is None else (carried(rows.x), rows.where)


def _lengths(rows: Rows) -> tuple[int, ...]:
    """Return how long rows are, and, unless their elements are neighbours, how far apart these lie."""
    return (rows.n,) if rows.inner == 1 else (rows.n, rows.inner)


def _kind(temperature: float | Array) -> Any:
    """Return the Numba type of a temperature."""
    return ONE_FOR_ALL if isinstance(temperature, float) else ONE_FOR_EACH_ROW


def _planned(operation: str, rows: Rows, threads: int | None) -> tuple[Plan, Rows]:
    """Return the plan, and the rows as it takes them."""
    tau = rows.temperature
    lowest, highest = (tau, tau) if isinstance(tau, float) else (float(tau.min()), float(tau.max()))
    number = rows.x.size // rows.n
    weighted = operation == "logsumexp" and rows.second is not None
    compiled = not config.DISABLE_JIT
    inner = rows.inner
    facts = Facts(
        operation, rows.x.dtype, number, rows.n, inner, lowest, highest, weighted, threads, vector_bytes(), compiled
    )
    chosen = plan(facts)
    if chosen.reorder:
        rows = reordered(rows)
    return chosen, widened(rows) if chosen.widen else rows


def _threads_for(chosen: Plan, threads: int | None) -> AbstractContextManager[int]:
    """Return a context that gives the number of threads to run on."""
    return _threads.parallel_threads(threads) if chosen.parallel else SERIAL


def _sign_of_sum(log: Array) -> Array:
    """Return the sign of a sum of exponentials, which is 1, 0 or NaN, from its logarithm."""
    return np.where(np.isnan(log), np.nan, np.where(log == -np.inf, 0, 1))


def _two_dimensional(rows: Rows) -> tuple[Array, Array | None, Array | None]:
    """Return x, where and the second operand as plain functions take them."""
    shape = (-1, rows.n)
    where, second = rows.where, rows.second
    return (
        rows.x.reshape(shape),
        None if where is None else where.reshape(shape),
        None if second is None else second.reshape(shape),
    )


def _run_plain_logsumexp(chosen: Plan, rows: Rows) -> None:
    x, where, weights = _two_dimensional(rows)
    if where is not None:
        x = np.where(where, x, -np.inf)
    with np.errstate(all="ignore"):
        log, sign = chosen.plain(x, weights)
    rows.target[...] = log if np.iscomplexobj(rows.target) else log.real
    if rows.sign is not None:
        rows.sign[...] = sign

"""Run a planned kernel on rows, and return these, or what stood in for them, with the result."""

from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numba.core import config

from . import _pool, _threads
from ._args import Rows, reordered, widened
from ._carriers import carried
from ._jit import Kernel
from ._kernels.temperature import ONE_FOR_ALL, ONE_FOR_EACH_ROW, as_operand
from ._plan import PARTS_PER_THREAD, Facts, Plan, plan
from ._simd.target import vector_bytes

Array = np.ndarray[Any, Any]
Work = Callable[..., None]  # what is done to operands, flat arrays with as much for each row, or to parts of them
WorkFor = Callable[[bool], Work]  # told whether it may be parallel


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
    temperature, kind = as_operand(rows.temperature)
    operands = (carried(rows.x), rows.where, temperature, carried(rows.target))
    _share_out(chosen, threads, partial(_rows_work, chosen, rows, kind), _pieces(rows), operands)
    return rows


def _rows_work(chosen: Plan, rows: Rows, kind: Any, parallel: bool) -> Work:
    """Return what applies softmax or log_softmax."""
    run = _kernel_of(chosen, parallel).compiled(rows.x.dtype, kind, parallel=parallel, masked=rows.where is not None)

    def work(x: Array, where: Array | None, temperature: Any, target: Array) -> None:
        run(_source(x, where), *_lengths(rows), temperature, target)

    return work


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
    work_for = partial(_logsumexp_work, chosen, rows)
    operands = (carried(rows.x), rows.where, rows.second, carried(rows.target), rows.sign)
    _share_out(chosen, threads, work_for, _pieces(rows), operands)
    return rows


def _logsumexp_work(chosen: Plan, rows: Rows, parallel: bool) -> Work:
    """Return what applies logsumexp."""
    run = _kernel_of(chosen, parallel).compiled(rows.x.dtype, parallel=parallel, masked=rows.where is not None)

    def work(x: Array, where: Array | None, second: Array | None, target: Array, sign: Array | None) -> None:
        if second is not None:
            run(x, second, rows.n, target, sign)
            return
        run(_source(x, where), *_lengths(rows), target)
        if sign is not None:
            sign[...] = _sign_of_sum(target.view(rows.target.dtype))  # not of the integers that carry 16 bits

    return work


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
    kind = ONE_FOR_ALL if isinstance(rows.temperature, float) else ONE_FOR_EACH_ROW  # nothing is prepared
    work_for = _kernel_alone(chosen, rows.x.dtype, kind)
    operands = (carried(rows.x), carried(np.asarray(rows.second)), rows.n, rows.temperature, carried(rows.target))
    _share_out(chosen, threads, work_for, _pieces(rows), operands)
    return rows


def on_threads(
    chosen: Plan, threads: int | None, rows: int, dtype: "np.dtype[Any]", *variant: Any
) -> Callable[..., None] | None:
    """Return what runs a planned kernel on so many rows in flat arrays, on as many threads as it gets at each call."""
    if chosen.kernel is None:
        return None
    work_for = cache(_kernel_alone(chosen, dtype, *variant))

    def run(*operands: Any) -> None:
        _share_out(chosen, threads, work_for, rows, operands)

    return run


def _kernel_alone(chosen: Plan, dtype: "np.dtype[Any]", *variant: Any) -> WorkFor:
    """Return what gives a kernel as the work: its arguments are the operands."""
    return lambda parallel: _kernel_of(chosen, parallel).compiled(dtype, *variant, parallel=parallel)


def _kernel_of(chosen: Plan, parallel: bool) -> Kernel:
    """Return which kernel runs, of a plan that has one."""
    return cast(Kernel, chosen.kernel if parallel else chosen.serial)


def _share_out(chosen: Plan, threads: int | None, work_for: WorkFor, pieces: int, operands: tuple[Any, ...]) -> None:
    """Do the work on Numba's threading layer, or in parts in the pool, or here alone."""
    if chosen.parallel:
        with _threads.layer_threads(threads) as granted:
            if granted > 1:
                work_for(True)(*operands)
                return
    # This compiles, which takes a lock that the caller may hold: the workers could not.
    work = work_for(False)
    if chosen.parts == 1:
        work(*operands)
        return
    with _threads.pool_threads(threads) as granted:
        if granted == 1:
            # Without what a call of the pool takes: softmax of (1024, 1000) float32 took 0.95 of the time on one Zen 3
            # core (medians of 100 interleaved calls).
            work(*operands)
            return
        number = min(chosen.parts, PARTS_PER_THREAD * granted)
        _pool.run([partial(work, *part) for part in parts_of(operands, pieces, number)], granted)


def parts_of(operands: tuple[Any, ...], pieces: int, number: int) -> list[tuple[Any, ...]]:
    """Return operands whose arrays consist of so many pieces in so many parts of whole ones, or fewer."""
    number = min(number, pieces)
    cuts = [pieces * k // number for k in range(number + 1)]

    def between(operand: Any, first: int, last: int) -> Any:
        if not isinstance(operand, np.ndarray):
            return operand
        size = operand.size // pieces
        return operand[first * size : last * size]

    return [tuple(between(operand, *cut) for operand in operands) for cut in pairwise(cuts)]


def _pieces(rows: Rows) -> int:
    """Return how many pieces, of rows that lie by themselves, there are."""
    return rows.x.size // (rows.n * rows.inner)


def _source(x: Array, where: Array | None) -> Any:
    """Return what a kernel reads: the elements, or a tuple of these and the mask."""
    return x if where is None else (x, where)


def _lengths(rows: Rows) -> tuple[int, ...]:
    """Return how long rows are, and, unless their elements are neighbours, how far apart these lie."""
    return (rows.n,) if rows.inner == 1 else (rows.n, rows.inner)


def _planned(operation: str, rows: Rows, threads: int | None) -> tuple[Plan, Rows]:
    """Return the plan, and the rows as it takes them."""
    tau = rows.temperature
    lowest, highest = (tau, tau) if isinstance(tau, float) else (float(tau.min()), float(tau.max()))
    number = rows.x.size // rows.n
    weighted = operation == "logsumexp" and rows.second is not None
    compiled = not config.DISABLE_JIT
    inner = rows.inner
    dtype, width = rows.x.dtype, vector_bytes()
    facts = Facts(operation, dtype, number, rows.n, inner, lowest, highest, weighted, threads, compiled, width)
    chosen = plan(facts)
    if chosen.reorder:
        rows = reordered(rows)
    return chosen, widened(rows) if chosen.widen else rows


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

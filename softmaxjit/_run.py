"""Run a planned kernel on rows."""

import numpy as np

from . import _threads
from ._args import Rows
from ._kernels.rescale import rescale_rows, split_temperature
from ._plan import Plan, plan


def run_rows(operation: str, rows: Rows, temperature: float, threads: int | None) -> None:
    """Apply an operation to rows, writing ``rows.target``."""
    if rows.n == 0:
        rows.target.fill(-np.inf)  # of logsumexp; the other results are empty
    if rows.x.size == 0:
        return
    chosen = plan(operation, rows.x.dtype, rows.x.size // rows.n, rows.n, temperature, threads)
    if not chosen.parallel:
        _run(chosen, rows, temperature, parallel=False)
        return
    with _threads.parallel_threads(threads) as granted:
        _run(chosen, rows, temperature, parallel=granted > 1)


def _run(chosen: Plan, rows: Rows, temperature: float, *, parallel: bool) -> None:
    x = rows.x
    if chosen.rescale:
        rescale_rows.compiled(chosen.dtype, parallel=parallel)(x, rows.n, temperature, rows.target)
        x = rows.target
        temperature, _ = split_temperature(temperature)
    arguments = (temperature,) if chosen.takes_temperature else ()
    chosen.kernel.compiled(chosen.dtype, parallel=parallel)(x, rows.n, *arguments, rows.target)

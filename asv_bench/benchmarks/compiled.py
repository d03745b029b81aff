"""The same functions called inside a user's own compiled code, where they are serial."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np

import softmaxjit

from . import FLOATS, OPERATIONS, Timed, logits


@lru_cache(maxsize=1)
def loop_over_rows(operation: str, rows: int, length: int, dtype: str) -> Callable[[], None]:
    """Return a user's loop that gives each row to an operation, with the arrays that it reads and writes."""
    function: Any = getattr(softmaxjit, operation)
    x = logits((rows, length), dtype)

    if operation == "logsumexp":
        out = np.ones(rows, dtype)

        @numba.njit
        def loop(x: np.ndarray, out: np.ndarray) -> None:
            for i in range(len(x)):
                out[i] = function(x[i])

    else:
        out = np.ones_like(x)

        @numba.njit
        def loop(x: np.ndarray, out: np.ndarray) -> None:
            for i in range(len(x)):
                function(x[i], out=out[i])

    return lambda: loop(x, out)


class InsideNjit(Timed):
    # Longer than compiling: a user's function is not kept in Numba's cache, and must not be, as it would keep the
    # kernels of the commit that it was compiled with.
    warmup_time = 8.0
    timeout = 180

    param_names = ("operation", "rows", "length", "dtype")
    params = (OPERATIONS, (1000,), (10, 1000), FLOATS)

    def time_loop_over_rows(self, operation: str, rows: int, length: int, dtype: str) -> None:
        loop_over_rows(operation, rows, length, dtype)()

"""The ufuncs, called from NumPy, and on single numbers in a loop of the user's own, which the compiler vectorises."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np

import softmaxjit

from . import FLOATS, Timed, logits

SIZE = 4096


@lru_cache(maxsize=1)
def operands(operation: str, dtype: str) -> tuple[Callable[..., Any], np.ndarray, np.ndarray]:
    """Return a ufunc, logits, and an array for the result."""
    x = logits((SIZE,), dtype)
    return getattr(softmaxjit, operation), np.abs(x) if operation == "log" else x, np.ones_like(x)


@lru_cache(maxsize=1)
def loop_over(operation: str) -> Callable[[np.ndarray, np.ndarray], None]:
    """Return a user's loop that calls a ufunc on each number."""
    function: Any = getattr(softmaxjit, operation)

    @numba.njit
    def loop(x: np.ndarray, out: np.ndarray) -> None:
        for i in range(x.size):
            out[i] = function(x[i])

    return loop


class Ufuncs(Timed):
    # Longer than compiling, as no ufunc is kept in Numba's cache.
    warmup_time = 4.0

    param_names = ("operation", "dtype")
    params = (("exp", "log", "sigmoid", "log_sigmoid", "softplus"), FLOATS)

    def time_ufunc_into(self, operation: str, dtype: str) -> None:
        function, x, out = operands(operation, dtype)
        function(x, out=out)

    def time_users_loop(self, operation: str, dtype: str) -> None:
        _, x, out = operands(operation, dtype)
        loop_over(operation)(x, out)

"""softmax, log_softmax, logsumexp and the gradients, in each regime, called from Python.

A class for each operation, since asv calls ``setup_cache`` for whole classes, and knows them apart by the line of that
method: whoever runs one operation need not wait until the kernels of all are compiled.
"""

from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from . import FLOATS, HALVES, OPERATIONS, REGIMES, SHAPES, Timed, case, fill_cache, table

COMPILING_LIMIT = 1800  # seconds for all kernels of a class, on a slow machine


class _Operation(Timed):
    operation: ClassVar[str]
    param_names = ("shape", "dtype")
    params = (SHAPES, FLOATS)

    def time_into(self, shape: str, dtype: str) -> None:
        function, arguments, out = case(self.operation, shape, dtype)
        function(*arguments, out=out)

    def time_allocating(self, shape: str, dtype: str) -> None:
        function, arguments, _ = case(self.operation, shape, dtype)
        function(*arguments)


class Softmax(_Operation):
    operation = "softmax"

    def setup_cache(self) -> None:
        fill_cache(self)

    setup_cache.timeout = COMPILING_LIMIT


class LogSoftmax(_Operation):
    operation = "log_softmax"

    def setup_cache(self) -> None:
        fill_cache(self)

    setup_cache.timeout = COMPILING_LIMIT


class Logsumexp(_Operation):
    operation = "logsumexp"

    def setup_cache(self) -> None:
        fill_cache(self)

    setup_cache.timeout = COMPILING_LIMIT


class SixteenBits(Timed):
    param_names = ("operation", "shape", "dtype")
    params = (OPERATIONS, REGIMES, HALVES)

    def setup_cache(self) -> None:
        fill_cache(self)

    setup_cache.timeout = COMPILING_LIMIT

    def time_into(self, operation: str, shape: str, dtype: str) -> None:
        function, arguments, out = case(operation, shape, dtype)
        function(*arguments, out=out)


class Gradients(Timed):
    param_names = ("operation", "shape", "dtype")
    params = (("softmax_vjp", "log_softmax_vjp"), REGIMES, FLOATS)

    def setup_cache(self) -> None:
        fill_cache(self)

    setup_cache.timeout = COMPILING_LIMIT

    def time_into(self, operation: str, shape: str, dtype: str) -> None:
        function, arguments, out = case(operation, shape, dtype)
        function(*arguments, out=out)


@lru_cache(maxsize=1)
def argument(name: str, text: str, dtype: str) -> dict[str, Any]:
    """Return an argument that the plain call does not have."""
    shape, axis = table.shape_and_axis(text)
    if name == "where":
        return {"where": np.random.default_rng(2).random(shape) < 0.9}
    if name == "b":
        return {"b": np.random.default_rng(2).uniform(0.5, 2, shape).astype(dtype)}
    of_rows = [1 if k == axis % len(shape) else length for k, length in enumerate(shape)]
    return {"temperature": 2.0 if name == "temperature" else np.random.default_rng(2).uniform(0.5, 2, of_rows)}


class Arguments(Timed):
    # What has kernels of its own, or a copy to make.
    param_names = ("call", "shape", "dtype")
    params = (
        (
            ("softmax", "temperature"),
            ("softmax", "temperature of rows"),
            ("softmax", "where"),
            ("log_softmax", "where"),
            ("logsumexp", "where"),
            ("logsumexp", "b"),
        ),
        REGIMES[:3],
        FLOATS,
    )

    def setup_cache(self) -> None:
        fill_cache(self)

    setup_cache.timeout = COMPILING_LIMIT

    def time_into(self, call: tuple[str, str], shape: str, dtype: str) -> None:
        operation, name = call
        function, arguments, out = case(operation, shape, dtype)
        function(*arguments, out=out, **argument(name, shape, dtype))

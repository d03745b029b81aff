"""softmax, log_softmax, logsumexp and the gradients, in each regime, called from Python.

A class for each operation, since asv calls ``setup_cache`` for whole classes, and knows them apart by the line of that
method: whoever runs one operation need not wait until the kernels of all are compiled.
"""

from typing import ClassVar

from . import FLOATS, HALVES, OPERATIONS, REGIMES, SHAPES, Timed, case, fill_cache

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

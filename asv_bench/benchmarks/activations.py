"""softmax, log_softmax and logsumexp along the last axis."""

from itertools import product

from . import case


class Rows:
    # asv counts the calls of a sample after the warm-up.  Where that is shorter than the first call, which loads a
    # kernel from Numba's cache, or where there is a setup() hook (asv issue 966), it makes do with one call a sample.
    warmup_time = 2.0
    timeout = 120

    param_names = ("operation", "shape", "dtype")
    params = (
        ("softmax", "log_softmax", "logsumexp"),
        ((10,), (1024, 1000), (100_000, 10), (32, 128_256)),
        ("float32", "float64"),
    )

    def setup_cache(self) -> None:
        """Fill Numba's cache once for each commit, since compiling takes longer than the warm-up."""
        for operation, shape, dtype in product(*self.params):
            self.time_allocating(operation, shape, dtype)

    def time_allocating(self, operation: str, shape: tuple[int, ...], dtype: str) -> None:
        function, x, _ = case(operation, shape, dtype)
        function(x)

    def time_into(self, operation: str, shape: tuple[int, ...], dtype: str) -> None:
        function, x, out = case(operation, shape, dtype)
        function(x, out=out)

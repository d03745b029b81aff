"""Losses, fits, metrics and resamples of labelled logits."""

from collections.abc import Callable
from functools import lru_cache, partial
from itertools import product
from typing import Any

import numpy as np

import softmaxjit
from softmaxjit import calibration

from . import case


@lru_cache(maxsize=1)
def job(operation: str, shape: tuple[int, int], dtype: str) -> Callable[[], Any]:
    """Return a call on logits and labels, the same in every process."""
    _, logits, gradient = case("softmax", shape, dtype)
    labels = np.random.default_rng(1).integers(shape[1], size=shape[0])
    jobs: dict[str, Callable[[], Any]] = {
        "cross_entropy": partial(softmaxjit.cross_entropy, logits, labels),
        "cross_entropy_and_grad": partial(softmaxjit.cross_entropy_and_grad, logits, labels, out=gradient),
        "fit_temperature": partial(calibration.fit_temperature, logits, labels),
        "calibration_error": partial(calibration.expected_calibration_error, logits, labels, from_logits=True),
        "classwise_error": partial(
            calibration.expected_calibration_error, logits, labels, from_logits=True, classwise=True
        ),
    }
    return jobs[operation]


@lru_cache(maxsize=1)
def resampling(metric: str, rows: int) -> Callable[[], Any]:
    """Return a call that takes 2000 resamples of rows."""
    logits = np.random.default_rng(0).standard_normal((rows, 10))
    labels = np.random.default_rng(1).integers(10, size=rows)
    return partial(calibration.bootstrap, getattr(calibration, metric), logits, labels, rng=0, from_logits=True)


class Labelled:
    # See `activations`.
    warmup_time = 2.0
    timeout = 300

    param_names = ("operation", "shape", "dtype")
    params = (
        ("cross_entropy", "cross_entropy_and_grad", "fit_temperature", "calibration_error", "classwise_error"),
        ((1000, 10), (10_000, 1000)),
        ("float32", "float64"),
    )

    def setup_cache(self) -> None:
        """Fill Numba's cache once for each commit, since compiling takes longer than the warm-up."""
        for operation, shape, dtype in product(*self.params):
            self.time_call(operation, shape, dtype)

    def time_call(self, operation: str, shape: tuple[int, int], dtype: str) -> None:
        job(operation, shape, dtype)()


class Resamples:
    warmup_time = 2.0
    timeout = 300

    param_names = ("metric", "rows")
    params = (("expected_calibration_error", "nll"), (1000, 10_000))

    def setup_cache(self) -> None:
        """Fill Numba's cache once for each commit."""
        for metric, rows in product(*self.params):
            self.time_bootstrap(metric, rows)

    def time_bootstrap(self, metric: str, rows: int) -> None:
        resampling(metric, rows)()

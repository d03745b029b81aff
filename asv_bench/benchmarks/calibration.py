"""Losses, fits, metrics and resamples of labelled logits."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

import softmaxjit

from . import FLOATS, Timed, fill_cache, logits


@lru_cache(maxsize=1)
def job(operation: str, shape: tuple[int, int], dtype: str) -> Callable[[], Any]:
    """Return a call on logits and labels, the same in every process."""
    x = logits(shape, dtype)
    gradient = np.ones_like(x)
    labels = np.random.default_rng(1).integers(shape[1], size=shape[0])
    calibration = softmaxjit.calibration  # here, as commits before it have none
    jobs: dict[str, Callable[[], Any]] = {
        "cross_entropy": partial(softmaxjit.cross_entropy, x, labels),
        "cross_entropy_and_grad": partial(softmaxjit.cross_entropy_and_grad, x, labels, out=gradient),
        "fit_temperature": partial(calibration.fit_temperature, x, labels),
        "calibration_error": partial(calibration.expected_calibration_error, x, labels, from_logits=True),
        "classwise_error": partial(calibration.expected_calibration_error, x, labels, from_logits=True, classwise=True),
        "nll": partial(calibration.nll, x, labels, from_logits=True),
        # Passes enough for time to be theirs; how many it takes to converge depends on rounding.
        "fit_vector_scaling": partial(calibration.fit_vector_scaling, x, labels, max_iter=10),
        # Resamples so few that most time is the report's own; `Resamples` times those.
        "calibration_report": partial(calibration.calibration_report, x, labels, rng=0, n_resamples=20),
    }
    return jobs[operation]


@lru_cache(maxsize=1)
def resampling(metric: str, rows: int) -> Callable[[], Any]:
    """Return a call that takes 2000 resamples of rows."""
    x = logits((rows, 10), "float64")
    labels = np.random.default_rng(1).integers(10, size=rows)
    calibration = softmaxjit.calibration
    return partial(calibration.bootstrap, getattr(calibration, metric), x, labels, rng=0, from_logits=True)


class Labelled(Timed):
    param_names = ("operation", "shape", "dtype")
    params = (
        (
            "cross_entropy",
            "cross_entropy_and_grad",
            "fit_temperature",
            "calibration_error",
            "classwise_error",
            "nll",
            "fit_vector_scaling",
            "calibration_report",
        ),
        ((1000, 10), (10_000, 1000)),
        FLOATS,
    )

    def setup_cache(self) -> None:
        fill_cache(self)

    setup_cache.timeout = 1800  # seconds for all kernels, on a slow machine

    def time_call(self, operation: str, shape: tuple[int, int], dtype: str) -> None:
        job(operation, shape, dtype)()


class Resamples(Timed):
    param_names = ("metric", "rows")
    params = (("expected_calibration_error", "nll"), (1000, 10_000))

    def setup_cache(self) -> None:
        fill_cache(self)

    setup_cache.timeout = 600

    def time_bootstrap(self, metric: str, rows: int) -> None:
        resampling(metric, rows)()

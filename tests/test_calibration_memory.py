"""What metrics and fits of many rows need beside the input."""

import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softmaxjit import softmax
from softmaxjit.calibration import (
    accuracy,
    bootstrap,
    brier_decomposition,
    brier_score,
    calibration_report,
    expected_calibration_error,
    fit_temperature,
    fit_vector_scaling,
    nll,
    reliability_curve,
)

from .children import run

ROWS = 500_000
LOGITS = np.random.default_rng(0).standard_normal((ROWS, 2)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(2, size=ROWS)
A_BATCH = 3_000_000  # less than a number for each row
A_NUMBER = 8 * ROWS

by_class = partial(expected_calibration_error, classwise=True)
by_mass = partial(expected_calibration_error, binning="mass")


def peak_of(function: Callable[..., Any], *arguments: Any, **options: Any) -> int:
    """Return the most bytes that NumPy held at once beyond what it held before, in a second call."""
    function(*arguments, **options)  # which compiles
    tracemalloc.start()
    try:
        function(*arguments, **options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("metric", [accuracy, nll, brier_score, expected_calibration_error, reliability_curve])
def test_metrics_need_a_batch_whatever_the_layout_and_dtype(metric: Any, from_logits: bool) -> None:
    x = LOGITS if from_logits else softmax(LOGITS)
    apart = np.repeat(x, 2, axis=0)[::2]
    of_yes = LOGITS[:, 0] if from_logits else x[:, 0]
    for predictions in (x, apart, of_yes):
        for labels in (LABELS, LABELS.astype(np.uint8)):
            assert peak_of(metric, predictions, labels, from_logits=from_logits) < A_BATCH


def test_bins_of_each_class_need_a_batch() -> None:
    for metric in (by_class, brier_decomposition):
        for x in (LOGITS, LOGITS[:, 0].copy()):
            assert peak_of(metric, x, LABELS, from_logits=True) < A_BATCH


def test_bins_of_many_classes_take_40_bytes_each() -> None:
    logits, labels = np.zeros((3, 30_000), np.float32), np.arange(3)
    assert 0.9 < peak_of(by_class, logits, labels, from_logits=True) / (40 * 15 * 30_000) < 1.1


def test_copies_of_integers_and_of_other_orders_are_of_one_batch() -> None:
    for x in (LOGITS.astype(np.int64), np.asfortranarray(LOGITS), LOGITS.astype(np.float16)):
        for metric in (expected_calibration_error, by_class, brier_decomposition):
            assert peak_of(metric, x, LABELS, from_logits=True) < A_BATCH


def test_fits_need_nothing_for_each_row() -> None:
    for fit in (fit_temperature, fit_vector_scaling):
        assert peak_of(fit, LOGITS, LABELS) < A_BATCH
        assert peak_of(fit, LOGITS, LABELS, sample_weight=np.ones(ROWS)) < A_BATCH
    soft = softmax(-LOGITS)
    assert A_NUMBER < peak_of(fit_temperature, LOGITS, soft) < A_NUMBER + A_BATCH


def test_what_needs_all_rows_at_once_takes_numbers_for_each() -> None:
    # Which also shows that this way of measuring sees them.
    assert 2 * A_NUMBER < peak_of(by_mass, LOGITS, LABELS, from_logits=True) < 4 * A_NUMBER
    sampled = peak_of(partial(bootstrap, nll), LOGITS, LABELS, from_logits=True, rng=0, n_resamples=2)
    assert 4 * A_NUMBER < sampled < 7 * A_NUMBER
    report = peak_of(calibration_report, LOGITS, LABELS, temperature=2.0, rng=0, n_resamples=2)
    assert 4 * A_NUMBER < report < 5 * A_NUMBER + A_BATCH


def test_compiled_metrics_copy_a_batch(warm_cache: Path) -> None:
    # In a process of its own, by what it held at most: memory of compiled code is not NumPy's.
    script = """
    import json
    from numba import njit
    import numpy as np
    from softmaxjit.calibration import brier_decomposition, expected_calibration_error

    @njit
    def metrics(x, labels):
        brier_decomposition(x, labels, from_logits=True)
        expected_calibration_error(x, labels, from_logits=True, binning="mass")

    def held():
        with open("/proc/self/status") as status:
            return int(status.read().split("VmHWM:")[1].split()[0]) * 1024

    x, labels = np.zeros((1_000_000, 64), np.float32), np.zeros(1_000_000, np.int64)
    x[:, 0] = 1
    metrics(x[:100], labels[:100])
    before = held()
    metrics(x, labels)
    print(json.dumps(held() - before))
    """
    numbers = 7 * 8 * 1_000_000
    assert run(script, warm_cache) < numbers + 64e6 < 4 * 1_000_000 * 64

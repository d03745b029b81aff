"""The plan at each of its boundaries."""

from typing import Any

import numpy as np
import pytest

from softmaxjit._kernels.rescale import LARGEST_TEMPERATURE, SMALLEST_TEMPERATURE
from softmaxjit._plan import KERNELS, PARALLEL_ELEMENTS, Plan, plan

FLOAT32 = np.dtype(np.float32)


def planned(**changes: Any) -> Plan:
    facts = {"operation": "softmax", "dtype": FLOAT32, "rows": 1000, "n": 10, "temperature": 1.0, "threads": None}
    return plan(**{**facts, **changes})


@pytest.mark.parametrize("operation", KERNELS)
def test_each_operation_has_its_kernel(operation: str) -> None:
    chosen = planned(operation=operation)
    assert chosen.kernel is KERNELS[operation]
    assert chosen.kernel.body.__name__ == f"{operation}_rows"
    assert chosen.takes_temperature == (operation != "logsumexp")


def test_parallel_begins_at_the_threshold() -> None:
    rows, n = PARALLEL_ELEMENTS // 16, 16
    assert planned(rows=rows, n=n).parallel
    assert not planned(rows=rows - 1, n=n).parallel


def test_one_row_is_serial_however_long() -> None:
    assert not planned(rows=1, n=100 * PARALLEL_ELEMENTS).parallel
    assert planned(rows=2, n=100 * PARALLEL_ELEMENTS).parallel


@pytest.mark.parametrize(("threads", "parallel"), [(None, True), (1, False), (2, True), (64, True)])
def test_one_thread_asked_for_is_serial(threads: int | None, parallel: bool) -> None:
    assert planned(rows=PARALLEL_ELEMENTS, n=2, threads=threads).parallel == parallel


@pytest.mark.parametrize(
    ("temperature", "rescale"),
    [
        (1.0, False),
        (SMALLEST_TEMPERATURE, False),
        (np.nextafter(SMALLEST_TEMPERATURE, 0), True),
        (LARGEST_TEMPERATURE, False),
        (np.nextafter(LARGEST_TEMPERATURE, np.inf), True),
        (0.0, True),
        (np.inf, True),
    ],
)
def test_temperatures_beyond_the_kernels_go_into_the_rows_first(temperature: float, rescale: bool) -> None:
    assert planned(temperature=temperature).rescale == rescale

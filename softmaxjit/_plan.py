"""Which kernel, serial or parallel: a pure function of facts, with every threshold and its measurement."""

from typing import Any, NamedTuple

import numpy as np

from ._kernels.log_softmax import log_softmax_rows
from ._kernels.logsumexp import logsumexp_rows
from ._kernels.rescale import LARGEST_TEMPERATURE, SMALLEST_TEMPERATURE
from ._kernels.softmax import softmax_rows

KERNELS = {"softmax": softmax_rows, "log_softmax": log_softmax_rows, "logsumexp": logsumexp_rows}

# Elements from which two threads beat one, their start included, whatever the operation and dtype: rows of 256 took 34
# and 30 µs in softmax of float32, 123 and 79 µs in log_softmax of float64 (medians of 300 interleaved calls, two Zen 4
# cores).  At half as many, softmax of float32 gained nothing (22.0 and 22.6 µs).
PARALLEL_ELEMENTS = 1 << 16


class Plan(NamedTuple):
    """What to run."""

    kernel: Any
    dtype: "np.dtype[Any]"
    parallel: bool
    takes_temperature: bool
    rescale: bool  # the temperature first goes into the rows


def plan(operation: str, dtype: "np.dtype[Any]", rows: int, n: int, temperature: float, threads: int | None) -> Plan:
    """Choose for `rows` rows of `n` elements; `threads` is what the user asked for."""
    parallel = threads != 1 and rows > 1 and rows * n >= PARALLEL_ELEMENTS
    rescale = not SMALLEST_TEMPERATURE <= temperature <= LARGEST_TEMPERATURE
    return Plan(KERNELS[operation], dtype, parallel, operation != "logsumexp", rescale)

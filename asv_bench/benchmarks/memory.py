"""How much memory a process needs at most, and that a large softmax needs no second copy of its logits."""

import resource
import sys
from pathlib import Path

import numpy as np

import softmaxjit

from . import fill_cache

SPARE = 64 << 20  # bytes for the kernel, which the call loads with what Numba needs for that, about 50 MB
UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
STATUS = Path("/proc/self/status")


def largest_so_far() -> int:
    """Return the most bytes that this process has had in memory."""
    if STATUS.exists():  # on Linux, where ru_maxrss begins with what the process had that started this one
        return int(STATUS.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT


class Softmax:
    # What asv reports includes Python, NumPy and Numba, about 150 MB, and the arrays: one in place, two with out=.
    timeout = 300

    param_names = ("elements", "row")
    params = ((1_000_000, 100_000_000), (1000, 1_000_000))

    def setup_cache(self) -> None:
        """Compile the kernels in another process, as that takes 100 MB."""
        fill_cache(self)

    setup_cache.timeout = 600

    def peakmem_in_place(self, elements: int, row: int) -> None:
        x = np.ones((elements // row, row), np.float32)
        self._check(x, x)

    def peakmem_into(self, elements: int, row: int) -> None:
        x = np.ones((elements // row, row), np.float32)
        self._check(x, np.ones_like(x))

    def _check(self, x: np.ndarray, out: np.ndarray) -> None:
        """Raise MemoryError, so that the benchmark fails, if the call took more than half as much as the logits."""
        before = largest_so_far()
        softmaxjit.softmax(x, out=out)
        more = largest_so_far() - before
        if more > x.nbytes // 2 + SPARE:
            raise MemoryError(f"{more / 1e6:.0f} MB more for logits of {x.nbytes / 1e6:.0f} MB")


class Metrics:
    """That calibration needs no more than a batch beside its logits."""

    timeout = 300
    param_names = ("operation", "rows")
    params = (
        ("expected_calibration_error", "reliability_curve", "brier_score", "nll", "accuracy", "fit_temperature"),
        (4_000_000, 16_000_000),
    )

    def setup_cache(self) -> None:
        """Compile the kernels in another process, as that takes 100 MB."""
        fill_cache(self)

    setup_cache.timeout = 600

    def peakmem_of_logits(self, operation: str, rows: int) -> None:
        """Raise MemoryError, so that the benchmark fails, if the call took something for each row."""
        x, labels = np.ones((rows, 4), np.float32), np.zeros(rows, np.int64)
        labels[::2] = 1
        x[:, 0] = 2
        function = getattr(softmaxjit.calibration, operation)
        before = largest_so_far()
        function(x, labels, **({} if operation.startswith("fit") else {"from_logits": True}))
        more = largest_so_far() - before
        if more > SPARE:
            raise MemoryError(f"{more / 1e6:.0f} MB more for {rows} rows")

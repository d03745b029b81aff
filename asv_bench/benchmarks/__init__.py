"""Speed of softmaxjit from commit to commit.  Peers are compared by ``softmaxjit bench``, not here."""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

# A cache of compiled code for each commit, set before Numba is imported: one commit must not be timed with the code of
# another.  asv starts a process for each benchmark and round, and all of them share it, so a kernel is compiled once.
_COMMIT = os.environ.get("ASV_COMMIT", "existing")
os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[1] / ".asv" / "env" / "numba-cache" / _COMMIT)

import softmaxjit  # noqa: E402


@lru_cache(maxsize=1)
def case(operation: str, shape: tuple[int, ...], dtype: str) -> tuple[Callable[..., Any], np.ndarray, np.ndarray]:
    """Return the function, the logits, the same in every process, and an array for the result whose pages exist.

    What is timed includes finding them here again, 0.1 µs.
    """
    x = (3 * np.random.default_rng(0).standard_normal(shape)).astype(dtype)
    out = np.ones(shape[:-1] if operation == "logsumexp" else shape, dtype)
    return getattr(softmaxjit, operation), x, out

"""Measure the peers' errors for the third notebook: ``python docs/peers_errors.py``, where they are installed.

The peers are too large to be installed wherever the notebooks run, so ``notebooks/03_numbers.json`` keeps what was
measured, with versions and date.  The logits are those of the notebook, which compares their checksums.
"""

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from softmaxjit._commands.contenders import CONTENDERS
from softmaxjit._commands.problem import Problem, Setting

TARGET = Path(__file__).parents[1] / "notebooks" / "03_numbers.json"
PEERS = ("torch", "onnxruntime", "jax")

Array = np.ndarray[Any, Any]


def logits() -> tuple[Array, Array]:
    """Return the rows of the notebook's two experiments; in the first, those of each size."""
    sizes = 2.0 ** np.arange(-2, 6.5, 0.5)
    unit = np.random.default_rng(0).uniform(-1, 1, (2000, 64))
    confident = np.zeros((41, 10), np.float32)
    confident[:, 0] = np.arange(41) + 0.1
    return (sizes[:, np.newaxis, np.newaxis] * unit).astype(np.float32), confident


def computed(peer: str, operation: str, x: Array) -> tuple[Array, str]:
    """Return what a peer makes of rows, by the call that is timed elsewhere, and its version."""
    calls = CONTENDERS[peer].prepare(Problem(Setting(operation, x.shape, -1, str(x.dtype), 1), x))
    assert calls.allocating is not None  # noqa: S101  all peers have it
    return calls.read(calls.allocating()), import_module(CONTENDERS[peer].modules[0]).__version__


def largest_errors(found: Array, x: Array) -> list[float]:
    """Return the largest error of a softmax in float32 among the rows of each size, in units in the last place."""
    wide = x.astype(np.float64)
    exact = np.exp(wide - wide.max(axis=-1, keepdims=True))
    exact /= exact.sum(axis=-1, keepdims=True)
    errors = np.abs(found - exact) / np.spacing(exact.astype(np.float32))
    errors[exact < np.finfo(np.float32).tiny] = 0  # there float32 itself has fewer digits
    return [round(float(error), 3) for error in errors.max(axis=(1, 2))]


def main() -> int:
    """Measure all, each in a process of its own, since threads are set once in a process; write the file."""
    uniform, confident = logits()
    peers = {}
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
        for peer in PEERS:
            probabilities, version = processes.submit(computed, peer, "softmax", uniform).result()
            logarithms, _ = processes.submit(computed, peer, "log_softmax", confident).result()
            peers[CONTENDERS[peer].title] = {
                "version": version,
                "largest errors of softmax": largest_errors(probabilities, uniform),
                "log-probabilities of the leader": logarithms[:, 0].tolist(),
            }
    checksums = {"uniform": crc32(uniform.tobytes()), "confident": crc32(confident.tobytes())}
    document = {"date": datetime.now(UTC).date().isoformat(), "checksums": checksums, "peers": peers}
    TARGET.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Benchmarks of softmaxjit from commit to commit: what they share.

Operations, dtypes, shapes, peers and oracles are the tables that the command line and the tests read.  They are loaded
from this checkout, while ``softmaxjit`` is the commit that asv installed: asv finds the parameters of a benchmark by
their position, so a table that came with the commit would file the times of one shape under another.
"""

import importlib.util
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

import numpy as np

ROOT = Path(__file__).parents[2]

# A cache of compiled code for each commit, set before Numba is imported: one commit must not be timed with the code of
# another.  asv starts a process for each benchmark and round, and all of them share it, so a kernel is compiled once.
COMMIT = os.environ.get("ASV_COMMIT", "existing")
CACHE = Path(__file__).parents[1] / ".asv" / "env" / "numba-cache" / COMMIT
os.environ["NUMBA_CACHE_DIR"] = str(CACHE)

import numba  # noqa: E402

import softmaxjit  # noqa: E402

# Which benchmarks make asked asv for; asv itself does not tell a suite which of its parameters it is to run.
CHOSEN = re.compile(os.environ.get("BENCH", "."))

# asv sets it in the environments that it builds; in one that exists already it is the number of cores.
THREADS: int = numba.config.NUMBA_NUM_THREADS


def from_this_checkout(path: str) -> ModuleType:
    """Return a module of the checkout that the benchmarks lie in, whichever commit of the package is installed."""
    spec = importlib.util.spec_from_file_location(f"checkout_{Path(path).stem}", ROOT / path)
    assert spec is not None  # noqa: S101
    assert spec.loader is not None  # noqa: S101
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


table = from_this_checkout("softmaxjit/_commands/table.py")

OPERATIONS = table.OPERATIONS
PEERS = tuple(table.PEERS)
FLOATS, HALVES = table.DTYPES[:2], table.DTYPES[2:]
# The first shape of each regime, and a row so short that what is timed is the call.
REGIMES = tuple(shapes[0] for shapes in table.SHAPES.values())
SHAPES = ("10", *REGIMES)


def logits(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return the same logits in every process: normal, and those of a large array repeat after a million."""
    bits = importlib.import_module("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype
    million = 3 * np.random.default_rng(0).standard_normal(min(1_000_003, int(np.prod(shape))))
    return np.resize(million.astype(bits), shape)


@lru_cache(maxsize=1)
def case(operation: str, text: str, dtype: str) -> tuple[Callable[..., Any], tuple[Any, ...], np.ndarray]:
    """Return the function, its arguments, and an array for the result whose pages exist.

    What is timed includes finding them here again, 0.1 µs.
    """
    shape, axis = table.shape_and_axis(text)
    x = logits(shape, dtype)
    out = np.ones_like(x.max(axis=axis) if operation == "logsumexp" else x)
    operands = (x, x) if operation.endswith("_vjp") else (x,)
    return getattr(softmaxjit, operation), (*operands, axis), out


class Timed:
    """How everything is timed, unless its suite says otherwise."""

    # asv counts the calls of a sample after the warm-up.  Where that is shorter than the first call, which makes the
    # logits and loads a kernel from Numba's cache, or where there is a setup() hook (asv issue 966), it makes do with
    # one call a sample.
    warmup_time = 2.0
    # On one thread what counts is how long the processor was ours: with twelve processes for two cores, calls that take
    # 0.5 ms took 3 to 9 ms by the clock.  Threads wait for one another, which only the clock sees.
    timer = time.process_time if THREADS == 1 else time.perf_counter
    # Many short samples rather than a few of 10 ms: the median is then one that nothing interrupted.
    sample_time = 0.002
    repeat = (5, 50, 1.0)  # at least, at most, seconds
    timeout = 120


def fill_cache(suite: Any) -> None:
    """Call everything once that a suite is to measure, since compiling takes longer than the warm-up, and memory.

    A kind of call that a commit does not have yet is missing in the measurement too, where asv says so.  asv asks for
    it again in each round in which commits take turns, so what was done for a commit in an environment is remembered.
    """
    suite_name = f"{type(suite).__module__.removeprefix('benchmarks.')}.{type(suite).__name__}"
    environment = os.environ.get("ASV_ENV_NAME", "existing")
    done = CACHE / f"{suite_name} in {environment} {crc32(CHOSEN.pattern.encode()):x}"
    if done.exists() and COMMIT != "existing":
        return
    for parameters in product(*suite.params):
        for name in dir(suite):
            called = f"{suite_name}.{name}({', '.join(map(repr, parameters))})"
            if name.startswith(("time_", "peakmem_")) and CHOSEN.search(called):
                with suppress(Exception):
                    getattr(suite, name)(*parameters)
    done.parent.mkdir(parents=True, exist_ok=True)
    done.touch()

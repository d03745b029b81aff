"""The kernels that calls from Python run, compiled one after the other before there is a call.

To compile a parallel kernel, or to load it, makes Numba launch its threading layer, which a process that forks later
must not have.  So they are compiled in a process of their own, for the cache alone, beside the serial ones in this.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.core import config

from . import _jit, _threads
from ._cache import NoCache
from ._carriers import CARRIERS
from ._kernels.bins import bin_classes, bin_rows, error_of_classes, parts_of_brier
from ._kernels.bootstrap import draw_rows, resample_bins, resample_masses, resample_means
from ._kernels.cross_entropy import tempered_rows, total_of
from ._kernels.descent import descend
from ._kernels.judgement import judge_answers, judge_logits, judge_probabilities
from ._kernels.likelihood import labelled_distances, likelihood_rows
from ._kernels.rounding import rounded_copy
from ._kernels.targets import CLASSES, PROBABILITIES
from ._kernels.temperature import ONE_FOR_ALL, ONE_FOR_EACH_ROW, ONE_OF_ANY_RANGE
from ._kernels.vector_scaling import vector_scaling_rows
from ._plan import (
    ACROSS,
    COMPILED_DTYPES,
    GROUPED,
    KERNELS,
    LABELLED,
    LINES,
    LONG,
    SHARED,
    SHARED_LINES,
    SHARED_ROW,
    SHORT,
    SLABS,
    WEIGHTED,
    Facts,
    has_lines,
    is_shared,
)
from ._simd.target import vector_bytes

OPERATIONS = tuple(name for name in KERNELS if name not in LABELLED)
OF_LABELS = (*LABELLED, "calibration")
ALL_OPERATIONS = OPERATIONS + OF_LABELS
DTYPES = tuple(dtype.name for dtype in COMPILED_DTYPES)
ALL_DTYPES = (*DTYPES, *CARRIERS)

_OTHER_PROCESS = "from softmaxjit._warmup import compile_parallel; compile_parallel()"


class Task(NamedTuple):
    """A kernel for one kind of arguments."""

    kernel: _jit.Kernel
    dtype: "np.dtype[Any]"
    variant: tuple[numba.types.Type, ...] = ()
    masked: bool = False
    ways: tuple[bool, ...] = (False, True)  # in which calls run it: parallel or not


class Warmed(NamedTuple):
    """A kernel that is ready.

    Attributes
    ----------
    kernel : str
        Its name, and for which arguments it is if not for the plainest.
    dtype : str
        Of the arrays.
    parallel : bool
        Whether it runs on several threads.
    seconds : float
        How long it took to compile or to load.
    compiled : bool
        Whether it was compiled; if not, it was loaded from the cache.
    """

    kernel: str
    dtype: str
    parallel: bool
    seconds: float
    compiled: bool


def tasks(operations: Sequence[str], dtypes: Sequence[str], everything: bool) -> list[Task]:
    """Return what calls without masks, weights and temperatures by row or out of range need, or also what others do."""
    found = []
    for dtype in map(dtype_of, dtypes):
        found += _labelled_tasks(operations, dtype, everything)
        for operation in [operation for operation in operations if operation in OPERATIONS]:
            tables = [table for table in (KERNELS, SHORT, GROUPED, ACROSS, SLABS, LONG) if operation in table]
            for kernel in [table[operation] for table in tables]:
                found += [Task(kernel, dtype, *variant) for variant in _variants(operation, kernel, dtype, everything)]
            if is_shared(Facts(operation, dtype, 1, SHARED_ROW[dtype.itemsize])):
                shared = SHARED[operation]
                variants = _variants(operation, shared, dtype, everything)
                found += [Task(shared, dtype, *variant, ways=(True,)) for variant in variants]
            if has_lines(Facts(operation, dtype, 1, 1, vector_bytes=vector_bytes())):
                for kernel, parallel in ((LINES[operation], False), (SHARED_LINES[operation], True)):
                    variants = _variants(operation, kernel, dtype, everything)
                    found += [Task(kernel, dtype, *variant, ways=(parallel,)) for variant in variants]
            if everything and dtype in COMPILED_DTYPES and operation in WEIGHTED:
                found.append(Task(WEIGHTED[operation], dtype))
    return found + _tasks_of_float64(operations)


def _takes_any_range(kernel: _jit.Kernel, dtype: "np.dtype[Any]") -> bool:
    """Whether a kernel prepares rows for temperatures out of range, and calls of the dtype go there; see `plan`."""
    tiles = (*SHORT.values(), *ACROSS.values(), *SLABS.values())
    rows = [table[operation] for table in (KERNELS, GROUPED) for operation in ("softmax", "log_softmax")]
    return kernel in tiles or (dtype in COMPILED_DTYPES and kernel in rows)


def _labelled_tasks(operations: Sequence[str], dtype: "np.dtype[Any]", everything: bool) -> list[Task]:
    """Return what operations on labelled rows of a dtype need: classes, or with everything also probabilities."""
    is_carried = dtype not in COMPILED_DTYPES  # then computed in copies of float32, where kernels write rows
    extreme = () if is_carried else (ONE_OF_ANY_RANGE,)
    temperatures = (ONE_FOR_ALL, *extreme, ONE_FOR_EACH_ROW) if everything else (ONE_FOR_ALL,)
    labels = (CLASSES, PROBABILITIES) if everything else (CLASSES,)
    of_losses = [(temperature, kind) for temperature in temperatures for kind in labels]
    found = []
    for operation in LABELLED if not is_carried else ("cross_entropy",):
        if operation in operations:
            kernels = [table[operation] for table in (KERNELS, SHORT, GROUPED) if operation in table]
            found += [Task(kernel, dtype, variant) for kernel in kernels for variant in of_losses]
    if everything and not is_carried and {"cross_entropy", "cross_entropy_and_grad"} & {*operations}:
        found += [Task(tempered_rows, dtype, (kind,)) for kind in (ONE_OF_ANY_RANGE, ONE_FOR_EACH_ROW)]
    if "cross_entropy_and_grad" in operations and is_carried:
        found.append(Task(rounded_copy, dtype))
    if "calibration" in operations:
        of_one_kind = (judge_logits, judge_probabilities, likelihood_rows, vector_scaling_rows)
        found += [Task(kernel, dtype) for kernel in of_one_kind]
        found += [Task(labelled_distances, dtype, (kind,)) for kind in labels]
        found += [] if is_carried else [Task(bin_classes, dtype)]
    return found


def _tasks_of_float64(operations: Sequence[str]) -> list[Task]:
    """Return what operations on labelled rows need whatever the dtype of these."""
    found = [Task(total_of, np.dtype(np.float64), ways=(False,))] if {*OF_LABELS} & {*operations} else []
    if "calibration" in operations:
        alone = (bin_rows, error_of_classes, parts_of_brier, descend, draw_rows, judge_answers)
        found += [Task(kernel, np.dtype(np.float64), ways=(False,)) for kernel in alone]
        found += [Task(kernel, np.dtype(np.float64)) for kernel in (resample_means, resample_bins, resample_masses)]
    return found


def dtype_of(name: str) -> "np.dtype[Any]":
    """Return the dtype of a name; that of bfloat16 is ml_dtypes'."""
    # The module comes with whatever makes such arrays.
    return np.dtype(importlib.import_module("ml_dtypes").bfloat16 if name == "bfloat16" else name)


def _variants(
    operation: str, kernel: _jit.Kernel, dtype: "np.dtype[Any]", everything: bool
) -> list[tuple[tuple[numba.types.Type, ...], bool]]:
    """Return for which temperatures a kernel of an operation is called, each without and with a mask."""
    temperatures: list[tuple[numba.types.Type, ...]] = [()]
    if operation != "logsumexp":
        extreme = (ONE_OF_ANY_RANGE,) if _takes_any_range(kernel, dtype) else ()
        kinds = (ONE_FOR_ALL, *extreme, ONE_FOR_EACH_ROW) if everything else (ONE_FOR_ALL,)
        temperatures = [(kind,) for kind in kinds]
    masks = (False, True) if everything and not operation.endswith("_vjp") else (False,)
    return [(temperature, masked) for temperature in temperatures for masked in masks]


def warm(task: Task, *, parallel: bool) -> Warmed:
    """Compile a kernel, or load it."""
    kernel, dtype, variant, masked, _ = task
    start = time.perf_counter()
    dispatcher = kernel.compiled(dtype, *variant, parallel=parallel, masked=masked)
    seconds = time.perf_counter() - start
    by_row = ONE_FOR_EACH_ROW in variant
    soft = PROBABILITIES in variant
    any_range = ONE_OF_ANY_RANGE in variant
    kinds = ["a temperature for each row"] * by_row + ["a temperature of any range"] * any_range
    kinds += ["probabilities as labels"] * soft + ["masked"] * masked
    kind = ", ".join(kinds)
    name = f"{kernel.body.__name__} ({kind})" if kind else kernel.body.__name__
    return Warmed(name, dtype.name, parallel, seconds, compiled=not dispatcher.stats.cache_hits)


def warmed(operations: Sequence[str], dtypes: Sequence[str], everything: bool) -> Iterator[Warmed]:
    """Yield what is ready; from the other process too, if there is one."""
    other = _other_process(operations, dtypes, everything) if has_parallel() else None
    try:
        for task in tasks(operations, dtypes, everything):
            if False in task.ways:
                yield warm(task, parallel=False)
        if other is not None:
            for line in other.stdout or ():
                yield Warmed(**json.loads(line))
            if other.wait() != 0:
                raise RuntimeError(
                    f"the process that compiles parallel kernels ended with exit status {other.returncode}"
                )
    finally:
        if other is not None:
            other.kill()
            other.communicate()


def has_parallel() -> bool:
    """Whether parallel kernels can be used here, and be compiled for the cache by another process."""
    can_start = bool(sys.executable) and not getattr(sys, "frozen", False)
    if config.NUMBA_NUM_THREADS == 1 or not can_start or not _threads.layer_is_safe():
        return False
    try:
        _jit.cache_directory()
    except NoCache:
        return False
    return True


def _other_process(operations: Sequence[str], dtypes: Sequence[str], everything: bool) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # noqa: S603  this very interpreter
        # It imports what this process would: from the working directory only if that is among this one's paths.
        [sys.executable, "-P", "-c", _OTHER_PROCESS, json.dumps([operations, dtypes, everything])],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def compile_parallel() -> None:
    """Do the other process's part, and print each kernel that is ready."""
    for task in [task for task in tasks(*json.loads(sys.argv[1])) if True in task.ways]:
        print(json.dumps(warm(task, parallel=True)._asdict()), flush=True)

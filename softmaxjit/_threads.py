"""Whether a call may run in parallel now, and on how many threads.

``prange`` is entered only where it can neither abort nor hang the process: Numba's OpenMP or TBB layer, in the process
that launched it, and by one of our callers at a time.  Elsewhere a call is serial.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numba
from numba.core import config

_busy = threading.Lock()
_launched_by: int | None = None  # the process whose threads the layer owns


def _reset_after_fork() -> None:
    global _busy
    _busy = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def layer_is_safe() -> bool:
    """Whether the layer that Numba has launched, or would launch, survives concurrent callers."""
    try:
        return numba.threading_layer() in ("omp", "tbb")
    except ValueError:  # not launched yet
        return _loadable_layer() in ("omp", "tbb")


def _loadable_layer() -> str:
    """Return the layer that Numba would launch, without launching it."""
    wanted = str(config.THREADING_LAYER)
    if wanted in ("omp", "tbb", "workqueue"):
        return wanted
    for module, name in (("tbbpool", "tbb"), ("omppool", "omp")):
        if name in config.THREADING_LAYER_PRIORITY and _imports(f"numba.np.ufunc.{module}"):
            return name
    return "workqueue"


def _imports(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True


@contextmanager
def parallel_threads(requested: int | None) -> Iterator[int]:
    """Give the number of threads to use; 1 where parallel work is unsafe or already under way."""
    global _launched_by
    limit = config.NUMBA_NUM_THREADS
    in_launcher = _launched_by in (None, os.getpid())
    if limit == 1 or not in_launcher or not layer_is_safe() or not _busy.acquire(blocking=False):
        yield 1
        return
    try:
        _launched_by = os.getpid()
        before = numba.get_num_threads()
        threads = before if requested is None else min(requested, before)
        if threads == before:
            yield threads
            return
        numba.set_num_threads(threads)
        try:
            yield threads
        finally:
            numba.set_num_threads(before)
    finally:
        _busy.release()

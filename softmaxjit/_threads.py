"""Whether a call may run in parallel now, and on how many threads.

``prange`` is entered only where it can neither abort nor hang the process: Numba's OpenMP or TBB layer, in the process
that launched it, and by one of our callers at a time.  Elsewhere a call is serial.
"""

import functools
import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numba
from numba.core import config

# Layers that Numba tries for each name of NUMBA_THREADING_LAYER, in its order; "omp" and the like stand for themselves.
_CANDIDATES = {
    "default": tuple(config.THREADING_LAYER_PRIORITY),
    "threadsafe": ("tbb", "omp"),
    "forksafe": ("tbb", "workqueue"),
    "safe": ("tbb",),
}
_MODULES = {"tbb": "tbbpool", "omp": "omppool", "workqueue": "workqueue"}

_busy = threading.Lock()
_home = os.getpid()  # the only process that may have the layer's threads


def _launched_layer() -> str | None:
    try:
        return str(numba.threading_layer())
    except ValueError:
        return None


def _reset_after_fork() -> None:
    global _busy, _home
    _busy = threading.Lock()
    # Threads do not survive a fork.  A layer launched before it, by whomever, would abort or hang in this process.
    if _launched_layer() is None:
        _home = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def layer_name() -> str | None:
    """Return the name of the layer that Numba has launched, or would launch; None where Numba would raise."""
    return _launched_layer() or _loadable_layer()


def layer_is_safe() -> bool:
    """Whether that layer survives concurrent callers."""
    return layer_name() in ("omp", "tbb")


def _loadable_layer() -> str | None:
    """Return the layer that Numba would launch, without launching it; None where Numba would raise."""
    wanted = str(config.THREADING_LAYER).lower()
    return next((layer for layer in _CANDIDATES.get(wanted, (wanted,)) if _loads(layer)), None)


@functools.cache
def _loads(layer: str) -> bool:
    try:
        importlib.import_module(f"numba.np.ufunc.{_MODULES[layer]}")
    except (KeyError, ImportError):
        return False
    return True


@contextmanager
def parallel_threads(requested: int | None) -> Iterator[int]:
    """Give the number of threads to use; 1 where parallel work is unsafe or already under way."""
    if (
        config.NUMBA_NUM_THREADS == 1
        or os.getpid() != _home
        or not layer_is_safe()
        or not _busy.acquire(blocking=False)
    ):
        yield 1
        return
    try:
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

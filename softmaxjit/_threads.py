"""Whether a call may enter Numba's threading layer now, and on how many threads it may run.

``prange`` is entered only where it can neither abort nor hang the process: on the OpenMP or TBB layer, in the process
that launched it, and by one of our callers at a time, out of few.  The other callers share a pool of our own.
"""

import functools
import importlib
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import numba
from numba.core import config
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel as numba_parallel

# Layers that Numba tries for each name of NUMBA_THREADING_LAYER, in its order; "omp" and the like stand for themselves.
_CANDIDATES = {
    "default": tuple(config.THREADING_LAYER_PRIORITY),
    "threadsafe": ("tbb", "omp"),
    "forksafe": ("tbb", "workqueue"),
    "safe": ("tbb",),
}
_MODULES = {"tbb": "tbbpool", "omp": "omppool", "workqueue": "workqueue"}

# OpenMP keeps a team of threads for each thread that ever entered it, as long as that lives: 16 callers on 64 cores
# would leave a thousand.  Two are enough for a program that calls from its main thread and from one other.
MOST_TEAMS = 2


class _Team:
    """What the layer keeps for one calling thread."""


_teams: weakref.WeakSet[_Team] = weakref.WeakSet()  # of threads that live
_own = threading.local()  # the team of this thread

_busy = threading.Lock()  # held by who is on the layer
_callers: set[object] = set()  # those outside
_home = os.getpid()  # the only process that may have the layer's threads


def _launched_layer() -> str | None:
    try:
        return str(numba.threading_layer())
    except ValueError:
        return None


def _reset_after_fork() -> None:
    global _busy, _home, _own, _teams
    _busy, _own, _teams = threading.Lock(), threading.local(), weakref.WeakSet()
    _callers.clear()
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
    """Whether a layer can be loaded; found out under the lock that a fork waits for.

    A child forked meanwhile would wait for ever to import the same: in it Python renews the lock of all imports, but
    not that of each module.
    """
    try:
        with global_compiler_lock:
            importlib.import_module(f"numba.np.ufunc.{_MODULES[layer]}")
    except (KeyError, ImportError):
        return False
    return True


def _launch() -> None:
    """Launch the layer, if it is not, under the lock that a fork waits for.

    Numba holds a lock of its own meanwhile, which would stay locked in a child.
    """
    if _launched_layer() is None:
        with global_compiler_lock:
            numba.get_num_threads()


@contextmanager
def layer_threads(requested: int | None) -> Iterator[int]:
    """Give the number of threads to use on the layer; 1 where entering it is unsafe, or others are there already."""
    if (
        config.NUMBA_NUM_THREADS == 1
        or os.getpid() != _home
        or not layer_is_safe()
        or not _busy.acquire(blocking=False)
    ):
        yield 1
        return
    try:
        _launch()
        before = numba.get_num_threads()
        threads = before if requested is None else min(requested, before)
        if threads > 1 and not _has_team():
            threads = 1
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


def _has_team() -> bool:
    """Whether this thread has a team, or may have one now."""
    if not hasattr(_own, "team"):
        if len(_teams) >= MOST_TEAMS:
            return False
        _own.team = _Team()
        _teams.add(_own.team)
    return True


@contextmanager
def pool_threads(requested: int | None) -> Iterator[int]:
    """Give the number of threads to use outside the layer, which is not launched for that."""
    caller = object()
    try:
        _callers.add(caller)
        # With as many callers as cores, each is fastest alone.
        threads = max(1, _available_threads() // (len(_callers) + _busy.locked()))
        yield threads if requested is None else min(requested, threads)
    finally:
        _callers.discard(caller)


def _available_threads() -> int:
    """Return Numba's current number of threads, or that of the cores if that is less."""
    threads = int(config.NUMBA_NUM_THREADS)
    if _launched_layer() is not None:  # else nobody has asked for another number
        # Not get_num_threads: that takes a lock, which another thread may have held when this process was forked.
        threads = min(threads, numba_parallel._get_num_threads())
    if hasattr(os, "sched_getaffinity"):  # the process may have been confined to some cores since Numba was imported
        threads = min(threads, len(os.sched_getaffinity(0)))
    return threads

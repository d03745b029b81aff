"""A small pool of threads for the parts of a large call, where Numba's threading layer may not be entered.

Caller and workers take parts, one after another, until none is left.  So a caller waits only for parts that a worker is
running, never for a worker that is busy, was not started, or was lost in a fork; with none at all the call is serial.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue

Part = Callable[[], None]


class _Call:
    """The parts of one call, and who is running them."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._parts = iter(parts)  # of a list, which any number of threads may draw from
        self._running = 0  # workers
        self._changed = threading.Condition()
        self._error: BaseException | None = None

    def lead(self) -> None:
        """Run parts until none is left, wait for the workers, and raise what any of them raised."""
        try:
            self._run_parts()
        finally:
            self._end()
        if self._error is not None:
            raise self._error

    def help(self) -> None:
        """Run parts until none is left; for workers, so whatever is raised is the caller's."""
        with self._changed:
            self._running += 1
        try:
            self._run_parts()
        except BaseException as error:
            self._error = error
            self._abandon()
        with self._changed:
            self._running -= 1
            self._changed.notify()

    def _run_parts(self) -> None:
        for part in self._parts:
            part()

    def _abandon(self) -> None:
        for _ in self._parts:
            pass

    def _end(self) -> None:
        """Wait for the workers, whatever interrupts it: they write to memory that the caller may reuse."""
        interrupt = None
        while True:
            try:
                self._abandon()
                with self._changed:
                    self._changed.wait_for(lambda: not self._running)
                break
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


class _Pool:
    """Workers that are started as they are needed, and wait for calls to help with."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the workers: threads do not survive a fork, and what they held stays locked."""
        self._calls: SimpleQueue[_Call] = SimpleQueue()
        self._starting = threading.RLock()  # for calls that a signal's handler or the end of an object makes meanwhile
        self._workers = 0

    def run(self, parts: Sequence[Part], threads: int) -> None:
        """Run all parts on at most so many threads, of which the caller's is one.

        Parts run in any order; they must not use the pool themselves, nor wait for a lock that the caller may hold.
        """
        call = _Call(parts)
        for _ in range(self._helpers(min(threads, len(parts)) - 1)):
            self._calls.put(call)
        call.lead()

    def _helpers(self, wanted: int) -> int:
        """Return how many workers there are of those wanted, having started what can be started."""
        if sys.is_finalizing():  # a new thread would never begin, and the old ones have stopped
            return 0
        with self._starting:
            while self._workers < wanted:
                try:
                    # A daemon, so that the interpreter does not wait for it at its end.
                    threading.Thread(target=self._work, name="softmaxjit", daemon=True).start()
                except RuntimeError:  # no more threads, because of a limit or of the interpreter's end
                    break
                self._workers += 1
            return min(wanted, self._workers)

    def _work(self) -> None:
        while True:
            self._calls.get().help()


_pool = _Pool()
run = _pool.run

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.reset)

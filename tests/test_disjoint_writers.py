"""Threads that write neighbouring rows of one buffer: nothing beside one's own rows is written, not even as it was."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from softmaxjit import log_softmax, log_softmax_vjp, logsumexp, softmax, softmax_vjp

from .exact import assert_same_bits

CALLS = 500

Write = Callable[[np.ndarray, np.ndarray], Any]  # of x and what it writes to


def in_place(x: np.ndarray, out: np.ndarray) -> None:
    out[...] = x
    softmax(out, out=out)


WRITES: dict[str, Write] = {
    "softmax": lambda x, out: softmax(x, out=out),
    "softmax in place": in_place,
    "softmax through the full path": lambda x, out: softmax(x, out=out, threads=1),
    "softmax of masked rows": lambda x, out: softmax(x, where=x < 1, out=out),
    "softmax at extreme temperatures": lambda x, out: softmax(x, temperature=1e-30, out=out),
    "softmax across": lambda x, out: softmax(x, 0, out=out),
    "log_softmax": lambda x, out: log_softmax(x, out=out),
    "log_softmax across": lambda x, out: log_softmax(x, 0, out=out),
    "logsumexp": lambda x, out: logsumexp(x, out=out.reshape(-1)[: len(x)]),
    "softmax_vjp": lambda x, out: softmax_vjp(x, x, out=out),
    "log_softmax_vjp": lambda x, out: log_softmax_vjp(x, x, out=out),
}


class Buffer:
    """Rows of several threads, one part after the other, with a mark before, between and behind them.

    Marks and rows share vectors and lines of the cache.
    """

    def __init__(self, parts: int, rows: int, n: int, dtype: Any) -> None:
        size = rows * n + 1
        self.memory = np.zeros(parts * size + 1, dtype)
        self.parts = [self.memory[k * size + 1 : (k + 1) * size].reshape(rows, n) for k in range(parts)]
        self.marks = self.memory[::size]

    def lost_marks(self, busy: Callable[[], bool]) -> int:
        """Change the marks as long as something else is written; return how often one was not what it was left as."""
        lost = 0
        step = np.zeros(self.marks.size, self.marks.dtype)
        while busy():
            step = (step + 1) % 512
            self.marks[...] = step
            for _ in range(5):
                lost += int((self.marks != step).sum())
        return lost


def wrong_in(buffer: Buffer, x: list[np.ndarray], write: Write, enough: Callable[[int], bool]) -> tuple[int, int]:
    """Return how many marks were lost, and how many results were wrong, with a thread writing each part."""
    expected = []
    for rows, part in zip(x, buffer.parts, strict=True):
        own = np.zeros_like(part)
        write(rows, own)
        expected.append(own)
    together = threading.Barrier(len(x) + 1)
    wrong = []

    def work(k: int) -> None:
        together.wait()
        done = 0
        while not enough(done):
            write(x[k], buffer.parts[k])
            wrong.extend([k] if buffer.parts[k].tobytes() != expected[k].tobytes() else [])
            done += 1

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(x))]
    for thread in threads:
        thread.start()
    together.wait()
    lost = buffer.lost_marks(lambda: any(thread.is_alive() for thread in threads))
    return lost, len(wrong)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("name", WRITES)
def test_nothing_is_written_beside_the_rows_of_a_thread(name: str, dtype: Any) -> None:
    for rows, n in ((3, 7), (9, 5), (3, 37)):
        x = list(np.random.default_rng(n).standard_normal((2, rows, n)).astype(dtype))
        assert wrong_in(Buffer(2, rows, n, dtype), x, WRITES[name], lambda done: done >= CALLS) == (0, 0)


def test_what_is_written_back_as_it_was_is_found() -> None:
    buffer = Buffer(1, 3, 7, np.float64)

    def with_neighbours(x: np.ndarray, out: np.ndarray) -> None:
        if out.base is not buffer.memory:
            softmax(x, out=out)
            return
        around = buffer.memory.copy()
        softmax(x, out=around[1:-1].reshape(x.shape))
        buffer.memory[...] = around

    clock = threading.Event()
    timer = threading.Timer(1.0, clock.set)
    timer.start()
    x = [np.random.default_rng(0).standard_normal((3, 7))]
    lost, _ = wrong_in(buffer, x, with_neighbours, lambda _: clock.is_set())
    assert lost > 0


# Parts of a parallel call meet within a line of the cache, and within a vector.
SHARED: dict[str, Callable[..., Any]] = {
    "short rows": lambda **k: softmax(X.reshape(-1, 7)[:12_001], **k),
    "rows": lambda **k: log_softmax(X.reshape(-1, 37)[:2501], **k),
    "across": lambda **k: softmax(X[: 71 * 1001].reshape(71, 1001), 0, **k),
    "across, a line cut": lambda **k: softmax(X[: 71 * 1040].reshape(71, 1040), 0, **k),
    "across, uneven lines": lambda **k: softmax(X[: 5 * 100 * 141].reshape(5, 100, 141), 1, **k),
    "across, few neighbours": lambda **k: softmax(X[: 12_001 * 7 // 35 * 35].reshape(-1, 7, 5), 1, **k),
    "across, one number each": lambda **k: logsumexp(X[: 71 * 1001].reshape(71, 1001), 0, **k),
    "one long row": lambda **k: softmax(X[:98_311], **k),
    "sums of short rows": lambda **k: logsumexp(X.reshape(-1, 7)[:12_001], **k),
}
X = np.random.default_rng(0).standard_normal(7 * 37 * 400).astype(np.float32)


@pytest.mark.parametrize("name", SHARED)
def test_threads_of_one_call_do_not_write_each_others_rows(name: str) -> None:
    expected = SHARED[name](threads=1)
    for _ in range(30):
        assert_same_bits(SHARED[name](threads=2), expected)

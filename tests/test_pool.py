"""The pool: every part once, nothing left running, no waiting for workers that are not at work; and the same bits."""

import contextlib
import gc
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from softmaxjit import _pool, _run, _threads, log_softmax, log_softmax_vjp, logsumexp, softmax, softmax_vjp
from softmaxjit._plan import POOL_ELEMENTS

SECONDS = 30  # for a hang


@pytest.fixture
def pool() -> Any:
    return _pool._Pool()


def parts_that_note(number: int, noted: list[int]) -> list[Callable[[], None]]:
    return [lambda k=k: noted.append(k) for k in range(number)]  # type: ignore[misc]


# ------------------------------------------------------------------------------------------------------------ the pool


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("number", [0, 1, 2, 100])
def test_every_part_runs_once(pool: Any, number: int, threads: int) -> None:
    noted: list[int] = []
    for _ in range(20):
        noted.clear()
        pool.run(parts_that_note(number, noted), threads)
        assert sorted(noted) == list(range(number))
    assert pool._workers == max(0, min(threads, number) - 1)


def test_parts_run_at_the_same_time(pool: Any) -> None:
    together = threading.Barrier(3, timeout=SECONDS)
    pool.run([together.wait] * 3, 3)


def test_what_a_worker_raises_is_raised_in_the_caller_and_ends_the_call(pool: Any) -> None:
    caller = threading.current_thread()
    raising = threading.Event()
    by_the_caller = []

    def part() -> None:
        if threading.current_thread() is not caller:
            raising.set()
            raise MemoryError("of a worker")
        assert raising.wait(SECONDS)
        by_the_caller.append(True)
        threading.Event().wait(0.1)

    with pytest.raises(MemoryError, match="of a worker"):
        pool.run([part] * 50, 2)
    assert len(by_the_caller) == 1
    noted: list[int] = []
    pool.run(parts_that_note(9, noted), 2)  # the worker is still there
    assert sorted(noted) == list(range(9))
    assert pool._workers == 1


def test_what_the_caller_raises_waits_for_the_workers(pool: Any) -> None:
    caller = threading.current_thread()
    begun, ended = threading.Event(), []

    def part() -> None:
        if threading.current_thread() is caller:
            assert begun.wait(SECONDS)
            raise ValueError("of the caller")
        begun.set()
        threading.Event().wait(0.1)
        ended.append(True)

    with pytest.raises(ValueError, match="of the caller"):
        pool.run([part] * 5, 2)
    assert ended == [True]


class Interrupt(Exception):  # noqa: N818 - as KeyboardInterrupt
    pass


@pytest.fixture
def interrupted_by() -> Iterator[int]:
    """Return a signal that raises Interrupt in the main thread."""

    def interrupt(*_: Any) -> None:
        raise Interrupt

    signal.signal(signal.SIGUSR1, interrupt)
    yield signal.SIGUSR1
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # which would end the process if it came late


def test_an_interrupt_waits_for_the_workers(pool: Any, interrupted_by: int) -> None:
    """They write to memory that the caller may use for something else afterwards."""
    caller = threading.current_thread()
    begun, ended = threading.Event(), []

    def part() -> None:
        if threading.current_thread() is caller:
            assert begun.wait(SECONDS)
            return
        begun.set()
        for _ in range(3):
            threading.Event().wait(0.1)
            signal.pthread_kill(caller.ident or 0, interrupted_by)
        threading.Event().wait(0.1)
        ended.append(True)

    with pytest.raises(Interrupt):
        pool.run([part] * 2, 2)
    assert ended == [True]


def test_nobody_waits_for_a_worker_that_is_busy(pool: Any) -> None:
    begun, go_on, ended = threading.Barrier(3, timeout=SECONDS), threading.Event(), []

    def blocked() -> None:
        begun.wait()
        go_on.wait(SECONDS)
        ended.append(True)

    other = threading.Thread(target=pool.run, args=([blocked] * 2, 2))
    other.start()
    begun.wait()
    noted: list[int] = []
    pool.run(parts_that_note(5, noted), 2)
    assert noted == list(range(5))
    assert ended == []
    go_on.set()
    other.join()


def test_without_more_threads_the_caller_runs_all(pool: Any, monkeypatch: Any) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    noted: list[int] = []
    pool.run(parts_that_note(5, noted), 4)
    assert noted == list(range(5))


def test_a_call_may_be_made_while_workers_are_started(pool: Any, monkeypatch: Any) -> None:
    """By what the interpreter runs wherever it is: a signal's handler, or the end of an object."""
    start = threading.Thread.start
    noted: list[int] = []

    def start_and_call(thread: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        assert pool._starting.acquire(timeout=SECONDS)  # as the call does, without a limit
        pool._starting.release()
        pool.run(parts_that_note(5, noted), 2)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_and_call)
    pool.run(parts_that_note(5, noted), 2)
    assert sorted(noted) == sorted([*range(5)] * 2)


def test_nothing_of_a_call_is_kept(pool: Any) -> None:
    arrays = [np.zeros(3) for _ in range(8)]
    kept = [weakref.ref(array) for array in arrays]
    pool.run([lambda array=array: array.fill(1) for array in arrays], 3)
    del arrays
    gc.collect()
    assert [reference() for reference in kept] == [None] * 8


# --------------------------------------------------------------------------------------------------- rows in the pool


def test_parts_are_whole_pieces_and_together_all_of_them() -> None:
    x, each = np.arange(60.0), np.arange(10)
    for number in (1, 2, 3, 10, 64):
        parts = _run.parts_of((x, 6, None, each), 10, number)
        assert len(parts) == min(number, 10)
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), x)
        np.testing.assert_array_equal(np.concatenate([part[3] for part in parts]), each)
        assert all(part[0].size == 6 * part[3].size and part[1:3] == (6, None) for part in parts)
        assert max(part[3].size for part in parts) - min(part[3].size for part in parts) <= 1
        for part in parts:
            part[0].fill(number)  # a view
        assert (x == number).all()
        x = np.arange(60.0)


@pytest.fixture
def calls(monkeypatch: Any) -> list[tuple[int, int]]:
    """Keep calls off the threading layer; return a list to which those that take the pool add parts and threads."""
    counts: list[tuple[int, int]] = []
    pool = _pool._Pool()

    def run(parts: Any, threads: int) -> None:
        counts.append((len(parts), threads))
        pool.run(parts, threads)

    monkeypatch.setattr(_pool, "run", run)
    monkeypatch.setattr(_threads, "layer_threads", lambda _: contextlib.nullcontext(1))
    monkeypatch.setattr(_threads, "pool_threads", lambda threads: contextlib.nullcontext(min(3, threads or 3)))
    return counts


def sample(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(shape) * 4).astype(dtype)


def assert_the_same_bits(calls: list[tuple[int, int]], function: Any, *args: Any, **options: Any) -> None:
    serial = function(*args, **options, threads=1)
    assert calls == []
    assert function(*args, **options).tobytes() == serial.tobytes()
    assert len(calls) == 1
    calls.clear()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", [softmax, log_softmax, logsumexp])
def test_the_pool_gives_the_bits_of_one_thread(calls: Any, function: Any, dtype: Any) -> None:
    for shape in ((1000, 333), (30000, 10), (3, 99999)):
        assert_the_same_bits(calls, function, sample(shape, dtype))
    assert_the_same_bits(calls, function, sample((5, 300, 200), dtype), 1)


@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_masks_and_temperatures_go_with_their_rows(calls: Any, function: Any) -> None:
    x = sample((1000, 333), np.float32)
    where = np.random.default_rng(1).random(x.shape) > 0.3
    tau = np.linspace(0.1, 3, 1000)[:, None]
    assert_the_same_bits(calls, function, x, where=where, temperature=tau)
    tau[::7] = 0  # which is prepared for
    assert_the_same_bits(calls, function, x, where=where, temperature=tau)


def test_weights_and_signs_go_with_their_rows(calls: Any) -> None:
    x = sample((1000, 333), np.float64)
    assert_the_same_bits(calls, lambda x, **options: np.stack(logsumexp(x, return_sign=True, **options)), x)
    weights = sample(x.shape, np.float64)
    both = lambda x, **options: np.stack(logsumexp(x, b=weights, return_sign=True, **options))  # noqa: E731
    assert_the_same_bits(calls, both, x)


def test_halves_are_shared_out_as_they_are(calls: Any) -> None:
    assert_the_same_bits(calls, softmax, sample((1000, 333), ml_dtypes.bfloat16))


@pytest.mark.parametrize("function", [softmax_vjp, log_softmax_vjp])
def test_cotangents_go_with_their_rows(calls: Any, function: Any) -> None:
    p = softmax(sample((1000, 333), np.float32), threads=1)
    assert_the_same_bits(calls, function, p, sample(p.shape, np.float32), temperature=np.linspace(1, 2, 1000)[:, None])


def test_in_place_is_in_place(calls: Any) -> None:
    x = sample((1000, 333), np.float32)
    expected = softmax(x, threads=1)
    assert softmax(x, out=x) is x
    assert len(calls) == 1
    np.testing.assert_array_equal(x, expected)


def test_only_large_calls_take_the_pool_and_the_number_of_threads_is_heeded(calls: Any) -> None:
    x = sample((POOL_ELEMENTS // 64, 64), np.float32)
    softmax(x[1:])
    softmax(x, threads=1)
    assert calls == []
    softmax(x)
    softmax(np.tile(x, (2, 1)), threads=2)
    softmax(np.tile(x, (9, 1)), threads=2)
    assert calls == [(2, 3), (4, 2), (4, 2)]


def test_a_call_that_is_granted_no_other_thread_does_not_take_the_pool(calls: Any, monkeypatch: Any) -> None:
    x = sample((POOL_ELEMENTS // 16, 64), np.float32)
    expected = softmax(x, threads=1)
    monkeypatch.setattr(_threads, "pool_threads", lambda _: contextlib.nullcontext(1))
    np.testing.assert_array_equal(softmax(x), expected)
    assert calls == []


def test_rows_that_cannot_be_cut_are_one_part(calls: Any) -> None:
    x = sample((POOL_ELEMENTS // 32, 32), np.float32)
    softmax(x.reshape(1, -1))
    assert calls == []
    softmax(x, 0)
    assert calls == [(1, 3)]


def test_callers_share_the_cores(monkeypatch: Any) -> None:
    monkeypatch.setattr(_threads, "_available_threads", lambda: 8)
    with _threads.pool_threads(None) as alone, _threads.pool_threads(None) as second, _threads._busy:
        with _threads.pool_threads(None) as beside_the_layer, _threads.pool_threads(1) as last:
            pass
        many = [_threads.pool_threads(None) for _ in range(9)]
        crowded = [each.__enter__() for each in many]
        for each in many:
            each.__exit__(None, None, None)
    assert (alone, second, beside_the_layer, last, crowded[-1]) == (8, 4, 2, 1, 1)
    with _threads.pool_threads(None) as alone:
        assert alone == 8


def test_kernels_are_compiled_before_the_pool_comes_in(calls: Any, monkeypatch: Any) -> None:
    """Compiling takes a lock, which the caller may hold while waiting for workers."""
    caller, elsewhere = threading.current_thread(), []
    compiled = _run.Kernel.compiled

    def recorded(self: Any, *args: Any, **options: Any) -> Any:
        elsewhere.append(threading.current_thread() is not caller)
        return compiled(self, *args, **options)

    monkeypatch.setattr(_run.Kernel, "compiled", recorded)
    softmax(sample((1000, 333), np.float32), temperature=np.linspace(1, 2, 1000)[:, None])
    softmax(sample((1001, 333), np.float32))  # of a shape that is new to the direct way
    assert len(calls) == 2
    assert len(elsewhere) >= 2
    assert not any(elsewhere)

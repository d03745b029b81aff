"""Threads, forks and threading layers: right values, no hang, no abort, and the same bits everywhere."""

import threading
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from llvmlite import binding

from softmaxjit import log_softmax, logsumexp, softmax

from .children import finish, run, start


def large(dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((700, 333)).astype(dtype) * 5


@pytest.mark.parametrize("function", [softmax, log_softmax, logsumexp])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_number_of_threads_gives_the_same_bits(function: Any, dtype: Any) -> None:
    x = large(dtype)
    serial = function(x, threads=1)
    for threads in (None, 2, 64):
        assert function(x, threads=threads).tobytes() == serial.tobytes()


def test_numbas_number_of_threads_is_left_as_it_was() -> None:
    before = numba.get_num_threads()
    numba.set_num_threads(max(1, before - 1))
    try:
        softmax(large(), threads=2)
        softmax(large(), threads=1)
        assert numba.get_num_threads() == max(1, before - 1)
    finally:
        numba.set_num_threads(before)


def test_eight_python_threads_at_once_get_the_right_values() -> None:
    x = large()
    inputs = [x + np.float32(k) for k in range(8)]
    expected = [softmax(each, threads=1) for each in inputs]
    together = threading.Barrier(8)
    wrong = []

    def call(k: int) -> None:
        together.wait()
        wrong.extend(k for _ in range(5) if not np.array_equal(softmax(inputs[k]), expected[k]))

    callers = [threading.Thread(target=call, args=(k,)) for k in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


HEADER = """
import hashlib, json, os, sys, threading
import numba
import numpy as np
from numba import prange
from softmaxjit import log_softmax, logsumexp, softmax
x = np.random.default_rng(0).standard_normal((700, 333)).astype(np.float32) * 5

def launched():
    try:
        return numba.threading_layer()
    except ValueError:
        return None
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache of this module's own, which its children fill one after another."""
    return tmp_path_factory.mktemp("cache")


def test_large_calls_from_within_a_users_parallel_loop_are_right(cache: Path) -> None:
    script = """
    @numba.njit(parallel=True)
    def caller(x, out):
        for block in prange(4):
            with numba.objmode():
                softmax(x[block], out=out[block])

    blocks = np.stack([x + np.float32(k) for k in range(4)])
    out = np.zeros_like(blocks)
    caller(blocks, out)
    print(json.dumps(bool(np.array_equal(out, softmax(blocks, threads=1)))))
    """
    assert run(HEADER + dedented(script), cache) is True


# What a child says of its own result, in its exit status: 0 where it is right.
FORK = """
expected = softmax(x, threads=1)

def in_child(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def call():
    return int(not np.array_equal(softmax(x), expected))

@numba.njit(parallel=True)
def users_own(x):
    total = 0.0
    for i in prange(x.size):
        total += x[i]
    return total
"""


@pytest.mark.parametrize(
    "parallel_use", ["softmax(x)", "users_own(x.ravel())", "None"], ids=["ours", "the users", "none"]
)
@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_children_and_grandchildren_of_a_fork_get_the_right_values(cache: Path, parallel_use: str, layer: str) -> None:
    script = f"""
    {parallel_use}
    child = in_child(call)
    grandchild = in_child(lambda: in_child(call))
    print(json.dumps([child, grandchild, call()]))
    """
    assert run(HEADER + FORK + dedented(script), cache, NUMBA_THREADING_LAYER=layer) == [0, 0, 0]


def test_a_child_that_was_forked_while_another_thread_compiled_does_not_wait_for_it(cache: Path) -> None:
    script = """
    import time
    from numba.core import event

    compiling = threading.Event()

    class Listener(event.Listener):
        def on_start(self, event):
            compiling.set()

        def on_end(self, event):
            pass

    event.register("numba:compile", Listener())
    thread = threading.Thread(target=softmax, args=(x[:2],))
    thread.start()
    compiling.wait()
    child = os.fork()
    if child == 0:
        os._exit(int(not np.isfinite(logsumexp(x[0]))))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    thread.join()
    print(json.dumps(status))
    """
    assert run(HEADER + dedented(script), cache, SOFTMAXJIT_CACHE="0") == 0


def test_a_child_that_was_forked_during_a_call_gets_the_right_values(cache: Path) -> None:
    script = """
    stop = False

    def keep_calling():
        while not stop:
            softmax(x)

    softmax(x)
    callers = [threading.Thread(target=keep_calling) for _ in range(2)]
    for caller in callers:
        caller.start()
    codes = [in_child(call) for _ in range(5)]
    stop = True
    for caller in callers:
        caller.join()
    print(json.dumps(codes))
    """
    assert run(HEADER + FORK + dedented(script), cache) == [0] * 5


@pytest.mark.parametrize(
    "settings",
    [
        {"NUMBA_THREADING_LAYER": "workqueue"},
        {"NUMBA_THREADING_LAYER_PRIORITY": "workqueue omp tbb"},
        {"NUMBA_THREADING_LAYER": "forksafe"},
        {"NUMBA_THREADING_LAYER": "OMP"},
        {"NUMBA_THREADING_LAYER": "safe"},
        {"NUMBA_THREADING_LAYER": "nonsense"},
        {"NUMBA_NUM_THREADS": "1"},
    ],
    ids=lambda settings: " ".join(settings.values()),
)
def test_no_threading_layer_aborts_under_four_python_threads(cache: Path, settings: dict[str, str]) -> None:
    script = """
    expected = softmax(x, threads=1)
    together = threading.Barrier(4)
    right = []

    def call():
        together.wait()
        right.extend(bool(np.array_equal(softmax(x, threads=2), expected)) for _ in range(20))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    print(json.dumps([len(right), all(right), launched() in (None, "omp", "tbb")]))
    """
    assert run(HEADER + dedented(script), cache, **settings) == [80, True, True]


def test_a_small_call_launches_no_threading_layer_and_a_large_one_runs_on_it(cache: Path) -> None:
    script = """
    softmax(x[:3])
    softmax(x, threads=1)
    before = launched()
    softmax(x, threads=2)
    print(json.dumps([before, launched()]))
    """
    before, after = run(HEADER + dedented(script), cache, NUMBA_THREADING_LAYER="omp", NUMBA_NUM_THREADS="2")
    assert before is None
    assert after == "omp"


HASHES = """
def hashes(functions, dtypes):
    rng = np.random.default_rng(1)
    found = {}
    for dtype in dtypes:
        for function in functions:
            digest = hashlib.sha256()
            for n in (1, 2, 7, 15, 16, 17, 33, 64, 65, 127, 130, 1000, 3001):
                for scale in (1, 40, 1e4):
                    rows = (rng.standard_normal((9, n)) * scale).astype(dtype)
                    digest.update(function(rows, threads=1).tobytes())
                    digest.update(function(rows, temperature=0.37, threads=1).tobytes())
                    digest.update(function(rows.T.copy(), 0, threads=1).tobytes())
            found[f"{function.__name__} {dtype}"] = digest.hexdigest()
    return found

def worst_error():
    with np.errstate(under="ignore"):
        exact = np.exp(x.astype(np.longdouble) - x.max(axis=-1, keepdims=True))
    exact /= exact.sum(axis=-1, keepdims=True)
    return float((np.abs(softmax(x, threads=1) - exact) / np.spacing(exact.astype(np.float32))).max())
"""


def test_processors_with_fma_give_the_same_bits_and_one_without_the_same_accuracy(cache: Path) -> None:
    features = binding.get_host_cpu_features()
    avx2 = "+avx,+avx2,+fma,+bmi,+bmi2,+sse4.1,+sse4.2,+f16c"
    processors = {
        "haswell": ("avx2", avx2),
        "skylake-avx512": ("avx512vl", f"{avx2},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"),
    }
    script = HEADER + HASHES
    compared = script + 'print(json.dumps(hashes([softmax, log_softmax], ["float32", "float64"])))'
    # Numba takes this machine's features with another processor's name, unless it is told.
    children = [
        start(compared, cache, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=its_features)
        for name, (needed, its_features) in processors.items()
        if features.get(needed)
    ]
    own: dict[str, Any] = {}
    exec(script, own)  # noqa: S102
    expected = own["hashes"]([softmax, log_softmax], ["float32", "float64"])
    assert all(finish(child) == expected for child in children)
    assert run(script + "print(json.dumps(worst_error()))", cache, NUMBA_CPU_NAME="generic") <= 4


def dedented(script: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in script.splitlines())

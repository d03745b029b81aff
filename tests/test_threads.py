"""Threads and threading layers: right values, no hang, no abort, and the same bits everywhere."""

import threading
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from llvmlite import binding

from softmaxjit import log_softmax, logsumexp, softmax
from softmaxjit._threads import MOST_TEAMS

from .children import finish, run, start
from .parallel_scripts import HEADER, LAYERS, dedented

# What is true of every layer is tested on each that loads here.
on_every_layer = pytest.mark.parametrize("layer", LAYERS)


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


@on_every_layer
def test_sixteen_threads_at_once_get_the_right_values_and_bring_few_others(warm_cache: Path, layer: str) -> None:
    """Each of four threads wide, they would be 64 if each had a team, or a pool, of its own."""
    script = """
    def threads():
        return len(os.listdir("/proc/self/task"))

    functions = [softmax, log_softmax, logsumexp, softmax] * 4
    expected = [function(x, threads=1) for function in functions]
    before = threads()
    most = []
    at_rest, done = threading.Barrier(16), threading.Barrier(16, action=lambda: most.append(threads()))
    turn = threading.Lock()

    def caller(function, right):
        def call():
            all_right = all(np.array_equal(function(x), right) for _ in range(10))
            at_rest.wait()
            with turn:  # the layer is free, so that nothing but our limit keeps anyone out
                softmax(x)
            done.wait()  # all teams are there as long as their callers are
            return all_right

        return call

    right = at_once([caller(*pair) for pair in zip(functions, expected)])
    print(json.dumps([all(right), most[0] - before]))
    """
    right, others = run(HEADER + dedented(script), warm_cache, NUMBA_NUM_THREADS="4", **LAYERS[layer])
    assert right
    # The callers, three for each team on the layer, and three workers.
    assert 16 <= others <= 16 + 3 * MOST_TEAMS + 3


@on_every_layer
def test_calls_beside_a_users_own_parallel_functions_are_right(warm_cache: Path, layer: str) -> None:
    """On workqueue only one of these may run at a time, and none of ours beside it."""
    script = f"""
    expected = softmax(x, threads=1)
    flat = x.astype(np.float64).ravel()
    total = users_own(flat)

    def ours():
        return all(np.array_equal(softmax(x), expected) for _ in range(20))

    def theirs():
        return all(np.isclose(users_own(flat), total) for _ in range(100))

    print(json.dumps(all(at_once([ours] * 4 + [theirs] * {1 if layer == "workqueue" else 3}))))
    """
    assert run(HEADER + dedented(script), warm_cache, **LAYERS[layer]) is True


@on_every_layer
def test_large_calls_from_within_a_users_parallel_loop_are_right(warm_cache: Path, layer: str) -> None:
    script = """
    @numba.njit(parallel=True)
    def caller(x, out):
        for block in prange(4):
            with numba.objmode():
                softmax(x[block], out=out[block])

    blocks = np.stack([x + np.float32(k) for k in range(4)])
    out = np.zeros_like(blocks)
    for _ in range(10):
        caller(blocks, out)
    print(json.dumps(bool(np.array_equal(out, softmax(blocks, threads=1)))))
    """
    assert run(HEADER + dedented(script), warm_cache, **LAYERS[layer]) is True


@on_every_layer
def test_calls_from_an_event_loop_are_right(warm_cache: Path, layer: str) -> None:
    script = """
    expected = softmax(x, threads=1)

    async def main():
        return await asyncio.gather(*[asyncio.to_thread(softmax, each) for each in [x] * 30 + [small]])

    *results, of_small = asyncio.run(main())
    right = [np.array_equal(result, expected) for result in results] + [np.array_equal(of_small, expected[:3])]
    print(json.dumps([len(right), all(right)]))
    """
    assert run(HEADER + dedented(script), warm_cache, **LAYERS[layer]) == [31, True]


def test_the_number_of_threads_on_the_layer_is_what_is_asked_for(warm_cache: Path) -> None:
    script = """
    from softmaxjit._threads import layer_threads

    def granted(requested):
        with layer_threads(requested) as number:
            return [number, numba.get_num_threads()]

    first = [granted(requested) for requested in (None, 3, 9)]
    numba.set_num_threads(2)
    print(json.dumps([*first, *[granted(requested) for requested in (None, 1, 9)], numba.get_num_threads()]))
    """
    found = run(HEADER + dedented(script), warm_cache, NUMBA_NUM_THREADS="4", NUMBA_THREADING_LAYER="omp")
    assert found == [[4, 4], [3, 3], [4, 4], [2, 2], [1, 1], [2, 2], 2]


def test_the_number_of_threads_outside_the_layer_is_what_is_asked_for(warm_cache: Path) -> None:
    script = """
    cores = os.sched_getaffinity(0)
    started = []

    def after_calling(**options):
        softmax(x, **options)
        started.append(len(workers()))

    after_calling(threads=1)
    os.sched_setaffinity(0, {min(cores)})
    after_calling()
    os.sched_setaffinity(0, cores)
    numba.set_num_threads(1)
    after_calling()
    numba.set_num_threads(2)
    softmax(small)
    after_calling(threads=9)
    print(json.dumps([started, min(2, len(cores)) - 1, launched()]))
    """
    settings = LAYERS["workqueue"] | {"NUMBA_NUM_THREADS": "2"}
    started, most, layer = run(HEADER + dedented(script), warm_cache, **settings)
    assert started == [0, 0, 0, most]
    assert layer == "workqueue"  # by set_num_threads


def test_outside_the_layer_a_call_does_not_launch_it(warm_cache: Path) -> None:
    script = "softmax(x); print(json.dumps(launched()))"
    assert run(HEADER + script, warm_cache, **LAYERS["workqueue"]) is None


# ------------------------------------------------------------------------------------------------- the end of a process


@on_every_layer
def test_a_process_may_end_while_daemons_are_inside(warm_cache: Path, layer: str) -> None:
    script = """
    def keep_calling():
        while True:
            softmax(x)

    softmax(x)
    for _ in range(4):
        threading.Thread(target=keep_calling, daemon=True).start()
    time.sleep(0.3)
    print(json.dumps(True))
    """
    assert run(HEADER + dedented(script), warm_cache, **LAYERS[layer]) is True


@pytest.mark.parametrize("others", [True, False], ids=["with others", "alone"])
@on_every_layer
def test_calls_at_the_end_of_a_process_are_right(warm_cache: Path, layer: str, others: bool) -> None:
    """From a thread that outlives the main one, from atexit, and when the interpreter is already being taken apart."""
    script = f"""
    results = []

    # What is global may be gone at the end, and nothing can be imported.
    def check(results=results, softmax=softmax, x=x, expected=softmax(x, threads=1).tobytes()):
        results.append(softmax(x).tobytes() == expected)

    def outlive():
        threading.main_thread().join()
        check()

    class Last:
        def __del__(self, results=results, check=check, finalizing=sys.is_finalizing, write=os.write):
            check()
            write(1, str([int(finalizing()), *map(int, results)]).encode())

    last = Last()
    if {others}:
        check()
        atexit.register(check)
        threading.Thread(target=outlive).start()
    """
    right = run(HEADER + dedented(script), warm_cache, **LAYERS[layer])
    assert right == [1] * (5 if others else 2)


# ------------------------------------------------------------------------------------------------------------- settings


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
def test_no_threading_layer_aborts_under_four_python_threads(warm_cache: Path, settings: dict[str, str]) -> None:
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
    assert run(HEADER + dedented(script), warm_cache, **settings) == [80, True, True]


def test_a_small_call_launches_no_threading_layer_and_a_large_one_runs_on_it(warm_cache: Path) -> None:
    script = """
    softmax(x[:3])
    softmax(x, threads=1)
    before = launched()
    softmax(x, threads=2)
    print(json.dumps([before, launched()]))
    """
    before, after = run(HEADER + dedented(script), warm_cache, NUMBA_THREADING_LAYER="omp", NUMBA_NUM_THREADS="2")
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


def test_processors_with_fma_give_the_same_bits_and_one_without_the_same_accuracy(warm_cache: Path) -> None:
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
        start(compared, warm_cache, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=its_features)
        for name, (needed, its_features) in processors.items()
        if features.get(needed)
    ]
    own: dict[str, Any] = {}
    exec(script, own)  # noqa: S102
    expected = own["hashes"]([softmax, log_softmax], ["float32", "float64"])
    assert all(finish(child) == expected for child in children)
    assert run(script + "print(json.dumps(worst_error()))", warm_cache, NUMBA_CPU_NAME="generic") <= 4

"""Forks and other child processes, whatever threads there were: right values, no hang, no kill."""

from pathlib import Path

import pytest

from .children import run
from .parallel_scripts import FORK, HEADER, LAYERS, dedented

on_every_layer = pytest.mark.parametrize("layer", LAYERS)


@pytest.mark.parametrize(
    "parallel_use", ["softmax(x)", "users_own(x.ravel())", "None"], ids=["ours", "the users", "none"]
)
@on_every_layer
def test_children_and_grandchildren_of_a_fork_get_the_right_values(
    warm_cache: Path, parallel_use: str, layer: str
) -> None:
    script = f"""
    {parallel_use}
    child = in_child(call)
    grandchild = in_child(lambda: call() or in_child(call))
    print(json.dumps([child, grandchild, call()]))
    """
    assert run(HEADER + FORK + dedented(script), warm_cache, **LAYERS[layer]) == [0, 0, 0]


@on_every_layer
def test_a_child_has_workers_of_its_own(warm_cache: Path, layer: str) -> None:
    """The layer is launched in the parent alone, and its pool is lost to the child."""
    script = """
    def right_and_with_workers():
        return call() + 2 * (len(workers()) != min(2, len(os.sched_getaffinity(0))) - 1)

    users_own(x.ravel())
    call()
    print(json.dumps([in_child(right_and_with_workers), in_child(lambda: in_child(right_and_with_workers))]))
    """
    settings = LAYERS[layer] | {"NUMBA_NUM_THREADS": "2"}
    assert run(HEADER + FORK + dedented(script), warm_cache, **settings) == [0, 0]


def test_a_child_that_was_forked_while_another_thread_compiled_does_not_wait_for_it(warm_cache: Path) -> None:
    script = """
    from numba.core import event

    compiling = threading.Event()

    class Listener(event.Listener):
        def on_start(self, event):
            compiling.set()

        def on_end(self, event):
            pass

    event.register("numba:compile", Listener())
    thread = threading.Thread(target=softmax, args=(small,))
    thread.start()
    compiling.wait()
    child = os.fork()
    if child == 0:
        os._exit(int(not np.isfinite(logsumexp(x[0]))))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    thread.join()
    print(json.dumps(status))
    """
    assert run(HEADER + dedented(script), warm_cache, SOFTMAXJIT_CACHE="0") == 0


def test_a_child_that_was_forked_while_another_thread_imported_the_layer_does_not_wait_for_it(
    warm_cache: Path,
) -> None:
    script = """
    import importlib.machinery
    import sys
    import time
    from softmaxjit import _threads

    importing = threading.Event()

    class SlowLoader(importlib.machinery.ExtensionFileLoader):
        def create_module(self, spec):
            importing.set()
            time.sleep(1)
            return super().create_module(spec)

    class Finder(importlib.machinery.PathFinder):
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            spec = super().find_spec(name, path, target) if name == "numba.np.ufunc.omppool" else None
            if spec is not None:
                spec.loader = SlowLoader(spec.loader.name, spec.loader.path)
            return spec

    sys.meta_path.insert(0, Finder)
    thread = threading.Thread(target=_threads.layer_is_safe)
    thread.start()
    importing.wait()
    child = in_child(lambda: not _threads.layer_is_safe())
    thread.join()
    print(json.dumps(child))
    """
    assert run(HEADER + FORK + dedented(script), warm_cache, **LAYERS["omp"]) == 0


def test_a_child_that_was_forked_while_another_thread_launched_the_layer_does_not_wait_for_it(
    warm_cache: Path,
) -> None:
    """Numba holds a lock of its own meanwhile, which would stay locked in the child."""
    script = """
    import multiprocessing
    launching, get_start_method = threading.Event(), multiprocessing.get_start_method

    def take_a_while():
        launching.set()
        time.sleep(0.5)
        return get_start_method()

    multiprocessing.get_start_method = take_a_while
    thread = threading.Thread(target=softmax, args=(x,))
    thread.start()
    launching.wait()
    code = in_child(call)
    thread.join()
    print(json.dumps([code, launched()]))
    """
    assert run(HEADER + FORK + dedented(script), warm_cache, **LAYERS["omp"]) == [0, "omp"]


@on_every_layer
def test_a_child_that_was_forked_during_calls_gets_the_right_values(warm_cache: Path, layer: str) -> None:
    script = """
    stop = False

    def keep_calling():
        while not stop:
            softmax(x)

    softmax(x)
    callers = [threading.Thread(target=keep_calling) for _ in range(3)]
    for caller in callers:
        caller.start()
    codes = [in_child(call) for _ in range(20)]
    stop = True
    for caller in callers:
        caller.join()
    print(json.dumps(codes), flush=True)
    os._exit(0)  # without the notice of Numba's TBB layer about such forks, which C still has to write
    """
    assert run(HEADER + FORK + dedented(script), warm_cache, **LAYERS[layer]) == [0] * 20


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@on_every_layer
def test_pools_of_processes_get_the_right_values(warm_cache: Path, layer: str, method: str) -> None:
    """What is called there is the library's own: a function of this script could not be found by a spawned child."""
    script = f"""
    import multiprocessing
    softmax(x)
    users_own(x.ravel())
    inputs = [x, x + 1, x * 2, x[::-1]]
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        results = pool.map(softmax, inputs, chunksize=1)
        pool.close()  # else the workers are killed wherever they are
        pool.join()
    print(json.dumps([bool(np.array_equal(*pair)) for pair in zip(results, map(softmax, inputs))]))
    """
    assert run(HEADER + dedented(script), warm_cache, **LAYERS[layer]) == [True] * 4

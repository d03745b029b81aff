"""Memory of large arrays is used again, and never while anything refers to it."""

import copy
import ctypes
import gc
import mmap
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
import pytest
from numba import njit

from softmaxjit import cross_entropy_and_grad, log_softmax, logsumexp, softmax, softmax_vjp
from softmaxjit._recycled import FREE, HUGE, LARGE_BYTES, LARGEST_KEPT, MOST_KEPT, _kept, new_array, new_copy

from .children import run

MB = 1 << 20
F32 = np.dtype(np.float32)
SHAPE = (LARGE_BYTES // 4 // 512, 512)  # of float32, just large enough
X = np.random.default_rng(0).standard_normal(SHAPE, dtype=F32)

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    gc.collect()
    _kept.clear()
    yield
    gc.collect()
    _kept.clear()


def address(array: Array) -> int:
    return int(array.ctypes.data)


def of_bytes(size: int) -> Array:
    return new_array((size,), np.dtype(np.uint8))


def sizes_kept() -> list[int]:
    """Return how many MiB each has, the oldest first."""
    return [len(mapping) // MB for mapping in _kept]


def test_what_is_freed_is_used_again() -> None:
    first = new_array(SHAPE, F32)
    place = address(first)
    del first
    assert sizes_kept() == [LARGE_BYTES // MB]
    second = new_array((LARGE_BYTES // 8,), np.dtype(np.float64))
    assert address(second) == place
    assert sizes_kept() == []


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.longdouble, np.bool_])
def test_they_are_like_others(dtype: Any) -> None:
    dtype = np.dtype(dtype)
    shape = (LARGE_BYTES // dtype.itemsize // 64, 8, 8)
    array = new_array(shape, dtype)
    array[...] = 1
    assert (array.shape, array.dtype) == (shape, dtype)
    assert array.flags.carray
    assert not array.flags.owndata
    array.flags.writeable = False
    array.flags.writeable = True
    assert bool((array[::999] == 1).all())


def test_copies_are_in_order_and_native() -> None:
    x = np.arange(LARGE_BYTES // 4, dtype=">f4").reshape(-1, 512).T
    copy = new_copy(x, F32)
    assert copy.flags.carray
    assert copy.dtype == F32
    assert not copy.flags.owndata
    assert np.array_equal(copy, x)


def test_smaller_and_much_larger_ones_own_their_memory() -> None:
    for size in (0, 10, LARGE_BYTES - 1, LARGEST_KEPT + 1):
        assert of_bytes(size).flags.owndata
    assert sizes_kept() == []
    assert softmax(X[:-1]).flags.owndata
    for size in (LARGE_BYTES, LARGEST_KEPT):
        assert not of_bytes(size).flags.owndata
    assert sizes_kept() == [LARGE_BYTES // MB, LARGEST_KEPT // MB]


def test_the_last_that_were_freed_are_kept() -> None:
    first, second, third = (of_bytes(k * 40 * MB) for k in (1, 2, 3))
    del second, first, third
    assert sizes_kept() == [40, 120]
    assert MOST_KEPT == 2


@pytest.mark.parametrize(
    ("kept", "wanted", "left"),
    [
        ([40], 42, [40]),  # too small
        ([40], 40, []),
        ([50], 40, []),
        ([52], 40, [52]),  # a waste
        ([80, 40], 40, [80]),  # the smallest that fits, whichever is older
        ([40, 80], 40, [80]),
        ([40, 60], 50, [40]),
        ([60, 40], 50, [40]),
        ([40, 44], 90, [40, 44]),  # in the order in which they were freed
    ],
)
def test_one_that_fits_is_used(kept: list[int], wanted: int, left: list[int]) -> None:
    arrays = [of_bytes(size * MB) for size in kept]
    for k in range(len(kept)):
        arrays[k] = None
    assert sizes_kept() == kept
    array = of_bytes(wanted * MB)
    assert sizes_kept() == left
    assert array.nbytes == wanted * MB


@njit
def tail(x):
    return x[1:]


def unpickled(array: Array) -> Any:
    buffers: list[pickle.PickleBuffer] = []
    return pickle.loads(pickle.dumps(array, 5, buffer_callback=buffers.append), buffers=buffers)  # noqa: S301  our own


def in_a_cycle(array: Array) -> list[Any]:
    cycle = [array]
    cycle.append(cycle)
    return cycle


HOLDERS: dict[str, Callable[[Array], Any]] = {
    "view": lambda y: y[1:],
    "view of a view": lambda y: y[1:].reshape(-1)[5:].view(np.uint8)[::7],
    "transposed": lambda y: y.T,
    "one element": lambda y: y[-1:, -1],
    "asarray": lambda y: np.asarray(y)[1:],
    "base": lambda y: y.base,
    "memoryview": memoryview,
    "bytes of a memoryview": lambda y: np.frombuffer(memoryview(y).cast("B"), np.uint8, 10),
    "DLPack": lambda y: y.__dlpack__(),
    "from DLPack": np.from_dlpack,
    "out-of-band pickle": pickle.PickleBuffer,
    "unpickled": unpickled,
    "ctypes pointer": lambda y: y.ctypes.data_as(ctypes.c_void_p),
    "ctypes array": np.ctypeslib.as_ctypes,
    "iterator": lambda y: y.flat,
    "broadcast": lambda y: np.broadcast_to(y, (3, *y.shape)),
    "subclass": lambda y: y.view(np.recarray)[1:],
    "masked array": lambda y: np.ma.asarray(y)[1:],
    "records": lambda y: y.view([("a", "f4"), ("b", "f4")])["b"],
    "compiled code": tail,
    "cycle": in_a_cycle,
}


@pytest.mark.parametrize("holds", HOLDERS.values(), ids=HOLDERS)
def test_whatever_refers_to_it_keeps_it(holds: Callable[[Array], Any]) -> None:
    array = new_array(SHAPE, F32)
    place = address(array)
    holder = holds(array)
    del array
    gc.collect()
    assert sizes_kept() == []
    other = new_array(SHAPE, F32)
    assert abs(address(other) - place) >= LARGE_BYTES
    del holder
    gc.collect()
    assert sizes_kept() == [LARGE_BYTES // MB]
    assert address(new_array(SHAPE, F32)) == place


def test_the_kernel_may_take_what_is_kept() -> None:
    def lazily_free() -> int:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("LazyFree:"))

    array = of_bytes(LARGE_BYTES)
    array.fill(1)
    before = lazily_free()
    del array
    assert lazily_free() - before > 0.9 * LARGE_BYTES  # some pages wait, with others, to be counted
    of_bytes(LARGE_BYTES).fill(1)


class Refusing(mmap.mmap):
    refused: int | None

    def madvise(self, option: int, *args: int) -> None:
        if option == self.refused:
            raise OSError
        super().madvise(option, *args)


class WithoutLazyFreeing(Refusing):
    refused = FREE


class WithoutHugePages(Refusing):
    refused = HUGE


def test_what_the_kernel_could_not_take_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, "mmap", WithoutLazyFreeing)
    assert not of_bytes(LARGE_BYTES).flags.owndata
    assert sizes_kept() == []


def test_pages_may_be_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, "mmap", WithoutHugePages)
    assert not of_bytes(LARGE_BYTES).flags.owndata
    assert sizes_kept() == [LARGE_BYTES // MB]


class Recording(mmap.mmap):
    asked: ClassVar[list[int]] = []

    def madvise(self, option: int, *args: int) -> None:
        self.asked.append(option)
        super().madvise(option, *args)


def test_pages_are_huge_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, "mmap", Recording)
    of_bytes(LARGE_BYTES + 1)
    assert Recording.asked == [HUGE, FREE]
    assert sizes_kept() == [LARGE_BYTES // MB + 2]


def test_an_owner_has_no_copy() -> None:
    """Which would free the memory of the array a second time."""
    array = of_bytes(LARGE_BYTES)
    owner = array.base.base if isinstance(array.base, np.ndarray) else array.base
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="copy the array"):
            attempt(owner)
    gc.collect()
    assert sizes_kept() == []


def test_without_mappings_memory_is_numpys(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_keywords: Any) -> None:
        raise OSError

    monkeypatch.setattr(mmap, "mmap", refuse)
    assert of_bytes(LARGE_BYTES).flags.owndata


def test_a_platform_without_any_of_it_has_numpys_memory() -> None:
    script = """
    import json, mmap
    import numpy as np
    for name in dir(mmap):
        if name.startswith("MA"):
            delattr(mmap, name)
    from softmaxjit._recycled import LARGE_BYTES, new_array
    print(json.dumps(new_array((LARGE_BYTES,), np.dtype(np.uint8)).flags.owndata))
    """
    assert run(script, None) is True


def test_what_is_kept_makes_room_where_address_space_is_limited() -> None:
    script = """
    import json, resource
    from pathlib import Path
    import numpy as np
    from softmaxjit._recycled import _kept, new_array

    def pages(megabytes):
        return new_array((megabytes << 20,), np.dtype(np.uint8))

    pages(400)
    kept = len(_kept)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (50 << 20), resource.RLIM_INFINITY))
    size = pages(150).size >> 20
    try:
        pages(450)
    except MemoryError:
        pages(450 - 150)
    print(json.dumps([kept, size, len(_kept)]))
    """
    assert run(script, None) == [1, 150, 1]


def test_absurd_sizes_are_numpys_errors() -> None:
    x = np.broadcast_to(np.float32(0), (1 << 40, 1 << 10))
    with pytest.raises(MemoryError, match="Unable to allocate 4"):
        softmax(x)
    with pytest.raises(MemoryError, match="Unable to allocate 4") as found:
        new_array(x.shape, F32)
    assert found.value.__context__ is None


def test_threads_never_share_memory() -> None:
    wrong: list[int] = []

    def work(own: int) -> None:
        for _ in range(300):
            array = of_bytes(LARGE_BYTES + (own % 2) * MB)
            pages = array[:: 1 << 20]
            pages.fill(own)
            time.sleep(0)
            if not (pages == own).all():
                wrong.append(own)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert 1 <= len(_kept) <= MOST_KEPT


def test_parents_and_children_do_not_see_what_the_other_writes() -> None:
    script = """
    import json, os
    import numpy as np
    from softmaxjit._recycled import LARGE_BYTES, _kept, new_array

    def filled(number):
        array = new_array((LARGE_BYTES,), np.dtype(np.uint8))
        array.fill(number)
        return array

    live, kept = filled(1), filled(2)
    del kept
    to_child, to_parent = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            own = filled(3)
            live.fill(4)
            os.write(to_parent[1], b".")
            os.read(to_child[0], 1)
            right = (own == 3).all() and (live == 4).all() and not _kept
            del live, own
            code = 0 if right and len(_kept) == 2 else 2
        finally:
            os._exit(code)
    own = filled(5)
    os.read(to_parent[0], 1)
    right = bool((own == 5).all() and (live == 1).all() and not _kept)
    live.fill(6)
    os.write(to_child[1], b".")
    print(json.dumps([right, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), int(live[0]), int(own[-1])]))
    """
    assert run(script, None) == [True, 0, 6, 5]


def test_the_interpreter_ends_in_silence_whoever_holds_what() -> None:
    script = """
    import builtins, json, sys, threading
    import numpy as np
    import softmaxjit
    from softmaxjit import _recycled
    from softmaxjit._recycled import LARGE_BYTES, _kept, new_array

    def array():
        return new_array((LARGE_BYTES,), np.dtype(np.uint8))

    class Late:
        def __init__(self):
            self.array, self.itself = array(), self

        def __del__(self, array=array()):
            self.array.fill(1)

    for place in (builtins, sys, np, softmaxjit, _recycled, json, threading):
        place.result, place.late = array(), Late()
    sys.module = _recycled  # which is cleared before
    cycle = [array()]
    cycle.append(cycle)
    result = array()
    threading.Thread(target=threading.Event().wait, args=(1e6,), daemon=True).start()
    array()
    print(json.dumps(len(_kept)))
    """
    assert run(script, None) == 1


CALLS = {
    "softmax": lambda out: softmax(X, out=out),
    "log_softmax": lambda out: log_softmax(X, out=out),
    "softmax_vjp": lambda out: softmax_vjp(X, X, out=out),
    "the gradient of cross_entropy": lambda out: cross_entropy_and_grad(X, np.zeros(len(X), int), out=out)[1],
    "softmax along axis 0": lambda out: softmax(X, 0, out=out),
    "softmax of integers, which are copied": lambda out: softmax(X.view(np.int32)[:, :256], out=out),
    "softmax of float16": lambda out: softmax(X.view(np.float16), out=out),
    "logsumexp": lambda out: logsumexp(np.broadcast_to(X[:, :1, None], (len(X), 512, 2)), out=out),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_results_are_in_memory_of_earlier_ones(call: Callable[[Array | None], Array]) -> None:
    call(None)
    places = {mapping_address(mapping) for mapping in _kept}
    result = call(None)
    assert address(result) in places
    assert not result.flags.owndata
    out = np.empty(result.shape, result.dtype)
    assert call(out) is out
    assert result.tobytes() == out.tobytes()


def test_copies_of_the_input_are_in_such_memory_too() -> None:
    result = softmax(X[::-1])
    assert sizes_kept() == [LARGE_BYTES // MB]
    assert not result.flags.owndata


def mapping_address(mapping: mmap.mmap) -> int:
    return address(np.frombuffer(mapping, np.uint8))


def test_a_result_that_is_there_is_not_overwritten_by_the_next() -> None:
    result, expected = softmax(X), softmax(X).copy()
    for _ in range(3):
        result = softmax(np.log(result))
        assert np.allclose(result, expected, 1e-4, 1e-9)


def test_calls_that_raise_keep_what_they_had_for_others() -> None:
    with pytest.raises(ValueError, match="threads is 0"):
        softmax(X, threads=0)
    gc.collect()
    assert sizes_kept() == [LARGE_BYTES // MB]


def test_out_may_be_an_earlier_result_or_overlap_it() -> None:
    expected = softmax(X, 1)
    x = new_copy(X, F32)
    assert softmax(x, out=x) is x
    assert x.tobytes() == expected.tobytes()
    both = new_array((len(X) + 1, 512), F32)
    both[:-1] = X
    assert softmax(both[:-1], out=both[1:]).tobytes() == expected.tobytes()

"""Collection of garbage is put off where much is made that stays, and is then what it was."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from softmaxjit._garbage import collection_put_off

from .children import run


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    enabled, threshold = gc.isenabled(), gc.get_threshold()
    yield
    (gc.enable if enabled else gc.disable)()
    gc.set_threshold(*threshold)


def collections_of(objects: int) -> int:
    """Return how many collections so many new objects cause."""
    before = sum(generation["collections"] for generation in gc.get_stats())
    kept = [[] for _ in range(objects)]
    assert len(kept) == objects
    return sum(generation["collections"] for generation in gc.get_stats()) - before


def test_it_is_put_off_inside_and_then_what_it_was() -> None:
    gc.enable()
    gc.set_threshold(700, 9, 8)
    assert collections_of(10000) > 0
    with collection_put_off():
        with collection_put_off():
            assert collections_of(10000) == 0
        assert collections_of(10000) == 0
    assert gc.get_threshold() == (700, 9, 8)
    assert collections_of(10000) > 0


def test_an_error_leaves_it_as_it_was() -> None:
    gc.set_threshold(700, 9, 8)
    with pytest.raises(ZeroDivisionError), collection_put_off():
        raise ZeroDivisionError
    assert gc.get_threshold() == (700, 9, 8)


@pytest.mark.parametrize("enabled", [True, False])
def test_what_others_decide_meanwhile_stays(enabled: bool) -> None:
    (gc.disable if enabled else gc.enable)()
    with collection_put_off():
        assert gc.isenabled() == (not enabled)
        (gc.enable if enabled else gc.disable)()
    assert gc.isenabled() == enabled
    with collection_put_off():
        gc.set_threshold(1234, 5, 6)
    assert gc.get_threshold() == (1234, 5, 6)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_child_forked_meanwhile_collects(tmp_path: Path) -> None:
    script = """
    import gc, json, os
    from softmaxjit._garbage import collection_put_off
    gc.set_threshold(700, 9, 8)
    with collection_put_off():
        child = os.fork()
        if child == 0:
            os._exit(gc.get_threshold() != (700, 9, 8))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([status, gc.get_threshold()]))
    """
    assert run(script, tmp_path / "cache") == [0, [700, 9, 8]]


def test_neither_the_import_nor_a_first_call_looks_through_all_objects(tmp_path: Path) -> None:
    script = """
    import gc, json
    import numba.np.arrayobj, numba.np.npyimpl  # what compiling imports is not ours
    seen, before = [], gc.get_threshold()
    gc.collect()
    gc.callbacks.append(lambda phase, information: seen.append(information["generation"]))
    import softmaxjit
    softmaxjit.softmax([1.0, 2.0])
    print(json.dumps([2 in seen, gc.isenabled(), gc.get_threshold() == before]))
    """
    assert run(script, tmp_path / "cache") == [False, True, True]

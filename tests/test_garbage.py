"""Collection of garbage is put off where much is made that stays, and is then what it was."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from softmaxjit._garbage import collection_put_off

from .children import run


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    enabled = gc.isenabled()
    yield
    (gc.enable if enabled else gc.disable)()


@pytest.mark.parametrize("enabled", [True, False])
def test_it_is_off_inside_and_then_what_it_was(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    with collection_put_off():
        with collection_put_off():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() == enabled


def test_an_error_leaves_it_as_it_was() -> None:
    gc.enable()
    with pytest.raises(ZeroDivisionError), collection_put_off():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_neither_the_import_nor_a_first_call_looks_through_all_objects(tmp_path: Path) -> None:
    script = """
    import gc, json
    import numba.np.arrayobj, numba.np.npyimpl  # what compiling imports is not ours
    seen = []
    gc.collect()
    gc.callbacks.append(lambda phase, information: seen.append(information["generation"]))
    import softmaxjit
    softmaxjit.softmax([1.0, 2.0])
    print(json.dumps([2 in seen, gc.isenabled()]))
    """
    assert run(script, tmp_path / "cache") == [False, True]

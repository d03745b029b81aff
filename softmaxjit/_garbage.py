"""Garbage collection, put off while much is made that stays."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

# Objects from which on Python would look for garbage.  It is this that is changed, and not whether collection is on:
# that may be asked and decided elsewhere meanwhile, by another thread, and stays as it is.
_NEVER = 1 << 30

_before = gc.get_threshold()


@contextmanager
def collection_put_off() -> Iterator[None]:
    """Let objects be made without Python's looking through all there are for some that nobody needs.

    A collection during the import took 16 of its 70 ms, those while a first kernel is compiled 0.05 to 0.1 of that
    time, and found nothing.
    """
    global _before  # noqa: PLW0603
    now = gc.get_threshold()
    if now[0] == _NEVER:  # by whoever will end it
        yield
        return
    _before = now
    gc.set_threshold(_NEVER, *now[1:])
    try:
        yield
    finally:
        _put_back()


def _put_back() -> None:
    if gc.get_threshold()[0] == _NEVER:
        gc.set_threshold(*_before)


if hasattr(os, "register_at_fork"):
    # In a child the thread that put it off may not be there.
    os.register_at_fork(after_in_child=_put_back)

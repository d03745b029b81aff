"""Garbage collection, put off while much is made that stays."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_put_off() -> Iterator[None]:
    """Let objects be made without Python's looking through all there are for some that nobody needs.

    A collection during the import took 16 of its 70 ms, those while a first kernel is compiled 0.05 to 0.1 of that
    time, and found nothing.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

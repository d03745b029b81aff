"""Signals that ask for the end, held back while something must not be left half done."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_back(*names: str) -> Iterator[list[int]]:
    """Give a list to which each signal of these names that arrives is added, and does nothing else.

    What the system does not know, or the process ignores (as under nohup), stays as it is.
    """
    arrived: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    heeded = [number for number in numbers if before[number] is not signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, note)
    try:
        yield arrived
    finally:
        for number in heeded:
            signal.signal(number, before[number])


@contextmanager
def interrupted_after() -> Iterator[None]:
    """Raise KeyboardInterrupt, if Ctrl-C asks for it meanwhile, when the block has ended."""
    with held_back("SIGINT") as arrived:
        yield
    if arrived:
        raise KeyboardInterrupt

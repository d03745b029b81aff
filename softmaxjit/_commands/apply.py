"""``softmaxjit apply``: softmax, log_softmax or logsumexp of an array in a file of any size."""

import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from .. import activations
from .._args.values import checked_temperature, result_dtype
from . import CommandError
from .blocks import BlockwiseRun
from .npy_files import read_map, replacement
from .signals import held_back

OPERATIONS: dict[str, Callable[..., Any]] = {
    "softmax": activations.softmax,
    "log_softmax": activations.log_softmax,
    "logsumexp": activations.logsumexp,
}


def apply(source_path: Path, target_path: Path, operation: str, axis: int | None, temperature: float) -> None:
    """Write the result of an operation on one .npy file to another, or to the same.

    SIGINT, SIGTERM and SIGHUP are heeded after each block, and OUT is then as it was.  A block has at most 64 MiB, but
    a row above that is one step.

    Parameters
    ----------
    source_path, target_path : Path
        IN and OUT.  OUT appears, or is replaced, when it is complete; it has the memory order of IN.
    operation : {"softmax", "log_softmax", "logsumexp"}
        What to compute.
    axis : int or None
        Axis of one distribution; None takes all of them.
    temperature : float
        The temperature, 0 to infinity; 1 in logsumexp.

    Raises
    ------
    CommandError
        Something is wrong with the arguments, the files or the disk; or a signal asked for the end, and then the
        status is the shell's, 128 and the number of the signal.
    """
    function = _with_temperature(operation, temperature)
    source = read_map(source_path)
    axes = _checked_axes(axis, source.array.shape, source_path)
    shape = source.array.shape
    if operation == "logsumexp":
        shape = tuple(length for k, length in enumerate(shape) if k not in axes)
    dtype = result_dtype(str(source_path), source.array.dtype)
    directory = Path(os.path.realpath(target_path)).parent
    with (
        _stop_requests() as stop_if_asked,
        np.errstate(over="ignore"),  # float16 results out of its range are infinite; here nobody needs a warning
        replacement(target_path, shape, source.fortran, dtype) as target,
        _progress_bar(source_path.name) as advance,
    ):

        def done(size: int, total: int) -> None:
            advance(size, total)
            stop_if_asked()

        BlockwiseRun(function, source, target, axes, directory, done).run()


def _with_temperature(operation: str, temperature: float) -> Callable[..., Any]:
    if operation == "logsumexp":
        if temperature != 1.0:
            raise CommandError(f"--temperature is {temperature}; logsumexp has none, so accepted is 1", 2)
        return OPERATIONS[operation]
    try:
        return functools.partial(OPERATIONS[operation], temperature=checked_temperature(temperature, (), ()))
    except ValueError as error:
        raise CommandError(f"--{error}", 2) from None


def _checked_axes(axis: int | None, shape: tuple[int, ...], path: Path) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(len(shape)))
    if not -len(shape) <= axis < len(shape):
        accepted = f"{-len(shape)} to {len(shape) - 1} and none" if shape else "none alone"
        raise CommandError(f"--axis is {axis}; {path} has shape {shape}, so accepted are {accepted}", 2)
    return (axis % len(shape),)


@contextmanager
def _stop_requests() -> Iterator[Callable[[], None]]:
    """Give a function that raises if a signal asked for the end; no signal interrupts anything by itself."""
    with held_back("SIGINT", "SIGTERM", "SIGHUP") as arrived:

        def stop_if_asked() -> None:
            if arrived:
                raise CommandError(f"stopped by {signal.Signals(arrived[0]).name}; OUT is as it was", 128 + arrived[0])

        yield stop_if_asked


@contextmanager
def _progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress in bytes on the standard error stream if that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    terminal = sys.stderr is not None and sys.stderr.isatty()  # None: the stream is closed
    with Progress(*columns, console=Console(stderr=True), disable=not terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda size, total: progress.update(task, advance=size, total=total)

"""Files that appear whole or not at all."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from . import CommandError


@contextmanager
def whole_file(path: Path, title: str) -> Iterator[BinaryIO]:
    """Give a file that becomes `path` if all goes well, and vanishes otherwise; `title` names it in errors."""
    destination, temporary = _places(path)
    try:
        with _new_file(temporary, _permissions(title, destination)) as file:
            yield file
            file.flush()
            # A failure to store what was written must be seen before the old file goes.
            os.fsync(file.fileno())
            temporary.replace(destination)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise CommandError(f"cannot write {path}: {error.strerror or error}") from None
        raise


def check_writable(path: Path, title: str) -> None:
    """Raise CommandError if no file can be made or replaced at `path`; leave everything as it is."""
    destination, temporary = _places(path)
    try:
        _new_file(temporary, _permissions(title, destination)).close()
        temporary.unlink()
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from None


def _places(path: Path) -> tuple[Path, Path]:
    """Return where a file is to be in the end and until then, in one directory."""
    destination = Path(os.path.realpath(path))  # a symbolic link stays one
    return destination, destination.with_name(f".softmaxjit-{secrets.token_hex(8)}.tmp")


def _new_file(path: Path, permissions: int) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, permissions), "r+b")


def _permissions(title: str, destination: Path) -> int:
    """Return the permissions of the file that is replaced, so that what was private stays so."""
    if destination.exists() and not destination.is_file():
        raise CommandError(f"{title} is not a regular file; accepted is the name of a file, new or old", 2)
    return stat.S_IMODE(destination.stat().st_mode) if destination.exists() else 0o666

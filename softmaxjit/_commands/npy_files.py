"""Arrays in files: .npy files mapped for reading, and files mapped for writing that appear whole or not at all."""

import errno
import math
import mmap
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np

from .._args.values import REAL, result_dtype
from . import CommandError
from .whole_files import whole_file

Array = np.ndarray[Any, Any]

ACCEPTED = REAL.replace("bfloat16, ", "")  # which .npy files cannot name

# What a file system without the call that reserves space answers.
_NOT_SUPPORTED = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


class Mapped(NamedTuple):
    """An array that lies in a file."""

    array: Array
    fortran: bool
    pages: mmap.mmap | None  # None for an array without elements

    def release(self) -> None:
        """Let go of the pages touched so far; the file keeps them, this process need not."""
        if self.pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.pages.madvise(mmap.MADV_DONTNEED)


def read_map(path: Path) -> Mapped:
    """Map a .npy file for reading; raise CommandError where it is not one with an accepted dtype."""
    try:
        if path.exists() and not path.is_file():
            raise CommandError(f"{path} is not a regular file; accepted is a .npy file")
        with path.open("rb") as file:
            shape, fortran, dtype = _header(path, file)
            offset = file.tell()
            _check_contents(path, shape, dtype, os.fstat(file.fileno()).st_size - offset)
            return _mapped(file, offset, shape, fortran, dtype, mmap.ACCESS_READ)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from None


@contextmanager
def replacement(path: Path, shape: tuple[int, ...], fortran: bool, dtype: "np.dtype[Any]") -> Iterator[Mapped]:
    """Give a mapped array that becomes the .npy file `path` if all goes well, and vanishes otherwise."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": fortran, "shape": shape}
    with whole_file(path, f"OUT {path}") as file:
        np.lib.format.write_array_header_1_0(file, header)
        offset = file.tell()
        _allocate(file, offset + math.prod(shape) * dtype.itemsize)
        written = _mapped(file, offset, shape, fortran, dtype, mmap.ACCESS_WRITE)
        yield written
        # A failure to store what was written must be seen before the old file goes.
        if written.pages is not None:
            written.pages.flush()


@contextmanager
def scratch(directory: Path, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> Iterator[Mapped]:
    """Give a mapped array in a file without a name, which ends with the process at the latest."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            _allocate(file, math.prod(shape) * dtype.itemsize)  # never 0: such arrays need no scratch
            yield _mapped(file, 0, shape, False, dtype, mmap.ACCESS_WRITE)
    except OSError as error:
        raise CommandError(f"cannot write a temporary file in {directory}: {error.strerror}") from None


def _header(path: Path, file: BinaryIO) -> tuple[tuple[int, ...], bool, "np.dtype[Any]"]:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(file)
        if version not in readers:
            raise ValueError(f"format version {version}; accepted are 1.0 and 2.0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the age of a header is no concern of its reader
            shape, fortran, dtype = readers[version](file)
    except OSError:
        raise
    except Exception as error:  # a header is parsed as Python source, which can fail in any way
        reason = str(error).partition("\n")[0]
        raise CommandError(f"{path} is not a .npy file that can be read: {reason}") from None
    return shape, bool(fortran), dtype


def _check_contents(path: Path, shape: tuple[int, ...], dtype: "np.dtype[Any]", available: int) -> None:
    try:
        result_dtype(str(path), dtype)
    except TypeError:
        raise CommandError(f"{path} has dtype {dtype}; accepted are {ACCEPTED}") from None
    if any(length < 0 or isinstance(length, bool) for length in shape):
        raise CommandError(f"{path} is not a .npy file that can be read: its shape is {shape}")
    needed = math.prod(shape) * dtype.itemsize
    if available < needed:
        raise CommandError(
            f"{path} is cut short: shape {shape} and dtype {dtype} make {needed} bytes, and {available} are there"
        )


def _mapped(
    file: BinaryIO, offset: int, shape: tuple[int, ...], fortran: bool, dtype: "np.dtype[Any]", access: int
) -> Mapped:
    order: Literal["F", "C"] = "F" if fortran else "C"
    size = math.prod(shape) * dtype.itemsize
    try:
        if size == 0:
            return Mapped(np.empty(shape, dtype, order), fortran, None)
        pages = mmap.mmap(file.fileno(), offset + size, access=access)
        return Mapped(np.ndarray(shape, dtype, pages, offset, order=order), fortran, pages)
    except (ValueError, OverflowError) as error:
        raise CommandError(f"shape {shape} cannot be an array: {error}") from None


def _allocate(file: BinaryIO, size: int) -> None:
    """Give a file its size and its space on the disk.

    A write to a map that finds the disk full ends the process with SIGBUS; here it is an OSError.
    """
    file.flush()
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except AttributeError:  # not on this system
        _fill(file, size)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        _fill(file, size)


def _fill(file: BinaryIO, size: int) -> None:
    zeros = bytes(1 << 20)
    for start in range(file.seek(0, os.SEEK_END), size, len(zeros)):
        file.write(zeros[: size - start])
    file.flush()

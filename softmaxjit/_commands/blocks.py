"""An operation of the library on an array in a file, block by block, so that memory stays bounded.

Blocks hold whole rows, so each row goes through the kernel that it would go through in memory, and comes out with the
same bits.  Rows that no block can hold are worked on in the file itself; where they do not lie there as kernels take
them, they are first copied, tile by tile, into a scratch file in which they do.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np

from .._args.values import computed_dtype, result_dtype
from .npy_files import Array, Mapped, scratch

BLOCK_BYTES = 64 << 20
PAGE_BYTES = 4096  # the least that is read of a file at a time

Index = tuple[slice | EllipsisType, ...]


class BlockwiseRun:
    """One operation from one mapped array to another.

    Parameters
    ----------
    operation : callable
        ``operation(x, axis=..., out=...)``, one of the library's.
    source, target : Mapped
        The input, and a place for the result, both in C order or both in Fortran order.
    axes : tuple of ints
        The axes of one row, ascending.
    directory : Path
        Where a scratch file may go.
    done : callable
        Called after each block with the bytes of the source that it took and with all that will be taken.
    """

    def __init__(
        self,
        operation: Callable[..., Any],
        source: Mapped,
        target: Mapped,
        axes: tuple[int, ...],
        directory: Path,
        done: Callable[[int, int], None],
    ) -> None:
        x = source.array
        counting = [axis for axis in range(x.ndim) if axis not in axes]  # these count rows; farthest apart comes first
        if source.fortran:
            counting.reverse()
        self._operation = operation
        self._maps = [source, target]
        self._directory = directory
        self._done = done
        self._itemsize = x.itemsize
        self._counting = len(counting)
        self._rows = x.transpose(*counting, *axes)
        self._reduces = target.array.ndim < x.ndim
        if not self._reduces:
            self._results = target.array.transpose(*counting, *axes)
        else:
            self._results = target.array.T if source.fortran else target.array
        self._limit = BLOCK_BYTES // max(x.itemsize, target.array.itemsize)
        # Along these leading axes whole sets of rows follow each other in the file; along the rest rows interleave.
        self._sets = sum(axis > max(axes) if source.fortran else axis < min(axes) for axis in counting)
        self._uses_scratch = x.size > 0 and not self._fits() and not self._can_stay()
        passes = 1 if not self._uses_scratch else 2 if self._reduces else 3
        self._total_bytes = passes * x.nbytes

    def run(self) -> None:
        """Fill the target."""
        if not self._uses_scratch:
            self._run_rows(self._rows, self._results)
            return
        for index in np.ndindex(self._rows.shape[: self._sets]):
            self._run_through_scratch(self._rows[*index, ...], self._results[*index, ...])

    def _fits(self) -> bool:
        """Whether a block of whole rows is small enough, and takes a page or more from each place that it touches."""
        together = math.prod(self._rows.shape[self._sets : self._counting])
        page = max(1, PAGE_BYTES // self._itemsize)
        return bool(math.prod(self._rows.shape[self._counting :]) * min(together, page) <= self._limit)

    def _can_stay(self) -> bool:
        """Whether kernels take each row as it lies in the file."""
        row = self._rows[(0,) * self._counting + (...,)]
        return bool(row.flags.c_contiguous and row.flags.aligned and row.dtype == _kernel_dtype(row.dtype))

    def _run_rows(self, rows: Array, results: Array) -> None:
        """Apply the operation to blocks of whole rows."""
        counting = rows.ndim - (self._rows.ndim - self._counting)
        length = math.prod(rows.shape[counting:])
        axes = tuple(range(counting, rows.ndim))
        for index in _blocks(rows.shape[:counting], self._limit // max(length, 1)):
            block, place = rows[index], results[index]
            if self._reduces:
                place[...] = self._operation(block, axis=axes)
            else:
                self._operation(block, axis=axes, out=place)
            self._advance(block.size)

    def _run_through_scratch(self, rows: Array, results: Array) -> None:
        with scratch(self._directory, rows.shape, _kernel_dtype(rows.dtype)) as copy:
            self._maps.append(copy)
            self._copy(rows, copy.array)
            self._run_rows(copy.array, results if self._reduces else copy.array)
            if not self._reduces:
                self._copy(copy.array, results)
            self._maps.pop()

    def _copy(self, source: Array, target: Array) -> None:
        for index in _tiles(source.shape, self._limit):
            target[index] = source[index]
            self._advance(source[index].size)

    def _advance(self, elements: int) -> None:
        for mapped in self._maps:
            mapped.release()
        self._done(elements * self._itemsize, self._total_bytes)


def _kernel_dtype(dtype: "np.dtype[Any]") -> "np.dtype[Any]":
    """Return the dtype in which the library computes, native."""
    return computed_dtype(result_dtype("x", dtype))


def _blocks(shape: tuple[int, ...], limit: int) -> Iterator[Index]:
    """Cut an array into blocks of at most `limit` elements, but at least one, that are contiguous if it is."""
    lengths = []
    for length in reversed(shape):
        lengths.append(max(1, min(length, limit)))
        limit //= max(1, length)
    return _cut(shape, lengths[::-1])


def _tiles(shape: tuple[int, ...], limit: int) -> Iterator[Index]:
    """Cut an array into blocks of at most `limit` elements, as near to cubes as can be."""
    lengths = list(shape)
    while math.prod(lengths) > max(1, limit):
        longest = lengths.index(max(lengths))
        lengths[longest] = -(-lengths[longest] // 2)
    return _cut(shape, lengths)


def _cut(shape: tuple[int, ...], lengths: list[int]) -> Iterator[Index]:
    sides = [
        [slice(start, start + step) for start in range(0, length, step)]
        for length, step in zip(shape, lengths, strict=True)
    ]
    # The ellipsis makes a view of an array without axes too, where an empty index makes a scalar.
    return ((*index, ...) for index in itertools.product(*sides))

"""Memory for large arrays, which is used again once they are gone.

Smaller ones malloc keeps itself.  Large ones it would take from the kernel each time, which clears page by page what is
written to: softmax of float32 (65536, 512) on one thread would take 44 ms, as against 26 with `out=`, and with memory
from here takes 26 (medians of interleaved calls, an Intel processor with AVX-512).

What is kept here the kernel may have: with MADV_FREE it takes pages when it needs some, but for those that a forked
child has too, and those that it did not need are used again as they are.  No lock is taken, since any thread may free
an array at any moment.
"""

import mmap
from collections import deque
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# At least so large are arrays whose memory glibc returns to the kernel in any case (DEFAULT_MMAP_THRESHOLD_MAX).
LARGE_BYTES = 1 << 25

# What is kept at most, 1 GiB in all.  A loop that replaces a result by the next needs two blocks in turn.
LARGEST_KEPT = 1 << 29
MOST_KEPT = 2

WASTE = 1.25  # how many times as large as an array its memory may be

HUGE_PAGE = 1 << 21

# None where the platform, Windows say, has no such.
FREE: int | None = getattr(mmap, "MADV_FREE", None)
HUGE: int | None = getattr(mmap, "MADV_HUGEPAGE", None)

_kept: deque[mmap.mmap] = deque(maxlen=MOST_KEPT)  # the youngest last; where one too many is added the oldest goes


def new_array(shape: tuple[int, ...], dtype: "np.dtype[Any]") -> Array:
    """Return what `np.empty` returns, but that a large array does not own its memory."""
    nbytes = prod(shape) * dtype.itemsize
    mapping = _mapping(nbytes) if FREE is not None and LARGE_BYTES <= nbytes <= LARGEST_KEPT else None
    if mapping is not None:
        return np.asarray(_Owner(mapping, nbytes)).view(dtype).reshape(shape)
    with suppress(MemoryError):
        return np.empty(shape, dtype)
    _kept.clear()  # which counts where address space is limited
    return np.empty(shape, dtype)


def new_copy(array: Array, dtype: "np.dtype[Any]") -> Array:
    """Return the elements in a new array, aligned and in C order."""
    copy = new_array(array.shape, dtype)
    copy[...] = array
    return copy


class _Owner:
    """What arrays and their views refer to as long as there are any, and then keeps their memory for others.

    It goes when their last one does: arrays tell the collector of garbage nothing of what they refer to.
    """

    __slots__ = ("__array_interface__", "_mapping")

    def __init__(self, mapping: mmap.mmap, nbytes: int) -> None:
        self._mapping = mapping
        self.__array_interface__ = np.frombuffer(mapping, np.uint8, nbytes).__array_interface__

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("memory is not copied; copy the array that is in it")  # else two would free it

    # The defaults are there still when the module is cleared at the end of the interpreter.
    def __del__(self, kept: deque[mmap.mmap] = _kept, free: Any = FREE) -> None:
        try:
            self._mapping.madvise(free)
        except OSError:  # an old kernel, or memory that is locked: to keep it would be to hold it
            return
        kept.append(self._mapping)


def _mapping(nbytes: int) -> mmap.mmap | None:
    """Return memory that nothing refers to, None if there is none."""
    with suppress(OSError):
        return _kept_mapping(nbytes) or _new_mapping(nbytes)
    return None


def _kept_mapping(nbytes: int) -> mmap.mmap | None:
    """Return the smallest kept mapping that fits an array."""
    found: list[mmap.mmap] = []
    with suppress(IndexError):
        while len(found) < MOST_KEPT:
            found.append(_kept.pop())  # so that no other thread has it
    fit = [mapping for mapping in found if nbytes <= len(mapping) <= WASTE * nbytes]
    best = min(fit, key=len, default=None)
    _kept.extend(mapping for mapping in reversed(found) if mapping is not best)
    return best


def _new_mapping(nbytes: int) -> mmap.mmap:
    """Return fresh memory, in huge pages where there are such, as NumPy asks for them."""
    mapping = mmap.mmap(-1, -(-nbytes // HUGE_PAGE) * HUGE_PAGE, flags=mmap.MAP_PRIVATE)
    if HUGE is not None:
        with suppress(OSError):  # a kernel without them
            mapping.madvise(HUGE)
    return mapping

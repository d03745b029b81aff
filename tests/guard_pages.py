"""Memory between two unreadable pages: one element too many, read or written, ends the process."""

import ctypes
import mmap
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Side = Literal["start", "end"]

_UNREADABLE = 0  # PROT_NONE
_BLANK = 0xA5


class GuardedPages:
    """Pages that hold one array at a time, of up to so many bytes."""

    def __init__(self, size: int = 1) -> None:
        guard = mmap.PAGESIZE
        size = -(-size // guard) * guard
        whole = np.frombuffer(mmap.mmap(-1, size + 2 * guard), np.uint8)
        self._pages = whole[guard : guard + size]
        self._place = slice(0, 0)
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        for start in (0, guard + size):
            address = ctypes.c_void_p(whole.ctypes.data + start)
            if protect(address, ctypes.c_size_t(guard), _UNREADABLE) != 0:
                raise OSError(ctypes.get_errno(), "mprotect failed")

    def hold(self, array: Array, side: Side, gap: int = 0) -> Array:
        """Return a copy of an array in these pages, so many bytes from the unreadable page on one side of it."""
        self._pages[:] = _BLANK
        start = gap if side == "start" else self._pages.size - gap - array.nbytes
        self._place = slice(start, start + array.nbytes)
        held = self._pages[self._place].view(array.dtype).reshape(array.shape)
        held[...] = array
        return held

    def is_blank_around(self) -> bool:
        """Whether nothing was written beside the array."""
        around = (self._pages[: self._place.start], self._pages[self._place.stop :])
        return all((part == _BLANK).all() for part in around)

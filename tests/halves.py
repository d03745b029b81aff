"""The two floats of 16 bits, and numbers around which rounding to them may go wrong."""

from typing import Any

import ml_dtypes
import numpy as np

from .vectors import Array

HALVES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))


def every(dtype: Any) -> Array:
    """Return every number of a format, its infinities and its NaN."""
    return np.arange(1 << 16, dtype=np.uint16).view(dtype)


def converted(x: Array, dtype: Any) -> Array:
    """Return x in another dtype, as NumPy or ml_dtypes has it."""
    with np.errstate(all="ignore"):  # overflow, and NaN that signal
        return x.astype(dtype)


def hard_to_round(dtype: Any) -> Array:
    """Return float32 around every number of a format and around the middle between any two, special ones included."""
    exact = converted(every(dtype), np.float64)
    exact = np.unique(exact[np.isfinite(exact)])
    beyond = exact[-1] + (exact[-1] - exact[-2]) / 2  # the middle between the largest number and the next power of two
    middles = np.concatenate([(exact[:-1] + exact[1:]) / 2, [-beyond, beyond]])
    around = np.concatenate([exact, middles]).astype(np.float32)
    around = np.concatenate(
        [around, np.nextafter(around, np.float32(np.inf)), np.nextafter(around, -np.float32(np.inf))]
    )
    patterns = np.random.default_rng(0).integers(0, 1 << 32, 1 << 15, dtype=np.uint32).view(np.float32)
    return np.concatenate([around, patterns, _special()])


def _special() -> Array:
    """Return zeros, infinities, the extremes of float32, and NaN that differ in a single bit."""
    nans = [0x7F80_0000 | 1 << k for k in range(23)] + [0x7FC0_0000, 0x7FFF_FFFF, 0x7F80_1FFF]
    sizes = np.array([0, 1, 2, 0x7F_FFFF, 0x80_0000, 0x7F7F_FFFF, 0x7F80_0000, *nans], np.uint32)
    return np.concatenate([sizes, sizes | np.uint32(1 << 31)]).view(np.float32)


def bits_but_of_nan(x: Array) -> list[int]:
    """Return the bits of numbers, and the same for every NaN."""
    with np.errstate(invalid="ignore"):
        nan = np.isnan(x)
    return np.where(nan, -1, x.view(f"u{x.itemsize}").astype(np.int64)).tolist()

"""How compiled code is handed floats of 16 bits: as the integers of their bits.

Numba cannot index arrays of float16 on the CPU and has no bfloat16.  A kernel takes a view of such an array in its
*carrier* dtype; `_simd.memory` makes float32 of what it loads and rounds what it stores.  The carriers are an unsigned
and a signed integer only so that their types tell the two formats apart.
"""

import functools
from typing import Any

import numpy as np

CARRIERS = {"float16": np.dtype(np.uint16), "bfloat16": np.dtype(np.int16)}  # by the name of the dtype


@functools.lru_cache(maxsize=64)  # a dtype's name takes longer to make than to look the dtype up
def carrier_of(dtype: "np.dtype[Any]") -> "np.dtype[Any]":
    """Return the dtype in which compiled code sees arrays of `dtype`: `dtype` itself but for native 16-bit floats."""
    return CARRIERS.get(dtype.name, dtype) if dtype.isnative else dtype


def carried(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Return the view of an array that a kernel takes; the array itself where it needs none."""
    carrier = carrier_of(array.dtype)
    return array if carrier == array.dtype else array.view(carrier)

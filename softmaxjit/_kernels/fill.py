"""Masked entries of NaN rows: kernels leave them NaN like the others; here they get the value they have elsewhere.

A row of which nothing is left has only such entries.
"""

from typing import Any

import numpy as np
from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import select
from .._simd.masked import MaskedData
from .._simd.memory import lanes, load, load_element, load_part, moved, splat, store, store_part


def fill_lines(x: Any, at: Any, stride: Any, n: Any, length: Any, out: Any, value: Any) -> Any:
    """Give masked entries among `length` neighbours in each of n lines of `out` a value; with None there is no such."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(fill_lines, inline=True)
def _fill_lines(x, at, stride, n, length, out, value):
    if not isinstance(x, MaskedData) or isinstance(value, types.NoneType):
        return lambda x, at, stride, n, length, out, value: None

    def implementation(x, at, stride, n, length, out, value):
        width = lanes(out)
        results = moved(x, out)  # -inf where they are masked, and else only where that is the value
        filling = splat(out, value)
        for _ in range(n):
            i, end = at, at + length
            while i + width <= end:
                v = load(results, i)
                store(out, i, select(v == -np.inf, filling, v))
                i += width
            if i < end:
                v = load_part(results, i, end - i, 0)
                store_part(out, i, end - i, select(v == -np.inf, filling, v))
            at += stride

    return implementation


@helper
def fill_rows(x, first, last, n, out, value):
    """Fill masked entries of NaN rows, known by their first element, among rows `first` to `last - 1`."""
    for row in range(first, last):
        element = load_element(out, row * n)
        if element != element:
            fill_lines(x, row * n, 0, 1, n, out, value)

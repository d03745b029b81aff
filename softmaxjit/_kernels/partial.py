"""Partial sums in the lanes of a vector that lose next to nothing.

Terms of float32 are added in float64; of float64 every rounding error is kept.  ``total`` and ``lost`` are the partial
sums and what is to be added to them in the end.
"""

from typing import Any

from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import add_exactly
from .._simd.lanes import sum_lanes, sum_tree, widen
from .._simd.memory import splat


@helper
def nothing(x):
    """Return partial sums of no terms, and what they have lost: zeros of the sign that LLVM adds for nothing."""
    return widen(splat(x, 0)), splat(x, -0.0)


def add_term(total: Any, lost: Any, e: Any) -> Any:
    """Return partial sums, and what they have lost, with `e` added."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(add_term, inline=True)
def _add_term(total, lost, e):
    if lost.element == types.float32:
        return lambda total, lost, e: (total + e, lost)

    def of_float64(total, lost, e):
        total, error = add_exactly(total, e)
        return total, lost + error

    return of_float64


def pair_of(total: Any, lost: Any) -> Any:
    """Return the sum of the lanes as a float64 pair."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(pair_of, inline=True)
def _pair_of(total, lost):
    if lost.element == types.float32:
        return lambda total, lost: (sum_tree(total + widen(lost)), 0.0)
    return lambda total, lost: sum_lanes(total, lost)

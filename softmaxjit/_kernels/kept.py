"""Exponentials of float32 that wait in memory to be added in float64: from there they are widened for next to nothing.

A conversion from memory is one operation, one from a register 2.5, which on a Zen 3 core come in the way of
multiplications.  Sums follow some vectors behind exponentials, or a row, so that neither waits for the other: rows of
1000 took 0.74 of the time of sums from registers, 0.68 where each exponential is added with its rounding error; added
at once 0.93, and by pieces of 64 or 128, each first kept, then added, 0.77 to 0.8 (medians of interleaved runs; with
AVX-512 it has not been measured).
"""

from typing import Any

from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import fma, smaller
from .._simd.lanes import halves, joined
from .._simd.memory import keep_part, lanes, load, load_part, load_wide, store
from .._simd.stack import stack_memory
from .._simd.vector import computed
from .ahead import ask
from .sums import scaled

# How many elements sums are behind: a power of two, and at least two vectors.  32, 64 and 256 took 1.06, 1.03 and 1.04
# of the time of log_softmax of rows of 1000.
BEHIND = 128
RING = 2 * BEHIND
IN_RING = RING - 1  # a mask for indices
ROOM = 2 * RING  # for two parts of each


def memory_to_keep(x: Any) -> Any:
    """Return memory for as many exponentials as wait at a time; None in float64, which are added as they come."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(memory_to_keep, inline=True)
def _memory_to_keep(x):
    if computed(x.dtype) == types.float32:
        return lambda x: stack_memory(x, ROOM)
    return lambda x: None


@helper
def keep_two(x, i, steps, shift, reached, precise, kept, at, apart, ahead):
    """Keep the exponentials of two vectors."""
    width = lanes(x)
    ask(x, i, ahead)
    ask(x, i + width, ahead)
    _, u, scale = scaled(joined(load(x, i), load(x, i + width)), steps, shift, reached)
    first, second = halves(u)
    first_scale, second_scale = halves(scale)
    keep_exp(kept, at, first, first_scale, precise, apart)
    keep_exp(kept, at + width, second, second_scale, precise, apart)


@helper
def keep_rest(x, i, end, steps, shift, reached, precise, kept, at, apart, ahead):
    """Keep the exponentials of less than two vectors, the last filled up with 0."""
    width = lanes(x)
    while i < end:
        ask(x, i, ahead)
        count = smaller(end - i, width)
        v = load(x, i) if count == width else load_part(x, i, count, shift.largest)
        _, u, scale = scaled(v, steps, shift, reached)
        keep_exp(kept, at, u, keep_part(scale, count), precise, apart)
        i += width
        at += width


@helper
def keep_exp(kept, at, u, scale, precise, apart):
    """Keep ``u * scale + scale``: rounded or, where it is to be precise, `u` and, so far apart from it, `scale`."""
    if precise:
        store(kept, at, u)
        store(kept, at + apart, scale)
    else:
        store(kept, at, fma(u, scale, scale))


@helper
def add_kept(total, kept, at, count, precise, apart):
    """Return partial sums with `count` exponentials added that were kept."""
    for k in range(at, at + count, lanes(kept)):
        e = load_wide(kept, k)
        if precise:
            scale = load_wide(kept, k + apart)
            e = fma(e, scale, scale)
        total = total + e
    return total


@helper
def keep_row(x, start, n, steps, shift, reached, precise, kept, at, apart, ahead):
    """Keep the exponentials of a row, in whole vectors."""
    width = lanes(x)
    i, end = start, start + n
    while i + 2 * width <= end:
        keep_two(x, i, steps, shift, reached, precise, kept, at + (i - start), apart, ahead)
        i += 2 * width
    keep_rest(x, i, end, steps, shift, reached, precise, kept, at + (i - start), apart, ahead)

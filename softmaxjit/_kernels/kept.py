"""Exponentials of float32 kept in memory until they are added in float64, which is there that they are widened from.

From memory a conversion is one operation, from a register 2.5, and on a Zen 3 core these come in the way of
multiplications.  Sums follow `BEHIND` elements behind exponentials, so that neither waits for the other: of the time
from registers, sums of 1000 elements took 0.74, with the errors of exponentials 0.68; at once instead of behind 0.93,
and by pieces of 64 or 128 elements, each kept, then added, 0.77 to 0.8 (one Zen 3 core, medians of interleaved runs).
"""

from .._jit import helper
from .._simd.arithmetic import fma, select, smaller
from .._simd.lanes import halves, joined
from .._simd.memory import keep_part, lanes, load, load_part, load_wide, store
from .ahead import ask
from .sums import scaled

# 32, 64 and 256 elements took 1.06, 1.03 and 1.04 of the time of log_softmax of rows of 1000.
BEHIND = 128
RING = 2 * BEHIND
IN_RING = RING - 1  # a mask for indices
ROOM = 2 * RING  # for two parts of each


@helper
def parts_of_exp(v, steps, shift, reached, alone):
    """Return `u` and `scale` of `exp_scaled`, `scale` 0 at the maximum where it is `alone`."""
    _, u, scale = scaled(v, steps, shift, reached)
    return u, (select(v == shift.largest, 0, scale) if alone else scale)


@helper
def keep_two(x, i, steps, shift, reached, precise, alone, kept, at, apart, ahead):
    """Keep the exponentials of two vectors."""
    width = lanes(x)
    ask(x, i, ahead)
    ask(x, i + width, ahead)
    u, scale = parts_of_exp(joined(load(x, i), load(x, i + width)), steps, shift, reached, alone)
    first, second = halves(u)
    first_scale, second_scale = halves(scale)
    keep_exp(kept, at, first, first_scale, precise, apart)
    keep_exp(kept, at + width, second, second_scale, precise, apart)


@helper
def keep_rest(x, i, end, steps, shift, reached, precise, alone, kept, at, apart, ahead):
    """Keep the exponentials of less than two vectors, the last filled up with 0."""
    width = lanes(x)
    while i < end:
        ask(x, i, ahead)
        count = smaller(end - i, width)
        v = load(x, i) if count == width else load_part(x, i, count, shift.largest)
        u, scale = parts_of_exp(v, steps, shift, reached, alone)
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
        keep_two(x, i, steps, shift, reached, precise, False, kept, at + (i - start), apart, ahead)
        i += 2 * width
    keep_rest(x, i, end, steps, shift, reached, precise, False, kept, at + (i - start), apart, ahead)

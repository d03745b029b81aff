"""A copy past the caches: the least that memory makes a result cost, to which ``softmaxjit bench`` compares."""

from numba import prange

from .._jit import helper, kernel
from .._simd.memory import data_of, lanes, load, load_part, store_part, stream, stream_offset

# Of one thread at a time: long against the start of a block, and short enough to share out.
COPY_BLOCK_ELEMENTS = 1 << 16


@helper
def copy_block(x, start, end, out):
    """Copy ``x[start:end]`` to the same indices of `out`: up to where streaming can begin, whole vectors, the rest."""
    width = lanes(out)
    i = min(end, start + stream_offset(out, start))  # never -1: Numba tells arrays that are not aligned apart
    store_part(out, start, i - start, load_part(x, start, i - start, 0))
    while i + width <= end:
        stream(out, i, load(x, i))
        i += width
    store_part(out, i, end - i, load_part(x, i, end - i, 0))


@kernel(lambda x, out: (x, out))
def stream_copy(x, out):
    """Copy flat `x` to flat `out`, which has the same length and does not overlap it."""
    for block in prange((x.size + COPY_BLOCK_ELEMENTS - 1) // COPY_BLOCK_ELEMENTS):
        first = block * COPY_BLOCK_ELEMENTS
        copy_block(data_of(x), first, min(x.size, first + COPY_BLOCK_ELEMENTS), data_of(out))

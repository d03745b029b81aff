"""Memory that is asked for while exponentials are computed, well before its turn.

Between two rows the processor sees no reading that it could continue by itself: rows from beyond the caches wait.
"""

from typing import Any, NamedTuple

from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import larger, smaller
from .._simd.memory import lanes
from .._simd.prefetch import prefetch, prefetch_to_store
from .._simd.target import vector_bytes
from .._simd.vector import computed

# Input from which on it pays.  The time of softmax of float32 in rows of 1000, asked for 4 KB ahead, over that of not
# asking, on a processor with AVX-512 and 2 MB of second-level cache: 0.94 at 560 KB, 0.92 at 800 KB, 0.86 at 1 MB, 0.83
# at 4 MB; on a Zen 3 core, 16 KB ahead, 0.97 to 1.03 at 1.6 MB, 0.91 to 0.93 at 4 MB, 0.71 to 0.77 from 16 MB on
# (medians of interleaved runs).
FAR_BYTES = 1 << 19

# How far ahead, in vectors: of the input the next row, but neither so near that it is late nor so far that it has left
# the second-level cache again; of the result as near as can be.  Nearest 32, 64, 128 and 256 vectors of 64 bytes took,
# with AVX-512, 0.88, 0.85, 0.94 and 1.04 of the time of not asking at (1024, 1000): what comes too early takes the
# place of the row in the first-level cache.  To ask for the next row instead of 256 vectors ahead took 0.86, 0.83 and
# 0.92 of the time of rows of 8000, 16000 and 32000 float32.
NEAREST = 64
FARTHEST = 2048

# How far ahead of a tile of short rows, in elements: nothing tells reading 512, 1024 and 2048 ahead apart, and 4096, or
# writing 1024 or 2048 ahead, takes 1.0 to 1.15 of the time (medians of interleaved runs, one core with AVX-512).
READ_BY_TILES = 2048
WRITTEN_BY_TILES = 512


class Ahead(NamedTuple):
    """What is asked for."""

    out: Any  # None where results are few
    read: Any  # how many elements ahead; 0 for nothing at all
    written: Any


@helper
def are_far(count, out):
    """Whether so many elements of the dtype of `out` are too many for the caches."""
    return count * out.itemsize >= FAR_BYTES


@helper
def ahead_of(x, n, far, out):
    """Return what to ask for in a pass over rows of n elements."""
    if not far:
        return Ahead(out, 0, 0)
    width = lanes(x)
    return Ahead(out, smaller(larger(n, NEAREST * width), FARTHEST * width), NEAREST * width)


@helper
def ahead_of_tiles(far, out):
    """Return what to ask for in a pass over short rows, a tile at a time."""
    return Ahead(out, READ_BY_TILES, WRITTEN_BY_TILES) if far else Ahead(out, 0, 0)


# With AVX-512, softmax of rows of numbers asks in each of its passes over a row: for the first half of a later row of
# the input while extremes are found, for its second half and that of its results while exponentials are summed, for the
# first half of these while results are written.  Lines come from the third level at no more than one in 5 cycles, which
# is all that the exponentials have time for: asked for in that pass alone, (1024, 1000), (8192, 512), (2048, 2000),
# (4096, 700) and (4096, 300) float32 took 1.11, 1.11, 1.13, 1.06 and 1.0 of the time (medians of interleaved runs).
# Log_softmax, whose sum takes longer, takes 0.93 of the time so; 16 bits do so too, as their extremes are found by
# other means.  A Zen 3 core, whose third level is fast and whose exponentials take longer, takes 0.95, 0.92, 0.94 and
# 0.97 of the time at (1024, 1000), (8192, 512) and (65536, 512) float32 and (1024, 1000) float64 if all is asked for in
# that pass (medians of 9 interleaved rounds).


class Half(NamedTuple):
    """What is asked for in a pass over a row: half the lines of a later row, one for every two vectors."""

    x: Any  # of the input, unless None
    out: Any  # of the result, unless None
    at: Any  # the place, less half the index in the pass
    far: Any  # whether at all


@helper
def rows_ahead(x, n):
    """Return how many elements ahead that row is: a number of rows as close to `NEAREST` vectors as can be."""
    return larger(1, (NEAREST * lanes(x) + n // 2) // n) * n


def _asks_in_each_pass(x: Any) -> bool:
    """Whether softmax of such elements asks in each of its passes."""
    return bool(vector_bytes() == 64 and x.dtype == computed(x.dtype))


def in_extremes(x: Any, start: Any, n: Any, far: Any) -> Any:
    """Return what to ask for while the extremes of the row of n elements at `start` are found."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(in_extremes, inline=True)
def _in_extremes(x, start, n, far):
    if not _asks_in_each_pass(x):
        return lambda x, start, n, far: None
    return lambda x, start, n, far: Half(x, None, start - (start >> 1) + rows_ahead(x, n), far)


def in_sum(x: Any, start: Any, n: Any, far: Any, out: Any) -> Any:
    """Return what to ask for while the exponentials of the row of n elements at `start` are summed."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(in_sum, inline=True)
def _in_sum(x, start, n, far, out):
    if not _asks_in_each_pass(x):
        return lambda x, start, n, far, out: ahead_of(x, n, far, out)
    return lambda x, start, n, far, out: Half(x, out, start - (start >> 1) + (n >> 1) + rows_ahead(x, n), far)


def in_results(x: Any, start: Any, n: Any, far: Any, out: Any) -> Any:
    """Return what to ask for while the results of the row of n elements at `start` are written."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(in_results, inline=True)
def _in_results(x, start, n, far, out):
    if not _asks_in_each_pass(x):
        return lambda x, start, n, far, out: None
    return lambda x, start, n, far, out: Half(None, out, start - (start >> 1) + rows_ahead(x, n), far)


def ask(x: Any, i: Any, ahead: Any) -> Any:
    """Ask for what comes after the vector at index i."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(ask, inline=True)
def _ask(x, i, ahead):
    if isinstance(ahead, types.NoneType):
        return lambda x, i, ahead: None
    if ahead.instance_class is Half:
        return _ask_for_half(ahead)

    def to_load(x, i, ahead):
        if ahead.read != 0:
            prefetch(x, i + ahead.read)

    def to_load_and_store(x, i, ahead):
        if ahead.read != 0:
            prefetch(x, i + ahead.read)
            prefetch_to_store(ahead.out, i + ahead.written)

    return to_load if isinstance(ahead.types[0], types.NoneType) else to_load_and_store


def _ask_for_half(ahead: Any) -> Any:
    """Return what asks for a line of the input, of the result or of both."""

    def to_load(x, i, ahead):
        if ahead.far:
            prefetch(ahead.x, ahead.at + (i >> 1))

    def to_store(x, i, ahead):
        if ahead.far:
            prefetch_to_store(ahead.out, ahead.at + (i >> 1))

    def to_load_and_store(x, i, ahead):
        if ahead.far:
            prefetch(ahead.x, ahead.at + (i >> 1))
            prefetch_to_store(ahead.out, ahead.at + (i >> 1))

    source, result, *_ = ahead.types
    if isinstance(result, types.NoneType):
        return to_load
    return to_store if isinstance(source, types.NoneType) else to_load_and_store


def ask_in_four(x: Any, i: Any, ahead: Any) -> Any:
    """Ask for what comes after the four vectors from index i on."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(ask_in_four, inline=True)
def _ask_in_four(x, i, ahead):
    step = 2 if ahead.instance_class is Half else 1

    def implementation(x, i, ahead):
        for k in range(0, 4, step):
            ask(x, i + k * lanes(x), ahead)

    return implementation


class Upcoming(NamedTuple):
    """What is asked for in small steps while something else is computed."""

    x: Any
    at: Any
    step: Any  # 0 asks for one line over and over


def ask_upcoming(upcoming: Any, k: Any) -> Any:
    """Ask for what is k steps on."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(ask_upcoming, inline=True)
def _ask_upcoming(upcoming, k):
    if isinstance(upcoming, types.NoneType):
        return lambda upcoming, k: None
    return lambda upcoming, k: prefetch(upcoming.x, upcoming.at + k * upcoming.step)

"""Which kernel, serial or parallel: a pure function of facts, with every threshold and its measurement."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from . import _plain, _plain_labelled
from ._carriers import carrier_of
from ._jit import Kernel
from ._kernels.across import softmax_across
from ._kernels.cross_entropy import cross_entropy_rows
from ._kernels.cross_entropy_grad import cross_entropy_and_grad_rows
from ._kernels.cross_entropy_grad_grouped_rows import cross_entropy_and_grad_grouped_rows
from ._kernels.cross_entropy_grad_short_rows import cross_entropy_and_grad_short_rows
from ._kernels.cross_entropy_of_several import cross_entropy_grouped_rows, cross_entropy_short_rows
from ._kernels.gradients import log_softmax_vjp_rows, softmax_vjp_rows
from ._kernels.grouped_rows import softmax_grouped_rows
from ._kernels.lines import softmax_lines, softmax_shared_lines
from ._kernels.log_grouped_rows import log_softmax_grouped_rows, logsumexp_grouped_rows
from ._kernels.log_lines import (
    log_softmax_lines,
    log_softmax_shared_lines,
    logsumexp_lines,
    logsumexp_shared_lines,
)
from ._kernels.log_long_rows import log_softmax_long_rows, logsumexp_long_rows
from ._kernels.log_shared_rows import log_softmax_shared_rows, logsumexp_shared_rows
from ._kernels.log_softmax import log_softmax_rows
from ._kernels.log_tiles import (
    log_softmax_across,
    log_softmax_short_rows,
    log_softmax_slabs,
    logsumexp_across,
    logsumexp_short_rows,
    logsumexp_slabs,
)
from ._kernels.logsumexp import logsumexp_rows
from ._kernels.long_rows import softmax_long_rows
from ._kernels.others import OTHERS_BLOCK_ELEMENTS
from ._kernels.shared_rows import softmax_shared_rows
from ._kernels.short_rows import softmax_short_rows
from ._kernels.slabs import softmax_slabs
from ._kernels.softmax import softmax_rows
from ._kernels.sums import FLUSHED_ELEMENTS
from ._kernels.temperature import LARGEST_TEMPERATURE, SMALLEST_TEMPERATURE
from ._kernels.weighted import weighted_logsumexp_rows

KERNELS = {
    "softmax": softmax_rows,
    "log_softmax": log_softmax_rows,
    "logsumexp": logsumexp_rows,
    "softmax_vjp": softmax_vjp_rows,
    "log_softmax_vjp": log_softmax_vjp_rows,
    "cross_entropy": cross_entropy_rows,
    "cross_entropy_and_grad": cross_entropy_and_grad_rows,
}
WEIGHTED = {"logsumexp": weighted_logsumexp_rows}
SHORT = {
    "softmax": softmax_short_rows,
    "log_softmax": log_softmax_short_rows,
    "logsumexp": logsumexp_short_rows,
    "cross_entropy": cross_entropy_short_rows,
    "cross_entropy_and_grad": cross_entropy_and_grad_short_rows,
}
GROUPED = {
    "softmax": softmax_grouped_rows,
    "log_softmax": log_softmax_grouped_rows,
    "logsumexp": logsumexp_grouped_rows,
    "cross_entropy": cross_entropy_grouped_rows,
    "cross_entropy_and_grad": cross_entropy_and_grad_grouped_rows,
}
ACROSS = {"softmax": softmax_across, "log_softmax": log_softmax_across, "logsumexp": logsumexp_across}
SLABS = {"softmax": softmax_slabs, "log_softmax": log_softmax_slabs, "logsumexp": logsumexp_slabs}
LINES = {"softmax": softmax_lines, "log_softmax": log_softmax_lines, "logsumexp": logsumexp_lines}
SHARED_LINES = {
    "softmax": softmax_shared_lines,
    "log_softmax": log_softmax_shared_lines,
    "logsumexp": logsumexp_shared_lines,
}
LONG = {"softmax": softmax_long_rows, "log_softmax": log_softmax_long_rows, "logsumexp": logsumexp_long_rows}
SHARED = {"softmax": softmax_shared_rows, "log_softmax": log_softmax_shared_rows, "logsumexp": logsumexp_shared_rows}
# What takes labels, and is run by `_run_labelled`; in plain NumPy both are one function, which returns gradients too.
LABELLED = ("cross_entropy", "cross_entropy_and_grad")
PLAIN: dict[str, Callable[..., Any]] = {
    name: _plain_labelled.cross_entropy if name in LABELLED else getattr(_plain, name) for name in KERNELS
}

COMPILED_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))

# Elements from which two threads beat one, their start included, whatever the operation and dtype: rows of 256 took 34
# and 30 µs in softmax of float32, 123 and 79 µs in log_softmax of float64 (medians of 300 interleaved calls, two Zen 4
# cores).  At half as many, softmax of float32 gained nothing (22.0 and 22.6 µs).
PARALLEL_ELEMENTS = 1 << 16

# Elements from which the pool, which has a thread to wake up, beats one thread: softmax of float32 took 0.92 of its
# time, log_softmax of float64 0.63; half as many took 1.32 and 0.76, eight times as many 0.59 and 0.55, where OpenMP
# took 0.51 (medians of rows of 256 on two cores to ourselves; with ten programs on them the pool took up to 1.4).
POOL_ELEMENTS = 1 << 17

# Elements of a part of such a call, at least, and how many parts there are for each thread, at most.  Who is done first
# takes the next: where a worker woke up late, two parts took 1.07 and four 0.84 (1 << 20 elements).
POOL_PART = 1 << 16
PARTS_PER_THREAD = 2

# Rows of up to so many elements are turned into lanes, by the bytes of an element (4 for 16 bits).  Of the time in
# groups, softmax of 24, 28, 31 and 32 float32 took 0.92, 0.90, 1.09 and 1.19 with AVX-512, 0.96 of 24 and 1.35 of 32
# with AVX2; log_softmax of 28, 30, 33, 36 and 48 0.97, 1.03, 0.96, 0.99 and 1.20, logsumexp of 32, 33, 40 and 48 1.09,
# 0.85, 0.94 and 1.15; of 16, 20 and 24 float64 softmax 1.01, 0.85 and 1.11, log_softmax of 12, 15 and 20 0.94, 1.15 and
# 1.08, logsumexp of 17, 20 and 24 0.88, 0.96 and 1.12 (65536 elements, medians of 21 interleaved runs on one core that
# others share).  A row that does not fill its last vector takes longest in groups, so that each bound is in the middle
# of a stretch where it depends on the length; log_softmax of 32 took 1.05 to 1.2.
# Cross-entropy, code for AVX-512 and, after the semicolon, for AVX2, between which bounds are a compromise: of 28, 32
# and 36 float32 1.07, 1.12 and 0.95; 0.99, 1.0 and 0.91, of 15, 20 and 24 float64 1.11, 1.06 and 1.19; 0.91, 0.85,
# 1.03; with its gradient of 24, 28 and 32 float32 0.87, 0.96 and 1.03; 0.90, 1.01 and 1.14, of 20, 24 and 32 float64
# 0.79, 0.82 and 1.12; 0.92, 1.13 and more.
SHORT_ROW = {
    "softmax": {4: 30, 8: 23},
    "log_softmax": {4: 31, 8: 14},
    "logsumexp": {4: 40, 8: 20},
    "cross_entropy": {4: 31, 8: 20},
    "cross_entropy_and_grad": {4: 30, 8: 23},
}

# But not of these lengths, as such rows fill their vectors: logsumexp of 32 float32 took in groups 0.92 of the time in
# tiles with AVX-512, with AVX2 0.79 to 1.0, of float16 and bfloat16 0.93 and 0.82, of 33 float32 1.35 (one Zen 3 core).
FILLS_VECTORS = {"logsumexp": {4: 32}}

# Longer ones go in groups up to so many.  Of the time one by one (the same runs; after the semicolon code for AVX2),
# softmax of 48, 64, 128, 192 and 256 float32 took 0.39, 0.49, 0.61, 0.78 and 0.86; 0.49, 0.64, 0.70, 0.85 and 0.89,
# but where rows come from the third level of the caches, 128, 160, 192 and 256 0.82, 0.88, 0.99 and 1.07; of 64, 128
# and 192 float64 0.60, 0.76 and 0.87; 0.84, 0.90 and 1.06.  Log_softmax of 64, 128, 256 and 384 float32 0.31, 0.49,
# 0.81 and 0.92; 0.62, 0.74, 0.91 and 1.02, float64 0.45, 0.60, 0.87 and 0.89; 0.66, 0.86, 0.99 and 0.93; logsumexp of
# 128, 256 and 384 float32 0.46, 0.72 and 0.85; 0.67, 0.85 and 0.95, float64 0.69, 0.83 and 0.90; 0.82, 0.91 and 0.95.
# Cross-entropy of 32, 64, 128, 256 and 384 float32 0.23, 0.29, 0.45, 0.63 and 0.80, with AVX2 of 64, 150, 256 and 384
# 0.48, 0.67, 0.81 and 0.94; of 64, 150 and 384 float64 0.43, 0.61 and 0.80; 0.70, 0.85 and 0.99.  With its gradient of
# 32, 100, 256 and 384 float32 0.32, 0.44, 0.65 and 0.84; 0.42, 0.51, 0.74 and 0.93, from the third level 256 0.77; of
# 64, 150 and 256 float64 0.66, 0.79 and 0.85; 0.76, 0.86 and 1.01.
GROUPED_ROW = {
    "softmax": {4: 160, 8: 128},
    "log_softmax": {4: 256, 8: 256},
    "logsumexp": {4: 384, 8: 384},
    "cross_entropy": {4: 384, 8: 384},
    "cross_entropy_and_grad": {4: 256, 8: 160},
}

# So many of them at least: a tile costs as much as 6 to 9 rows one by one whether it is full or not, what is done once
# a group as 6 to 8.
FEWEST_ROWS = 8

# A row by itself is shared out among threads from so many elements on, by the bytes of one.  Softmax, log_softmax and
# logsumexp took, of the time of one thread: of 98304 float32 1.00 to 1.07, 0.88, 1.05; of 131072 0.92 to 0.99, 0.96,
# 0.96; of 196608 0.88 to 0.93, 0.68, 0.83; of 1e6 0.60, 0.69, 0.71; of 3e7 0.54, 0.52, 0.51; of 98304 float64 0.78,
# 0.72, 0.64; of 131072 and 196608 float16 log_softmax 1.00 and 0.76, logsumexp 0.90 and 0.93 (medians of interleaved
# runs, two cores with AVX-512, where threads wait for each other by spinning; where they do not, softmax of 131072 and
# 262144 float32 took 1.98 and 1.24).  One number for all three and for any number of cores: no more were at hand.
SHARED_ROW = {2: 3 << 16, 4: 3 << 16, 8: 3 << 15}

# Rows from so many elements on, by the bytes of one, leave the first-level cache; they are read once instead of twice:
# see `pieces`.  Of the time otherwise, softmax and log_softmax: of 8192 float32 0.80 and 0.91, 16384 0.85 and 0.89,
# 65536 0.88 and 0.82, but of 4096 0.96 and 0.92, and logsumexp 1.12; of 16384 float64 0.96 and 1.01, 32768 0.87 and
# 0.94, 8192 0.99 and 0.97; of 16384 float16 0.95 and 1.01, 65536 0.86 and 0.88, 8192 0.94 and 1.06; of 3e7 float32 0.78
# and 0.83, logsumexp 0.61 (4 to 8 MB but for the last, one thread, medians of interleaved runs with AVX-512; code for
# Haswell gains as much there).
LONG_ROW = {2: 1 << 14, 4: 1 << 13, 8: 1 << 14}

# Rows that lie across memory are taken as they lie up to so many elements, longer ones are copied first: for a tile, of
# 64 bytes an element, leaves the second-level cache, and the sums of longer rows are flushed (see `sums`).
LONGEST_ACROSS = 1 << 14

# Where the target's vectors have 32 bytes, rows that lie across memory are taken line by line from so many lines on, by
# the bytes of an element.  Of the time in tiles softmax of 16, 32, 48, 64, 100, 200 and 1000 float32 with 16 to 1000
# neighbours took 1.23 to 2.2, 1.1 to 1.7, 0.9 to 1.4, 0.68 to 0.92, 0.64 to 0.87, 0.56 to 0.67 and 0.5 to 0.65 (2.4 MB;
# of 64 to 128 with 32 to 64 neighbours, 16 MB, 0.94 to 1.07), of 16, 24, 32, 40 and 100 float64 0.92 to 1.29, 0.84 to
# 1.1, 0.72 to 0.87, 0.71 to 0.93 and 0.73 to 0.82.  Log_softmax and logsumexp of 64, 100, 128, 192 and 300 float32 took
# 0.80 to 1.19, 0.85 to 1.1, 0.74 to 0.93, 0.72 to 0.84 and 0.72 to 0.83 (16 MB of 128 0.87 to 1.02), of 32, 64, 100 and
# 256 float64 0.79 to 1.02, 0.75 to 0.93, 0.75 to 0.92 and 0.72 to 0.90 (medians of 13 to 15 interleaved runs on one Zen
# 3 core; none with AVX-512).
FEWEST_LINES = {
    "softmax": {4: 64, 8: 32},
    "log_softmax": {4: 128, 8: 64},
    "logsumexp": {4: 128, 8: 64},
}
VECTORS_OF_LINES = 32

# And up to so many, as sums of longer rows are flushed.  Softmax of 16384 with 49, 100 and 1000 neighbours took 0.43,
# 0.39 and 0.31 of the time (the same runs).
MOST_LINES = {
    "softmax": FLUSHED_ELEMENTS,
    "log_softmax": OTHERS_BLOCK_ELEMENTS,
    "logsumexp": OTHERS_BLOCK_ELEMENTS,
}

# Of at least so many bytes in all: what is done once a row is done for a vector of them, full or not.  Of the time in
# slabs, softmax of (200, 64, 7), (200, 300, 2), (200, 300, 3), (200, 64, 12), (200, 64, 15) and (200, 300, 7) float32
# took 1.39, 1.04, 1.09, 0.65, 0.91 and 0.74, log_softmax of (2000, 128, 7), (200, 300, 3), (200, 128, 12) and (200,
# 300, 7) 1.28, 1.31, 0.70 and 0.86; softmax of (200, 64, 3), (200, 64, 7) and (200, 300, 3) float64 0.99, 0.87 and
# 0.82, logsumexp 1.18, 0.98 and 0.97 (the same runs).
SMALLEST_OF_LINES = 1 << 12

# Lines that are not whole vectors are taken whole, up to so many elements: beyond it their partial sums leave the
# second-level cache.  Of 1000 lines of 2001 and 10001 neighbours softmax of float32 took 0.61 to 0.68 and 0.68 to 0.76
# of the time in tiles, log_softmax 0.82 and 0.83, of float64 0.52 and 0.79; of 300 lines of 16383 and 30001 1.08 and
# 1.04, log_softmax 1.16 (the same runs).
LONGEST_UNEVEN_LINE = 1 << 13

# As few of them as are whole vectors are a run, for each element of which there is something to keep; where runs are
# larger than this, it pays from so many lines on.  Softmax of (1, 64, 8191), (1, 100, 8191), (1, 64, 4095), (16, 64,
# 1001), (1, 300, 4095) and (1, 300, 8191) float32 took 1.95, 1.67, 1.88, 1.1, 0.97 and 1.05 of the time in tiles, (1,
# 64, 8184), whose runs are of two lines, 0.84; (1, 32, 8191) float64 1.62, log_softmax of (1, 128, 8191) 1.54 (the same
# runs).
LARGEST_RUN = 1 << 14
LINES_OF_LARGE_RUNS = 1 << 8

# So threads share out slabs where they are uneven, and these are to be so many: two threads had enough to do with four.
# With many cores tiles may be done sooner; no more than two were at hand.
FEWEST_UNEVEN_SLABS = 4

# Where rows have so few neighbours, by the bytes of an element, all that lies along the axis is turned into lanes.  Of
# the time as rows lie, softmax of (2000, 10, 2), (2000, 64, 3), (500, 100, 7), (300, 100, 12) and (100, 200, 15)
# float32 along axis 1 took 0.28, 0.34, 0.58, 0.74 and 0.75, but (300, 100, 16), of whole vectors, 1.18 and (300, 100,
# 20) 0.91; (2000, 64, 3), (300, 100, 7) and (300, 100, 8) float64 0.61, 0.74 and 1.06; log_softmax of 7 and 15 float32
# 0.49 and 0.63; logsumexp of 2, 6, 8 and 15 0.51, 0.82, 1.02 and 1.03, of 2, 3 and 4 float64 0.81, 0.85 and 0.99
# (medians of 15 interleaved runs on one Zen 3 core; none with AVX-512).
SLAB_NEIGHBOURS = {
    "softmax": {4: 15, 8: 7},
    "log_softmax": {4: 15, 8: 7},
    "logsumexp": {4: 7, 8: 3},
}

# Elements of what is turned into one lane, at most: two tiles of them and a copy are 3 MB.  Softmax of (64, 4000, 3)
# and (64, 8000, 2) took 0.21 and 0.19 (the same runs).
LONGEST_SLAB = 1 << 14

# Of the lanes, so much is to be used at least: of (14, 100, 15), (13, 100, 12) and (20, 100, 12), which use 0.88, 0.81
# and 0.63 of them, softmax took 0.92, 1.07 and 1.19 (the same runs).
FULL_LANES = 7 / 8

# Tiles from which on threads may share them out, and of a part of a call in the pool.  Rows as they lie are more parts:
# with many cores, of which there were two at hand, these are done sooner.
FEWEST_SHARED_TILES = 8
TILES_OF_PART = 4


class Facts(NamedTuple):
    """What the choice depends on."""

    operation: str
    dtype: "np.dtype[Any]"
    rows: int
    n: int  # length of a row
    inner: int = 1  # distance of its elements
    lowest_temperature: float = 1.0
    highest_temperature: float = 1.0
    weighted: bool = False
    threads: int | None = None  # what the user asked for
    compiled: bool = True  # whether Numba compiles at all
    vector_bytes: int = 64  # of the target's vectors, which rows that lie by themselves do not ask for


class Plan(NamedTuple):
    """What to run: a kernel, or a function of plain NumPy."""

    kernel: Kernel | None
    serial: Kernel | None  # what runs off Numba's threading layer
    plain: Callable[..., Any]
    parallel: bool  # on Numba's threading layer
    widen: bool = False  # rows of 16 bits, reordered if they are to be, become float32
    reorder: bool = False  # rows whose elements lie apart are copied before anything else
    parts: int = 1  # into which the rows are cut at most, where that layer may not be entered


def kernels_of_rows(operation: str, dtype: "np.dtype[Any]", rows: int, n: int) -> dict[str, Kernel]:
    """Return the kernels for rows, contiguous and unweighted: one by one, or several at once."""
    if operation not in SHORT or rows < FEWEST_ROWS:
        return KERNELS
    size = max(4, dtype.itemsize)
    if n <= SHORT_ROW[operation].get(size, 0) and n != FILLS_VECTORS.get(operation, {}).get(size):
        return SHORT
    return GROUPED if n <= GROUPED_ROW[operation].get(size, 0) else KERNELS


def is_shared(facts: Facts) -> bool:
    """Whether there is one row, contiguous, that has a kernel which shares it out."""
    if facts.rows != 1 or facts.weighted or facts.operation not in SHARED or facts.n < SHARED_ROW[facts.dtype.itemsize]:
        return False
    # Exponentials of softmax stay in the result until they are scaled, which 16 bits do not hold.
    return facts.operation != "softmax" or carrier_of(facts.dtype) == facts.dtype


def are_long(facts: Facts) -> bool:
    """Whether rows, contiguous, have a kernel that reads them piece by piece."""
    if facts.inner > 1 or facts.weighted or facts.operation not in LONG:
        return False
    # Few elements are not worth another kernel, and below that `_direct` asks for no plan.
    return facts.n >= LONG_ROW[facts.dtype.itemsize] and facts.rows * facts.n >= PARALLEL_ELEMENTS


def tiles_of_slabs(facts: Facts) -> int:
    """Return how many tiles there would be."""
    lanes = 64 // max(4, facts.dtype.itemsize)
    return (facts.rows // facts.inner + lanes - 1) // lanes


def are_slabs(facts: Facts, parallel: bool) -> bool:
    """Whether rows that lie across memory have so few neighbours that what lies along the axis is turned into lanes."""
    size = max(4, facts.dtype.itemsize)
    if facts.inner > SLAB_NEIGHBOURS[facts.operation][size] or facts.inner * facts.n > LONGEST_SLAB:
        return False
    tiles = tiles_of_slabs(facts)
    is_full = facts.rows // facts.inner >= FULL_LANES * tiles * (64 // size)
    return is_full and (tiles >= FEWEST_SHARED_TILES or not parallel)


def has_lines(facts: Facts) -> bool:
    """Whether there is, for the target, a kernel that takes rows that lie across memory line by line."""
    return facts.vector_bytes == VECTORS_OF_LINES and facts.operation in LINES and facts.dtype in COMPILED_DTYPES


def are_lines(facts: Facts, parallel: bool) -> bool:
    """Whether rows that lie across memory are taken so."""
    size = facts.dtype.itemsize
    if not has_lines(facts) or not FEWEST_LINES[facts.operation][size] <= facts.n <= MOST_LINES[facts.operation]:
        return False
    if facts.n * facts.inner * size < SMALLEST_OF_LINES:
        return False
    lanes = 64 // size
    if facts.inner % lanes == 0:
        return True
    if facts.inner * lanes // math.gcd(facts.inner, lanes) > LARGEST_RUN and facts.n < LINES_OF_LARGE_RUNS:
        return False
    slabs = facts.rows // facts.inner
    return facts.inner <= LONGEST_UNEVEN_LINE and (slabs >= FEWEST_UNEVEN_SLABS or not parallel)


def kernels_across(facts: Facts, direct: bool, parallel: bool) -> dict[str, Kernel] | None:
    """Return the kernels for rows that lie across memory, None where they are to be copied first."""
    if facts.weighted or facts.operation not in ACROSS:
        return None
    if direct and are_lines(facts, parallel):
        return LINES
    if facts.n > LONGEST_ACROSS:
        return None
    return SLABS if are_slabs(facts, parallel) else ACROSS


# Where a large call has emptied the caches, facts and choice take half as long as the arguments before them; with the
# choice remembered, a quarter (medians of 200 calls at (1024, 1000), two runs each).
@lru_cache(maxsize=256)
def plan(facts: Facts) -> Plan:
    """Choose."""
    plain = PLAIN[facts.operation]
    direct = facts.lowest_temperature >= SMALLEST_TEMPERATURE and facts.highest_temperature <= LARGEST_TEMPERATURE
    is_carried = carrier_of(facts.dtype) != facts.dtype
    has_kernel = facts.compiled and (is_carried or facts.dtype in COMPILED_DTYPES)
    parallel = facts.threads != 1 and facts.rows > 1 and facts.rows * facts.n >= PARALLEL_ELEMENTS
    kernels: dict[str, Kernel] | None
    if facts.inner > 1:
        kernels = kernels_across(facts, direct, parallel) if has_kernel else None
        if kernels is None:
            return plan(facts._replace(inner=1))._replace(reorder=True)
    elif facts.weighted:
        kernels = WEIGHTED
    else:
        kernels = kernels_of_rows(facts.operation, facts.dtype, facts.rows, facts.n)
    in_tiles = kernels is ACROSS or kernels is SLABS or kernels is SHORT
    if is_carried and (facts.weighted or not facts.compiled or not (direct or in_tiles)):
        # All other code would take their bits for integers, and rows are prepared in the result: tiles hold them wider.
        return plan(facts._replace(dtype=np.dtype(np.float32)))._replace(widen=True)
    if not has_kernel:
        return Plan(None, None, plain, parallel=False)
    parts = facts.rows * facts.n // POOL_PART if parallel and facts.rows * facts.n >= POOL_ELEMENTS else 1
    if kernels is SLABS:
        parts = max(1, min(parts, tiles_of_slabs(facts) // TILES_OF_PART))
    if direct and are_long(facts):
        kernels = LONG
    serial = kernel = kernels[facts.operation]
    if kernels is LINES:  # for one thread, to which no line has to be cut
        kernel = SHARED_LINES[facts.operation]
    if direct and facts.threads != 1 and is_shared(facts):
        kernel, parallel = SHARED[facts.operation], True
    return Plan(kernel, serial, plain, parallel, parts=parts)

"""Log-softmax and log-sum-exp of short rows, and along any axis, a tile at a time.

See `short_rows`, `across` and `slabs`.
"""

import numpy as np
from numba import prange, types

from .._jit import kernel
from .._simd.memory import data_of, lanes
from .across import across_block, rows_of_tile
from .ahead import ahead_of_tiles, are_far
from .log_columns import log_softmax_columns, logsumexp_columns
from .short_rows import short_block
from .slabs import slab_block
from .tiles import rows_of_block


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out))
def log_softmax_short_rows(x, n, temperature, out):
    """Log-softmax of every n consecutive elements of flat `x` into flat `out`, which may be `x`; for small n."""
    rows = out.size // n
    rows_per_block = rows_of_block(rows, n, lanes(data_of(x)))
    far = are_far(out.size, out)
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        last = min(rows, first + rows_per_block)
        ahead = ahead_of_tiles(far, data_of(out))
        short_block(log_softmax_columns, data_of(x), first, last, rows, n, temperature, n, data_of(out), -np.inf, ahead)


@kernel(lambda x, out: (x, types.intp, out))
def logsumexp_short_rows(x, n, out):
    """Log-sum-exp of every n consecutive elements of flat `x` into one element of flat `out`; for small n."""
    rows = out.size
    rows_per_block = rows_of_block(rows, n, lanes(data_of(x)))
    far = are_far(rows * n, out)
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        last = min(rows, first + rows_per_block)
        ahead = ahead_of_tiles(far, None)
        short_block(logsumexp_columns, data_of(x), first, last, rows, n, 1.0, 1, data_of(out), None, ahead)


@kernel(lambda x, out, temperature: (x, types.intp, types.intp, temperature, out))
def log_softmax_across(x, n, inner, temperature, out):
    """Log-softmax along the middle of flat `x`, of shape (outer, n, inner), into flat `out`, which may be `x`."""
    rows = out.size // n
    rows_per_tile = rows_of_tile(rows, n, inner, lanes(data_of(x)))
    rows_per_block = rows_of_block(rows, n, rows_per_tile)
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        last = min(rows, first + rows_per_block)
        across_block(
            log_softmax_columns, data_of(x), first, last, n, inner, rows_per_tile, temperature, n, data_of(out), -np.inf
        )


@kernel(lambda x, out: (x, types.intp, types.intp, out))
def logsumexp_across(x, n, inner, out):
    """Log-sum-exp along the middle of flat `x`, of shape (outer, n, inner), into flat `out`, of (outer, inner)."""
    rows = out.size
    rows_per_tile = rows_of_tile(rows, n, inner, lanes(data_of(x)))
    rows_per_block = rows_of_block(rows, n, rows_per_tile)
    for block in prange((rows + rows_per_block - 1) // rows_per_block):
        first = block * rows_per_block
        last = min(rows, first + rows_per_block)
        across_block(logsumexp_columns, data_of(x), first, last, n, inner, rows_per_tile, 1.0, 1, data_of(out), None)


@kernel(lambda x, out, temperature: (x, types.intp, types.intp, temperature, out))
def log_softmax_slabs(x, n, inner, temperature, out):
    """`log_softmax_across` where neighbours are few."""
    slabs = out.size // (n * inner)
    slabs_per_block = rows_of_block(slabs, n * inner, lanes(data_of(x)))
    for block in prange((slabs + slabs_per_block - 1) // slabs_per_block):
        first = block * slabs_per_block
        last = min(slabs, first + slabs_per_block)
        slab_block(log_softmax_columns, data_of(x), first, last, slabs, n, inner, temperature, n, data_of(out), -np.inf)


@kernel(lambda x, out: (x, types.intp, types.intp, out))
def logsumexp_slabs(x, n, inner, out):
    """`logsumexp_across` where neighbours are few."""
    slabs = out.size // inner
    slabs_per_block = rows_of_block(slabs, n * inner, lanes(data_of(x)))
    for block in prange((slabs + slabs_per_block - 1) // slabs_per_block):
        first = block * slabs_per_block
        last = min(slabs, first + slabs_per_block)
        slab_block(logsumexp_columns, data_of(x), first, last, slabs, n, inner, 1.0, 1, data_of(out), None)

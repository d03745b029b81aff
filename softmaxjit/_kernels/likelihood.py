"""The negative log-likelihood of labels as a function of beta = 1 / temperature, with two derivatives, from one pass.

With distances d = m - x from a row's maximum m, which do not depend on beta, a row of mass A (1 for a class) has

    A log(sum_c exp(-beta d_c)) + beta D,   D = sum_c q_c d_c,

convex in beta: its first derivative is D minus A times the mean of d under the softmax, its second A times the
variance.  So labels count only through sums of D and A, which `labelled_distances` takes once; a pass reads the logits
alone.

Sums are taken block by block, and the blocks in order, whoever computes them.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, types

from .._jit import helper, kernel
from .._simd.arithmetic import fma, select, smaller
from .._simd.exp_scaled import exp_steps
from .._simd.lanes import sum_tree, widen
from .._simd.log import log
from .._simd.memory import data_of, keep_part, lanes, load, load_part, splat
from .ahead import ahead_of, are_far, ask
from .logsumexp import log1p_of_ratio
from .shift import largest_exp, limits_of, row_extremes, shift_of_row
from .softmax import ROWS_BLOCK_ELEMENTS
from .sums import scaled
from .targets import NUMBERS, READ_NUMBERS, labels_like, target_of_row, weight_at, weights_like

DISTANCES = 4  # what `labelled_distances` sums: D, A times the mean of d, and A times the logarithms of two counts
MOMENTS = 3


@helper
def rows_of_sum(n):
    """Return how many rows a block of partial sums has: a function of n alone."""
    return max(1, ROWS_BLOCK_ELEMENTS // n)


@helper
def sum_of_blocks(parts, count, out):
    """Add up partial sums, `count` at a time, each with its rounding errors kept."""
    for k in range(count):
        total = lost = 0.0
        for i in range(k, parts.size, count):
            s = total + parts[i]
            lost += (total - s) + parts[i] if abs(total) >= abs(parts[i]) else (parts[i] - s) + total
            total = s
        out[k] = total + lost if abs(total) < np.inf else total


class Spread(NamedTuple):
    """What a row without its label tells of its likelihood at the ends."""

    mean: Any  # of distances from the maximum, those of -inf left out
    finite: Any  # how many there are
    ties: Any  # how many are 0


@helper
def spread_of_row(x, start, n, largest):
    """Return the mean distance of a row from its maximum, NaN where a NaN or +inf is among it, and two counts."""
    width = lanes(x)
    total = finite = ties = widen(splat(x, 0))
    top = widen(splat(x, largest))
    i, end = start, start + n
    while i + width <= end:
        v = widen(load(x, i))
        total = total + select(v == -np.inf, 0, top - v)
        finite = finite + select(v == -np.inf, 0, widen(splat(x, 1)))
        ties = ties + select(v == top, widen(splat(x, 1)), 0)
        i += width
    if i < end:
        v = widen(load_part(x, i, end - i, -np.inf))
        total = total + select(v == -np.inf, 0, top - v)
        finite = finite + select(v == -np.inf, 0, widen(splat(x, 1)))
        ties = ties + select(v == top, widen(splat(x, 1)), 0)
    count = sum_tree(finite)
    mean = sum_tree(total) / count  # NaN where all are -inf
    return Spread(mean if abs(largest) < np.inf else np.nan, count, sum_tree(ties))


@kernel(lambda x, out, labels: (x, types.intp, labels_like(x, labels), weights_like(x), READ_NUMBERS, NUMBERS, NUMBERS))
def labelled_distances(x, n, labels, weight, weights, mass, out):
    """Write the sums that tell where the likelihood is largest.

    Of probabilities as labels write also the `mass` of each row, times its weight; of classes it is the weight itself,
    and `mass` is empty.
    """
    rows = x.size // n
    rows_per_block = rows_of_sum(n)
    blocks = (rows + rows_per_block - 1) // rows_per_block
    parts = np.zeros(DISTANCES * blocks)
    for block in prange(blocks):
        first = block * rows_per_block
        source, truth = data_of(x), data_of(labels)
        for row in range(first, min(rows, first + rows_per_block)):
            weight_of_row = of_row = weight_at(weights, row)
            if weight_of_row != 0.0:
                largest, _ = row_extremes(source, row * n, n, None)
                target = target_of_row(source, truth, data_of(weight), row, n, largest, 0.0)
                spread = spread_of_row(source, row * n, n, largest)
                of_row = weight_of_row * target.mass
                parts[DISTANCES * block] += weight_of_row * (target.distance + target.distance_low)
                parts[DISTANCES * block + 1] += of_row * spread.mean
                parts[DISTANCES * block + 2] += of_row * log(spread.finite)
                parts[DISTANCES * block + 3] += of_row * log(spread.ties)
            if mass.size > 0:
                mass[row] = of_row
    sum_of_blocks(parts, DISTANCES, out)


class Moments(NamedTuple):
    """Sums over a row of e, e d and e d**2, with e its scaled exponentials; in the first without the maximum."""

    rest: Any
    first: Any
    second: Any


@helper
def moments_of_row(x, start, n, steps, shift, farthest, reached, ahead):
    """Return the moments of ``x[start : start + n]``; `reached` is a constant of the compiled code."""
    width = lanes(x)
    top, far = widen(splat(x, shift.largest)), widen(splat(x, 0)) + farthest
    largest_term, _, _ = scaled(splat(x, shift.largest), steps, shift, reached)
    rest = widen(keep_part(-largest_term, 1))  # the same bits as the maximum's own: they cancel
    first = second = widen(splat(x, 0))
    i, end = start, start + n
    while i + width <= end:
        ask(x, i, ahead)
        v = load(x, i)
        e, _, _ = scaled(v, steps, shift, reached)
        rest, first, second = add_moments(rest, first, second, widen(e), smaller(far, top - widen(v)))
        i += width
    if i < end:
        v = load_part(x, i, end - i, shift.largest)
        e, _, _ = scaled(v, steps, shift, reached)
        rest, first, second = add_moments(
            rest, first, second, widen(keep_part(e, end - i)), smaller(far, top - widen(v))
        )
    return Moments(sum_tree(rest), sum_tree(first), sum_tree(second))


@helper
def add_moments(rest, first, second, e, d):
    """Return sums of moments with those of a vector added."""
    ed = e * d
    return rest + e, first + ed, fma(ed, d, second)


@helper
def log_of_rest(x, rest, unit):
    """Return log(1 + rest / unit)."""
    high, low = log1p_of_ratio(x, rest, 0.0, unit, 0.0)
    return high + low


@kernel(lambda x, out: (x, types.intp, types.float64, READ_NUMBERS, NUMBERS))
def likelihood_rows(x, n, beta, mass, out):
    """Write the sums over rows, weighted by `mass`, of the logarithm and of the mean and variance of distances.

    There is one mass for each row, or one for all.
    """
    rows = x.size // n
    rows_per_block = rows_of_sum(n)
    blocks = (rows + rows_per_block - 1) // rows_per_block
    parts = np.zeros(MOMENTS * blocks)
    tau = 1.0 / beta
    far = are_far(x.size, x)
    for block in prange(blocks):
        first = block * rows_per_block
        source = data_of(x)
        ahead = ahead_of(source, n, far, None)
        steps = exp_steps(source, tau)
        farthest = 2.0 * limits_of(source).reach * tau  # exponentials from there on are as good as 0
        for row in range(first, min(rows, first + rows_per_block)):
            of_row = weight_at(mass, row)
            if of_row != 0.0:
                shift = shift_of_row(source, row * n, n, tau, limits_of(source).reach, None)
                unit, _ = largest_exp(source, shift, tau)
                if shift.reached:
                    m = moments_of_row(source, row * n, n, steps, shift, farthest, True, ahead)
                else:
                    m = moments_of_row(source, row * n, n, steps, shift, farthest, False, ahead)
                mean = m.first / (unit + m.rest)
                parts[MOMENTS * block] += of_row * log_of_rest(source, m.rest, unit)
                parts[MOMENTS * block + 1] += of_row * mean
                parts[MOMENTS * block + 2] += of_row * (m.second / (unit + m.rest) - mean * mean)
    sum_of_blocks(parts, MOMENTS, out)

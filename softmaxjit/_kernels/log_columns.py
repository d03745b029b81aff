"""Log-softmax and log-sum-exp of rows that lie across a tile (see `columns`), with the bits of the row kernels."""

from typing import Any, NamedTuple

import numpy as np
from numba import types

from .._jit import compiled_as, helper
from .._simd.arithmetic import like, magnitude, select
from .._simd.exp_scaled import exp_steps
from .._simd.lanes import any_lane, widen
from .._simd.memory import element_like, lanes, load, splat, store
from .._simd.vector import Vector
from .ahead import ask_upcoming
from .columns import finished, put_partial, sum_of_partials
from .log_softmax import Output, log_softmax_element, output_of
from .logsumexp import log1p_of_ratio, sum_with_largest
from .others import OTHERS_BLOCK_ELEMENTS, add_exp, is_too_small, minus_largest, parts_of_exp
from .partial import nothing
from .shift import column_maxima, largest_exp, limits_of, shift_of_any_range
from .sums import add_pairs


@helper
def partial_of_others(tile, start, stride, first, stop, steps, shift, precise, alone, upcoming, asked):
    """Return the sum of every L-th exponential from line `first`, L the lanes of a vector, and what it has lost.

    Line 0 comes with minus the exponential of the maximum, unless that is `alone`.  Upcoming vectors are asked for from
    the one at `asked` on.
    """
    total, lost = nothing(tile)
    if first == 0 and not alone:
        total, lost = minus_largest(tile, steps, shift, precise)
    for i in range(first, stop, lanes(tile)):
        ask_upcoming(upcoming, asked)
        asked += 1
        u, scale = parts_of_exp(load(tile, start + i * stride), steps, shift, False, alone)
        total, lost = add_exp(total, lost, u, scale, precise)
    return total, lost


@helper
def sum_columns_of_others(tile, start, stride, n, steps, shift, precise, alone, memory, upcoming):
    """Return the sums of rows but for their maxima as float64 pairs; the order is that of `sum_blocks_of_others`."""
    width = lanes(tile)
    zero, _ = nothing(tile)
    value, error = zero, zero
    opening, opening_error = zero, zero
    for first in range(0, n, OTHERS_BLOCK_ELEMENTS):
        stop = min(n, first + OTHERS_BLOCK_ELEMENTS)
        count = min(width, stop - first)
        for k in range(count):
            asked = first + k * ((stop - first) // width)
            total, lost = partial_of_others(
                tile, start, stride, first + k, stop, steps, shift, precise, alone, upcoming, asked
            )
            put_partial(memory, k * width, total, lost)
        if first == 0:
            opening, opening_error = sum_of_partials(tile, memory, count, width // 2)
        else:
            value, error = add_pairs(value, error, sum_of_partials(tile, memory, count, width // 2))
    return add_pairs(value, error, (opening, opening_error)) if n > OTHERS_BLOCK_ELEMENTS else (opening, opening_error)


@helper
def logs_of_columns(tile, start, stride, n, temperature, precise, memory, upcoming):
    """Return the maxima m of rows, and log(sum(exp((x - m) / temperature))) as float64 pairs."""
    largest = column_maxima(tile, start, stride, n)
    shift = shift_of_any_range(tile, largest, temperature, limits_of(tile).log_reach)
    steps = exp_steps(tile, temperature)
    unit, unit_error = largest_exp(tile, shift, temperature)
    rest, error = sum_columns_of_others(tile, start, stride, n, steps, shift, precise, False, memory, upcoming)
    too_small = is_too_small(tile, rest, unit, precise)
    if any_lane(too_small):
        only, only_error = sum_columns_of_others(tile, start, stride, n, steps, shift, precise, True, memory, None)
        rest, error = select(too_small, only, rest), select(too_small, only_error, error)
    return (largest, *log1p_of_ratio(tile, rest, error, unit, unit_error))


class Distances(NamedTuple):
    """What is left to do with the elements of rows: they become distances from the maximum, less the logarithm."""

    output: Output
    tempered: Any  # whether the temperature is not 1; where each row has its own, a vector of 1 and 0


@compiled_as(finished, inline=True)
def _finished_distances(tile, v, ending):
    if isinstance(ending, types.NoneType) or ending.instance_class is not Distances:
        return None
    if not isinstance(ending.types[1], Vector):

        def of_one_temperature(tile, v, ending):
            if ending.tempered:
                return log_softmax_element(v, ending.output, True)
            return log_softmax_element(v, ending.output, False)

        return of_one_temperature

    def of_several(tile, v, ending):
        plain, tempered = log_softmax_element(v, ending.output, False), log_softmax_element(v, ending.output, True)
        return select(ending.tempered == 1.0, tempered, plain)

    return of_several


def are_tempered(tile: Any, temperature: Any) -> Any:
    """Return the field `tempered` for a temperature, or for one in each lane."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(are_tempered, inline=True)
def _are_tempered(tile, temperature):
    if isinstance(temperature, Vector):
        return lambda tile, temperature: select(temperature == 1.0, splat(tile, 0), splat(tile, 1))
    return lambda tile, temperature: temperature != 1.0


@helper
def log_softmax_columns(tile, start, stride, n, temperature, memory, upcoming):
    """Return what is left to do with as many rows as a vector has lanes; in the tile nothing changes."""
    largest, log, log_error = logs_of_columns(tile, start, stride, n, temperature, False, memory, upcoming)
    return Distances(output_of(tile, largest, log, log_error, temperature), are_tempered(tile, temperature))


@helper
def nan_columns(tile, start, stride, n):
    """Return NaN for rows that hold one, 0 for others."""
    found = splat(tile, 0)
    for i in range(n):
        v = load(tile, start + i * stride)
        found = select(v == v, found, np.nan)
    return found


@helper
def logsumexp_columns(tile, start, stride, n, temperature, memory, upcoming):
    """Log-sum-exp of as many rows as a vector has lanes, in place of their first elements."""
    largest, log, log_error = logs_of_columns(tile, start, stride, n, temperature, True, memory, upcoming)
    wide = widen(largest)
    infinite = magnitude(wide) == np.inf
    if any_lane(infinite):
        nothing_or_nan = widen(nan_columns(tile, start, stride, n))
        log, log_error = select(infinite, nothing_or_nan, log), select(infinite, like(log, 0.0), log_error)
    store(tile, start, element_like(tile, sum_with_largest(wide, log, log_error)))

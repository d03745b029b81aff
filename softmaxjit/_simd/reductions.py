"""Several rows at once, a vector of each in memory: what the lanes of a row come to goes to the lane of its number.

As many rows as their vectors have lanes are halved together: two halves of one row and two of another are combined by
one operation, where `lanes` combines two halves of one.  The order is that of `lanes`: lane i with lane i + half first.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any

from llvmlite import ir
from numba.core import types

from .._intrinsic import intrinsic
from .._jit import compiled_as
from .lanes import halves, widen
from .memory import indices, lanes, loaded, loaded_halves, store
from .transpose import exchange
from .vector import Vector, concatenated, vector_of

Row = tuple[Any, ...]  # of LLVM vectors


def _reduced(builder: Any, rows: list[Row], combined: Callable[[Any, Row, Row], Row]) -> Row:
    """Return what the lanes of each row come to."""
    distance = len(rows) // 2
    while distance:
        pairs = zip(rows[:distance], rows[distance:], strict=True)
        rows = [combined(builder, *_sides(builder, x, y, distance)) for x, y in pairs]
        distance //= 2
    return rows[0]


def _sides(builder: Any, x: Row, y: Row, distance: int) -> tuple[Row, Row]:
    """Return the lower and the upper lanes of all pairs `distance` apart, those of y above those of x."""
    exchanged = [exchange(builder, a, b, distance) for a, b in zip(x, y, strict=True)]
    return tuple(low for low, _ in exchanged), tuple(high for _, high in exchanged)


def _larger(builder: Any, x: Row, y: Row) -> Row:
    return (builder.select(builder.fcmp_ordered(">", x[0], y[0]), x[0], y[0]),)


def _sum(builder: Any, x: Row, y: Row) -> Row:
    return (builder.fadd(x[0], y[0]),)


def _exact_sum(builder: Any, x: Row, y: Row) -> Row:
    """Return the sum of pairs as `sum_lanes` does: Knuth's TwoSum, its error and those of both."""
    (value, error), (other, other_error) = x, y
    total = builder.fadd(value, other)
    rest = builder.fsub(total, value)
    lost = builder.fadd(builder.fsub(value, builder.fsub(total, rest)), builder.fsub(other, rest))
    return total, builder.fadd(builder.fadd(error, other_error), lost)


@intrinsic
def largest_of_each(typingctx, array, index):
    """Return the largest lane of each of as many vectors as one has lanes, without NaN, from an index on."""
    vector = vector_of(array.dtype)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        places = islice(indices(builder, args[1], args[1].type(vector.lanes)), vector.lanes)
        rows = [(loaded(context, builder, array, args[0], place),) for place in places]
        return _reduced(builder, rows, _larger)[0]

    return vector(array, types.intp), generate


def store_sum(memory: Any, k: Any, total: Any, lost: Any) -> Any:
    """Keep the partial sums ``total + lost`` of row k for `sum_of_each`, in the dtype of `total`."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(store_sum, inline=True)
def _store_sum(memory, k, total, lost):
    if total.element == lost.element:

        def both(memory, k, total, lost):
            store(memory, k * lanes(memory), total)
            store(memory, (lanes(memory) + k) * lanes(memory), lost)

        return both

    def halved_once(memory, k, total, lost):
        low, high = halves(total + widen(lost))
        store(memory, k * lanes(memory), low + high)

    return halved_once


@intrinsic(prefer_literal=True)
def sum_of_each(typingctx, memory, vector, lossy):
    """Return the sums of as many rows as `vector` has lanes as a float64 pair, a row in each lane.

    `lossy` is a literal: whether there are lines of what partial sums have lost.  Of float32 in float64 there are none.
    """
    value = Vector(types.float64, vector.lanes)
    result = types.Tuple((value, value if vector.element == types.float64 else types.float64))

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        count = vector_of(memory.dtype).lanes

        def line(k: int) -> Any:
            return loaded(context, builder, memory, args[0], context.get_constant(types.intp, k * count))

        def halved_once(k: int) -> Any:
            if memory.dtype == types.float64:
                return line(k)
            low, high = loaded_halves(builder, args[0], ir.IntType(64)(k * count))
            if lossy.literal_value:
                lost = loaded_halves(builder, args[0], ir.IntType(64)((count + k) * count))
                low, high = builder.fadd(low, lost[0]), builder.fadd(high, lost[1])
            return builder.fadd(low, high)

        if vector.element == types.float64:
            nothing = ir.Constant(line(0).type, [0.0] * count)
            pairs = [(line(k), line(count + k) if lossy.literal_value else nothing) for k in range(count)]
            return context.make_tuple(builder, result, _reduced(builder, pairs, _exact_sum))
        of_halves = vector.lanes // 2
        parts = [
            _reduced(builder, [(halved_once(k),) for k in range(first, first + of_halves)], _sum)[0]
            for first in (0, of_halves)
        ]
        total = concatenated(builder, *parts)
        return context.make_tuple(builder, result, (total, context.get_constant(types.float64, 0.0)))

    return result(memory, vector, lossy), generate

"""From a vector to one number: the largest and smallest lane, and sums in an order fixed once for every target."""

from typing import Any

from llvmlite import ir
from numba.core import types

from .._intrinsic import intrinsic
from .._jit import compiled_as, helper
from .arithmetic import add_exactly
from .vector import INT32, Vector, concatenated, split


def _exchanged(builder: Any, value: Any, distance: int) -> Any:
    """Return `value` with lane i moved to lane i XOR distance."""
    order = [i ^ distance for i in range(value.type.count)]
    return builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(INT32, len(order)), order))


def _folded(builder: Any, value: Any, combine: Any) -> Any:
    """Combine the halves until one lane is left: lane i with lane i + count / 2 first."""
    while value.type.count > 1:
        value = combine(*split(builder, value))
    return builder.extract_element(value, INT32(0))


@intrinsic
def joined(typingctx, first, second):
    """Return one vector with the lanes of two."""
    both = Vector(first.element, 2 * first.lanes)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return concatenated(builder, *args)

    return both(first, second), generate


@intrinsic
def halves(typingctx, value):
    """Return the lower and the upper half of the lanes."""
    half = Vector(value.element, value.lanes // 2)
    result = types.UniTuple(half, 2)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.make_tuple(builder, result, split(builder, args[0]))

    return result(value), generate


@intrinsic
def first_lane(typingctx, value):
    """Return lane 0."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.extract_element(args[0], INT32(0))

    return value.element(value), generate


@intrinsic
def largest_lane(typingctx, value):
    """Return the largest lane of a vector without NaN."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _folded(builder, args[0], lambda x, y: builder.select(builder.fcmp_ordered(">", x, y), x, y))

    return value.element(value), generate


@intrinsic
def smallest_lane(typingctx, value):
    """Return the smallest lane of a vector without NaN."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _folded(builder, args[0], lambda x, y: builder.select(builder.fcmp_ordered("<", x, y), x, y))

    return value.element(value), generate


@intrinsic
def any_lane(typingctx, mask):
    """Whether any lane of a mask holds."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = ir.IntType(mask.lanes)
        return builder.icmp_unsigned("!=", builder.bitcast(args[0], bits), ir.Constant(bits, 0))

    return types.boolean(mask), generate


@intrinsic
def all_lanes(typingctx, mask):
    """Whether every lane of a mask holds."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = ir.IntType(mask.lanes)
        return builder.icmp_unsigned("==", builder.bitcast(args[0], bits), ir.Constant(bits, -1))

    return types.boolean(mask), generate


@intrinsic
def widen(typingctx, value):
    """Return a number, or the lanes of a vector, as float64."""
    wide = Vector(types.float64, value.lanes) if isinstance(value, Vector) else types.float64

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return args[0] if value == wide else builder.fpext(args[0], context.get_value_type(wide))

    return wide(value), generate


@intrinsic
def narrow(typingctx, value):
    """Return float64 lanes rounded to float32 lanes."""
    slim = Vector(types.float32, value.lanes)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fptrunc(args[0], context.get_value_type(slim))

    return slim(value), generate


@intrinsic
def sum_tree(typingctx, value):
    """Return the sum of the lanes: halves first, then halves of those."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _folded(builder, args[0], builder.fadd)

    return value.element(value), generate


@intrinsic(prefer_literal=True)
def _exchange(typingctx, value, distance):
    """Return the vector with lane i moved to lane i XOR distance."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _exchanged(builder, args[0], distance.literal_value)

    return value(value, distance), generate


@helper
def _fold_exactly(value, error, partner, partner_error):
    s, lost = add_exactly(value, partner)
    return s, (error + partner_error) + lost


def sum_lanes(value: Any, error: Any) -> Any:
    """Return the sum of the lanes of ``value + error`` as an unevaluated pair of float64, high part first."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(sum_lanes, inline=True)
def _sum_lanes(value, error):
    if value.element == types.float32:

        def of_float32(value, error):
            return sum_tree(widen(value) + widen(error)), 0.0

        return of_float32

    def of_float64(value, error):
        # The same tree, each addition carrying its rounding error along.
        value, error = _fold_exactly(value, error, _exchange(value, 4), _exchange(error, 4))
        value, error = _fold_exactly(value, error, _exchange(value, 2), _exchange(error, 2))
        value, error = _fold_exactly(value, error, _exchange(value, 1), _exchange(error, 1))
        return first_lane(value), first_lane(error)

    return of_float64


def lanes_like(value: Any, vector: Any) -> Any:
    """Return a vector whose lanes are alike as one number where `value` is a number, else as it is."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(lanes_like, inline=True)
def _lanes_like(value, vector):
    if isinstance(value, types.Float):
        return lambda value, vector: first_lane(vector)
    return lambda value, vector: vector

"""Rows become lanes, and rows again.

Squares of elements are turned over their diagonal: as many vectors as each has lanes, lane j of vector i for i of j.
Rows of few elements are taken apart and joined, which moves nothing but them.
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .memory import loaded, stored
from .vector import INT32, vector_of


def _exchange(builder: Any, x: Any, y: Any, distance: int) -> tuple[Any, Any]:
    """Exchange the lanes of x whose number has the bit `distance` for those of y whose number lacks it."""
    lanes = x.type.count
    first = [lane if not lane & distance else lanes + lane - distance for lane in range(lanes)]
    second = [lane + distance if not lane & distance else lanes + lane for lane in range(lanes)]
    orders = (ir.Constant(ir.VectorType(INT32, lanes), order) for order in (first, second))
    low, high = (builder.shuffle_vector(x, y, order) for order in orders)
    return low, high


@intrinsic
def transposed(typingctx, vectors):
    """Return the square of a tuple of vectors, turned over its diagonal."""
    count = len(vectors)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        square = [builder.extract_value(args[0], k) for k in range(count)]
        distance = count // 2
        while distance:
            for k in range(count):
                if not k & distance:
                    square[k], square[k + distance] = _exchange(builder, square[k], square[k + distance], distance)
            distance //= 2
        return context.make_tuple(builder, sig.return_type, square)

    return vectors(vectors), generate


@intrinsic
def load_square(typingctx, array, index, stride):
    """Return as many vectors of an array as each has lanes, `stride` elements apart."""
    vector = vector_of(array.dtype)
    square = types.UniTuple(vector, vector.lanes)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vectors = []
        for _ in range(vector.lanes):
            vectors.append(loaded(context, builder, array, args[0], args[1]))
            args = (args[0], builder.add(args[1], args[2]), args[2])
        return context.make_tuple(builder, square, vectors)

    return square(array, types.intp, types.intp), generate


@intrinsic
def store_square(typingctx, array, index, stride, square):
    """Store vectors `stride` elements apart, in ascending order: where they overlap, the next one stays."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, index, stride, vectors = args
        for k in range(len(square)):
            stored(context, builder, array, data, index, builder.extract_value(vectors, k))
            index = builder.add(index, stride)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, square), generate


@intrinsic(prefer_literal=True)
def load_columns(typingctx, array, index, count):
    """Return `count` vectors, of which the i-th has every `count`-th element of an array from the i-th on."""
    vector = vector_of(array.dtype)
    n = count.literal_value
    result = types.UniTuple(vector, n)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        lanes = vector.lanes
        places = [builder.add(args[1], args[1].type(k * lanes)) for k in range(n)]
        parts = [loaded(context, builder, array, args[0], place) for place in places]
        columns = [_gathered(builder, parts, list(range(i, lanes * n, n))) for i in range(n)]
        return context.make_tuple(builder, result, columns)

    return result(array, types.intp, count), generate


@intrinsic(prefer_literal=True)
def store_columns(typingctx, array, index, count, columns):
    """Store what `load_columns` would return."""
    n = count.literal_value

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        lanes = columns.dtype.lanes
        parts = [builder.extract_value(args[3], k) for k in range(n)]
        for start in range(0, n * lanes, lanes):
            value = _gathered(builder, parts, [e % n * lanes + e // n for e in range(start, start + lanes)])
            stored(context, builder, array, args[0], builder.add(args[1], args[1].type(start)), value)
        return context.get_dummy_value()

    return types.void(array, types.intp, count, columns), generate


def _gathered(builder: Any, parts: Any, elements: Any) -> Any:
    """Return the vector of such elements of vectors, which are counted through them all."""
    lanes = parts[0].type.count
    order = ir.VectorType(INT32, lanes)
    value = parts[0]
    for k in range(1, len(parts)):
        # What is wanted of earlier vectors is in its place by now; of the first two it comes there in one step.
        wanted = [e - (k - 1) * lanes if e // lanes == k else e if k == 1 else lane for lane, e in enumerate(elements)]
        value = builder.shuffle_vector(value, parts[k], ir.Constant(order, [e % (2 * lanes) for e in wanted]))
    return value

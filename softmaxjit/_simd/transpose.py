"""Squares of elements turned over their diagonal: as many vectors as each has lanes, lane j of vector i for i of j."""

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

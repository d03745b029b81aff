"""Rows become lanes, and rows again.

Of as many rows as a vector has lanes a few columns are turned at a time: lane j of vector k for element k of row j.
Pieces of so many elements are joined to vectors, so that these hold squares side by side, which are turned over their
diagonals.  Rows of few elements are taken apart and joined, which moves nothing but them.
"""

from itertools import islice
from typing import Any

from llvmlite import ir
from numba.core import types

from .._intrinsic import intrinsic
from .memory import indices, loaded, stored
from .target import vector_bytes
from .vector import INT32, concatenated, vector_of

# Of pieces that are loaded; stored ones are as large as the vectors of the target.  Of the time of whole vectors, whose
# squares need more registers than AVX2 has, softmax of (1024, 5), (1024, 10) and (1024, 32) float32 took 0.81, 0.88 and
# 0.81 in code for AVX2, 0.92, 1.01 and 0.95 in code for AVX-512 (medians of interleaved runs on one core).
_LOADED_BYTES = 16


def exchange(builder: Any, x: Any, y: Any, distance: int) -> tuple[Any, Any]:
    """Exchange the lanes of x whose number has the bit `distance` for those of y whose number lacks it."""
    lanes = x.type.count
    first = [lane if not lane & distance else lanes + lane - distance for lane in range(lanes)]
    second = [lane + distance if not lane & distance else lanes + lane for lane in range(lanes)]
    orders = (ir.Constant(ir.VectorType(INT32, lanes), order) for order in (first, second))
    low, high = (builder.shuffle_vector(x, y, order) for order in orders)
    return low, high


def _turned(builder: Any, vectors: list[Any]) -> list[Any]:
    """Turn squares over their diagonals: as many lanes of each vector, from the first on, as there are vectors."""
    turned = list(vectors)
    distance = len(turned) // 2
    while distance:
        for k in range(len(turned)):
            if not k & distance:
                turned[k], turned[k + distance] = exchange(builder, turned[k], turned[k + distance], distance)
        distance //= 2
    return turned


def _joined(builder: Any, pieces: list[Any]) -> Any:
    """Return one vector of all pieces."""
    while len(pieces) > 1:
        pieces = [concatenated(builder, low, high) for low, high in zip(pieces[::2], pieces[1::2], strict=True)]
    return pieces[0]


def _piece(builder: Any, vector: Any, k: int, size: int) -> Any:
    """Return the k-th so many lanes of a vector."""
    lanes = list(range(k * size, (k + 1) * size))
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(INT32, size), lanes))


def _piece_at(builder: Any, data: Any, index: Any, size: int) -> Any:
    """Return the address of so many elements."""
    element = builder.gep(data, [index])
    return builder.bitcast(element, ir.VectorType(element.type.pointee, size).as_pointer())


@intrinsic
def columns_loaded(typingctx, array):
    """Return how many columns `load_turned` returns."""
    count = _LOADED_BYTES * 8 // array.dtype.bitwidth
    return types.intp(array), lambda context, builder, sig, args: context.get_constant(types.intp, count)


@intrinsic
def load_turned(typingctx, array, index, stride):
    """Return columns of as many rows as a vector has lanes, `stride` elements apart."""
    vector = vector_of(array.dtype)
    size = _LOADED_BYTES * 8 // array.dtype.bitwidth
    columns = types.UniTuple(vector, size)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, index, stride = args
        rows = [_piece_at(builder, data, row, size) for row in islice(indices(builder, index, stride), vector.lanes)]
        pieces = [builder.load(row, align=array.dtype.bitwidth // 8) for row in rows]
        vectors = [_joined(builder, pieces[k::size]) for k in range(size)]
        return context.make_tuple(builder, columns, _turned(builder, vectors))

    return columns(array, types.intp, types.intp), generate


@intrinsic
def columns_stored(typingctx, array):
    """Return how many columns `store_turned` takes."""
    count = vector_bytes() * 8 // array.dtype.bitwidth
    return types.intp(array), lambda context, builder, sig, args: context.get_constant(types.intp, count)


@intrinsic
def store_turned(typingctx, tile, at, array, index, stride):
    """Store columns, neighbouring vectors of a tile, as rows.

    That is in ascending order: where rows overlap, the next one stays.
    """
    vector = vector_of(array.dtype)
    size = vector_bytes() * 8 // array.dtype.bitwidth

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        lines, at, data, index, stride = args
        columns = [builder.add(at, at.type(k * vector.lanes)) for k in range(size)]
        vectors = _turned(builder, [loaded(context, builder, tile, lines, column) for column in columns])
        for j, row in enumerate(islice(indices(builder, index, stride), vector.lanes)):
            piece = _piece(builder, vectors[j % size], j // size, size)
            builder.store(piece, _piece_at(builder, data, row, size), align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(tile, types.intp, array, types.intp, types.intp), generate


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

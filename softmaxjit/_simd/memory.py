"""Loads and stores of whole and partial vectors at an element index of a flat, contiguous array (see `data_of`).

What is loaded has the type in which the array's elements are computed; what is stored is rounded to theirs.  Elements
whose mask is False are loaded as -inf.
"""

from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba.core import types

from .._intrinsic import intrinsic
from .halves import narrowed, widened
from .masked import MaskedData, joined_parts, mask_address, parts_of, unless_masked
from .parts import first_lanes, load_first, store_first
from .vector import INT32, Vector, computed, concatenated, constant, vector_of


@intrinsic
def data_of(typingctx, array):
    """Return the address of a flat array's elements, for the functions below; the caller keeps the array alive.

    Of a tuple of an array and a mask it returns both addresses, from which can only be loaded.

    An array handed from helper to helper has its references counted at each step, by calls around which every vector
    register is saved: softmax rows of 64 float32 took 57 instead of 34 ns, of 1000 298 instead of 262 ns (interleaved
    runs on one Zen 4 core).
    """

    def address(context: Any, builder: Any, array_type: Any, value: Any) -> Any:
        return context.make_array(array_type)(context, builder, value).data

    if isinstance(array, types.Array):
        data = types.CPointer(array.dtype)
        return data(array), lambda context, builder, sig, args: address(context, builder, array, args[0])
    masked = MaskedData(array[0].dtype)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        arrays = [builder.extract_value(args[0], k) for k in range(2)]
        parts = [address(context, builder, *pair) for pair in zip(array, arrays, strict=True)]
        return joined_parts(context, builder, masked, *parts)

    return masked(array), generate


@intrinsic
def moved(typingctx, data, elements):
    """Return the address of other elements, with the mask that `data` may have."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        _, where = parts_of(context, builder, data, args[0])
        return args[1] if where is None else joined_parts(context, builder, data, args[1], where)

    return data(data, types.CPointer(data.dtype)), generate


@intrinsic
def counted_from(typingctx, data, index):
    """Return the address at whose `index` is the first element of `data`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.gep(args[0], [builder.neg(args[1])])

    return data(data, types.intp), generate


@intrinsic
def are_same(typingctx, data, other):
    """Whether two addresses, the first perhaps with a mask, are one."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        elements, _ = parts_of(context, builder, data, args[0])
        return builder.icmp_unsigned("==", *(builder.ptrtoint(each, ir.IntType(64)) for each in (elements, args[1])))

    return types.boolean(data, other), generate


@intrinsic
def keep_until_here(typingctx, array):
    """Do nothing, but after the last use of `data_of` a local array: Numba frees it after its own last use."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.get_dummy_value()

    return types.void(array), generate


def _stored_type(context: Any, data_type: Any) -> ir.VectorType:
    """Return the LLVM type of a vector as it is in memory."""
    element = context.get_value_type(data_type.dtype)
    return ir.VectorType(element, vector_of(data_type.dtype).lanes)


def _address(context: Any, builder: Any, data_type: Any, data: Any, index: Any) -> Any:
    return builder.bitcast(builder.gep(data, [index]), _stored_type(context, data_type).as_pointer())


def _element_bytes(data_type: Any) -> int:
    return int(data_type.dtype.bitwidth) // 8


def _vector_bytes(data_type: Any) -> int:
    return vector_of(data_type.dtype).lanes * _element_bytes(data_type)


def indices(builder: Any, index: Any, stride: Any) -> Iterator[Any]:
    """Yield the LLVM values of an index and of those that follow it, `stride` elements apart."""
    while True:
        yield index
        index = builder.add(index, stride)


def loaded(context: Any, builder: Any, data_type: Any, data: Any, index: Any) -> Any:
    """Return the LLVM vector of `load`."""
    data, where = parts_of(context, builder, data_type, data)
    address = _address(context, builder, data_type, data, index)
    value = widened(context, builder, data_type.dtype, builder.load(address, align=_element_bytes(data_type)))
    if where is None:
        return value
    kept = builder.load(mask_address(builder, where, index, value.type.count), align=1)
    return unless_masked(builder, kept, value)


def stored(context: Any, builder: Any, data_type: Any, data: Any, index: Any, value: Any, normal: bool = False) -> None:
    """Emit what `store` does, or `store_normal`."""
    value = narrowed(context, builder, data_type.dtype, value, normal)
    builder.store(value, _address(context, builder, data_type, data, index), align=_element_bytes(data_type))


@intrinsic
def load_element(typingctx, data, index):
    """Return the single element at an index."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        elements, where = parts_of(context, builder, data, args[0])
        value = widened(context, builder, data.dtype, builder.load(builder.gep(elements, [args[1]])))
        return value if where is None else unless_masked(builder, builder.load(builder.gep(where, [args[1]])), value)

    return computed(data.dtype)(data, types.intp), generate


@intrinsic
def store_element(typingctx, data, index, value):
    """Store a single number at an index, rounded to the type in which it would be computed, then to the array's."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        stored = narrowed(context, builder, data.dtype, args[2])
        builder.store(stored, builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(data, types.intp, computed(data.dtype)), generate


@intrinsic
def lanes(typingctx, array):
    """Return the number of lanes in a vector of such elements, a constant of the compiled code."""
    count = vector_of(array.dtype).lanes

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.get_constant(types.intp, count)

    return types.intp(array), generate


@intrinsic
def splat(typingctx, array, value):
    """Return the vector of an array's elements, as they are computed, with `value` in every lane."""
    vector = vector_of(array.dtype)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return args[1]

    return vector(array, vector), generate


@intrinsic
def element_like(typingctx, array, value):
    """Return a number, or each lane of a vector, rounded to the type in which the array's elements are computed."""
    element = computed(array.dtype)
    if not isinstance(value, Vector):
        return element(array, element), lambda context, builder, sig, args: args[1]
    rounded = Vector(element, value.lanes)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return args[1] if value == rounded else builder.fptrunc(args[1], context.get_value_type(rounded))

    return rounded(array, value), generate


@intrinsic
def load_float64(typingctx, array, index, value):
    """Return as many elements of a float64 array from an index on as the vector `value` has lanes."""
    result = Vector(types.float64, value.lanes)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector_type = context.get_value_type(result)
        return builder.load(builder.bitcast(builder.gep(args[0], [args[1]]), vector_type.as_pointer()), align=8)

    return result(array, types.intp, value), generate


@intrinsic
def store_float64(typingctx, array, index, value):
    """Store a vector of float64, of however many lanes, from an index of a float64 array on."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], builder.bitcast(builder.gep(args[0], [args[1]]), args[2].type.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def load(typingctx, array, index):
    """Return the vector ``array[index : index + lanes]``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return loaded(context, builder, array, *args)

    return vector_of(array.dtype)(array, types.intp), generate


def loaded_halves(builder: Any, data: Any, index: Any) -> tuple[Any, Any]:
    """Return a vector of float32 in memory as two of float64: converted from there one takes 1 operation, else 2.5."""
    slim, wide = ir.VectorType(ir.FloatType(), 8), ir.VectorType(ir.DoubleType(), 8)
    places = [builder.gep(data, [builder.add(index, index.type(k))]) for k in (0, 8)]
    low, high = (builder.load(builder.bitcast(place, slim.as_pointer()), align=4) for place in places)
    return builder.fpext(low, wide), builder.fpext(high, wide)


@intrinsic
def load_wide(typingctx, array, index):
    """Return `load` in float64 lanes."""
    result = Vector(types.float64, vector_of(array.dtype).lanes)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if array.dtype == types.float32 and not isinstance(array, MaskedData):
            return concatenated(builder, *loaded_halves(builder, *args))
        value = loaded(context, builder, array, *args)
        return value if computed(array.dtype) == types.float64 else builder.fpext(value, context.get_value_type(result))

    return result(array, types.intp), generate


@intrinsic
def load_part(typingctx, array, index, count, fill):
    """Return the first `count` lanes from ``array[index:]``, `fill` in the others; reads nothing beyond."""
    vector = vector_of(array.dtype)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, where = parts_of(context, builder, array, args[0])
        address = _address(context, builder, array, data, args[1])
        stored_type = _stored_type(context, array)
        stored = load_first(context, builder, address, args[2], stored_type, _element_bytes(array))
        value = widened(context, builder, array.dtype, stored)
        if where is not None:
            address = mask_address(builder, where, args[1], vector.lanes)
            kept = load_first(context, builder, address, args[2], address.type.pointee, 1)
            value = unless_masked(builder, kept, value)
        return builder.select(first_lanes(builder, args[2], vector.lanes), value, args[3])

    return vector(array, types.intp, types.intp, vector), generate


@intrinsic
def store(typingctx, array, index, value):
    """``array[index : index + lanes] = value``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        stored(context, builder, array, *args)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector_of(array.dtype)), generate


@intrinsic
def store_normal(typingctx, array, index, value):
    """`store` of numbers none of which is subnormal, which some targets round to bfloat16 in one instruction."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, index, value = args
        stored(context, builder, array, data, index, value, normal=True)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector_of(array.dtype)), generate


@intrinsic
def store_part(typingctx, array, index, count, value):
    """Store the first `count` lanes at ``array[index:]``; writes nothing beyond."""
    vector = vector_of(array.dtype)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address = _address(context, builder, sig.args[0], args[0], args[1])
        stored = narrowed(context, builder, array.dtype, args[3])
        store_first(context, builder, stored, address, args[2], _element_bytes(sig.args[0]))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, vector), generate


@intrinsic
def stream(typingctx, array, index, value):
    """Store past the caches; the address must be a multiple of the bytes stored (see `stream_offset`)."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address = _address(context, builder, sig.args[0], args[0], args[1])
        stored = narrowed(context, builder, array.dtype, args[2])
        instruction = builder.store(stored, address, align=_vector_bytes(sig.args[0]))
        instruction.set_metadata("nontemporal", builder.module.add_metadata([INT32(1)]))
        return context.get_dummy_value()

    return types.void(array, types.intp, vector_of(array.dtype)), generate


@intrinsic
def stream_offset(typingctx, array, index):
    """Return how many elements after `index` a vector can be streamed; -1 where that is nowhere.

    Its address must be a multiple of its bytes: 64, or 32 where elements have 2.
    """

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address = _address(context, builder, sig.args[0], args[0], args[1])
        size = _element_bytes(sig.args[0])
        integer = builder.ptrtoint(address, ir.IntType(64))
        missing = builder.and_(builder.neg(integer), ir.Constant(integer.type, _vector_bytes(sig.args[0]) - 1))
        elements = builder.udiv(missing, ir.Constant(integer.type, size))
        aligned = builder.icmp_unsigned(
            "==", builder.and_(integer, ir.Constant(integer.type, size - 1)), integer.type(0)
        )
        return builder.select(aligned, elements, ir.Constant(integer.type, -1))

    return types.int64(array, types.intp), generate


@intrinsic
def keep_part(typingctx, value, count):
    """Return the first `count` lanes of a vector, 0 in the others."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        mask = first_lanes(builder, args[1], value.lanes)
        return builder.select(mask, args[0], constant(args[0].type, 0.0))

    return value(value, types.intp), generate

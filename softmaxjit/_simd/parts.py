"""The first elements of a vector in memory, and nothing beyond them: LLVM code for `memory`."""

from typing import Any

from llvmlite import ir

from .target import target_has
from .vector import INT32, broadcast, call_llvm, suffix

_SMALL = (ir.IntType(8), ir.IntType(16))
_ALIGN = 1  # bytes: as little as an element has


def first_lanes(builder: Any, count: Any, lanes: int) -> Any:
    """Return the LLVM mask of lanes 0 to count - 1."""
    numbers = ir.VectorType(INT32, lanes)
    limit = broadcast(builder, numbers, builder.trunc(count, INT32))
    return builder.icmp_unsigned("<", ir.Constant(numbers, list(range(lanes))), limit)


def load_first(context: Any, builder: Any, address: Any, count: Any, vector_type: ir.VectorType, align: int) -> Any:
    """Return the vector whose first `count` lanes, none to all, are at an address; the others are anything."""
    if _loaded_by_pieces(context, vector_type):
        return _load_pieces(builder, address, count, vector_type)
    mask = first_lanes(builder, count, vector_type.count)
    operands = [address, INT32(align), mask, ir.Constant(vector_type, ir.Undefined)]
    return call_llvm(builder, f"llvm.masked.load.{suffix(vector_type)}.p0", vector_type, operands)


def store_first(context: Any, builder: Any, value: Any, address: Any, count: Any, align: int) -> None:
    """Store the first `count` lanes, none to all, at an address."""
    if _stored_by_pieces(context):
        _store_pieces(builder, value, address, count)
        return
    operands = [value, address, INT32(align), first_lanes(builder, count, value.type.count)]
    call_llvm(builder, f"llvm.masked.store.{suffix(value.type)}.p0", ir.VoidType(), operands)


def _loaded_by_pieces(context: Any, vector_type: ir.VectorType) -> bool:
    """Whether the target has no masked load of such lanes: LLVM would then branch for each.

    1 to 15 elements of 16 bits take 2.2 to 4.0 ns by pieces, 4.3 to 6.9 ns by a branch for each; masked by pairs and an
    odd one, 2.4 to 10 ns (one Zen 3 core).
    """
    return bool(vector_type.element in _SMALL) and not target_has(context, "avx512bw")


def _stored_by_pieces(context: Any) -> bool:
    """Whether the target has no masked store of any lanes, or one that may be slow.

    That of AVX2 takes 8.5 ns on AMD's processors up to Zen 3.  By pieces, where 3, 7 and 49 rows are neighbours along
    another axis, softmax of float32 takes 0.54, 0.58 and 0.95 of the time, of rows by themselves 0.98 to 1.02 (medians
    of interleaved runs on one Zen 3 core; Intel's processors with AVX2 have not been measured).  Elements of 16 bits,
    of which AVX2 has none, take 1.9 to 2.7 ns by pieces and 3.9 to 5.7 ns by a branch for each.
    """
    return not target_has(context, "avx512bw")


def _load_pieces(builder: Any, address: Any, count: Any, vector_type: ir.VectorType) -> Any:
    """Load pieces of 1, 2, 4, ... elements, one for each bit of `count`, from the end of the part to its start."""
    lanes = vector_type.count
    result = ir.Constant(vector_type, ir.Undefined)
    for size in _sizes(lanes):
        before = builder.block
        with builder.if_then(_has_piece(builder, count, size)):
            piece = builder.load(_piece_at(builder, address, count, vector_type.element, size), align=_ALIGN)
            piece = _permuted(builder, piece, piece, [min(lane, size - 1) for lane in range(lanes)])
            order = [lane if lane < size else lanes + lane - size for lane in range(lanes)]
            joined = _permuted(builder, piece, result, order)
            inside = builder.block
        merged = builder.phi(vector_type)
        merged.add_incoming(result, before)
        merged.add_incoming(joined, inside)
        result = merged
    return result


def _store_pieces(builder: Any, value: Any, address: Any, count: Any) -> None:
    """Store the pieces that `_load_pieces` loads, from the start of the part to its end."""
    lanes = value.type.count
    for size in reversed(_sizes(lanes)):
        before = builder.block
        with builder.if_then(_has_piece(builder, count, size)):
            piece = _permuted(builder, value, value, list(range(size)))
            builder.store(piece, _piece_at(builder, address, count, value.type.element, size), align=_ALIGN)
            others = _permuted(builder, value, value, [min(lane + size, lanes - 1) for lane in range(lanes)])
            inside = builder.block
        remaining = builder.phi(value.type)
        remaining.add_incoming(value, before)
        remaining.add_incoming(others, inside)
        value = remaining


def _sizes(lanes: int) -> list[int]:
    return [1 << k for k in range(lanes.bit_length())]


def _has_piece(builder: Any, count: Any, size: int) -> Any:
    return builder.icmp_unsigned("!=", builder.and_(count, ir.Constant(count.type, size)), ir.Constant(count.type, 0))


def _piece_at(builder: Any, address: Any, count: Any, element: ir.Type, size: int) -> Any:
    """Return the address of the piece of so many elements: before it are the larger ones."""
    before = builder.and_(count, ir.Constant(count.type, -2 * size))
    first = builder.gep(builder.bitcast(address, element.as_pointer()), [before])
    return builder.bitcast(first, ir.VectorType(element, size).as_pointer())


def _permuted(builder: Any, x: Any, y: Any, order: list[int]) -> Any:
    """Return the lanes of x and y, counted on, in this order."""
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT32, len(order)), order))

"""float16 and bfloat16 in memory, float32 in registers: exact one way, rounded once to the nearest even the other way.

Everything here makes LLVM code, for a vector or a single element.  A NaN stays one, and is stored as a quiet one.
"""

from typing import Any

import numba
from llvmlite import ir
from numba.core import types

from .._carriers import CARRIERS
from .target import target_has, target_is_x86
from .vector import INT32, call_llvm, constant

_FLOAT16 = numba.from_dtype(CARRIERS["float16"])
_BFLOAT16 = numba.from_dtype(CARRIERS["bfloat16"])

_INFINITY = 0x7F80_0000  # of float32
_QUIET_NAN = 0x7FC0_0000
_SIGN = 0x8000_0000
_LEAST_NORMAL = 113 << 23  # 2**-14 in float32: the smallest normal float16
_HALF = 126 << 23  # 0.5 in float32, whose last bit is 2**-24 as that of a subnormal float16


def widened(context: Any, builder: Any, element: types.Type, stored: Any) -> Any:
    """Return what an array of Numba type `element` holds as the float it is computed in: see `computed`."""
    if element == _BFLOAT16:
        integers = _like(stored.type, INT32)
        bits = builder.shl(builder.zext(stored, integers), constant(integers, 16))
        return builder.bitcast(bits, _like(stored.type, ir.FloatType()))
    if element == _FLOAT16:
        if _converts_float16(context):
            halves = builder.bitcast(stored, _like(stored.type, ir.HalfType()))
            return builder.fpext(halves, _like(stored.type, ir.FloatType()))
        return _widened_float16(builder, stored)
    return stored


def narrowed(context: Any, builder: Any, element: types.Type, value: Any, normal: bool = False) -> Any:
    """Return a float as an array of Numba type `element` holds it; `normal` if none is subnormal."""
    shorts = _like(value.type, ir.IntType(16))
    if element == _BFLOAT16:
        if normal and _converts_bfloat16(context, value.type):
            name = "llvm.x86.avx512bf16.cvtneps2bf16.512"
            return builder.bitcast(call_llvm(builder, name, _like(value.type, _BFloatType()), [value]), shorts)
        return builder.trunc(_narrowed_bfloat16(builder, value), shorts)
    if element == _FLOAT16:
        if _converts_float16(context):
            return builder.bitcast(builder.fptrunc(value, _like(value.type, ir.HalfType())), shorts)
        return builder.trunc(_narrowed_float16(builder, value), shorts)
    return value


class _BFloatType(ir.Type):
    """LLVM's type for bfloat16, which llvmlite does not know."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloatType)

    def __hash__(self) -> int:
        return hash(_BFloatType)


def infinity_bits(element: types.Type) -> int:
    """Return the bits of infinity in an array of Numba type `element`, one of the two carriers."""
    return _INFINITY >> 16 if element == _BFLOAT16 else 0x7C00


def _like(llvm_type: ir.Type, element: ir.Type) -> ir.Type:
    """Return `element`, or the vector of as many of them as `llvm_type` has lanes."""
    return ir.VectorType(element, llvm_type.count) if isinstance(llvm_type, ir.VectorType) else element


def _converts_float16(context: Any) -> bool:
    """Whether the target has instructions for float16; elsewhere LLVM calls functions that nothing may define.

    Integers take 0.50 instead of 0.20 ns an element to load, 0.39 instead of 0.19 ns to store (one Zen 3 core).
    """
    return not target_is_x86(context) or target_has(context, "f16c") or target_has(context, "avx512f")


def _converts_bfloat16(context: Any, llvm_type: ir.Type) -> bool:
    """Whether the target rounds such a vector to bfloat16 in one instruction, which takes subnormal numbers for 0.

    Of the other 2**32 float32, NaN included, it makes the same bits as integers do.  Softmax of rows of 512 and 1000
    took 0.81 to 0.88 of the time (medians of interleaved runs, one core of an Intel processor).
    """
    return isinstance(llvm_type, ir.VectorType) and llvm_type.count == 16 and target_has(context, "avx512bf16")


def _widened_float16(builder: Any, stored: Any) -> Any:
    integers, floats = _like(stored.type, INT32), _like(stored.type, ir.FloatType())

    def whole(number: int) -> Any:
        return constant(integers, number)

    bits = builder.zext(stored, integers)
    size = builder.and_(bits, whole(0x7FFF))
    # The exponent gets the bias of float32, the largest one that of its infinity.
    moved = builder.shl(size, whole(13))
    special = builder.icmp_unsigned(">=", size, whole(0x7C00))
    normal = builder.select(special, builder.or_(moved, whole(_INFINITY)), builder.add(moved, whole(112 << 23)))
    quiet = builder.or_(normal, whole(_QUIET_NAN))
    normal = builder.select(builder.icmp_unsigned(">", size, whole(0x7C00)), quiet, normal)
    # A subnormal, and 0, is put below the bits of 0.5, which are then subtracted: exact.
    raised = builder.bitcast(builder.or_(size, whole(_HALF)), floats)
    small = builder.bitcast(builder.fsub(raised, constant(floats, 0.5)), integers)
    result = builder.select(builder.icmp_unsigned("<", size, whole(0x0400)), small, normal)
    sign = builder.shl(builder.and_(bits, whole(0x8000)), whole(16))
    return builder.bitcast(builder.or_(result, sign), floats)


def _narrowed_float16(builder: Any, value: Any) -> Any:
    """Return the bits as integers of 32 bits."""
    integers = _like(value.type, INT32)

    def whole(number: int) -> Any:
        return constant(integers, number)

    bits = builder.bitcast(value, integers)
    sign = builder.and_(bits, whole(_SIGN))
    size = builder.xor(bits, sign)
    normal = _rounded_off(builder, builder.sub(size, whole(112 << 23)), 13)
    # The sum with 0.5 is rounded where a subnormal float16 is.
    is_small = builder.icmp_unsigned("<", size, whole(_LEAST_NORMAL))
    small = builder.bitcast(builder.select(is_small, size, whole(0)), value.type)
    raised = builder.bitcast(builder.fadd(small, constant(value.type, 0.5)), integers)
    result = builder.select(is_small, builder.sub(raised, whole(_HALF)), normal)
    is_huge = builder.icmp_unsigned(">=", size, whole((127 + 16) << 23))  # 2**16; what rounds to it did so above
    is_nan = builder.icmp_unsigned(">", size, whole(_INFINITY))
    nan = builder.or_(builder.and_(builder.lshr(size, whole(13)), whole(0x03FF)), whole(0x7E00))
    result = builder.select(is_huge, builder.select(is_nan, nan, whole(0x7C00)), result)
    return builder.or_(result, builder.lshr(sign, whole(16)))


def _narrowed_bfloat16(builder: Any, value: Any) -> Any:
    """Return the bits as integers of 32 bits."""
    integers = _like(value.type, INT32)
    bits = builder.bitcast(value, integers)
    is_nan = builder.fcmp_unordered("uno", value, value)
    quiet = builder.or_(builder.lshr(bits, constant(integers, 16)), constant(integers, _QUIET_NAN >> 16))
    return builder.select(is_nan, quiet, _rounded_off(builder, bits, 16))


def _rounded_off(builder: Any, bits: Any, count: int) -> Any:
    """Return an integer without its last `count` bits, rounded to the nearest, halfway to the even one."""
    odd = builder.and_(builder.lshr(bits, constant(bits.type, count)), constant(bits.type, 1))
    almost_half = constant(bits.type, (1 << (count - 1)) - 1)
    return builder.lshr(builder.add(bits, builder.add(almost_half, odd)), constant(bits.type, count))

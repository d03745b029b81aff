"""The exponential of inner loops: exp(x / divisor) times a constant power of two that its caller chooses.

The power of two costs nothing, because it hides in the constant that rounds.  x is reduced to n steps of
divisor * ln2 / 8 and a fraction y of one; 2**(n mod 8 / 8) is looked up in a table that lives in registers, and a
polynomial in y, a minimax fit (Remez) of the relative error, does the rest.  The only constants that depend on the
divisor are two parts of a step's inverse.

With steps of ln2 and a longer polynomial instead of a table, softmax of (1024, 1000) takes 1.13 times as long in
float32 and 1.5 times in float64, where 16 multiplications were 11 (medians of interleaved runs on one Zen 3 core).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import types

from .._intrinsic import intrinsic
from .._jit import compiled_as
from .arithmetic import fma, horner, residue
from .exp import LOG2_E, LOG2_E_ERROR
from .lanes import widen
from .memory import element_like
from .target import target_has
from .vector import INT32, bits_type, call_llvm, computed, concatenated, constant, element_of, split

# Headroom: exp_scaled(x) is about 2**HEADROOM where x equals the shift, so that results far below it stay normal
# numbers (no subnormal stalls) and sums far above it stay finite.
HEADROOM = {types.float32: 64, types.float64: 512}

# exp_scaled(x) is a normal number while (shift - x) / divisor is at most this.
REACH = {types.float32: 130.0, types.float64: 1060.0}

# |x / divisor| up to here plus REACH is so many steps that an ulp of their number is at most 2**-11 and 2**-37 steps.
LARGEST_SHIFT = {types.float32: 256.0, types.float64: 2048.0}

# Every result of exp_scaled carries this factor.  Chosen so that FACTOR * 2**(j / 8) lies within 0.04 ulp of a float32
# (a search over all 24-bit factors) and 0.004 ulp of a float64 (by lattice reduction) for every j: the table then adds
# no error.
FACTOR = {types.float32: 12903870 * 2.0**-23, types.float64: 4611136105991457 * 2.0**-52}

_MANTISSA_BITS = {types.float32: 23, types.float64: 52}


def _eighths(element: Any, floats: Any, integers: Any) -> list[int]:
    """Return the bits of FACTOR * 2**(j / 8) for each j, less what j itself adds to them as part of an exponent."""
    mantissa_bits = _MANTISSA_BITS[element]
    whole = int(FACTOR[element] * 2**mantissa_bits)
    guard = 8  # bits more than a float64 has
    roots = [math.isqrt(math.isqrt(math.isqrt(whole**8 << (j + 8 * guard)))) for j in range(8)]
    table = np.array([math.ldexp(root, -guard - mantissa_bits) for root in roots], floats).view(integers)
    return [int(bits) - (j << (mantissa_bits - 3)) for j, bits in enumerate(table)]


_EIGHTHS = {
    types.float32: _eighths(types.float32, np.float32, np.int32),
    types.float64: _eighths(types.float64, np.float64, np.int64),
}

# (exp(y ln2 / 8) - 1) / y for |y| <= 1/2; relative error of exp 2**-25.1 and 2**-57.5.
_FRACTION = {
    types.float32: (0.086643401799092063, 0.0037540264156942474, 0.00010839102778599155),
    types.float64: (
        0.086643397569993165,
        0.0037535391712361744,
        0.00010840646223594210,
        2.3481760461862423e-6,
        4.0690790524056326e-8,
        5.8763587737614404e-10,
        7.2726463164782412e-12,
    ),
}


class Steps(NamedTuple):
    """What `exp_scaled` needs to know of the divisor: how many steps a unit is, and what rounding took from that."""

    per_unit: Any
    lost: Any


def exp_steps(array: Any, divisor: Any) -> Any:
    """Return the constants of `exp_scaled` for the array's dtype and a positive float64 divisor in 2**±40.

    Like all that describes a row, they are numbers, or vectors that describe a row in each lane.
    """
    raise NotImplementedError("only inside compiled code")


@compiled_as(exp_steps, inline=True)
def _exp_steps(array, divisor):
    if computed(array.dtype) == types.float32:

        def of_float32(array, divisor):
            exact = (8 * LOG2_E) / divisor
            per_unit = element_like(array, exact)
            return Steps(per_unit, element_like(array, exact - widen(per_unit)))

        return of_float32

    def of_float64(array, divisor):
        per_unit = (8 * LOG2_E) / divisor
        return Steps(per_unit, (residue(-per_unit, divisor, 8 * LOG2_E) + 8 * LOG2_E_ERROR) / divisor)

    return of_float64


def exp_magic(array: Any, octaves: Any) -> Any:
    """Return the magic number that makes `exp_scaled` compute exp(x / divisor) * 2**(HEADROOM - octaves)."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(exp_magic, inline=True)
def _exp_magic(array, octaves):
    element = computed(array.dtype)
    of_zero = 1.5 * 2.0 ** _MANTISSA_BITS[element] + 8 * HEADROOM[element]
    return lambda array, octaves: element_like(array, of_zero - 8.0 * octaves)


def exp_scaled(x: Any, steps: Any, magic: Any) -> Any:
    """Return FACTOR * exp(x / divisor) * 2**(HEADROOM - octaves) of a vector as ``(value, u, scale)``.

    ``value = u * scale + scale`` rounded once; the parts let a caller recover the rounding error.  A NaN stays.
    """
    raise NotImplementedError("only inside compiled code")


@compiled_as(exp_scaled, inline=True)
def _exp_scaled(x, steps, magic):
    coefficients = _FRACTION[element_of(x)]

    def implementation(x, steps, magic):
        shifted = fma(x, steps.per_unit, magic)
        n = shifted - magic
        y = fma(x, steps.lost, residue(x, steps.per_unit, -n))
        u = horner(y, coefficients) * y
        scale = _power_of_two_eighths(shifted)
        return fma(u, scale, scale), u, scale

    return implementation


@intrinsic
def _power_of_two_eighths(typingctx, shifted):
    """Return FACTOR * 2**(k / 8), k from the low bits of a vector: a table entry plus an exponent."""
    element = element_of(shifted)
    table, place = _EIGHTHS[element], _MANTISSA_BITS[element] - 3

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], bits_type(args[0].type))
        if element == types.float64 and target_has(context, "avx2") and not target_has(context, "avx512f"):
            return builder.bitcast(_by_parts(builder, bits, 8, _entry_and_exponent_in_words), args[0].type)
        exponents = builder.shl(bits, constant(bits.type, place))
        return builder.bitcast(builder.add(_look_up(context, builder, bits, table), exponents), args[0].type)

    return shifted(shifted), generate


def _look_up(context: Any, builder: Any, bits: Any, table: list[int]) -> Any:
    """Return the table entries that the low three bits of each lane select."""
    width = bits.type.element.width
    if target_has(context, "avx512f"):
        name = f"llvm.x86.avx512.permvar.{'si' if width == 32 else 'di'}.512"
        return _by_parts(builder, bits, 512 // width, lambda builder, part: _permuted(builder, name, table, part))
    if target_has(context, "avx2") and width == 32:
        return _by_parts(builder, bits, 8, lambda builder, part: _permuted(builder, _PERMUTE_WORDS, table, part))
    return _look_up_lane_by_lane(builder, bits, table)


_PERMUTE_WORDS = "llvm.x86.avx2.permd"


def _by_parts(builder: Any, bits: Any, lanes: int, look_up: Any) -> Any:
    """Return what is looked up for so many lanes at a time."""
    if bits.type.count == lanes:
        return look_up(builder, bits)
    return concatenated(builder, *(_by_parts(builder, half, lanes, look_up) for half in split(builder, bits)))


def _permuted(builder: Any, name: str, table: list[int], bits: Any) -> Any:
    """Return table entries by a permutation, an intrinsic of LLVM, of which the low bits of a lane are the index."""
    entries = ir.Constant(bits.type, table * (bits.type.count // len(table)))
    return call_llvm(builder, name, bits.type, [entries, bits])


def _entry_and_exponent_in_words(builder: Any, bits: Any) -> Any:
    """Return table entries plus exponents of 8 float64, whose halves are looked up each by itself.

    The order of lanes in between is one that takes a shuffle for two registers.
    """
    words = ir.VectorType(INT32, 16)
    half = ir.VectorType(INT32, 8)
    both = builder.bitcast(bits, words)
    index = builder.shuffle_vector(both, both, ir.Constant(half, [0, 2, 8, 10, 4, 6, 12, 14]))
    table = np.array(_EIGHTHS[types.float64], np.int64).view(np.int32).tolist()
    low = _permuted(builder, _PERMUTE_WORDS, table[::2], index)
    high = _permuted(builder, _PERMUTE_WORDS, table[1::2], index)
    high = builder.add(high, builder.shl(index, constant(half, _MANTISSA_BITS[types.float64] - 3 - 32)))
    order = [0, 8, 1, 9, 4, 12, 5, 13, 2, 10, 3, 11, 6, 14, 7, 15]
    return builder.bitcast(builder.shuffle_vector(low, high, ir.Constant(words, order)), bits.type)


def _look_up_lane_by_lane(builder: Any, bits: Any, table: list[int]) -> Any:
    element = bits.type.element
    table_type = ir.ArrayType(element, len(table))
    name = f"softmaxjit.eighths{element.width}"
    memory = builder.module.globals.get(name)
    if memory is None:
        memory = ir.GlobalVariable(builder.module, table_type, name)
        memory.global_constant = True
        memory.linkage = "private"
        memory.initializer = ir.Constant(table_type, table)
    index = builder.and_(bits, constant(bits.type, len(table) - 1))
    result = ir.Constant(bits.type, ir.Undefined)
    for lane in range(bits.type.count):
        address = builder.gep(memory, [INT32(0), builder.extract_element(index, INT32(lane))])
        result = builder.insert_element(result, builder.load(address), INT32(lane))
    return result

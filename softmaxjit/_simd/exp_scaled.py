"""The exponential of inner loops: exp(x / divisor) times a constant power of two that its caller chooses.

The power of two costs nothing, because it hides in the constant that rounds.  x is reduced as in `exp`:

* float32 takes steps of ln2 / 8 and looks 2**(n mod 8 / 8) up in a table that lives in one register: on AVX2 1.13 times
  as fast as steps of ln2 and a polynomial of degree 6 (2.51 against 2.23e9 elements/s in a whole softmax of
  (1024, 1000), interleaved runs on one Zen 3 core).
* float64 takes steps of ln2 and a polynomial alone: AVX2 has no 64-bit lookup in a register.  Its even and odd powers
  are two chains that do not wait for each other: softmax of rows of 1000 takes 0.91 of the time of one (medians of
  interleaved runs on one Zen 3 core); the square in it is used once more, so that there is no operation more.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import types

from .._intrinsic import intrinsic
from .._jit import compiled_as, helper
from .arithmetic import POWER_MAGIC, fma, multiply_exactly, polynomial, power_of_two
from .exp import LN2, LN2_ERROR, REMAINDER
from .memory import element_like
from .target import target_has
from .vector import INT32, call_llvm, computed, concatenated, constant, element_of, split

# Headroom: exp_scaled(x) is about 2**HEADROOM where x equals the shift, so that results far below it stay normal
# numbers (no subnormal stalls) and sums far above it stay finite.
HEADROOM = {types.float32: 64, types.float64: 512}

# exp_scaled(x) is a normal number while (shift - x) / divisor is at most this.
REACH = {types.float32: 130.0, types.float64: 1060.0}

# n has at most 13 bits for |x / divisor| up to here plus REACH.
LARGEST_SHIFT = {types.float32: 256.0, types.float64: 2048.0}
N_BITS = 13

# Of `_keep_leading_bits`, so that a product with n is exact: in float32 with a step that float64 holds, and in float64.
# As numbers, because Numba compiles a loop for a power.
_SPLITTER32 = 2.0 ** (53 - 24 + N_BITS) + 1.0
_SPLITTER64 = 2.0**N_BITS + 1.0
_SPLITTER_OF_HALVES = 2.0 ** (53 - (N_BITS + 1)) + 1.0

# Every result of the float32 exp_scaled carries this factor.  Chosen so that FACTOR * 2**(j / 8) lies within 0.026 ulp
# of a float32 for every j (a search over all 24-bit factors): the table then adds no error.
FACTOR = 12903870 * 2.0**-23
_TABLE = np.array([FACTOR * 2.0 ** (j / 8) for j in range(8)], np.float32).view(np.int32).tolist()
_TABLE_SHIFT = 20  # an eighth of an octave in the bits of a float32
_EIGHTHS = [int(np.int32(bits - (j << _TABLE_SHIFT))) for j, bits in enumerate(_TABLE)]

# (exp(r) - 1) / r for |r| <= ln2 / 16; relative error of exp 2**-25.2.
_CUBIC = (1.0000000490124467, 0.50006503762224103, 0.16664288787362748)


class Steps32(NamedTuple):
    """What `exp_scaled` needs to know of the divisor, for float32."""

    per_unit: Any
    negative_high: Any
    negative_low: Any
    linear: Any
    quadratic: Any
    cubic: Any


class Steps64(NamedTuple):
    """What `exp_scaled` needs to know of the divisor, for float64."""

    per_unit: Any
    negative_high: Any
    negative_low: Any
    inverse: Any


@helper
def _keep_leading_bits(value, splitter):
    """Round `value` to k fewer bits, where `splitter` is 2**k + 1: Veltkamp's splitting."""
    big = value * splitter
    return big - (big - value)


def exp_steps(array: Any, divisor: Any) -> Any:
    """Return the constants of `exp_scaled` for the array's dtype and a positive float64 divisor in 2**±40.

    Like all that describes a row, they are numbers, or vectors that describe a row in each lane.
    """
    raise NotImplementedError("only inside compiled code")


@compiled_as(exp_steps, inline=True)
def _exp_steps(array, divisor):
    if computed(array.dtype) == types.float32:
        linear, quadratic, cubic = _CUBIC

        def of_float32(array, divisor):
            step = divisor * (LN2 / 8)
            high = _keep_leading_bits(step, _SPLITTER32)
            inverse = 1.0 / divisor
            return Steps32(
                element_like(array, 1.0 / step),
                element_like(array, -high),
                element_like(array, high - step),
                element_like(array, linear * inverse),
                element_like(array, quadratic * inverse * inverse),
                element_like(array, cubic * inverse * inverse * inverse),
            )

        return of_float32

    def of_float64(array, divisor):
        step, error = multiply_exactly(divisor, LN2)
        error = error + divisor * LN2_ERROR
        high = _keep_leading_bits(step, _SPLITTER64)
        inverse = 1.0 / divisor
        return Steps64(1.0 / step, -high, ((high - step) - error) * inverse, inverse)

    return of_float64


def rounds_alike(steps: Any) -> Any:
    """Whether the octaves in the magic number have no say in how x is rounded to steps."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(rounds_alike, inline=True)
def _rounds_alike(steps):
    if steps.instance_class is Steps32:
        return lambda steps: True  # an octave is an even number of steps, and a half rounds to an even one

    # |n| is below 2**13.  If it were half an odd integer, the odd parts of x and of `per_unit` would be below 2**14.
    return lambda steps: _keep_leading_bits(steps.per_unit, _SPLITTER_OF_HALVES) != steps.per_unit


def exp_magic(array: Any, octaves: Any) -> Any:
    """Return the magic number that makes `exp_scaled` compute exp(x / divisor) * 2**(HEADROOM - octaves)."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(exp_magic, inline=True)
def _exp_magic(array, octaves):
    if computed(array.dtype) == types.float32:
        of_zero = 1.5 * 2.0**23 + 8 * HEADROOM[types.float32]
        return lambda array, octaves: element_like(array, of_zero - 8.0 * octaves)
    of_zero = POWER_MAGIC + HEADROOM[types.float64]
    return lambda array, octaves: of_zero - octaves


def exp_scaled(x: Any, steps: Any, magic: Any) -> Any:
    """Return exp(x / divisor) * 2**(HEADROOM - octaves), times FACTOR in float32, as ``(value, u, scale)``.

    ``value = u * scale + scale`` rounded once; the parts let a caller recover the rounding error.  A NaN stays.
    """
    raise NotImplementedError("only inside compiled code")


@compiled_as(exp_scaled, inline=True)
def _exp_scaled(x, steps, magic):
    if element_of(x) == types.float32:

        def of_float32(x, steps, magic):
            shifted = fma(x, steps.per_unit, magic)
            n = shifted - magic
            r = fma(n, steps.negative_low, fma(n, steps.negative_high, x))
            u = fma(fma(r, steps.cubic, steps.quadratic), r, steps.linear) * r
            scale = _power_of_two_eighths(shifted)
            return fma(u, scale, scale), u, scale

        return of_float32

    coefficients = REMAINDER[types.float64]

    def of_float64(x, steps, magic):
        shifted = fma(x, steps.per_unit, magic)
        n = shifted - magic
        leading = fma(n, steps.negative_high, x) * steps.inverse
        low = n * steps.negative_low
        r = leading + low
        u = leading + fma(polynomial(r, coefficients), r * r, low)
        scale = power_of_two(shifted)
        return fma(u, scale, scale), u, scale

    return of_float64


@intrinsic
def _power_of_two_eighths(typingctx, shifted):
    """Return FACTOR * 2**(k / 8), k from the low bits of a 16-lane float32 vector: a table entry plus an exponent."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        integers = ir.VectorType(INT32, shifted.lanes)
        bits = builder.bitcast(args[0], integers)
        exponents = builder.shl(bits, constant(integers, _TABLE_SHIFT))
        return builder.bitcast(builder.add(_look_up(context, builder, bits), exponents), args[0].type)

    return shifted(shifted), generate


def _look_up(context: Any, builder: Any, bits: Any) -> Any:
    """Return the table entries that the low three bits of each lane select."""
    if target_has(context, "avx512f"):
        return _look_up_by(builder, bits, 16, "llvm.x86.avx512.permvar.si.512")
    if target_has(context, "avx2"):
        return _look_up_by(builder, bits, 8, "llvm.x86.avx2.permd")
    return _look_up_lane_by_lane(builder, bits)


def _look_up_by(builder: Any, bits: Any, width: int, name: str) -> Any:
    """Return the table entries by a permutation of so many lanes at a time."""
    part = ir.VectorType(INT32, width)
    if bits.type.count == width:
        return call_llvm(builder, name, part, [ir.Constant(part, _EIGHTHS * (width // 8)), bits])
    return concatenated(builder, *(_look_up_by(builder, half, width, name) for half in split(builder, bits)))


def _look_up_lane_by_lane(builder: Any, bits: Any) -> Any:
    table_type = ir.ArrayType(INT32, 8)
    name = "softmaxjit.eighths"
    table = builder.module.globals.get(name)
    if table is None:
        table = ir.GlobalVariable(builder.module, table_type, name)
        table.global_constant = True
        table.linkage = "private"
        table.initializer = ir.Constant(table_type, _EIGHTHS)
    index = builder.and_(bits, constant(bits.type, 7))
    result = ir.Constant(bits.type, ir.Undefined)
    for lane in range(bits.type.count):
        address = builder.gep(table, [INT32(0), builder.extract_element(index, INT32(lane))])
        result = builder.insert_element(result, builder.load(address), INT32(lane))
    return result

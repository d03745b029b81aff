"""Arithmetic that has no operator, lane by lane; the same names serve a vector and a single float."""

from typing import Any

from llvmlite import ir
from numba.core import types

from .._intrinsic import intrinsic
from .._jit import helper
from .target import target_has, target_is_x86
from .vector import Vector, bits_type, broadcast, call_llvm, constant, element_of, mask_of, suffix, widest


def _has_fma(context: Any) -> bool:
    return target_has(context, "fma") or not target_is_x86(context)


def _fma(context: Any, builder: Any, x: Any, y: Any, z: Any) -> Any:
    # Without FMA in the target `llvm.fma` is a call of the C library, 23 times slower.
    name = "fma" if _has_fma(context) else "fmuladd"
    return call_llvm(builder, f"llvm.{name}.{suffix(x.type)}", x.type, [x, y, z])


@intrinsic
def fma(typingctx, x, y, z):
    """``x * y + z`` rounded once (twice on x86 without FMA)."""
    result = widest(x, y, z)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _fma(context, builder, *args)

    return result(result, result, result), generate


@intrinsic
def residue(typingctx, x, y, z):
    """``x * y + z`` where the two nearly cancel: what `fma` gives, on any target."""
    result = widest(x, y, z)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if _has_fma(context):
            return _fma(context, builder, *args)
        return (_residue32 if element_of(result).bitwidth == 32 else _residue64)(builder, *args)

    return result(result, result, result), generate


def _residue32(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """Return `residue` of float32 by way of float64, which holds the product."""
    wide = ir.DoubleType() if x.type == ir.FloatType() else ir.VectorType(ir.DoubleType(), x.type.count)
    x, y, wide_z = (builder.fpext(each, wide) for each in (x, y, z))
    return builder.fptrunc(builder.fadd(builder.fmul(x, y), wide_z), z.type)


def _residue64(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """Return `residue` of float64 by way of halves whose products are exact but for the last (Dekker)."""
    integers = bits_type(x.type)

    def halves(value: Any) -> tuple[Any, Any]:
        leading = builder.and_(builder.bitcast(value, integers), constant(integers, -1 << 27))
        high = builder.bitcast(leading, value.type)
        return high, builder.fsub(value, high)

    (x_high, x_low), (y_high, y_low) = halves(x), halves(y)
    total = builder.fadd(builder.fmul(x_high, y_high), z)
    for first, second in ((x_high, y_low), (x_low, y_high), (x_low, y_low)):
        total = builder.fadd(total, builder.fmul(first, second))
    return total


@intrinsic
def like(typingctx, x, value):
    """Return the number `value` in the type of `x`, in every lane of a vector."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return args[1]

    return x(x, x), generate


@intrinsic
def horner(typingctx, x, coefficients):
    """Return the polynomial in `x` with the given tuple of coefficients, the constant term first."""
    count = len(coefficients)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def coefficient(k: int) -> Any:
            value = builder.extract_value(args[1], k)
            value = context.cast(builder, value, sig.args[1][k], element_of(x))
            return broadcast(builder, args[0].type, value) if isinstance(x, Vector) else value

        result = coefficient(count - 1)
        for k in reversed(range(count - 1)):
            result = _fma(context, builder, result, args[0], coefficient(k))
        return result

    return x(x, coefficients), generate


@intrinsic
def larger(typingctx, x, y):
    """``x`` where ``x > y``, else ``y``: one instruction; a NaN in either gives `y`.

    Of integers too, where `max` would be a function that Numba compiles, in each caller anew.
    """
    result = types.unliteral(widest(x, y))

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        compare = builder.icmp_signed if isinstance(result, types.Integer) else builder.fcmp_ordered
        return builder.select(compare(">", *args), *args)

    return result(result, result), generate


@intrinsic
def smaller(typingctx, x, y):
    """``x`` where ``x < y``, else ``y``: one instruction; a NaN in either gives `y`.

    Of integers too, as `larger`.
    """
    result = types.unliteral(widest(x, y))

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        compare = builder.icmp_signed if isinstance(result, types.Integer) else builder.fcmp_ordered
        return builder.select(compare("<", *args), *args)

    return result(result, result), generate


def _wider(x: types.Type, y: types.Type) -> types.Type:
    return next((operand for operand in (x, y) if isinstance(operand, Vector | types.Float)), x)


@intrinsic
def select(typingctx, condition, x, y):
    """``x`` where `condition` holds, else ``y``, in the type of the vector, or of the first float."""
    result = _wider(x, y)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(*args)

    return result(mask_of(result), result, result), generate


@intrinsic
def magnitude(typingctx, x):
    """``|x|``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return call_llvm(builder, f"llvm.fabs.{suffix(args[0].type)}", args[0].type, args)

    return x(x), generate


@intrinsic
def is_negative(typingctx, x):
    """Whether the sign bit is set, of a zero and a NaN too; unlike a comparison, silent for NaN."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        integers = bits_type(args[0].type)
        return builder.icmp_signed("<", builder.bitcast(args[0], integers), constant(integers, 0))

    return mask_of(x)(x), generate


@intrinsic
def is_finite(typingctx, x):
    """Whether x is neither infinite nor NaN; unlike a comparison, silent for NaN."""
    exponent_mask = 0x7F80_0000 if element_of(x).bitwidth == 32 else 0x7FF0_0000_0000_0000

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        integers = bits_type(args[0].type)
        mask = constant(integers, exponent_mask)
        return builder.icmp_unsigned("!=", builder.and_(builder.bitcast(args[0], integers), mask), mask)

    return mask_of(x)(x), generate


@intrinsic
def equal_or_nan(typingctx, x, y):
    """Whether x == y or either is NaN; unlike ``<`` and its kin, silent for NaN."""
    result = widest(x, y)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fcmp_unordered("==", *args)

    return mask_of(result)(result, result), generate


@intrinsic
def nearest_integer(typingctx, x):
    """Return x rounded to an integer, ties to even."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return call_llvm(builder, f"llvm.rint.{suffix(args[0].type)}", args[0].type, args)

    return x(x), generate


@intrinsic
def both(typingctx, first, second):
    """Whether both of two conditions hold, lane by lane where they are masks."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.and_(*args)

    return first(first, first), generate


# Added to a whole float64 k, it gives what `power_of_two` makes 2**k of.
POWER_MAGIC = 1.5 * 2.0**52 + 1023


@intrinsic
def power_of_two(typingctx, shifted):
    """2**k where the low bits of `shifted` hold k plus the exponent bias, as adding a magic number leaves them."""
    mantissa_bits = 23 if element_of(shifted).bitwidth == 32 else 52

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        integers = bits_type(args[0].type)
        bits = builder.bitcast(args[0], integers)
        return builder.bitcast(builder.shl(bits, constant(integers, mantissa_bits)), args[0].type)

    return shifted(shifted), generate


@helper
def polynomial(x, coefficients):
    """`horner` in two chains, the even and the odd powers: less latency for one multiplication more.

    For long polynomials: a float64 exp took 1.57 instead of 1.78 ns an element (one Zen 3 core).
    """
    square = x * x
    return fma(horner(square, coefficients[1::2]), x, horner(square, coefficients[::2]))


@helper
def add_exactly(x, y):
    """Return ``(s, error)`` with s = x + y rounded and s + error = x + y exactly (Knuth's TwoSum)."""
    s = x + y
    rest = s - x
    return s, (x - (s - rest)) + (y - rest)


@helper
def add_to_larger(x, y):
    """`add_exactly` in half the operations, exact where x is 0 or not smaller than y in magnitude (Dekker)."""
    s = x + y
    return s, y - (s - x)


@helper
def multiply_exactly(x, y):
    """Return ``(p, error)`` with p = x * y rounded and p + error = x * y exactly, barring underflow."""
    p = x * y
    return p, residue(x, y, -p)

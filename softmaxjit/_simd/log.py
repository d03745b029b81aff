"""The logarithm of any number, and of 1 plus a fraction, on vectors and on single floats.

A number is split by its bits into ``x = 2**k * m`` with m from 3/4 to 3/2, so that ``log(x) = k * ln2 + log(m)``; a
fraction needs no splitting, one polynomial does.  The polynomials are minimax fits (Remez) of the relative error.
"""

import math
from typing import Any

import numpy as np
from numba.core import types

from .._intrinsic import intrinsic
from .._jit import compiled_as
from .arithmetic import add_to_larger, fma, is_finite, is_negative, like, polynomial, residue, select
from .exp import LN2, LN2_ERROR, leading_bits
from .vector import bits_type, constant, element_of

# Few enough bits of ln2 that their product with the exponent of any number is exact.
_LEADING_LN2 = {types.float32: leading_bits(LN2, 15), types.float64: leading_bits(LN2, 42)}

# (2 atanh(s) - 2 s) / s**3 as a polynomial in s**2, for |s| <= 1/5; relative error of atanh 2**-28.4 and 2**-62.7.
_ATANH = {
    types.float32: (0.66666946299572931, 0.39957910281341066, 0.30359047812898603),
    types.float64: (
        0.66666666666666598,
        0.40000000000055704,
        0.28571428556058254,
        0.22222224270990765,
        0.18181667373116624,
        0.153910638838119,
        0.1317439482725959,
        0.13837728571147137,
    ),
}


# log(1 + x) / x - 1 as a polynomial in x - center for 0 <= x <= 1; relative error of log(1 + x) 2**-27.7 and 2**-56.6.
# About 1/2 its terms fall fast, where about 0 they would cancel and lose two bits.  The centers are chosen so that the
# first term, the largest, is within 2**-40 and 2**-67 of a number of the format.
_CENTER = {types.float32: 0.5000532269477844, types.float64: 0.5000031217932701}
_LOG1P = {
    types.float32: (
        -0.18908513703760702,
        -0.28851299433007992,
        0.13259819617225777,
        -0.067679899087359501,
        0.036629998090792918,
        -0.020566601865463033,
        0.01157364023725095,
        -0.0067476608011677312,
        0.0052517886538556975,
        -0.0032440508921346745,
    ),
    types.float64: (
        -0.18907068450433509,
        -0.28852627114082924,
        0.13260911982649026,
        -0.067688186134404481,
        0.036611533779174095,
        -0.020548590264498303,
        0.011833640336177801,
        -0.0069452916816162509,
        0.0041361091113627791,
        -0.0024917938164328906,
        0.0015153509274488768,
        -0.00092883669280099787,
        0.00057305100432622211,
        -0.00035480630752051509,
        0.00022106778538997892,
        -0.00014211209929019883,
        8.9730171304769175e-5,
        -4.4793719880561272e-5,
        2.7522440031917003e-5,
        -3.8388794329514094e-5,
        2.5041625298475909e-5,
    ),
}


def log(x: Any) -> Any:
    """Return log(x) to 1 ulp: -inf for either zero, NaN below it and for NaN; no floating-point exception."""
    return np.log(x)


@compiled_as(log, inline=True)
def _log(x):
    coefficients = _ATANH[element_of(x)]
    ln2_high = _LEADING_LN2[element_of(x)]
    ln2_low = (LN2 - ln2_high) + LN2_ERROR

    def implementation(x):
        m, k = _split(x)
        # log(1 + f) = 2 atanh(s) = f - f**2 / 2 + s * (f**2 / 2 + rest): the error of s hardly counts.
        f = m - like(x, 1)
        s = f / (m + like(x, 1))
        square = s * s
        half = like(x, 0.5) * f * f
        high, low = add_to_larger(k * like(x, ln2_high), f)
        low = fma(s, fma(square, polynomial(square, coefficients), half), fma(k, like(x, ln2_low), low))
        result = select(is_finite(x), high + (low - half), x)
        result = select(is_negative(x), like(x, math.nan), result)
        return select(x == like(x, 0), like(x, -math.inf), result)

    return implementation


def log1p(x: Any) -> Any:
    """Return log(1 + x), for x from 0 to 1, as ``(value, error)``: within 1 ulp, and what its last rounding dropped."""
    return np.log1p(x), 0 * x


@compiled_as(log1p, inline=True)
def _log1p(x):
    center = _CENTER[element_of(x)]
    coefficients = _LOG1P[element_of(x)]
    first, others = coefficients[0], coefficients[1:]

    def implementation(x):
        t = x - like(x, center)
        slope = fma(t, polynomial(t, others), like(x, first))
        value = fma(x, slope, x)
        return value, residue(x, slope, x - value)

    return implementation


@intrinsic
def fraction_and_exponent(typingctx, x):
    """Return ``(f, k)`` with x = f * 2**k, 1/2 <= f < 1 and k a whole float, for a positive normal float64 x."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        floats, integers = args[0].type, bits_type(args[0].type)
        bits = builder.bitcast(args[0], integers)
        mantissa = builder.and_(bits, constant(integers, (1 << 52) - 1))
        fraction = builder.bitcast(builder.or_(mantissa, constant(integers, 1022 << 52)), floats)
        # The exponent becomes the last bits of a float whose unit in the last place is 1.
        counted = builder.or_(builder.lshr(bits, constant(integers, 52)), constant(integers, (1023 + 52) << 52))
        k = builder.fsub(builder.bitcast(counted, floats), constant(floats, 2.0**52 + 1022))
        return context.make_tuple(builder, sig.return_type, [fraction, k])

    return types.UniTuple(x, 2)(x), generate


@intrinsic
def _split(typingctx, x):
    """Return ``(m, k)`` with x = m * 2**k, 3/4 <= m < 3/2, for a positive x; an arbitrary pair for others."""
    single = element_of(x).bitwidth == 32
    mantissa_bits, bias = (23, 127) if single else (52, 1023)
    start = (bias << mantissa_bits) - (1 << (mantissa_bits - 1))  # 3/4

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        (value,) = args
        floats, integers = value.type, bits_type(value.type)

        def whole(number: int) -> Any:
            return constant(integers, number)

        # Tested as integers, since comparing a NaN as floats would raise a floating-point exception.
        exponent_bits = builder.and_(builder.bitcast(value, integers), whole((2 * bias + 1) << mantissa_bits))
        subnormal = builder.icmp_signed("==", exponent_bits, whole(0))
        scale = builder.select(subnormal, constant(floats, 2.0**mantissa_bits), constant(floats, 1.0))
        bits = builder.bitcast(builder.fmul(value, scale), integers)
        # Moved so, the exponent bits change at 3/4 times a power of two.
        moved = builder.add(bits, whole(1 << (mantissa_bits - 1)))
        mantissa = builder.and_(moved, whole((1 << mantissa_bits) - 1))
        m = builder.bitcast(builder.add(mantissa, whole(start)), floats)
        # The exponent becomes the last bits of a float whose unit in the last place is 1.
        exponent = builder.lshr(moved, whole(mantissa_bits))
        magic = 2.0**mantissa_bits
        counted = builder.bitcast(builder.or_(exponent, whole((bias + mantissa_bits) << mantissa_bits)), floats)
        offset = [constant(floats, magic + bias + shift) for shift in (mantissa_bits, 0)]
        k = builder.fsub(counted, builder.select(subnormal, *offset))
        return context.make_tuple(builder, sig.return_type, [m, k])

    return types.UniTuple(x, 2)(x), generate

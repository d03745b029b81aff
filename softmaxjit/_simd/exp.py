"""The exponential over its whole range, on vectors and on single floats.

x is reduced to n steps of ln2 and a remainder, ``x = n * ln2 + r`` with n an integer; a polynomial in r, a minimax fit
(Remez) of the relative error, gives exp(r).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba.core import types

from .._jit import compiled_as, helper
from .arithmetic import equal_or_nan, fma, larger, like, polynomial, power_of_two, select, smaller
from .vector import element_of

LOG2_E = 1.4426950408889634
LOG2_E_ERROR = 2.0355273740931033e-17  # log2(e) - LOG2_E
LN2 = 0.6931471805599453
LN2_ERROR = 2.3190468138462996e-17  # ln2 - LN2


class _Format(NamedTuple):
    """Constants of `exp` in one precision, as scalars of that precision."""

    lowest: Any  # exp is 0 from here down
    highest: Any  # exp is infinite from here up
    log2_e: Any
    magic: Any  # adding it leaves the nearest integer plus the exponent bias in the low bits
    bias: Any
    negative_ln2_high: Any  # few enough bits that n * ln2_high is exact
    negative_ln2_low: Any
    half: Any


def _format(scalar: Any, lowest: float, highest: float, mantissa_bits: int, bias: int, kept_bits: int) -> _Format:
    high = leading_bits(LN2, kept_bits)
    low = (LN2 - high) + LN2_ERROR
    magic = 1.5 * 2.0**mantissa_bits + bias
    return _Format(*(scalar(v) for v in (lowest, highest, LOG2_E, magic, bias, -high, -low, 0.5)))


def leading_bits(value: float, bits: int) -> float:
    """Return `value` cut to its leading bits."""
    fraction, exponent = np.frexp(value)
    return float(np.ldexp(np.trunc(np.ldexp(fraction, bits)), exponent - bits))


_FORMATS = {
    types.float32: _format(np.float32, -104.0, 89.0, 23, 127, 15),
    types.float64: _format(np.float64, -746.0, 710.0, 52, 1023, 42),
}

# (exp(r) - 1 - r) / r**2 for |r| <= ln2 / 2; relative error of exp 2**-28.3 and 2**-57.9.
_REMAINDER = {
    types.float32: (
        0.49999993433145412,
        0.16666520401381934,
        0.041668390352140373,
        0.0083687449787294588,
        0.0013814569647584391,
    ),
    types.float64: (
        0.50000000000000107,
        0.16666666666666412,
        0.041666666666529790,
        0.0083333333334949646,
        0.0013888888943742124,
        0.00019841269505734300,
        0.000024801492969152249,
        2.7557586895035981e-6,
        2.7630299117548001e-7,
        2.4999974478993773e-8,
    ),
}


@helper
def reduced_exp(x, c, coefficients):
    """Return ``exp(x) / 2**n - 1`` and what `power_of_two` makes 2**n of."""
    shifted = fma(x, c.log2_e, c.magic)
    n = shifted - c.magic
    leading = fma(n, c.negative_ln2_high, x)  # exact
    low = n * c.negative_ln2_low
    r = leading + low
    return leading + fma(polynomial(r, coefficients) * r, r, low), shifted


def exp(x: Any) -> Any:
    """Return exp(x) to 1 ulp: infinite above the range, gradually 0 below it, NaN for NaN.

    No floating-point exception but overflow of finite x, and underflow.
    """
    return np.exp(x)


@compiled_as(exp, inline=True)
def _exp(x):
    c = _FORMATS[element_of(x)]
    coefficients = _REMAINDER[element_of(x)]

    def implementation(x):
        zero = like(x, 0)
        # Infinity and NaN take no part in the arithmetic, nor does what has a result of 0: subnormal stalls.
        kept = equal_or_nan(x, like(x, math.inf))
        value = smaller(c.highest, select(kept, zero, x))
        vanishes = value < c.lowest
        value = select(vanishes, zero, value)
        less_one, shifted = reduced_exp(value, c, coefficients)
        # 2**n in two factors, since it alone can leave the range of the format.
        half = fma(shifted - c.magic, c.half, c.magic)
        first = power_of_two(half)
        second = power_of_two((shifted - half) + c.magic)
        result = fma(less_one, first, first) * second
        return select(kept, x, select(vanishes, zero, result))

    return implementation


# Beyond these the power of two of `reduced_exp` leaves the range, which it does half an octave before the result does.
LOWEST_NORMAL = {types.float32: np.float32(-87.33654), types.float64: -708.3964185322641}
HIGHEST_NORMAL = {types.float32: np.float32(88.37626), types.float64: 709.4361}


def exp_or_zero(x: Any) -> Any:
    """Return exp(x) to 1 ulp, 0 where that is below the smallest normal number, and infinity above `HIGHEST_NORMAL`."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(exp_or_zero, inline=True)
def _exp_or_zero(x):
    element = element_of(x)
    c, coefficients = _FORMATS[element], _REMAINDER[element]
    lowest, highest = LOWEST_NORMAL[element], HIGHEST_NORMAL[element]

    def implementation(x):
        less_one, shifted = reduced_exp(smaller(highest, larger(lowest, x)), c, coefficients)  # so a NaN stays
        scale = power_of_two(shifted)
        result = select(x < lowest, like(x, 0), fma(less_one, scale, scale))
        return select(x > highest, like(x, math.inf), result)

    return implementation

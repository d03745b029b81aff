"""exp and log1p of unevaluated pairs ``high + low`` of float64, to about twice the precision.

They serve a single number and, lane by lane, a vector of them.
"""

import math

from .._jit import helper
from .arithmetic import POWER_MAGIC, add_exactly, horner, like, multiply_exactly, power_of_two, select
from .exp import LN2, LN2_ERROR, leading_bits
from .log import fraction_and_exponent

_LEADING_LN2 = leading_bits(LN2, 40)  # few enough bits that its product with up to 2**13 octaves is exact

# (exp(r) - 1 - r - r**2 / 2) / r**3 for |r| <= 0.35; relative error of exp 2**-63.3.
_PAIR_REMAINDER = (
    0.16666666666666691,
    0.041666666666666860,
    0.0083333333333112737,
    0.0013888888888746180,
    0.00019841269910239706,
    0.000024801587650170360,
    2.7557221441943938e-6,
    2.7556964884327665e-7,
    2.5116566480276520e-8,
    2.1017096348306071e-9,
)


@helper
def exp_pair(x, error, octaves):
    """Return exp(x + error) * 2**-octaves as a float64 pair, where `octaves` is the integer nearest x / ln2."""
    high = _LEADING_LN2 * octaves
    r, rest = add_exactly(x, -high)
    rest = rest + (error - octaves * (LN2 - _LEADING_LN2) - octaves * LN2_ERROR)
    r, rest = add_exactly(r, rest)
    square, square_error = multiply_exactly(r, r)
    tail = r * square * horner(r, _PAIR_REMAINDER) + (0.5 * square_error + rest * (1.0 + r))
    value, lost = add_exactly(r, 0.5 * square)
    one, lost_one = add_exactly(1.0, value)
    return add_exactly(one, lost_one + (lost + tail))


# (2 atanh(z) - 2 z) / z**3 as a polynomial in z**2, for |z| <= (sqrt2 - 1) / (sqrt2 + 1); relative error 2**-66.7.
_ATANH = (
    0.66666666666666661,
    0.40000000000006265,
    0.28571428569080160,
    0.22222222647660139,
    0.18181775596238759,
    0.15387093796491262,
    0.13250049352094483,
    0.13251957060486359,
)
_SQRT2 = 1.4142135623730951


@helper
def _log_of_octave(f, f_error, k):
    """Return log(2**k (1 + f + f_error)), with 1 + f between 1/sqrt2 and sqrt2, as ``k ln2 + 2 atanh(f / (2 + f))``.

    The leading term 2 f / (2 + f) is carried as a pair.
    """
    denominator, denominator_error = add_exactly(2.0, f)
    denominator_error = denominator_error + f_error
    z = f / denominator
    product, product_error = multiply_exactly(z, denominator)
    z_error = ((f - product) - product_error + f_error - z * denominator_error) / denominator
    square = z * z
    tail = 2.0 * z_error + z * square * horner(square, _ATANH)
    high, low = add_exactly(k * LN2, 2.0 * z)
    # k * LN2 is itself rounded; its error joins the low part.
    _, whole_error = multiply_exactly(k, like(k, LN2))
    return add_exactly(high, low + (tail + (whole_error + k * LN2_ERROR)))


@helper
def _nearest_octave(x):
    """Return ``(k, 2**-k)``, k a whole float, with x / 2**k between 1/sqrt2 and sqrt2; x is a normal number above 0."""
    fraction, k = fraction_and_exponent(x)
    k = select(fraction * _SQRT2 < 1.0, k - 1.0, k)
    return k, power_of_two(POWER_MAGIC - k)


@helper
def log1p_pair(x, error):
    """Return log(1 + x + error) for x >= 0 as a float64 pair, high part first, to within 2**-56.5."""
    k, scale = _nearest_octave(1.0 + x)
    f, f_error = add_exactly(scale - 1.0, x * scale)
    f, f_error = add_exactly(f, f_error + error * scale)
    high, low = _log_of_octave(f, f_error, k)
    finite = x < math.inf
    return select(finite, high, x), select(finite, low, like(x, 0.0))


@helper
def log_pair(x, error, octaves):
    """Return log((x + error) * 2**octaves) for a positive normal number x, as `log1p_pair` does."""
    k, scale = _nearest_octave(x)
    f, f_error = add_exactly(x * scale - 1.0, error * scale)
    return _log_of_octave(f, f_error, k + octaves)

"""The logarithm of 1 + x for a sum known to twice float64's precision."""

import math

from .._jit import helper
from .arithmetic import add_exactly, horner, multiply_exactly
from .exp import LN2, LN2_ERROR

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
def log1p_pair(x, error):
    """Return log(1 + x + error) for x >= 0 as a float64 pair, high part first, to about 2**-58.

    ``log(2**k (1 + f)) = k ln2 + 2 atanh(f / (2 + f))`` with 1 + f between 1/sqrt2 and sqrt2; the leading term
    2 f / (2 + f) is carried as a pair.
    """
    if not x < math.inf:
        return x, 0.0
    fraction, k = math.frexp(1.0 + x)
    if fraction * _SQRT2 < 1.0:
        fraction *= 2.0
        k -= 1
    scale = math.ldexp(1.0, -k)
    f, f_error = add_exactly(scale - 1.0, x * scale)
    f, f_error = add_exactly(f, f_error + error * scale)
    denominator, denominator_error = add_exactly(2.0, f)
    denominator_error += f_error
    z = f / denominator
    product, product_error = multiply_exactly(z, denominator)
    z_error = ((f - product) - product_error + f_error - z * denominator_error) / denominator
    square = z * z
    tail = 2.0 * z_error + z * square * horner(square, _ATANH)
    high, low = add_exactly(k * LN2, 2.0 * z)
    # k * LN2 is itself rounded; its error joins the low part.
    whole, whole_error = multiply_exactly(float(k), LN2)
    return add_exactly(high, low + (tail + (whole_error + k * LN2_ERROR)))

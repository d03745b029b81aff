"""NumPy ufuncs of one number: with ``out=``, ``where=`` and broadcasting, and callable inside ``@njit``.

Each compiles a float32 and a float64 loop at its first use; other dtypes are cast as NumPy casts them.  Called on
single numbers in a loop of a user's own ``@njit`` function they are inlined, and the compiler vectorises the loop.  The
caller's fast-math flags do not reach into them: NaN, infinities and the accuracy stay.

The accuracy stated is the largest error found, in units of the last place (ulp): over every float32 of 1e-9 and more in
magnitude, with FMA instructions and, over every seventh, without; and over some hundred thousand float64.
"""

import numpy as np

from . import _plain
from ._jit import elementwise
from ._jit import helper as _helper
from ._simd.arithmetic import fma as _fma
from ._simd.arithmetic import is_negative as _is_negative
from ._simd.arithmetic import like as _like
from ._simd.arithmetic import magnitude as _magnitude
from ._simd.arithmetic import select as _select
from ._simd.exp import exp as _exp
from ._simd.log import log as _log
from ._simd.log import log1p as _log1p

__all__ = ["exp", "log", "log_sigmoid", "sigmoid", "softplus", "temperature_scale"]


@elementwise(np.true_divide)
def temperature_scale(x, temperature):
    """Return ``x / temperature``, correctly rounded.

    Parameters
    ----------
    x : array_like
        Logits.
    temperature : array_like
        The temperature τ; broadcasts against `x`.

    Returns
    -------
    ndarray or scalar
        float32 where NumPy's casting brings both to float32 (float32, float16 and 8 and 16 bit integers), else float64.

    Examples
    --------
    >>> from softmaxjit import temperature_scale
    >>> temperature_scale([1.0, 2.0], 4.0)
    array([0.25, 0.5 ])
    """
    return x / temperature


@elementwise(np.exp)
def exp(x):
    r"""Return the exponential.

    .. math:: e^x = 2^n e^{x - n \log 2},\quad n \in \mathbb{Z}

    Parameters
    ----------
    x : array_like of any shape
        Exponents, real numbers.

    Returns
    -------
    ndarray or scalar
        Of the shape of `x`; float32 where `x` is float32 or smaller, else float64.

    Notes
    -----
    Within 0.95 ulp.  Infinity gives infinity, -infinity gives 0 and NaN gives NaN; small results pass through the
    subnormal numbers to 0.  A finite `x` whose exponential is too large gives infinity and NumPy's overflow warning, as
    with `numpy.exp`.  There is no other warning, unless NumPy is told to warn of underflow.

    References
    ----------
    W. J. Cody, W. Waite, "Software Manual for the Elementary Functions", Prentice-Hall, 1980, chapter 6: the reduction
    of the argument.

    Examples
    --------
    >>> from softmaxjit import exp
    >>> exp([0.0, 1.0, -float("inf")])
    array([1.        , 2.71828183, 0.        ])
    """
    return _exp(x)


@elementwise(np.log)
def log(x):
    r"""Return the natural logarithm.

    .. math:: \log x = k \log 2 + 2\,\mathrm{artanh}\frac{m - 1}{m + 1},\quad x = 2^k m

    Parameters
    ----------
    x : array_like of any shape
        Real numbers.

    Returns
    -------
    ndarray or scalar
        Of the shape of `x`; float32 where `x` is float32 or smaller, else float64.

    Notes
    -----
    Within 0.92 ulp, of subnormal numbers too.  Either zero gives -infinity, a negative number NaN, infinity gives
    infinity and NaN gives NaN, all without a warning, where `numpy.log` warns of zeros and negative numbers.

    References
    ----------
    W. J. Cody, W. Waite, "Software Manual for the Elementary Functions", Prentice-Hall, 1980, chapter 5: the
    series.

    Examples
    --------
    >>> from softmaxjit import log
    >>> log([1.0, 10.0, 0.0])
    array([0.        , 2.30258509,       -inf])
    """
    return _log(x)


@elementwise(_plain.sigmoid)
def sigmoid(x):
    r"""Return the logistic function, the softmax of ``(x, 0)``.

    .. math:: \sigma(x) = \frac{1}{1 + e^{-x}}

    Parameters
    ----------
    x : array_like of any shape
        Logits of the first of two classes.

    Returns
    -------
    ndarray or scalar
        Its probability, of the shape of `x`; float32 where `x` is float32 or smaller, else float64.

    Notes
    -----
    Within 1.7 ulp (1.8 on an x86 processor without FMA).  Computed from exp(-\|x\|), which cannot overflow.  NaN stays
    NaN.  There are no warnings, unless NumPy is told to warn of underflow.

    Examples
    --------
    >>> from softmaxjit import sigmoid
    >>> sigmoid([0.0, 2.0])
    array([0.5       , 0.88079708])
    """
    # With p the smaller probability, e / (1 + e): e - e p or 1 - p.  The plain quotients are off by up to 2.2 ulp.
    e = _exp(-_magnitude(x))
    one = _like(x, 1)
    whole = _select(_is_negative(x), e, one)
    return _fma(-whole, e / (one + e), whole)


@elementwise(_plain.softplus)
def softplus(x):
    r"""Return the softplus function, the log-sum-exp of ``(x, 0)``.

    .. math:: \log(1 + e^x) = \max(x, 0) + \log(1 + e^{-|x|})

    Parameters
    ----------
    x : array_like of any shape
        Logits of the first of two classes.

    Returns
    -------
    ndarray or scalar
        The negative logarithm of the second one's probability, of the shape of `x`; float32 where `x` is float32 or
        smaller, else float64.

    Notes
    -----
    Within 1.8 ulp (2 on an x86 processor without FMA).  Infinity gives infinity, -infinity gives 0 and NaN gives NaN.
    There are no warnings, unless NumPy is told to warn of underflow.

    References
    ----------
    M. Mächler, "Accurately Computing log(1 - exp(-\|a\|))", vignette of the R package Rmpfr, 2012, on
    log(1 + exp(x)).

    Examples
    --------
    >>> from softmaxjit import softplus
    >>> softplus([0.0, 100.0, -float("inf")])
    array([  0.69314718, 100.        ,   0.        ])
    """
    return _softplus(x)


@elementwise(_plain.log_sigmoid)
def log_sigmoid(x):
    r"""Return the logarithm of `sigmoid`, the log-softmax of ``(x, 0)``.

    .. math:: \log \sigma(x) = -\log(1 + e^{-x})

    Parameters
    ----------
    x : array_like of any shape
        Logits of the first of two classes.

    Returns
    -------
    ndarray or scalar
        The logarithm of its probability, of the shape of `x`; float32 where `x` is float32 or smaller, else float64.

    Notes
    -----
    It is ``-softplus(-x)``, whose notes hold here.

    Examples
    --------
    >>> from softmaxjit import log_sigmoid
    >>> log_sigmoid([0.0, -100.0])
    array([  -0.69314718, -100.        ])
    """
    return -_softplus(-x)


@_helper
def _softplus(x):
    # The error that is added to the larger term first saves a rounding: 1.5 instead of 1.8 ulp for positive x.
    value, error = _log1p(_exp(-_magnitude(x)))
    return value + (_select(_is_negative(x), _like(x, 0), x) + error)

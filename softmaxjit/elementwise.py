"""NumPy ufuncs of one number: with ``out=``, ``where=`` and broadcasting, and callable inside ``@njit``.

Each compiles a float32 and a float64 loop at its first use; other dtypes are cast as NumPy casts them.
"""

from ._jit import elementwise
from ._simd.arithmetic import like as _like
from ._simd.arithmetic import select as _select
from ._simd.exp import exp as _exp

__all__ = ["sigmoid", "temperature_scale"]


@elementwise
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
        float32 where both are float32, else float64.

    Examples
    --------
    >>> from softmaxjit import temperature_scale
    >>> temperature_scale([1.0, 2.0], 4.0)
    array([0.25, 0.5 ])
    """
    return x / temperature


@elementwise
def sigmoid(x):
    r"""Return the logistic function, the softmax of ``(x, 0)``.

    .. math:: \sigma(x) = \frac{1}{1 + e^{-x}}

    Parameters
    ----------
    x : array_like
        Logits of the first of two classes.

    Returns
    -------
    ndarray or scalar
        Its probability, in float32 where `x` is float32, else in float64.

    Notes
    -----
    Computed from exp(-\|x\|), which cannot overflow; NaN stays NaN.

    Examples
    --------
    >>> from softmaxjit import sigmoid
    >>> sigmoid([0.0, 2.0])
    array([0.5       , 0.88079708])
    """
    # A NaN takes no part in the arithmetic, where comparing it would raise NumPy's "invalid value" warning.
    value = _select(x != x, 0, x)
    e = _exp(-abs(value))
    one = _like(x, 1)
    return _select(x != x, x, _select(value < 0, e, one) / (one + e))

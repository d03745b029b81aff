"""softmax, log_softmax and logsumexp with the signatures and defaults of ``scipy.special``: ``axis=None``.

What works with SciPy's functions works with these; where results differ, the docstrings say how.  SciPy's own tests
pass with these in their place.
"""

from typing import Any

from numpy.typing import ArrayLike, NDArray

from . import activations
from ._args import Axis


def softmax(x: ArrayLike, axis: Axis = None) -> NDArray[Any]:
    r"""Return the softmax of `x`, of all its elements by default, as ``scipy.special.softmax`` does.

    .. math:: \mathrm{softmax}(x)_i = \frac{e^{x_i}}{\sum_j e^{x_j}}

    Parameters
    ----------
    x : array_like, any shape
        Logits.  float16, float32, float64 and longdouble keep their dtype; integers and bool become float64.
    axis : int, tuple of ints or None, default None
        Axis or axes of one distribution; None takes all of them.

    Returns
    -------
    ndarray or scalar
        Probabilities in the shape of `x`.

    Raises
    ------
    TypeError
        `x` has a dtype without a softmax.
    numpy.exceptions.AxisError
        `axis` is out of range.

    Notes
    -----
    What differs from SciPy 1.17:

    * Each result is within 4 ulp (SciPy: 65 ulp at logits of ±40, from rounding ``x - max``), and those below the
      smallest normal number of the dtype are 0.
    * Small integers are right.  SciPy subtracts the maximum in the dtype of `x`, where it wraps around: for
      ``np.uint8([1, 2, 3])`` it returns ``[nan, nan, 0]``, for ``np.int8([-128, 127])`` it gives the first the larger
      probability; and it returns float16 and float32 for integers of 8 and 16 bits, and refuses bool.  A defect.
    * float16 is computed in float32: 100000 equal logits get 1e-05 each, not SciPy's 0 after an overflow.
    * Masked entries of a masked array get 0 and take no part, where SciPy ignores the mask.
    * Complex numbers raise TypeError, as their softmax is no distribution; SciPy computes it.
    * Empty `x` gives an empty array, where SciPy raises ValueError; a number has no axis, and raises AxisError for
      ``axis=0`` and ``axis=-1``, which SciPy takes.
    * A result of 32 to 512 MiB does not own its memory.

    Inside ``@njit`` it takes arrays of at least one dimension.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit.special import softmax
    >>> softmax(np.array([[1.0, 2.0], [3.0, 4.0]])).round(4)
    array([[0.0321, 0.0871],
           [0.2369, 0.6439]])
    >>> softmax(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=1).round(4)
    array([[0.2689, 0.7311],
           [0.2689, 0.7311]])
    """
    return activations.softmax(x, axis)


def log_softmax(x: ArrayLike, axis: Axis = None) -> NDArray[Any]:
    r"""Return the logarithm of the softmax of `x`, of all its elements by default, as ``scipy.special.log_softmax``.

    .. math:: \mathrm{log\_softmax}(x)_i = x_i - m - \log\sum_j e^{x_j - m},\quad m = \max_j x_j

    Parameters
    ----------
    x : array_like, any shape
        Logits, with the dtypes of `softmax`.
    axis : int, tuple of ints or None, default None
        Axis or axes of one distribution; None takes all of them.

    Returns
    -------
    ndarray or scalar
        Log-probabilities in the shape of `x`.

    Raises
    ------
    TypeError, numpy.exceptions.AxisError
        As in `softmax`.

    Notes
    -----
    What differs from SciPy 1.17, besides what differs in `softmax`:

    * Each result is within 2 ulp, also next to 0: for ``[0, 100]`` SciPy returns 0 for the second, whose logarithm is
      -3.7e-44.
    * With a +inf in it, all of a distribution is NaN, as in `softmax`.  SciPy returns NaN for the +inf and -inf for the
      rest, which contradicts its own softmax: all NaN.

    Inside ``@njit`` it takes arrays of at least one dimension.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit.special import log_softmax
    >>> log_softmax(np.array([0.0, 100.0]))
    array([-1.00000000e+02, -3.72007598e-44])
    """
    return activations.log_softmax(x, axis)


def logsumexp(
    a: ArrayLike,
    axis: Axis = None,
    b: ArrayLike | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
) -> Any:
    r"""Return the logarithm of a sum of exponentials, of all elements by default, as ``scipy.special.logsumexp`` does.

    .. math:: \mathrm{logsumexp}(a, b) = \log\sum_j b_j e^{a_j}

    Parameters
    ----------
    a : array_like, any shape
        Exponents.  float16, float32, float64, longdouble and complex numbers keep their dtype; integers and bool become
        float64.
    axis : int, tuple of ints or None, default None
        Axis or axes to sum over; None takes all of them.
    b : array_like, optional
        Weights, of a shape that broadcasts with that of `a`; may be negative or complex.  What has weight 0 takes no
        part, whatever `a` is there.
    keepdims : bool, default False
        Leave the summed axes in the result with length 1.
    return_sign : bool, default False
        Return the logarithm of the size of the sum, and its sign.

    Returns
    -------
    result : ndarray or scalar
        The logarithm; NaN for a negative sum unless `return_sign` is True.  For complex numbers its imaginary part
        lies between -π and π.
    sign : ndarray or scalar
        1, 0 or -1, or a number on the complex unit circle; only if `return_sign` is True.

    Raises
    ------
    TypeError
        `a` or `b` has a dtype without exponentials.
    ValueError
        The shapes do not broadcast.
    numpy.exceptions.AxisError
        `axis` is out of range.

    Notes
    -----
    What differs from SciPy 1.17:

    * Without weights, at most 1 ulp from the exact value, except where the maximum and the logarithm cancel.
    * An integer `a` counts as float64 also beside a float16 or float32 `b`, where SciPy follows NumPy's casting.
    * float16 is summed in float32: the sum of 100000 equal exponentials does not overflow to inf as SciPy's does.
    * The sum of nothing has the sign 0.  SciPy returns -1, the sign of its logarithm -inf, and NaN for complex numbers.
      A defect.
    * Finite results do not overflow on the way: for ``a=[0, 0], b=[1e308, 1e308]`` the result is 709.9, not SciPy's
      inf.  Where a sum is 0 or infinite SciPy falls back on ``exp(a)`` unshifted: it returns NaN, not -inf, for
      ``a=[1000, 1000], b=[1, -1]`` and even for ``a=[1000], b=[0]``.  A defect.
    * Masked entries of a masked array take no part, where SciPy ignores the mask.
    * A number has no axis: it stays one with ``keepdims=True``, where SciPy returns an array of shape ``(1,)``, and
      raises AxisError for ``axis=0`` and ``axis=-1``, which SciPy takes.

    Inside ``@njit`` it takes real arrays of at least one dimension, a `b` that broadcasts to `a`, and True or False in
    the source for `keepdims` and `return_sign`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit.special import logsumexp
    >>> logsumexp(np.array([[1000.0, 1000.0], [0.0, 0.0]]))
    np.float64(1000.6931471805599)
    >>> logsumexp(np.array([1.0, 2.0]), b=np.array([1.0, -1.0]), return_sign=True)
    (np.float64(1.5413248546129181), np.float64(-1.0))
    """
    return activations.logsumexp(a, axis, b=b, keepdims=keepdims, return_sign=return_sign)

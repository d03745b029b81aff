"""softmax, log_softmax and logsumexp: from Python on any array, and under the same names inside ``@njit``."""

from typing import Any

from numpy.typing import ArrayLike, NDArray

from . import _args, _run
from ._args import Axis


def softmax(
    x: ArrayLike,
    axis: Axis = -1,
    *,
    temperature: float = 1.0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    r"""Return the softmax of `x` along an axis.

    .. math:: \mathrm{softmax}(x)_i = \frac{e^{x_i/\tau}}{\sum_j e^{x_j/\tau}}

    Parameters
    ----------
    x : array_like, any shape
        Logits.  float16, float32 and float64 keep their dtype; integers and bool become float64.
    axis : int, tuple of ints or None, default -1
        Axis or axes of one distribution; None takes all of them.
    temperature : float, default 1.0
        The temperature τ, from 0 to infinity.  Below 1 it sharpens, above 1 it flattens; 0 gives the limit, the
        maxima sharing all probability, and infinity the uniform distribution.
    out : ndarray, optional
        Where the result goes, of exactly its shape and dtype; may be `x` itself.
    threads : int, optional
        Largest number of threads.  By default Numba's current number for inputs large enough to gain from it.

    Returns
    -------
    ndarray
        Probabilities in the shape of `x`; `out` if it was given.

    Raises
    ------
    TypeError
        `x` has a dtype without a softmax, or `out` is not an array.
    ValueError
        `temperature` is negative or NaN, `threads` is below 1, or `out` has another shape or dtype or is read-only.
    numpy.exceptions.AxisError
        `axis` is out of range.

    Notes
    -----
    At most 4 ulp from the exact value, whatever the size of the logits.  The same bits for any number of threads.
    Results below the smallest normal number of the dtype are 0.  A NaN or +inf in a row makes the row NaN, as does a
    row of -inf alone.

    References
    ----------
    P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax functions", IMA Journal
    of Numerical Analysis 41(4), 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit import softmax
    >>> softmax(np.array([1.0, 2.0, 3.0])).round(4)
    array([0.09  , 0.2447, 0.6652])
    >>> softmax(np.array([1.0, 2.0, 3.0]), temperature=10).round(4)
    array([0.3006, 0.3322, 0.3672])
    """
    rows = _args.same_shape_rows(x, axis, out)
    _run.run_rows("softmax", rows, _args.checked_temperature(temperature), _args.checked_threads(threads))
    return _args.restored(rows)


def log_softmax(
    x: ArrayLike,
    axis: Axis = -1,
    *,
    temperature: float = 1.0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    r"""Return the logarithm of the softmax of `x` along an axis.

    .. math:: \mathrm{log\_softmax}(x)_i = \frac{x_i - m}{\tau} - \log\sum_j e^{(x_j - m)/\tau},\quad m = \max_j x_j

    Parameters
    ----------
    x : array_like, any shape
        Logits.  float16, float32 and float64 keep their dtype; integers and bool become float64.
    axis : int, tuple of ints or None, default -1
        Axis or axes of one distribution; None takes all of them.
    temperature : float, default 1.0
        The temperature τ, from 0 to infinity, as in `softmax`.
    out : ndarray, optional
        Where the result goes, of exactly its shape and dtype; may be `x` itself.
    threads : int, optional
        Largest number of threads.  By default Numba's current number for inputs large enough to gain from it.

    Returns
    -------
    ndarray
        Log-probabilities in the shape of `x`; `out` if it was given.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As in `softmax`.

    Notes
    -----
    At most 2 ulp from the exact value, also where a row is so confident that the largest result is next to 0.  A NaN
    or +inf in a row makes the row NaN, as does a row of -inf alone.

    References
    ----------
    P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax functions", IMA Journal
    of Numerical Analysis 41(4), 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit import log_softmax
    >>> log_softmax(np.array([0.0, 100.0]))
    array([-1.00000000e+02, -3.72007598e-44])
    """
    rows = _args.same_shape_rows(x, axis, out)
    _run.run_rows("log_softmax", rows, _args.checked_temperature(temperature), _args.checked_threads(threads))
    return _args.restored(rows)


def logsumexp(
    x: ArrayLike,
    axis: Axis = -1,
    *,
    keepdims: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> Any:
    r"""Return the logarithm of the sum of exponentials of `x` along an axis.

    .. math:: \mathrm{logsumexp}(x) = m + \log\sum_j e^{x_j - m},\quad m = \max_j x_j

    Parameters
    ----------
    x : array_like, any shape
        float16, float32 and float64 keep their dtype; integers and bool become float64.
    axis : int, tuple of ints or None, default -1
        Axis or axes to sum over; None takes all of them.
    keepdims : bool, default False
        Leave the summed axes in the result with length 1.
    out : ndarray, optional
        Where the result goes, of exactly its shape and dtype.
    threads : int, optional
        Largest number of threads.  By default Numba's current number for inputs large enough to gain from it.

    Returns
    -------
    ndarray or scalar
        A NumPy scalar where no axis is left and `out` was not given.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As in `softmax`.

    Notes
    -----
    At most 1 ulp from the exact value, except where m and the logarithm cancel each other.  NaN if there is a NaN;
    otherwise infinite if there is a +inf; -inf for a row of -inf alone and for an empty one.

    References
    ----------
    P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax functions", IMA Journal
    of Numerical Analysis 41(4), 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit import logsumexp
    >>> logsumexp(np.array([1000.0, 1000.0]))
    np.float64(1000.6931471805599)
    """
    rows = _args.reduced_rows(x, axis, keepdims, out)
    _run.run_rows("logsumexp", rows, 1.0, _args.checked_threads(threads))
    result = _args.restored(rows)
    return result[()] if out is None and result.ndim == 0 else result

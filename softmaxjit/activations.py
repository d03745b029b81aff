"""softmax, log_softmax and logsumexp: from Python on any array, and under the same names inside ``@njit``."""

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _args, _direct, _run
from ._args import Axis


def softmax(
    x: ArrayLike,
    axis: Axis = -1,
    *,
    temperature: ArrayLike = 1.0,
    where: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    r"""Return the softmax of `x` along an axis.

    .. math:: \mathrm{softmax}(x)_i = \frac{e^{x_i/\tau}}{\sum_j e^{x_j/\tau}}

    Parameters
    ----------
    x : array_like, any shape
        Logits.  Floats keep their dtype: float16 and ml_dtypes.bfloat16 are computed in float32 and rounded once,
        longdouble in plain NumPy without the accuracy stated below, with temperatures of float64.  Integers and bool
        become float64.  Masked elements of a masked array count as False in `where`.
    axis : int, tuple of ints or None, default -1
        Axis or axes of one distribution; None takes all of them.
    temperature : float or array_like, default 1.0
        The temperature τ, from 0 to infinity; an array broadcasts against `x` with length 1 along `axis`, so that each
        row has its own.  Below 1 it sharpens, above 1 it flattens; 0 gives the limit, the maxima sharing all
        probability, and infinity the uniform distribution over what is not -inf.
    where : array_like of bool, optional
        Broadcasts to the shape of `x`.  Elements where it is False take no part, whatever they hold, and get 0; a row
        of which nothing is left is all 0.
    out : ndarray, optional
        Where the result goes, of exactly its shape and dtype; may be `x` itself.
    threads : int, optional
        Largest number of threads.  By default Numba's current number for inputs large enough to gain from it.

    Returns
    -------
    ndarray or scalar
        Probabilities in the shape of `x`, a NumPy scalar if it has no axis; `out` if it was given.

    Raises
    ------
    TypeError
        `x` has a dtype without a softmax, or another argument is not of its kind.
    ValueError
        `temperature` is negative or NaN; it or `where` does not broadcast as said; an axis is there twice; `threads`
        is below 1; or `out` has another shape or dtype or is read-only.
    numpy.exceptions.AxisError
        `axis` is out of range.

    Notes
    -----
    At most 4 ulp from the exact value, whatever the size of the logits and the length of the row.  The same bits for
    any number of threads.
    Results below the smallest normal number of the dtype are 0, in 16 bits those below that of float32.  A NaN or
    +inf in a row makes the row NaN, as does a row of -inf alone.
    A result of 32 to 512 MiB does not own its memory, which a later result uses once nothing refers to this one.

    Inside ``@njit`` it takes arrays of float32, float64, integers or bool with at least one axis, and no `threads`.

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
    >>> softmax(np.array([1.0, np.nan, 1.0]), where=[True, False, True])
    array([0.5, 0. , 0.5])
    """
    direct = _direct.same_shape(_direct.SOFTMAX, x, axis, temperature, where, out, threads)
    if direct is not None:
        return direct
    rows = _args.same_shape_rows(x, axis, temperature, where, out)
    rows = _run.run_rows("softmax", rows, _args.checked_threads(threads))
    result: NDArray[Any] = _args.restored(rows, out)
    return result


def log_softmax(
    x: ArrayLike,
    axis: Axis = -1,
    *,
    temperature: ArrayLike = 1.0,
    where: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    r"""Return the logarithm of the softmax of `x` along an axis.

    .. math:: \mathrm{log\_softmax}(x)_i = \frac{x_i - m}{\tau} - \log\sum_j e^{(x_j - m)/\tau},\quad m = \max_j x_j

    Parameters
    ----------
    x : array_like, any shape
        Logits.  Floats keep their dtype: float16 and ml_dtypes.bfloat16 are computed in float32 and rounded once,
        longdouble in plain NumPy without the accuracy stated below, with temperatures of float64.  Integers and bool
        become float64.  Masked elements of a masked array count as False in `where`.
    axis : int, tuple of ints or None, default -1
        Axis or axes of one distribution; None takes all of them.
    temperature : float or array_like, default 1.0
        The temperature τ, from 0 to infinity, as in `softmax`.
    where : array_like of bool, optional
        Broadcasts to the shape of `x`.  Elements where it is False take no part, whatever they hold, and get -inf.
    out : ndarray, optional
        Where the result goes, of exactly its shape and dtype; may be `x` itself.
    threads : int, optional
        Largest number of threads.  By default Numba's current number for inputs large enough to gain from it.

    Returns
    -------
    ndarray or scalar
        Log-probabilities in the shape of `x`, a NumPy scalar if it has no axis; `out` if it was given.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As in `softmax`.

    Notes
    -----
    At most 2 ulp from the exact value, also where a row is so confident that the largest result is next to 0; where
    that is below the smallest normal number of the dtype it is 0.  A NaN or +inf in a row makes the row NaN, as does a
    row of -inf alone.
    A result of 32 to 512 MiB does not own its memory, which a later result uses once nothing refers to this one.

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
    direct = _direct.same_shape(_direct.LOG_SOFTMAX, x, axis, temperature, where, out, threads)
    if direct is not None:
        return direct
    rows = _args.same_shape_rows(x, axis, temperature, where, out)
    rows = _run.run_rows("log_softmax", rows, _args.checked_threads(threads))
    result: NDArray[Any] = _args.restored(rows, out)
    return result


@overload
def logsumexp(
    x: ArrayLike,
    axis: Axis = ...,
    *,
    b: ArrayLike | None = ...,
    where: ArrayLike | None = ...,
    keepdims: bool = ...,
    return_sign: Literal[True],
    out: NDArray[Any] | None = ...,
    threads: int | None = ...,
) -> tuple[Any, Any]: ...
@overload
def logsumexp(
    x: ArrayLike,
    axis: Axis = ...,
    *,
    b: ArrayLike | None = ...,
    where: ArrayLike | None = ...,
    keepdims: bool = ...,
    return_sign: bool = ...,
    out: NDArray[Any] | None = ...,
    threads: int | None = ...,
) -> Any: ...
def logsumexp(
    x: ArrayLike,
    axis: Axis = -1,
    *,
    b: ArrayLike | None = None,
    where: ArrayLike | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> Any:
    r"""Return the logarithm of the sum of exponentials of `x` along an axis.

    .. math:: \mathrm{logsumexp}(x) = m + \log\sum_j e^{x_j - m},\quad m = \max_j x_j

    Parameters
    ----------
    x : array_like, any shape
        Dtypes as in `softmax`; complex numbers are computed in plain NumPy, like longdouble.
    axis : int, tuple of ints or None, default -1
        Axis or axes to sum over; None takes all of them.
    b : array_like, optional
        Weights of the exponentials, which may be negative; they and `x` broadcast to one shape (in compiled code, they
        broadcast to that of `x`).  Arrays of integers and bool count as float64, and the result has the dtype to which
        NumPy promotes both.  Where a weight is 0 the element takes no part, whatever it holds.
    where : array_like of bool, optional
        Broadcasts to that shape.  Elements where it is False take no part, whatever they hold.
    keepdims : bool, default False
        Leave the summed axes in the result with length 1.
    return_sign : bool, default False
        Return the sign of the sum too, and the logarithm of its absolute value.  Without it a negative sum gives NaN.
    out : ndarray, optional
        Where the logarithm goes, of exactly its shape and dtype.
    threads : int, optional
        Largest number of threads.  By default Numba's current number for inputs large enough to gain from it.

    Returns
    -------
    ndarray or scalar
        The logarithm: a NumPy scalar where no axis is left and `out` was not given.
    sign : ndarray or scalar
        Only with `return_sign`: 1, -1, 0 for an empty sum or NaN; of complex numbers the sum over its absolute value.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As in `softmax`.

    Notes
    -----
    At most 1 ulp from the exact value, except where m and the logarithm, or weighted terms, cancel each other.  NaN if
    there is a NaN; otherwise infinite if there is a +inf; -inf for a row of -inf alone and for an empty one.

    References
    ----------
    P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax functions", IMA Journal
    of Numerical Analysis 41(4), 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit import logsumexp
    >>> float(logsumexp(np.array([1000.0, 1000.0])))
    1000.6931471805599
    >>> log, sign = logsumexp(np.array([[1.0, 2.0]]), b=[1, -1], return_sign=True)
    >>> log.round(4), sign
    (array([1.5413]), array([-1.]))
    """
    direct = _direct.reduced(_direct.LOGSUMEXP, x, axis, b, where, keepdims, return_sign, out, threads)
    if direct is not None:
        return direct
    rows = _args.reduced_rows(x, axis, b, where, keepdims, return_sign, out)
    rows = _run.run_logsumexp(rows, _args.checked_threads(threads))
    if return_sign:
        return _args.restored(rows, out), _args.restored_sign(rows)
    if rows.second is not None and rows.sign is not None and rows.sign.dtype.kind == "f":
        rows.target[rows.sign < 0] = np.nan
    return _args.restored(rows, out)

"""Vector-Jacobian products of softmax and log_softmax, for reverse-mode differentiation by hand."""

from typing import Any

from numpy.typing import ArrayLike, NDArray

from . import _args, _direct, _run
from ._args import Axis


def softmax_vjp(
    probs: ArrayLike,
    cotangent: ArrayLike,
    axis: Axis = -1,
    *,
    temperature: ArrayLike = 1.0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    r"""Return the gradient with respect to the logits, given that with respect to their softmax.

    .. math:: \bar{x}_i = \frac{p_i}{\tau} \Bigl(\bar{p}_i - \sum_j p_j \bar{p}_j\Bigr),
              \quad p = \mathrm{softmax}(x / \tau)

    Parameters
    ----------
    probs : array_like, any shape
        What `softmax` returned, :math:`p`.  Any float; integers and bool count as float64.
    cotangent : array_like, broadcasts to the shape of `probs`
        Derivative of a scalar with respect to `probs`, :math:`\bar{p}`, of any of these dtypes.
    axis : int, tuple of ints or None, default -1
        Axis or axes of one distribution; None takes all of them.
    temperature : float or array_like, default 1.0
        The temperature τ that `softmax` was given, above 0; infinity gives zeros.  An array has length 1 along `axis`.
    out : ndarray, optional
        Where the result goes, of exactly its shape and dtype; may be `probs` or `cotangent` itself.
    threads : int, optional
        Largest number of threads.  By default Numba's current number for inputs large enough to gain from it.

    Returns
    -------
    ndarray
        Derivative with respect to the logits, in the shape of `probs` and in the dtype that NumPy promotes both
        operands to (float64 for integers and bool); `out` if it was given.

    Raises
    ------
    TypeError
        An operand has a dtype without a softmax or is a masked array, or another argument is not of its kind.
    ValueError
        `cotangent` does not broadcast to the shape of `probs`; `temperature` is 0, negative or NaN, or does not
        broadcast as said; `threads` is below 1; or `out` has another shape or dtype or is read-only.
    numpy.exceptions.AxisError
        `axis` is out of range.

    Notes
    -----
    At most 4 ulp from the exact value of the formula, also where :math:`\bar{p}_i` and the sum cancel: in rows of up to
    a million the sum is off by :math:`2^{-37}` of its terms in float32, by :math:`2^{-70}` in float64.  Results below
    the smallest normal number underflow gradually.  The same bits for any number of threads.  A large result
    does not own its memory: see `softmax`.

    NaN and infinities give what they give in the formula, except that a probability of 0 with a finite cotangent has
    the gradient 0 whatever the rest of its row holds.

    References
    ----------
    T. Ogita, S. M. Rump, S. Oishi, "Accurate sum and dot product", SIAM Journal on Scientific Computing 26(6),
    2005.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit import softmax, softmax_vjp
    >>> p = softmax(np.array([1.0, 2.0, 3.0]))
    >>> softmax_vjp(p, np.array([0.0, 0.0, 1.0])).round(4)
    array([-0.0599, -0.1628,  0.2227])
    """
    direct = _direct.two_operands(_direct.SOFTMAX_VJP, probs, cotangent, axis, temperature, out, threads)
    if direct is not None:
        return direct
    rows = _args.two_operand_rows("probs", probs, cotangent, axis, temperature, out)
    rows = _run.run_vjp("softmax_vjp", rows, _args.checked_threads(threads))
    result: NDArray[Any] = _args.restored(rows, out)
    return result


def log_softmax_vjp(
    log_probs: ArrayLike,
    cotangent: ArrayLike,
    axis: Axis = -1,
    *,
    temperature: ArrayLike = 1.0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    r"""Return the gradient with respect to the logits, given that with respect to their log-softmax.

    .. math:: \bar{x}_i = \frac{1}{\tau} \Bigl(\bar{l}_i - e^{l_i} \sum_j \bar{l}_j\Bigr),
              \quad l = \mathrm{log\_softmax}(x / \tau)

    Parameters
    ----------
    log_probs : array_like, any shape
        What `log_softmax` returned, :math:`l`.  Any float; integers and bool count as float64.
    cotangent : array_like, broadcasts to the shape of `log_probs`
        Derivative of a scalar with respect to `log_probs`, :math:`\bar{l}`, of any of these dtypes.
    axis : int, tuple of ints or None, default -1
        Axis or axes of one distribution; None takes all of them.
    temperature : float or array_like, default 1.0
        The temperature τ that `log_softmax` was given, as in `softmax_vjp`.
    out : ndarray, optional
        Where the result goes, of exactly its shape and dtype; may be `log_probs` or `cotangent` itself.
    threads : int, optional
        Largest number of threads.  By default Numba's current number for inputs large enough to gain from it.

    Returns
    -------
    ndarray
        Derivative with respect to the logits, in the shape of `log_probs` and in the dtype that NumPy promotes both
        operands to (float64 for integers and bool); `out` if it was given.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As in `softmax_vjp`.

    Notes
    -----
    At most 4 ulp of :math:`(|\bar{l}_i| + e^{l_i} |\sum_j \bar{l}_j|) / \tau` from the exact value of the formula; the
    sum is as good as exact, as in `softmax_vjp`, unless it overflows on the way.  An exponential below the smallest
    normal number counts as 0, as that of -inf; one within half an octave of the largest number, of a logarithm above
    88.37 in float32 and 709.43 in float64, as infinite.  The same bits for any number of threads.  NaN and infinities
    give what they give in the formula.  A large result does not own its memory: see `softmax`.

    References
    ----------
    T. Ogita, S. M. Rump, S. Oishi, "Accurate sum and dot product", SIAM Journal on Scientific Computing 26(6),
    2005.

    Examples
    --------
    The gradient of the negative log-likelihood of class 2 is the softmax, less 1 at that class:

    >>> import numpy as np
    >>> from softmaxjit import log_softmax, log_softmax_vjp
    >>> l = log_softmax(np.array([1.0, 2.0, 3.0]))
    >>> log_softmax_vjp(l, np.array([0.0, 0.0, -1.0])).round(4)
    array([ 0.09  ,  0.2447, -0.3348])
    """
    direct = _direct.two_operands(_direct.LOG_SOFTMAX_VJP, log_probs, cotangent, axis, temperature, out, threads)
    if direct is not None:
        return direct
    rows = _args.two_operand_rows("log_probs", log_probs, cotangent, axis, temperature, out)
    rows = _run.run_vjp("log_softmax_vjp", rows, _args.checked_threads(threads))
    result: NDArray[Any] = _args.restored(rows, out)
    return result

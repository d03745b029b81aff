"""Cross-entropy of logits with labels, and its gradient, in one pass over the logits."""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _args, _direct_labelled
from ._args import labels as _labels
from ._args.labels import Labelled
from ._run_labelled import losses as _run
from ._run_labelled import total as _total

Reduction = Literal["mean", "sum", "none"]
REDUCTIONS = ("mean", "sum", "none")


def cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: int = -1,
    *,
    temperature: ArrayLike = 1.0,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> Any:
    r"""Return the cross-entropy of logits with labels, as PyTorch defines it.

    .. math:: \ell = -\sum_c w_c q_c \log\mathrm{softmax}(x / \tau)_c,
              \quad q_c = (1 - \varepsilon)\, y_c + \varepsilon / C

    Parameters
    ----------
    logits : array_like, shape (..., C), with the classes along `axis`
        Logits, never probabilities.  Dtypes as in `softmax`.
    labels : array_like
        Integers from 0 to C - 1, of the shape of `logits` without `axis`; or floats of the shape of `logits`, the
        probability of each class, which are not negative and need not add up to 1.  Bool is refused.
    axis : int, default -1
        Axis of the classes.
    temperature : float or array_like, default 1.0
        The temperature τ, above 0; an array broadcasts against `logits` with length 1 along `axis`.
    weight : array_like, shape (C,), optional
        Weight of each class, finite and not negative.
    ignore_index : int, optional
        Rows with this label, any integer, do not count, whatever their logits.  Only with integer labels.
    label_smoothing : float from 0 to 1, default 0.0
        The part ε of a label that is shared out evenly among all classes.
    reduction : {"mean", "sum", "none"}, default "mean"
        With integer labels the mean is weighted: the sum of losses over the sum of the weights of the labels.  With
        probabilities it is the sum over the number of rows.
    out : ndarray, optional
        Where the result goes, of exactly its shape and dtype.
    threads : int, optional
        Largest number of threads.  By default Numba's current number for inputs large enough to gain from it.

    Returns
    -------
    scalar or ndarray
        The loss, in the dtype of the logits (integers and bool: float64; with labels that are probabilities: that to
        which NumPy promotes both): a NumPy scalar, or with ``reduction="none"`` one for each row, 0 for ignored ones.

    Raises
    ------
    TypeError
        An argument has a dtype, or is of a kind, that is not accepted.
    ValueError
        A label is no class (the message names it, its place and what is accepted); shapes do not fit; or another
        argument is out of its range.
    numpy.exceptions.AxisError
        `axis` is out of range.

    Notes
    -----
    Each loss is within 2 ulp, with smoothing or probabilities 4 ulp, also where it is next to 0; sums are taken in
    float64 in a fixed order and rounded once, so that the result has the same bits for any number of threads.

    A NaN or +inf in a row makes its loss NaN.  A logit of -inf gives an infinite loss where its class has a target, and
    takes no part where it has none (PyTorch gives NaN there).  The mean of no rows is NaN, and of rows whose labels all
    have a weight of 0.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit import cross_entropy
    >>> logits = np.array([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    >>> cross_entropy(logits, [0, 1]).round(4)
    np.float64(0.1672)
    >>> cross_entropy(logits, [0, 2], reduction="none").round(4)
    array([0.2395, 3.0949])
    """
    given = logits, labels, axis, temperature, weight, ignore_index, label_smoothing, threads
    if out is None and type(reduction) is str and reduction in REDUCTIONS and _direct_labelled.are_plain(*given):
        losses = _direct_labelled.losses_of(logits, labels, temperature)
        if losses is not None:
            divisor = float(losses.size) if reduction == "mean" else 1.0
            return _reduced(losses, labels.shape, reduction, divisor, logits.dtype)
    rows, smoothing = _checked(logits, labels, axis, temperature, weight, ignore_index, label_smoothing, reduction)
    target = None if out is None else _args.result_array(out, rows.shape if reduction == "none" else (), rows.dtype)
    losses = _run.run_cross_entropy(rows, smoothing, _args.checked_threads(threads))
    result = _reduced(losses, rows.shape, reduction, _divisor(rows, reduction), rows.dtype)
    if target is None:
        return result
    target[...] = result
    return out


def cross_entropy_and_grad(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: int = -1,
    *,
    temperature: ArrayLike = 1.0,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> tuple[Any, NDArray[Any]]:
    r"""Return the cross-entropy and its gradient with respect to the logits, from one set of exponentials.

    .. math:: \frac{\partial \ell}{\partial x_c}
              = \frac{1}{\tau} \Bigl(\mathrm{softmax}(x / \tau)_c \sum_k w_k q_k - w_c q_c\Bigr)

    Parameters
    ----------
    logits, labels, axis, temperature, weight, ignore_index, label_smoothing, reduction, threads
        As in `cross_entropy`.
    out : ndarray, optional
        Where the gradient goes, of exactly its shape and dtype; may be `logits` itself.

    Returns
    -------
    loss : scalar or ndarray
        What `cross_entropy` returns.
    grad : ndarray
        Derivative of the loss, with ``reduction="none"`` of the sum of losses, in the shape of the logits; `out` if it
        was given.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As in `cross_entropy`.

    Notes
    -----
    The loss is that of `cross_entropy` to half an ulp more.
    The gradient is at most 4 ulp of its terms from the exact value; where an integer label is the maximum, as in all
    rows that are right, 4 ulp of the result (their difference would leave only rounding errors of a confident row).
    Results below the smallest normal number may be 0.  float16 and bfloat16 are computed in copies of float32.
    A large gradient does not own its memory: see `softmax`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit import cross_entropy_and_grad
    >>> loss, grad = cross_entropy_and_grad(np.array([[2.0, 0.0, 0.0]]), [0])
    >>> loss.round(4), grad.round(4)
    (np.float64(0.2395), array([[-0.213 ,  0.1065,  0.1065]]))
    """
    given = logits, labels, axis, temperature, weight, ignore_index, label_smoothing, threads
    if type(reduction) is str and reduction in REDUCTIONS and _direct_labelled.are_plain(*given):
        divisor = float(labels.size) if reduction == "mean" else 1.0
        found = _direct_labelled.losses_and_gradient_of(logits, labels, temperature, 1.0 / divisor, out)
        if found is not None:
            return _reduced(found[0], labels.shape, reduction, divisor, logits.dtype), found[1]
    rows, smoothing = _checked(logits, labels, axis, temperature, weight, ignore_index, label_smoothing, reduction)
    result = _args.result_array(out, rows.array.shape, rows.dtype)
    divisor = _divisor(rows, reduction)
    rows, target = _labels.gradient_rows(rows, result)
    number = _args.checked_threads(threads)
    losses = _run.run_cross_entropy_and_grad(rows, smoothing, 1.0 / divisor, target, number)
    _labels.put_gradient(rows, _run.rounded(target, result.dtype, number), result)
    loss = _reduced(losses, rows.shape, reduction, divisor, result.dtype)
    return loss, (result if out is None else out)


def _checked(
    logits: Any,
    labels: Any,
    axis: Any,
    temperature: Any,
    weight: Any,
    ignore_index: Any,
    label_smoothing: Any,
    reduction: Any,
) -> tuple[Labelled, float]:
    """Return the operands of a kernel, and the smoothing."""
    _labels.checked_choice("reduction", reduction, REDUCTIONS)
    smoothing = _labels.checked_fraction("label_smoothing", label_smoothing)
    advice = "leave out the rows that it masks, or put -100 there and pass ignore_index=-100 where labels are integers"
    _labels.refuse_mask("labels", labels, advice)
    return _labels.labelled_rows("logits", logits, labels, axis, weight, ignore_index, temperature), smoothing


def _divisor(rows: Labelled, reduction: str) -> float:
    """Return what a sum of losses is divided by: for their mean the number of rows or their weight, NaN for 0."""
    if reduction != "mean":
        return 1.0
    if rows.soft:
        return float(math.prod(rows.shape)) or math.nan
    counts = rows.labels >= 0
    if not rows.weighted:
        return float(np.count_nonzero(counts)) or math.nan
    weight = np.zeros(len(counts))
    weight[counts] = rows.weight[rows.labels[counts]]
    return float(_total(weight)) or math.nan


def _reduced(losses: Any, shape: tuple[int, ...], reduction: str, divisor: float, dtype: Any) -> Any:
    """Return losses, their sum or their mean, in a dtype."""
    with np.errstate(all="ignore"):
        reduced = losses.reshape(shape) if reduction == "none" else _total(losses) / divisor
        result = np.asarray(reduced).astype(dtype, copy=False)
    return result if result.ndim else result[()]

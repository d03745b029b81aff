"""The public functions in extended precision, one row at a time: masked entries are left out of the row altogether.

They take the arguments of the public functions, so that a test can run the same body with these in their place.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import mpmath
import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from .oracles import ulp_error


class Exact(NamedTuple):
    """A result, and how far from it ours may be."""

    value: np.ndarray
    dtype: np.dtype
    ulp: float
    scale: Any = 0  # errors are in ulp of this where it is larger than the value; infinite where any value will do


def assert_exact(result: Any, exact: Exact) -> None:
    """Raise where a result has another dtype or shape, other NaN or infinities, or is too far from the exact one."""
    result = np.asarray(result)
    assert result.dtype == exact.dtype
    assert result.shape == exact.value.shape
    scale = np.broadcast_to(exact.scale, result.shape)
    known = np.isfinite(scale)
    result, value, scale = result[known], exact.value[known], scale[known]
    finite = np.isfinite(value)
    np.testing.assert_array_equal(result[~finite].astype(np.longdouble), value[~finite])
    value, scale = value[finite], scale[finite]
    tiny = ml_dtypes.finfo(result.dtype).tiny
    assert (np.abs(result[finite][np.abs(value) < tiny]) <= np.maximum(tiny, scale[np.abs(value) < tiny])).all()
    assert ulp_error(result[finite], value, scale) <= exact.ulp


def assert_same_bits(result: Any, expected: Any) -> None:
    """Raise where two results differ in dtype, shape or any bit; NaN is as good as NaN."""
    result, expected = np.asarray(result), np.asarray(expected)
    assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(result, expected)
    numbers = ~np.isnan(result)
    assert (np.signbit(result) == np.signbit(expected))[numbers].all()


def softmax_row(x: np.ndarray, temperature: np.longdouble) -> np.ndarray:
    e = np.exp(distances(x, temperature))
    return e / e.sum()


def log_softmax_row(x: np.ndarray, temperature: np.longdouble) -> np.ndarray:
    z = distances(x, temperature)
    return z - np.log1p(np.exp(np.delete(z, np.argmax(z))).sum())


def distances(x: np.ndarray, temperature: np.longdouble) -> np.ndarray:
    """Return (x - max) / temperature, NaN in rows that have no softmax."""
    if np.isnan(x).any() or x.max() in (-np.inf, np.inf):
        return np.full_like(x, np.nan)
    if temperature == 0:
        return np.where(x < x.max(), -np.inf, np.longdouble(0))
    if temperature == np.inf:
        return np.where(x == -np.inf, -np.inf, np.longdouble(0))
    return (x - x.max()) / temperature


def logsumexp_row(x: np.ndarray, b: np.ndarray, accuracy: float) -> tuple[Any, Any, Any]:
    """Return log(abs(sum)), the sign of the sum, and the scale of the rounding errors.

    `accuracy` is the scale of the errors of terms, which count for more the more of these cancel; where no digit is
    left the scale is infinite.
    """
    x, b = x[b != 0], b[b != 0]
    if np.isnan(x).any() or np.isnan(b).any() or (np.isinf(b) & (x == -np.inf)).any():
        return np.nan, np.nan, 0
    x, b = x[x > -np.inf], b[x > -np.inf]
    if x.size == 0:
        return -np.inf, 0, 0
    infinite = np.isinf(x) | np.isinf(b)
    if infinite.any():
        total = (np.inf * np.sign(b[infinite])).sum()
        return np.abs(total), np.sign(total), 0
    largest = x.max()
    terms = b * np.exp(x - largest)
    leading = np.argmax(np.abs(terms))
    sign = np.sign(terms[leading])
    log = np.log(np.abs(terms[leading])) + np.log1p(np.abs(np.delete(terms, leading)).sum() / np.abs(terms[leading]))
    cancelling = 0.0
    if (b != 1).any() and (np.abs(log) < 0.1 or (np.sign(b) != sign).any()):
        of_sizes = log
        log, sign = log_in_many_digits(x, b, largest)
        if log == -np.inf:
            return log, sign, 0
        cancelling = np.exp(of_sizes - log)
        if cancelling * 2.0**-59 > 0.1:
            return log, sign, np.inf
    return largest + log, sign, max(np.abs(largest), np.abs(log), cancelling * accuracy)


def log_in_many_digits(x: np.ndarray, b: np.ndarray, largest: Any) -> tuple[Any, Any]:
    """Return log(abs(sum)) and the sign of sum(b * exp(x - largest)), which may be next to 0, or to 1."""
    apart = (np.abs(x[x != 0]) > 1e-20).all()  # else exponentials next to 1 may differ in a later digit only
    with mpmath.workdps(60 if apart else 700):
        exponentials = (mpmath.exp(mpmath.mpf(float(v)) - float(largest)) for v in x)
        total = mpmath.fsum(float(weight) * e for weight, e in zip(b, exponentials, strict=True))
        if total == 0:
            return -np.inf, 0
        return np.longdouble(mpmath.nstr(mpmath.log(abs(total)), 25)), int(mpmath.sign(total))


def in_rows(array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return the rows of an array as the rows of a matrix."""
    others = [k for k in range(array.ndim) if k not in axes]
    n = int(np.prod([array.shape[k] for k in axes], dtype=int))
    count = int(np.prod([array.shape[k] for k in others], dtype=int))
    return array.transpose([*others, *axes]).reshape(count, n)


def from_rows(rows: np.ndarray, axes: tuple[int, ...], shape: Any) -> np.ndarray:
    """Return the array of which `in_rows` has made these rows."""
    order = [*(k for k in range(len(shape)) if k not in axes), *axes]
    return rows.reshape([shape[k] for k in order]).transpose(np.argsort(order, kind="stable"))


def result_dtype(dtype: np.dtype) -> np.dtype:
    """Return the dtype of a result."""
    is_float = dtype.kind == "f" or dtype.name == "bfloat16"
    return dtype.newbyteorder("=") if is_float else np.dtype(np.float64)


def operand(x: Any, where: Any, axis: Any, shape: Any) -> tuple[np.ndarray, np.ndarray, tuple[int, ...], np.dtype]:
    """Return rows, which of their entries count, the axes, and the dtype of the result."""
    kept = np.ones(shape, bool) if where is None else np.broadcast_to(where, shape)
    kept = kept & ~np.broadcast_to(np.ma.getmaskarray(x), shape)
    array = np.broadcast_to(np.asarray(x), shape)
    axes = tuple(range(array.ndim)) if axis is None else tuple(sorted(normalize_axis_tuple(axis, array.ndim)))
    dtype = result_dtype(array.dtype)
    return in_rows(array.astype(dtype).astype(np.longdouble), axes), in_rows(kept, axes), axes, dtype


def _same_shape(row_function: Callable[..., np.ndarray], fill: float, ulp: float) -> Callable[..., Exact]:
    def function(
        x: Any, axis: Any = -1, *, temperature: Any = 1.0, where: Any = None, out: Any = None, threads: Any = None
    ) -> Exact:
        del out, threads
        shape = np.shape(x)
        rows, kept, axes, dtype = operand(x, where, axis, shape)
        each = np.broadcast_to(temperature, [1 if k in axes else length for k, length in enumerate(shape)])
        result = np.full(rows.shape, fill, np.longdouble)
        for row, keep, tau, target in zip(rows, kept, in_rows(each, axes)[:, 0], result, strict=True):
            if keep.any():
                target[keep] = row_function(row[keep], np.longdouble(tau))
        return Exact(from_rows(result, axes, shape), dtype, ulp)

    return function


softmax = _same_shape(softmax_row, 0, 4.0)
log_softmax = _same_shape(log_softmax_row, -np.inf, 2.0)


def logsumexp(
    x: Any,
    axis: Any = -1,
    *,
    b: Any = None,
    where: Any = None,
    keepdims: bool = False,
    return_sign: bool = False,
    out: Any = None,
    threads: Any = None,
) -> Any:
    del out, threads
    shape = np.broadcast_shapes(np.shape(x), np.shape(b))
    rows, kept, axes, dtype = operand(x, where, axis, shape)
    weights = np.ones(shape) if b is None else np.broadcast_to(b, shape)
    if isinstance(b, np.ndarray):
        dtype = np.result_type(dtype, result_dtype(b.dtype))
    weights = in_rows(weights.astype(np.longdouble), axes)
    accuracy = 2.0**-59 / float(ml_dtypes.finfo(dtype).eps)
    each = zip(rows, kept, weights, strict=True)
    results = [logsumexp_row(row[keep], weight[keep], accuracy) for row, keep, weight in each]
    lengths = [1 if k in axes else length for k, length in enumerate(shape) if keepdims or k not in axes]
    log, sign, scale = (np.array([r[k] for r in results], np.longdouble).reshape(lengths) for k in range(3))
    if return_sign:
        return Exact(log, dtype, 1.0, scale), Exact(sign, dtype, 0.0, np.where(np.isinf(scale), scale, 0))
    return Exact(np.where(sign < 0, np.nan, log), dtype, 1.0, scale)

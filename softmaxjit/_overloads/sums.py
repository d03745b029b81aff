"""logsumexp inside compiled code."""

from typing import Any

import numpy as np
from numba import types
from numba.core import errors
from numba.cpython.unsafe.tuple import tuple_setitem
from numba.np.numpy_support import as_dtype

from .._jit import compiled_as, routine
from .._kernels.logsumexp import logsumexp_rows
from .._kernels.weighted import weighted_logsumexp_rows
from ..activations import logsumexp
from .axes import are_last, axes_of, lengths_one, row_length
from .checks import (
    absent,
    checked_array,
    checked_out,
    checked_where,
    constant,
    number_of_axes,
    refuse_threads,
    result_element,
)
from .rows import (
    broadcast_rows,
    check_shape,
    contiguous,
    flat_view,
    overlap,
    refuse_weights,
    refuse_where,
    row_order,
    source_of,
)


@compiled_as(logsumexp)
def _logsumexp(x, axis=-1, b=None, where=None, keepdims=False, return_sign=False, out=None, threads=None):
    refuse_threads(threads)
    checked_array("x", x)
    element = _element(x, b)
    dtype = as_dtype(element)
    keeps, signed, weighted = constant("keepdims", keepdims), constant("return_sign", return_sign), not absent(b)
    dropped = 0 if keeps else number_of_axes(x, axis)
    checked_out(out, element, x.ndim - dropped)
    masked = checked_where(x, where)
    # What depends on constants of the source is chosen here, for each its own function.
    compute, run = (
        (weighted_logsumexp_rows.compiled(dtype), run_weighted)
        if weighted
        else (logsumexp_rows.compiled(dtype, masked=masked), run_unweighted)
    )
    sign_array = new_sign if weighted or signed else no_sign
    judge = nan_where_negative if weighted and not signed else leave
    finish = with_sign if signed else without_sign
    some_shape = (0,) * (x.ndim - dropped)
    result_shape = lengths_one if dropped == 0 else other_lengths if some_shape else no_lengths

    def implementation(x, axis=-1, b=None, where=None, keepdims=False, return_sign=False, out=None, threads=None):
        is_axis = axes_of(x, axis)
        shape = result_shape(x.shape, is_axis, some_shape)
        check_shape(out, shape)
        weights = broadcast_rows(x, is_axis, b, dtype, refuse_weights)
        mask = broadcast_rows(x, is_axis, where, np.bool_, refuse_where)
        count = number_of_rows(x.shape, is_axis)
        target = target_of(out, count, dtype)
        sign = sign_array(count, dtype)
        n = row_length(x.shape, is_axis)
        if n == 0:
            fill_empty(target, sign)
        elif count > 0 and are_last(is_axis) and not overlap(x, out):
            run(flat_view(contiguous(x, dtype)), weights, mask, n, target, sign, compute)
        elif count > 0:
            run(
                row_order(x, x.shape, is_axis, np.empty(x.size, dtype)),
                weights,
                mask,
                n,
                target,
                sign,
                compute,
            )
        judge(target, sign)
        return finish(restored(target, shape, out), sign, shape)

    return implementation


def _element(x: Any, b: Any) -> Any:
    """Return the element type of the result; weights take part as NumPy's casting has it."""
    element = result_element("x", x.dtype)
    if absent(b):
        return element
    if isinstance(b, types.Array):
        if b.ndim > x.ndim:
            raise errors.NumbaTypeError(f"b has {b.ndim} dimensions; accepted are up to {x.ndim} in compiled code")
        return types.float64 if result_element("b", b.dtype) == types.float64 else element
    if isinstance(b, types.Integer | types.Float | types.Boolean):
        return element
    raise errors.NumbaTypeError(f"b has type {b}; accepted are None, real numbers and arrays of them")


# ------------------------------------------------------------------------------- shapes, of a length known to the types


@routine
def other_lengths(shape, is_axis, some_shape):
    """Return the lengths of the axes that are left."""
    place = 0
    for k in range(len(shape)):
        if not is_axis[k]:
            some_shape = tuple_setitem(some_shape, place, shape[k])
            place += 1
    return some_shape


@routine
def no_lengths(shape, is_axis, some_shape):
    """Return the shape of what has no axis left."""
    return ()


@routine
def number_of_rows(shape, is_axis):
    """Return the number of sums."""
    count = 1
    for k in range(len(shape)):
        if not is_axis[k]:
            count *= shape[k]
    return count


# ------------------------------------------------------------------------------------------ where sums and signs go


def target_of(out: Any, count: Any, dtype: Any) -> Any:
    """Return a flat array for the sums: `out` itself if it is one by type."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(target_of)
def _target_of(out, count, dtype):
    if absent(out) or out.layout != "C" or out.ndim == 0:
        return lambda out, count, dtype: np.empty(count, dtype)
    return lambda out, count, dtype: flat_view(out)


def restored(target: Any, shape: Any, out: Any) -> Any:
    """Return what the user gets: `out` if given, else an array, or a scalar where no axis is left."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(restored)
def _restored(target, shape, out):
    if absent(out):
        return (
            (lambda target, shape, out: target.reshape(shape)) if len(shape) else lambda target, shape, out: target[0]
        )
    if out.layout == "C" and out.ndim > 0:
        return lambda target, shape, out: out

    def copied(target, shape, out):
        out[...] = target.reshape(shape)
        return out

    return copied


@routine
def new_sign(count, dtype):
    """Return an array for the signs."""
    return np.empty(count, dtype)


@routine
def no_sign(count, dtype):
    """Return None, where no sign is needed."""
    return


@routine
def with_sign(result, sign, shape):
    """Return the result and the sign, in the same shape."""
    return result, restored(sign, shape, None)


@routine
def without_sign(result, sign, shape):
    """Return the result alone."""
    return result


@routine
def nan_where_negative(target, sign):
    """Make NaN of the logarithm of a negative sum."""
    for row in range(target.size):
        if sign[row] < 0:
            target[row] = np.nan


@routine
def leave(target, sign):
    """Leave the logarithms as they are."""
    return  # of nothing but a docstring Numba's debug information finds no first line


# ------------------------------------------------------------------------------------------------------------ sums


@routine
def fill_empty(target, sign):
    """Give the sums of nothing."""
    target[:] = -np.inf
    if sign is not None:
        sign[:] = 0


@routine
def drop_masked(weights, where):
    """Take the weight from masked entries."""
    for i in range(weights.size):
        if not where[i]:
            weights[i] = 0.0


@routine
def run_weighted(x, weights, where, n, target, sign, compute):
    """Run the kernel with weights on flat rows."""
    if where is not None:
        drop_masked(weights, where)
    compute(x, weights, n, target, sign)


@routine
def run_unweighted(x, weights, where, n, target, sign, compute):
    """Run the kernel without weights on flat rows."""
    compute(source_of(x, where), n, target)
    if sign is not None:
        for row in range(target.size):
            log = target[row]
            sign[row] = log if log != log else 0.0 if log == -np.inf else 1.0

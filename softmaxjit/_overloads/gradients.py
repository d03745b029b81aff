"""softmax_vjp and log_softmax_vjp inside compiled code."""

from typing import Any

import numpy as np
from numba import types
from numba.core import errors
from numba.np.numpy_support import as_dtype

from .._args.values import POSITIVE_TEMPERATURES
from .._jit import Kernel, compiled_as, routine
from .._kernels.gradients import log_softmax_vjp_rows, softmax_vjp_rows
from .._kernels.temperature import ONE_FOR_ALL, ONE_FOR_EACH_ROW
from ..gradients import log_softmax_vjp, softmax_vjp
from .axes import are_last, axes_of, row_length
from .checks import (
    checked_array,
    checked_out,
    number_of_axes,
    refuse_threads,
    result_element,
    temperature_kind,
)
from .rows import (
    broadcast_rows,
    check_shape,
    contiguous,
    flat_view,
    overlap,
    put_rows,
    refuse_cotangent,
    row_order,
    temperatures,
)

NOT_POSITIVE = f"temperature is 0, negative or NaN; accepted are {POSITIVE_TEMPERATURES}"


@compiled_as(softmax_vjp)
def _softmax_vjp(probs, cotangent, axis=-1, temperature=1.0, out=None, threads=None):
    refuse_threads(threads)
    compute, dtype, in_order = _choose(softmax_vjp_rows, "probs", probs, cotangent, axis, temperature, out)

    def implementation(probs, cotangent, axis=-1, temperature=1.0, out=None, threads=None):
        return vjp(probs, cotangent, axis, temperature, out, compute, dtype, in_order)

    return implementation


@compiled_as(log_softmax_vjp)
def _log_softmax_vjp(log_probs, cotangent, axis=-1, temperature=1.0, out=None, threads=None):
    refuse_threads(threads)
    compute, dtype, in_order = _choose(log_softmax_vjp_rows, "log_probs", log_probs, cotangent, axis, temperature, out)

    def implementation(log_probs, cotangent, axis=-1, temperature=1.0, out=None, threads=None):
        return vjp(log_probs, cotangent, axis, temperature, out, compute, dtype, in_order)

    return implementation


def _choose(
    kernel: Kernel, name: str, first: Any, cotangent: Any, axis: Any, temperature: Any, out: Any
) -> tuple[Any, Any, bool]:
    """Return the compiled kernel, the dtype of the result, and whether rows may lie in memory as the kernel takes them.

    Raise where the types decide that the call is wrong.
    """
    checked_array(name, first)
    checked_array("cotangent", cotangent)
    if cotangent.ndim > first.ndim:
        raise errors.NumbaTypeError(f"cotangent has {cotangent.ndim} dimensions; accepted are up to {first.ndim}")
    number_of_axes(first, axis)
    elements = {result_element(name, first.dtype), result_element("cotangent", cotangent.dtype)}
    element = types.float64 if types.float64 in elements else types.float32
    dtype = as_dtype(element)
    each_row = temperature_kind(first, temperature) == ONE_FOR_EACH_ROW
    kind = ONE_FOR_EACH_ROW if each_row else ONE_FOR_ALL  # whatever the one, nothing is prepared
    in_order = not checked_out(out, element, first.ndim) or out.layout == "C"
    return kernel.compiled(dtype, kind), dtype, in_order


@routine
def vjp(first, cotangent, axis, temperature, out, compute, dtype, in_order):
    """Run a kernel on two arrays, of which the second broadcasts to the first."""
    is_axis = axes_of(first, axis)
    check_positive(temperature)
    tau = temperatures(first, is_axis, temperature)
    check_shape(out, first.shape)
    result = np.empty(first.shape, dtype) if out is None else out
    if first.size == 0:
        return result
    n = row_length(first.shape, is_axis)
    apart = not overlap(first, out) and not overlap(cotangent, out)
    if in_order and are_last(is_axis) and apart and cotangent.shape == first.shape:
        rows, cotangents = flat_view(contiguous(first, dtype)), flat_view(contiguous(cotangent, dtype))
        compute(rows, cotangents, n, tau, flat_view(result))
    else:
        buffer = row_order(first, first.shape, is_axis, np.empty(first.size, dtype))
        compute(buffer, broadcast_rows(first, is_axis, cotangent, dtype, refuse_cotangent), n, tau, buffer)
        put_rows(buffer, is_axis, result)
    return result


def check_positive(temperature: Any) -> Any:
    """Raise where a temperature is not above 0."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(check_positive)
def _check_positive(temperature):
    if isinstance(temperature, types.Array):

        def of_each(temperature):
            for value in temperature.flat:
                if not value > 0:
                    raise ValueError(NOT_POSITIVE)

        return of_each

    def of_one(temperature):
        if not temperature > 0:
            raise ValueError(NOT_POSITIVE)

    return of_one

"""softmax and log_softmax inside compiled code."""

from typing import Any

import numpy as np
from numba import types
from numba.np.numpy_support import as_dtype

from .._jit import Kernel, compiled_as, routine
from .._kernels.log_softmax import log_softmax_rows
from .._kernels.prepare import MASK, MASKED_VALUES, NO_MASK, fill_masked, prepare_rows
from .._kernels.softmax import softmax_rows
from .._kernels.temperature import ONE_FOR_ALL, ONE_FOR_EACH_ROW, is_direct
from ..activations import log_softmax, softmax
from .axes import are_last, axes_of, row_length
from .checks import (
    absent,
    checked_array,
    checked_out,
    checked_temperature,
    checked_where,
    number_of_axes,
    refuse_threads,
    result_element,
)
from .rows import (
    apart,
    broadcast_rows,
    check_shape,
    contiguous,
    flat_view,
    put_rows,
    refuse_where,
    row_order,
    temperatures,
)


def _overload(function: Any, kernel: Kernel, masked_value: float) -> None:
    @compiled_as(function)
    def _factory(x, axis=-1, temperature=1.0, where=None, out=None, threads=None):
        refuse_threads(threads)
        checked_array("x", x)
        number_of_axes(x, axis)
        element = result_element("x", x.dtype)
        dtype = as_dtype(element)
        temperature_kind = ONE_FOR_EACH_ROW if checked_temperature(x, temperature) else ONE_FOR_ALL
        mask_kind = MASK if checked_where(x, where) else NO_MASK
        # Where it is not, the rows go through a buffer, which is also the place of the result.
        in_order = not checked_out(out, element, x.ndim) or out.layout == "C"
        fill = fill_masked.compiled(dtype)
        prepare = prepare_rows.compiled(dtype, mask_kind, temperature_kind)
        compute = kernel.compiled(dtype, temperature_kind)

        def implementation(x, axis=-1, temperature=1.0, where=None, out=None, threads=None):
            is_axis = axes_of(x, axis)
            tau = temperatures(x, is_axis, temperature)
            mask = broadcast_rows(x, is_axis, where, np.bool_, refuse_where)
            check_shape(out, x.shape)
            result = np.empty(x.shape, dtype) if out is None else out
            if x.size == 0:
                return result
            n = row_length(x.shape, is_axis)
            if in_order and are_last(is_axis):
                rows = apart(contiguous(x, dtype), out).reshape(-1)
                run(rows, mask, n, tau, flat_view(result), masked_value, compute, prepare, fill)
            else:
                buffer = row_order(x, x.shape, is_axis, np.empty(x.size, dtype))
                run(buffer, mask, n, tau, buffer, masked_value, compute, prepare, fill)
                put_rows(buffer, is_axis, result)
            return result

        return implementation


def needs_preparing(where: Any, temperature: Any) -> Any:
    """Whether something has to go into the rows before the row kernels take them."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(needs_preparing)
def _needs_preparing(where, temperature):
    if not absent(where):
        return lambda where, temperature: True
    if not isinstance(temperature, types.Array):
        return lambda where, temperature: not is_direct(temperature)

    def any_of_them(where, temperature):
        for value in temperature:
            if not is_direct(value):
                return True
        return False

    return any_of_them


@routine
def run(x, where, n, temperature, out, masked_value, compute, prepare, fill):
    """Run a kernel on flat rows."""
    if needs_preparing(where, temperature):
        prepare(x, where, n, temperature, out)
        compute(out, n, temperature, out)
    else:
        compute(x, n, temperature, out)
    if where is not None:
        fill(out, where, n, masked_value)


_overload(softmax, softmax_rows, MASKED_VALUES["softmax"])
_overload(log_softmax, log_softmax_rows, MASKED_VALUES["log_softmax"])

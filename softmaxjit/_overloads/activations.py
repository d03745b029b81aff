"""softmax and log_softmax inside compiled code."""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.np.numpy_support import as_dtype

from .._jit import Kernel, compiled_as, routine
from .._kernels.log_softmax import log_softmax_rows
from .._kernels.softmax import softmax_rows
from .._kernels.temperature import is_direct
from ..activations import log_softmax, softmax
from .axes import are_last, axes_of, is_last, row_length
from .checks import (
    checked_array,
    checked_out,
    checked_where,
    number_of_axes,
    refuse_threads,
    result_element,
    temperature_kind,
)
from .rows import (
    OPERANDS,
    address,
    broadcast_rows,
    check_shape,
    contiguous,
    flat_view,
    overlap,
    put_rows,
    refuse_where,
    release,
    retain,
    row_order,
    source_of,
    temperatures,
)


def _overload(function: Any, kernel: Kernel) -> None:
    @compiled_as(function, inline=True)
    def _normalised(x, axis=-1, temperature=1.0, where=None, out=None, threads=None):
        form = _checked(x, axis, temperature, where, out, threads)
        if form.direct:
            return None
        dtype, in_order = form.dtype, form.in_order
        compute = kernel.compiled(dtype, form.temperature, masked=form.masked)
        operand = OPERANDS[form.temperature]

        def implementation(x, axis=-1, temperature=1.0, where=None, out=None, threads=None):
            return normalise(x, axis, temperature, where, out, dtype, in_order, operand, compute)

        return implementation

    @compiled_as(function, inline=True, counted=False)
    def _direct(x, axis=-1, temperature=1.0, where=None, out=None, threads=None):
        form = _checked(x, axis, temperature, where, out, threads)
        if not form.direct:
            return None
        dtype = form.dtype
        last = x.ndim - 1
        compute = kernel.compiled(dtype, form.temperature)
        operand = OPERANDS[form.temperature]

        # Each reference that is counted locks the memory, and the next row begins only when this one is done: rows of
        # ten float32 took 103 ns each where this function counted, 86 where the kernel did and the result was let go,
        # 54 without any (one core with AVX-512).  LLVM finds that to `retain` the result, whichever way it went, and to
        # let it go cancel.
        def implementation(x, axis=-1, temperature=1.0, where=None, out=None, threads=None):
            distance = address(out) - address(x)
            apart = distance == 0 or abs(distance) >= x.nbytes
            if x.size > 0 and out.shape == x.shape and apart and is_last(axis, last) and is_direct(temperature):
                compute(flat_view(x), x.shape[last], operand(np.float64(temperature)), flat_view(out))
            else:
                release(normalise(x, axis, temperature, where, out, dtype, True, operand, compute))
            retain(out)
            return out

        return implementation


class _Form(NamedTuple):
    """What the types of arguments decide."""

    dtype: Any  # of the result
    temperature: types.Type  # of what the kernel takes
    masked: bool
    in_order: bool  # where it is not, the rows go through a buffer, which is also the place of the result
    direct: bool  # whether the arguments may be what a kernel takes as it is


def _checked(x: Any, axis: Any, temperature: Any, where: Any, out: Any, threads: Any) -> _Form:
    """Return the form of a call; raise where no such call is accepted."""
    refuse_threads(threads)
    checked_array("x", x)
    number_of_axes(x, axis)
    element = result_element("x", x.dtype)
    kind = temperature_kind(x, temperature)
    masked = checked_where(x, where)
    has_out = checked_out(out, element, x.ndim)
    in_order = not has_out or out.layout == "C"
    one_temperature = not isinstance(temperature, types.Array)
    direct = has_out and in_order and x.layout == "C" and x.dtype == element and not masked and one_temperature
    return _Form(as_dtype(element), kind, masked, in_order, direct)


@routine
def normalise(x, axis, temperature, where, out, dtype, in_order, operand, compute):
    """Make rows of the arguments and run a kernel on them."""
    is_axis = axes_of(x, axis)
    tau = operand(temperatures(x, is_axis, temperature))
    mask = broadcast_rows(x, is_axis, where, np.bool_, refuse_where)
    check_shape(out, x.shape)
    result = np.empty(x.shape, dtype) if out is None else out
    if x.size == 0:
        return result
    n = row_length(x.shape, is_axis)
    if in_order and are_last(is_axis) and not overlap(x, out):
        rows, target = flat_view(contiguous(x, dtype)), flat_view(result)
        compute(source_of(rows, mask), n, tau, target)
    else:
        buffer = row_order(x, x.shape, is_axis, np.empty(x.size, dtype))
        compute(source_of(buffer, mask), n, tau, buffer)
        put_rows(buffer, is_axis, result)
    return result


_overload(softmax, softmax_rows)
_overload(log_softmax, log_softmax_rows)

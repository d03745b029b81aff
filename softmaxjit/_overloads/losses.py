"""cross_entropy and cross_entropy_and_grad inside compiled code."""

from typing import Any

import numpy as np
from numba import types
from numba.core import errors
from numba.np.numpy_support import as_dtype

from .._jit import compiled_as, routine
from .._kernels.cross_entropy import cross_entropy_rows, tempered_rows, total_of
from .._kernels.cross_entropy_grad import cross_entropy_and_grad_rows
from .._kernels.targets import PROBABILITIES
from .._kernels.temperature import ONE_FOR_ALL, is_direct
from ..losses import REDUCTIONS, cross_entropy, cross_entropy_and_grad
from .axes import are_last, axes_of, row_length
from .checks import absent, checked_out, number_of_axes, refuse_threads, result_element, temperature_kind
from .gradients import check_positive
from .labelled import (
    check_probabilities,
    checked_weight,
    classes_of,
    constant_of,
    label_kind,
    refuse_probabilities,
    weights_of,
)
from .rows import (
    OPERANDS,
    broadcast_rows,
    check_shape,
    contiguous,
    flat_view,
    overlap,
    put_rows,
    row_order,
    temperatures,
)
from .sums import no_lengths, number_of_rows, other_lengths

FLOAT64 = np.dtype(np.float64)


class Chosen:
    """What the types of arguments decide."""

    def __init__(
        self, logits: Any, labels: Any, axis: Any, temperature: Any, weight: Any, ignored: Any, reduction: Any
    ) -> None:
        self.kind = label_kind("logits", logits, labels)
        self.soft = self.kind == PROBABILITIES
        if number_of_axes(logits, axis) != 1 or isinstance(axis, types.BaseTuple) or absent(axis):
            raise errors.NumbaTypeError(f"axis has type {axis}; accepted is an integer, the axis of the classes")
        element = result_element("logits", logits.dtype)
        if self.soft and types.float64 in (element, labels.dtype):
            element = types.float64
        self.element, self.dtype = element, as_dtype(element)
        self.temperature = temperature_kind(logits, temperature)
        checked_weight("weight", weight)
        if not absent(ignored) and (self.soft or not isinstance(ignored, types.Integer)):
            raise errors.NumbaTypeError(f"ignore_index has type {ignored}; accepted are None and, of classes, integers")
        self.reduction = constant_of("reduction", reduction, REDUCTIONS)
        self.operand = OPERANDS[self.temperature]
        known = self.temperature == ONE_FOR_ALL
        self.prepare = never_called if known else tempered_rows.compiled(self.dtype, self.temperature)
        self.total = total_of.compiled(FLOAT64)
        self.some_shape = (0,) * (logits.ndim - 1)
        self.shape = other_lengths if logits.ndim > 1 else no_lengths


@compiled_as(cross_entropy)
def _cross_entropy(
    logits,
    labels,
    axis=-1,
    temperature=1.0,
    weight=None,
    ignore_index=None,
    label_smoothing=0.0,
    reduction="mean",
    out=None,
    threads=None,
):
    refuse_threads(threads)
    chosen = Chosen(logits, labels, axis, temperature, weight, ignore_index, reduction)
    compute = cross_entropy_rows.compiled(chosen.dtype, chosen.temperature, chosen.kind)
    if checked_out(out, chosen.element, logits.ndim - 1) and chosen.reduction != "none":
        raise errors.NumbaTypeError('out is accepted in compiled code only with reduction="none"')
    dtype, operand, prepare, total = chosen.dtype, chosen.operand, chosen.prepare, chosen.total
    shape_of, some_shape, mode = chosen.shape, chosen.some_shape, chosen.reduction
    finish = to_each if mode == "none" else to_number

    def implementation(
        logits,
        labels,
        axis=-1,
        temperature=1.0,
        weight=None,
        ignore_index=None,
        label_smoothing=0.0,
        reduction="mean",
        out=None,
        threads=None,
    ):
        is_axis = axes_of(logits, axis)
        shape = shape_of(logits.shape, is_axis, some_shape)
        check_shape(out, shape)
        check_fraction(label_smoothing)
        check_positive(temperature)
        tau = temperatures(logits, is_axis, temperature)
        count, n = number_of_rows(logits.shape, is_axis), row_length(logits.shape, is_axis)
        truth = truth_of(logits, is_axis, labels, count, n, ignore_index, dtype)
        weights = weights_of(weight, n, dtype)
        losses = np.zeros(count)
        if logits.size > 0:
            if are_last(is_axis) and not needs_preparing(tau):
                rows = flat_view(contiguous(logits, dtype))
                compute(rows, n, operand(tau), truth, weights, np.float64(label_smoothing), losses)
            else:
                copy = row_order(logits, logits.shape, is_axis, np.empty(logits.size, dtype))
                if needs_preparing(tau):
                    prepare(copy, n, operand(tau), copy)
                compute(copy, n, operand(tau), truth, weights, np.float64(label_smoothing), losses)
        divisor = divisor_of(truth, weights, count, total) if mode == "mean" else 1.0
        return finish(losses, shape, divisor, total, dtype, out)

    return implementation


@compiled_as(cross_entropy_and_grad)
def _cross_entropy_and_grad(
    logits,
    labels,
    axis=-1,
    temperature=1.0,
    weight=None,
    ignore_index=None,
    label_smoothing=0.0,
    reduction="mean",
    out=None,
    threads=None,
):
    refuse_threads(threads)
    chosen = Chosen(logits, labels, axis, temperature, weight, ignore_index, reduction)
    compute = cross_entropy_and_grad_rows.compiled(chosen.dtype, chosen.temperature, chosen.kind)
    in_order = not checked_out(out, chosen.element, logits.ndim) or out.layout == "C"
    dtype, operand, prepare, total = chosen.dtype, chosen.operand, chosen.prepare, chosen.total
    shape_of, some_shape, mode = chosen.shape, chosen.some_shape, chosen.reduction
    finish = to_each if mode == "none" else to_number

    def implementation(
        logits,
        labels,
        axis=-1,
        temperature=1.0,
        weight=None,
        ignore_index=None,
        label_smoothing=0.0,
        reduction="mean",
        out=None,
        threads=None,
    ):
        is_axis = axes_of(logits, axis)
        shape = shape_of(logits.shape, is_axis, some_shape)
        check_shape(out, logits.shape)
        check_fraction(label_smoothing)
        check_positive(temperature)
        tau = temperatures(logits, is_axis, temperature)
        count, n = number_of_rows(logits.shape, is_axis), row_length(logits.shape, is_axis)
        truth = truth_of(logits, is_axis, labels, count, n, ignore_index, dtype)
        weights = weights_of(weight, n, dtype)
        losses = np.zeros(count)
        divisor = divisor_of(truth, weights, count, total) if mode == "mean" else 1.0
        result = np.empty(logits.shape, dtype) if out is None else out
        smoothing = np.float64(label_smoothing)
        if logits.size > 0:
            direct = in_order and are_last(is_axis) and not needs_preparing(tau)
            if direct and not overlap(logits, out):
                rows = flat_view(contiguous(logits, dtype))
                compute(rows, n, operand(tau), truth, weights, smoothing, 1.0 / divisor, losses, flat_view(result))
            else:
                copy = row_order(logits, logits.shape, is_axis, np.empty(logits.size, dtype))
                if needs_preparing(tau):
                    prepare(copy, n, operand(tau), copy)
                compute(copy, n, operand(tau), truth, weights, smoothing, 1.0 / divisor, losses, copy)
                put_rows(copy, is_axis, result)
        return finish(losses, shape, divisor, total, dtype, None), result

    return implementation


def truth_of(logits: Any, is_axis: Any, labels: Any, count: Any, n: Any, ignored: Any, dtype: Any) -> Any:
    """Return flat labels as a kernel takes them, in memory of their own."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(truth_of)
def _truth_of(logits, is_axis, labels, count, n, ignored, dtype):
    if not isinstance(labels, types.Array) or isinstance(labels.dtype, types.Integer):
        return lambda logits, is_axis, labels, count, n, ignored, dtype: classes_of(labels, count, n, ignored)

    def of_probabilities(logits, is_axis, labels, count, n, ignored, dtype):
        if labels.shape != logits.shape:
            refuse_probabilities()
        result = broadcast_rows(logits, is_axis, labels, dtype, refuse_probabilities)
        check_probabilities(result)
        return result

    return of_probabilities


def needs_preparing(temperature: Any) -> Any:
    """Whether a temperature has to go into the rows before the kernels take them."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(needs_preparing)
def _needs_preparing(temperature):
    if not isinstance(temperature, types.Array):
        return lambda temperature: not is_direct(temperature)

    def any_of_them(temperature):
        for value in temperature:
            if not is_direct(value):
                return True
        return False

    return any_of_them


@routine
def never_called(x, n, temperature, out):
    """Stand in for `tempered_rows` where the temperature is known to be in range."""


@routine
def check_fraction(value):
    """Raise where a part is not from 0 to 1."""
    if not 0.0 <= value <= 1.0:
        raise ValueError("label_smoothing is out of range; accepted are numbers from 0 to 1")


def divisor_of(truth: Any, weights: Any, count: Any, total: Any) -> Any:
    """Return what a sum of losses is divided by to be their mean, NaN for 0."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(divisor_of)
def _divisor_of(truth, weights, count, total):
    if truth.dtype != types.int64:
        return lambda truth, weights, count, total: np.float64(count) if count > 0 else np.nan

    def of_classes(truth, weights, count, total):
        each, result = np.zeros(count), np.empty(1)
        for row in range(count):
            if truth[row] >= 0:
                each[row] = weights[truth[row]]
        total(each, result)
        return result[0] if result[0] > 0.0 else np.nan

    return of_classes


def to_number(losses: Any, shape: Any, divisor: Any, total: Any, dtype: Any, out: Any) -> Any:
    """Return the sum of losses over the divisor."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(to_number)
def _to_number(losses, shape, divisor, total, dtype, out):
    element = dtype.dtype

    def implementation(losses, shape, divisor, total, dtype, out):
        result = np.empty(1)
        total(losses, result)
        return element(result[0] / divisor)

    return implementation


def to_each(losses: Any, shape: Any, divisor: Any, total: Any, dtype: Any, out: Any) -> Any:
    """Return all losses in their shape."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(to_each)
def _to_each(losses, shape, divisor, total, dtype, out):
    element = dtype.dtype
    if not len(shape):
        return lambda losses, shape, divisor, total, dtype, out: element(losses[0])
    no_axis = (False,) * len(shape)

    def implementation(losses, shape, divisor, total, dtype, out):
        result = np.empty(shape, dtype) if out is None else out
        put_rows(losses, no_axis, result)
        return result

    return implementation

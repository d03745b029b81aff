"""Vector-Jacobian products of softmax and log-softmax, from their results, of contiguous rows.

A row is read twice: for its sum, then for its result.  The sum has one order, a function of n and dtype alone: element
i adds to partial sum i mod L (L the lanes of a vector), and the partial sums are added in a fixed tree.  For float32
they are float64, in which a product is exact; for float64 every rounding error is kept.  So neither the length of a
row nor the cancelling of its terms costs accuracy.
"""

from typing import Any

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .._simd.arithmetic import add_exactly, fma, multiply_exactly, select
from .._simd.exp import exp_or_zero
from .._simd.lanes import narrow, widen
from .._simd.memory import data_of, element_like, lanes, load, load_part, load_wide, splat, store, store_part
from .._simd.prefetch import prefetch
from .ahead import ahead_of, are_far, ask
from .partial import nothing, pair_of
from .temperature import temperature_at

_HUGE = 2.0**100  # subtracting less than it never overflows, in float32 or float64
_LARGEST = float(np.finfo(np.float64).max)


# -------------------------------------------------------------------------------------------------- the sum of a row


@helper
def sum_of_products(weights, x, start, n):
    """Return the sum of ``weights * x`` over ``start : start + n`` as a float64 pair; no weights are weights of 1.

    The high part alone is infinite or NaN as a plain sum is; the low part is then of no meaning.
    """
    width = lanes(x)
    i, end = start, start + n
    total, lost = nothing(x)
    while i + width <= end:
        total, lost = add_product(total, lost, weight(weights, x, i, None), load_wide(x, i))
        i += width
    if i < end:
        total, lost = add_product(total, lost, weight(weights, x, i, end - i), load_part(x, i, end - i, 0))
    return pair_of(total, lost)


def weight(weights: Any, x: Any, i: Any, count: Any) -> Any:
    """Return the weights of the vector at index i, or of its first `count` elements."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(weight, inline=True)
def _weight(weights, x, i, count):
    if isinstance(weights, types.NoneType):
        return lambda weights, x, i, count: splat(x, 1)
    if isinstance(count, types.NoneType):
        return lambda weights, x, i, count: load_wide(weights, i)
    return lambda weights, x, i, count: load_part(weights, i, count, 0)


def add_product(total: Any, lost: Any, w: Any, v: Any) -> Any:
    """Return a sum and its rounding error, both with one more product."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(add_product, inline=True)
def _add_product(total, lost, w, v):
    if lost.element == types.float32:
        return lambda total, lost, w, v: (fma(widen(w), widen(v), total), lost)

    def of_float64(total, lost, w, v):
        product, product_error = multiply_exactly(w, v)
        total, error = add_exactly(total, product)
        return total, lost + (error + product_error)

    return of_float64


# -------------------------------------------------------------------------------------------------------- the results


def quotient(t: Any, temperature: Any) -> Any:
    """Return t / temperature, rounded once."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(quotient, inline=True)
def _quotient(t, temperature):
    if t.element == types.float32:
        # An inverse, because divisions of float64 take 1.4 times as long (rows of 1000, interleaved runs on one Zen 3
        # core); finite, so that 0 stays 0.  It is cut short only where every other result overflows anyway.
        return lambda t, temperature: narrow(widen(t) * min(1.0 / temperature, _LARGEST))
    return lambda t, temperature: t / temperature


@helper
def softmax_vjp_row(probs, cotangent, start, n, high, low, temperature, out, plain):
    """Write one row of ``probs * (cotangent - (high + low)) / temperature``.

    Subtracting `high` is exact wherever `low` matters (Sterbenz), so nothing is lost where cotangent and sum cancel.
    `plain`, a constant of the compiled code, says that the temperature is 1 and that no difference overflows.
    """
    width = lanes(out)
    i, end = start, start + n
    while i + width <= end:
        store(out, i, softmax_vjp_element(load(probs, i), load(cotangent, i), high, low, temperature, plain))
        i += width
    if i < end:
        p, g = load_part(probs, i, end - i, 0), load_part(cotangent, i, end - i, 0)
        store_part(out, i, end - i, softmax_vjp_element(p, g, high, low, temperature, plain))


@helper
def softmax_vjp_element(p, g, high, low, temperature, plain):
    """Return p * (g - (high + low)) / temperature; 0 where p is 0 and g finite, whatever the sum."""
    distance = (g - high) - low
    if plain:
        return p * distance
    return select(p == 0, p * g, p * quotient(distance, temperature))


@kernel(lambda x, out, temperature: (x, x, types.intp, temperature, out), counted=False)
def softmax_vjp_rows(probs, cotangent, n, temperature, out):
    """``probs * (cotangent - sum(probs * cotangent)) / temperature`` of every n elements; `out` may be either."""
    for row in prange(probs.size // n):
        start = row * n
        p, g, result = data_of(probs), data_of(cotangent), data_of(out)
        total, lost = sum_of_products(p, g, start, n)
        high = element_like(result, total)
        low = element_like(result, (total - high) + lost if abs(high) < np.inf else 0.0)
        tau = temperature_at(temperature, row)
        if tau == 1.0 and abs(high) < _HUGE:
            softmax_vjp_row(p, g, start, n, high, low, tau, result, True)
        else:
            softmax_vjp_row(p, g, start, n, high, low, tau, result, False)


@helper
def log_softmax_vjp_row(log_probs, cotangent, start, n, total, temperature, out, plain, ahead):
    """Write one row of ``(cotangent - exp(log_probs) * total) / temperature``.

    `plain`, a constant of the compiled code, says that the temperature is 1.
    """
    width = lanes(out)
    i, end = start, start + n
    while i + width <= end:
        ask(log_probs, i, ahead)
        if ahead.read != 0:
            prefetch(cotangent, i + ahead.read)
        store(out, i, log_softmax_vjp_element(load(log_probs, i), load(cotangent, i), total, temperature, plain))
        i += width
    if i < end:
        v, g = load_part(log_probs, i, end - i, 0), load_part(cotangent, i, end - i, 0)
        store_part(out, i, end - i, log_softmax_vjp_element(v, g, total, temperature, plain))


@helper
def log_softmax_vjp_element(v, g, total, temperature, plain):
    """Return (g - exp(v) * total) / temperature."""
    difference = fma(-exp_or_zero(v), total, g)
    return difference if plain else quotient(difference, temperature)


@kernel(lambda x, out, temperature: (x, x, types.intp, temperature, out), counted=False)
def log_softmax_vjp_rows(log_probs, cotangent, n, temperature, out):
    """``(cotangent - exp(log_probs) * sum(cotangent)) / temperature`` of every n elements; `out` may be either."""
    far = are_far(out.size, out)
    for row in prange(log_probs.size // n):
        start = row * n
        logs, g, result = data_of(log_probs), data_of(cotangent), data_of(out)
        ahead = ahead_of(g, n, far, result)
        high, low = sum_of_products(None, g, start, n)
        total = element_like(result, high + low if abs(high) < np.inf else high)
        tau = temperature_at(temperature, row)
        if tau == 1.0:
            log_softmax_vjp_row(logs, g, start, n, total, tau, result, True, ahead)
        else:
            log_softmax_vjp_row(logs, g, start, n, total, tau, result, False, ahead)

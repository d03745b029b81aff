"""The operations in plain NumPy, on rows: for longdouble and complex numbers, and where compiling is turned off.

Shifted by the maximum like the kernels, and flushed to 0 where these are, but with the rounding errors of x - max that
they avoid.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Temperature = float | Array  # one for all rows, or one for each


def _column(temperature: Temperature, x: Array) -> Array:
    """Return temperatures as they divide rows of `x`."""
    return np.reshape(np.asarray(temperature, x.dtype), (-1, 1))


def _shifted(x: Array, temperature: Temperature, where: Array | None) -> Array:
    """Return (x - max) / temperature with its limits at 0 and infinity taken, and -inf for masked entries."""
    tau = _column(temperature, x)
    kept = x if where is None else np.where(where, x, -np.inf)
    largest = kept.max(axis=-1, keepdims=True)
    distance = kept - largest
    too_far = np.isneginf(distance) & np.isfinite(kept)  # for the difference, perhaps not for the quotient
    z = np.where(too_far, kept / tau - largest / tau, distance / tau)
    z = np.where(tau == 0, np.where(distance < 0, -np.inf, distance), z)
    z = np.where(tau == np.inf, np.where(kept == -np.inf, distance, largest * 0), z)
    return z if where is None else np.where(where, z, -np.inf)


def _without_maximum(z: Array) -> Array:
    """Return exp(z), 0 at one maximum of each row."""
    e = np.exp(z)
    np.put_along_axis(e, z.argmax(axis=-1, keepdims=True), 0, axis=-1)
    return e


def _flushed(x: Array) -> Array:
    """Return 0 for what lies below the smallest normal number."""
    return np.where(np.abs(x) < np.finfo(x.dtype).tiny, 0, x)


def _masked(result: Array, where: Array | None, fill: float) -> Array:
    return result if where is None else np.where(where, result, fill)


def softmax(x: Array, temperature: Temperature, where: Array | None) -> Array:
    """Return the softmax of each row of a two-dimensional array."""
    e = np.exp(_shifted(x, temperature, where))
    return _masked(_flushed(e / e.sum(axis=-1, keepdims=True)), where, 0.0)


def log_softmax(x: Array, temperature: Temperature, where: Array | None) -> Array:
    """Return the logarithm of the softmax of each row of a two-dimensional array."""
    z = _shifted(x, temperature, where)
    largest = z.max(axis=-1, keepdims=True)  # 0, or NaN
    log = np.log1p(_without_maximum(z).sum(axis=-1, keepdims=True)) + largest
    return _masked(_flushed(z - log), where, -np.inf)


def softmax_vjp(probs: Array, cotangent: Array, temperature: Temperature) -> Array:
    """Return the vector-Jacobian product of softmax in each row of a two-dimensional array."""
    tau = _column(temperature, probs)
    difference = cotangent - (probs * cotangent).sum(axis=-1, keepdims=True)
    return np.where(probs == 0, probs * cotangent, probs * difference / tau)


def log_softmax_vjp(log_probs: Array, cotangent: Array, temperature: Temperature) -> Array:
    """Return the vector-Jacobian product of log_softmax in each row of a two-dimensional array."""
    tau = _column(temperature, log_probs)
    probs = _flushed(np.exp(log_probs))
    return np.asarray((cotangent - probs * cotangent.sum(axis=-1, keepdims=True)) / tau)


def logsumexp(x: Array, weights: Array | None) -> tuple[Array, Array]:
    """Return log(abs(sum(weights * exp(x)))) of each row, complex for complex numbers, and the sign of the sum."""
    direction, size = None, x.real  # of the terms: direction * exp(size + i x.imag)
    if weights is not None:
        x = np.where(weights == 0, -np.inf, x)  # no weight, no part in the sum, whatever x is
        direction, size = _sign(weights), x.real + np.log(np.abs(weights))
    largest = size.max(axis=-1, keepdims=True)
    terms = _times(direction, _exp(size - largest, x))
    leading = size.argmax(axis=-1, keepdims=True)
    leading_term = np.take_along_axis(terms, leading, axis=-1)
    np.put_along_axis(terms, leading, 0, axis=-1)
    ratio = terms.sum(axis=-1, keepdims=True) / leading_term
    sign = _sign(1 + ratio) * _sign(leading_term)
    log = largest + _log_of_size(leading_term) + _log1p_of_size(ratio)
    if np.iscomplexobj(log):
        log.imag = _wrapped(log.imag)
    # Where the largest term is infinite or 0 C99's exp and log say what is right, of infinite terms if there are any.
    finite = np.isfinite(largest)
    counts = ~(size < largest)  # not what is finite beside +inf; all where a NaN is
    extreme = _times(direction, _exp(np.where(np.isfinite(size), x.real, size), x))
    total = np.where(counts, extreme, 0).sum(axis=-1, keepdims=True)
    log = np.where(finite, log, _log_of_size(total))
    return log[..., 0], np.where(finite, sign, _sign(total))[..., 0]


def _times(direction: Array | None, terms: Array) -> Array:
    """Return the product, where complex multiplication would make NaN of an infinite term times a real number."""
    if direction is None:
        return terms
    if not np.iscomplexobj(terms) or np.any(direction.imag):
        return np.asarray(terms * direction)
    product = terms.copy()
    product.real *= direction.real
    product.imag = product.imag * direction.real + 0.0  # not -0, across which the angle of a negative sum jumps
    return product


def _exp(real: Array, x: Array) -> Array:
    """Return exp(real), or exp(real + i x.imag) where `x` is complex."""
    if not np.iscomplexobj(x):
        return np.asarray(np.exp(real))
    z = x.copy()
    z.real = real
    return np.asarray(np.exp(z))


def _sign(x: Array) -> Array:
    """Return x / abs(x), or 0 for 0, in the dtype of `x`."""
    if not np.iscomplexobj(x):
        return np.sign(x)
    size = np.abs(x)
    direction = np.where(np.isfinite(size), x / size, np.exp(1j * np.angle(x)))
    return np.where(x == 0, 0, direction)


def _log_of_size(x: Array) -> Array:
    return np.asarray(np.log(x if np.iscomplexobj(x) else np.abs(x)))


def _log1p_of_size(x: Array) -> Array:
    """Return log(abs(1 + x)), or log(1 + x) of complex numbers."""
    return np.asarray(np.log1p(x if np.iscomplexobj(x) else np.where(x < -1, -2 - x, x)))


def _wrapped(angle: Array) -> Array:
    """Return an angle between -2 pi and 2 pi as one between -pi and pi; one that is so already keeps every bit."""
    turn = np.where(np.abs(angle) > np.pi, np.copysign(2 * np.pi, angle), 0)
    return angle - turn


def softplus(x: Any, *out: Any, **keywords: Any) -> Any:
    """Return log(1 + exp(x)) of each element."""
    return np.logaddexp(0, x, *out, **keywords)


def log_sigmoid(x: Any, *out: Any, **keywords: Any) -> Any:
    """Return the logarithm of the sigmoid of each element."""
    return np.negative(softplus(np.negative(x)), *out, **keywords)


def sigmoid(x: Any, *out: Any, **keywords: Any) -> Any:
    """Return 1 / (1 + exp(-x)) of each element."""
    return np.exp(log_sigmoid(x), *out, **keywords)

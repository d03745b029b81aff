"""What `softmaxjit._simd` computes, on arrays: vectors exist inside compiled code alone."""

from collections.abc import Callable
from fractions import Fraction
from inspect import isfunction
from itertools import product
from typing import Any

import numpy as np

from softmaxjit._jit import helper, routine
from softmaxjit._simd.memory import data_of, lanes, load, store

Array = np.ndarray[Any, Any]
OnArrays = Callable[..., Array]


def on_vectors(operation: Callable[..., Any]) -> OnArrays:
    """Compile ``operation(x, y, z)`` on vectors, for one to three arrays of one length and dtype."""
    body = _inlined(operation)

    @routine
    def loop(x, y, z, out):
        for i in range(0, out.size, lanes(data_of(out))):
            store(data_of(out), i, body(load(data_of(x), i), load(data_of(y), i), load(data_of(z), i)))

    return _on_arrays(loop)


def on_floats(operation: Callable[..., Any]) -> OnArrays:
    """Compile the same for one element after another."""
    body = _inlined(operation)

    @routine
    def loop(x, y, z, out):
        for i in range(out.size):
            out[i] = body(x[i], y[i], z[i])

    return _on_arrays(loop)


def _inlined(operation: Callable[..., Any]) -> Callable[..., Any]:
    return helper(operation) if isfunction(operation) else operation  # an intrinsic is inlined as it is


def _on_arrays(loop: Callable[..., None]) -> OnArrays:
    def call(x: Array, y: Array | None = None, z: Array | None = None) -> Array:
        # Whole vectors: the last one is filled with the first elements.
        whole = -(-x.size // 16) * 16
        operands = [np.resize(x if operand is None else operand, whole) for operand in (x, y, z)]
        out = np.zeros(whole, x.dtype)
        loop(*operands, out)
        return out[: x.size]

    return call


def bits(array: Array) -> list[int]:
    """Return the elements as integers, which tell signs of zero and NaN apart."""
    return array.view(f"u{array.itemsize}").tolist()


def fractions(array: Array) -> list[Fraction]:
    """Return the elements, exactly."""
    return [Fraction(float(v)) for v in array]


def nearest(value: Fraction, dtype: Any) -> Any:
    """Return the float nearest to a normal number that is not halfway between two."""
    near = dtype(float(value))
    candidates = [near, np.nextafter(near, dtype(np.inf)), np.nextafter(near, dtype(-np.inf))]
    return min(candidates, key=lambda v: abs(Fraction(float(v)) - value))


def values(dtype: Any, count: int = 3, size: int = 400, spread: int = 20) -> list[Array]:
    """Return arrays of numbers of either sign and many sizes."""
    rng = np.random.default_rng(0)
    shape = (count, size)
    return list(
        (rng.choice([-1, 1], shape) * rng.uniform(1, 2, shape) * 2.0 ** rng.integers(-spread, spread, shape)).astype(
            dtype
        )
    )


def pairs_of_special_values(dtype: Any) -> tuple[Array, Array]:
    """Return every ordered pair of some numbers, infinities, zeros of both signs and two different NaN."""
    nans = np.array([np.nan, -np.nan], dtype)
    nans.view(f"u{nans.itemsize}")[0] += 1  # so that the two differ by more than their sign
    special = np.append(nans, dtype([np.inf, -np.inf, 0.0, -0.0, 1.0, 2.0, -3.5]))
    first, second = np.array(list(product(special, special)), dtype).T.copy()
    return first, second


def neighbours(value: float, dtype: Any, count: int = 20) -> Array:
    """Return the floats around a value, in ascending order."""
    found = [dtype(value)]
    for _ in range(count):
        found.insert(0, np.nextafter(found[0], dtype(-np.inf)))
        found.append(np.nextafter(found[-1], dtype(np.inf)))
    return np.array(found, dtype)

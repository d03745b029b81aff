"""softmax_vjp and log_softmax_vjp inside ``@njit``: the bits and errors of Python."""

import re
from typing import Any

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from softmaxjit import log_softmax, log_softmax_vjp, softmax, softmax_vjp


@njit
def in_every_way(p, logs, g, row, temperature):
    return (
        softmax_vjp(p, g),
        softmax_vjp(p, g, 0),
        softmax_vjp(p, row, axis=None, temperature=2),
        softmax_vjp(p, cotangent=g, axis=(0, -1), temperature=np.inf),
        softmax_vjp(p, g, axis=1, temperature=temperature),
        softmax_vjp(p[:, ::2], g[:, ::2], out=np.empty_like(p)[:, ::2]),
        log_softmax_vjp(logs, g),
        log_softmax_vjp(log_probs=logs, cotangent=g, temperature=temperature, out=g.copy()),
        log_softmax_vjp(logs.T, g.T, 0),
    )


def operands(dtype: Any) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 4, 37)).astype(dtype)
    return softmax(x), log_softmax(x), g, g[0].copy(), np.array([[0.5], [1.0], [3.0], [1e-20]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_way_of_calling_gives_the_bits_of_python(dtype: Any) -> None:
    arguments = operands(dtype)
    for result, expected in zip(in_every_way(*arguments), in_every_way.py_func(*arguments), strict=True):
        assert result.dtype == expected.dtype
        assert result.tobytes() == expected.tobytes()


@njit
def into(p, g, temperature, out):
    return softmax_vjp(p, g, temperature=temperature, out=out)


@njit
def with_threads(p, g):
    return softmax_vjp(p, g, threads=2)


def test_out_may_be_either_operand_or_overlap_it() -> None:
    p, _, g, *_ = operands(np.float64)
    expected = softmax_vjp(p, g)
    for place in (0, 1):
        copies = [p.copy(), g.copy()]
        assert into(*copies, 1.0, copies[place]).ctypes.data == copies[place].ctypes.data
        assert copies[place].tobytes() == expected.tobytes()
    buffer = np.zeros(p.size + 3)
    overlapping = buffer[: p.size].reshape(p.shape)
    overlapping[...] = p
    into(overlapping, g, 1.0, buffer[3:].reshape(p.shape))
    assert buffer[3:].tobytes() == expected.tobytes()


def test_wrong_values_raise_and_leave_out_alone() -> None:
    p, _, g, *_ = operands(np.float64)
    out = np.full_like(p, 77)
    cases = [
        (p, g, 0.0, out, "temperature is 0, negative or NaN; accepted are real numbers above 0, up to infinity"),
        (p, g, -1.0, out, "temperature is 0, negative or NaN; accepted are real numbers above 0, up to infinity"),
        (p, g[:, :5].copy(), 1.0, out, "cotangent has a shape that does not broadcast"),
        (p[:2], g[:2], 1.0, out, "out has another shape than the result"),
    ]
    for *arguments, words in cases:
        with pytest.raises(ValueError, match=re.escape(words)):
            into(*arguments)
        assert (out == 77).all()


def test_wrong_types_are_typing_errors_that_say_so() -> None:
    p, _, g, *_ = operands(np.float64)
    cases = [
        (into, (p, 1.0, 1.0, p), "cotangent has type float64; accepted is an array of at least one dimension"),
        (into, (p.astype(complex), g, 1.0, p), "probs has dtype complex128; accepted are float32, float64"),
        (into, (p, g, 1.0, p.astype(np.float32)), "out has dtype float32; the result has dtype float64"),
        (with_threads, (p, g), "threads is not accepted in compiled code"),
    ]
    for call, arguments, words in cases:
        with pytest.raises(TypingError, match=re.escape(words)):
            call(*arguments)

"""What is wrong with a call: its result against the oracle, its rows against themselves alone, and what it touched."""

import warnings
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

import softmaxjit

from .. import exact
from ..exact import Exact, assert_exact, from_rows, in_rows
from .calls import ACTIVATIONS, GRADIENTS, Call, axes_of, result_dtype
from .memory import Array

Expectation = Callable[[Any], None]  # raises AssertionError for a wrong result

OF_16_BITS = 0.51  # ulp by which a float32 within its bounds may be off once rounded


def judge(call: Call) -> None:
    """Make a call; raise where anything is wrong about it."""
    with np.errstate(all="ignore"):
        expect = None if call.error else expectation(call)
    before = [memory.copy() for memory in call.memories]
    held = None if call.out is None else call.out.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = refused(call) if call.error else call.runner(call.operation, call.arguments)
    if expect is not None:
        with np.errstate(all="ignore"):
            expect(result)
        if call.out is not None:
            first = result[0] if isinstance(result, tuple) else result
            same = first is call.out if call.runner.form is None else first.ctypes.data == call.out.ctypes.data
            assert same or not call.out.size, "another array than out was returned"
            call.out[...] = held
    for memory, original in zip(call.memories, before, strict=True):
        wrong = np.flatnonzero(memory != original)
        assert not wrong.size, f"{wrong.size} bytes beside the result were changed, the first at {wrong[0]}"


def refused(call: Call) -> None:
    """Make a wrong call; raise where it does not raise the error it should."""
    try:
        call.runner(call.operation, call.arguments)
    except Exception as error:
        raised = error
    else:
        raise AssertionError("raised nothing")
    assert type(raised) is call.error, f"raised {type(raised).__name__}: {raised}"


def expectation(call: Call) -> Expectation:
    """Return what compares a result with what it should be, found before the call may overwrite its operands."""
    x = call.arguments.get("x")
    kind = np.asarray(x).dtype.kind if x is not None else ""
    if call.operation in GRADIENTS:
        return gradient(call.operation, *operands_of(call.arguments))
    if kind == "c":
        return complex_sum(call.arguments)
    wanted = getattr(exact, call.operation)(**keywords_of(call))
    results = (wanted,) if isinstance(wanted, Exact) else wanted
    if results[0].dtype == np.longdouble:
        return lambda result: each(close_to, result, results)
    alone = (activation_alone if call.operation in ACTIVATIONS else sum_alone)(call, results[0].dtype)

    def expect(result: Any) -> None:
        each(near, result, results)
        each(bits_of, result, alone)

    return expect


def keywords_of(call: Call) -> dict[str, Any]:
    """Return the arguments of a call, with those that its form has in its source."""
    form = call.runner.form
    flags = {"keepdims": True, "return_sign": True} if form is not None and form.signed else {}
    return {**call.arguments, **flags}


def each(check: Callable[[Any, Any], None], result: Any, wanted: Any) -> None:
    """Check each of some results."""
    results = result if isinstance(result, tuple) else (result,)
    for one, other in zip(results, wanted, strict=True):
        check(one, other)


# ----- comparisons


def near(result: Any, wanted: Exact) -> None:
    """Raise where a result is further from the exact one than it may be."""
    small = wanted.dtype.itemsize == 2 and wanted.ulp > 0
    assert_exact(result, wanted._replace(ulp=OF_16_BITS) if small else wanted)


def close_to(result: Any, wanted: Exact) -> None:
    """Raise where a result of extended precision is not what the oracle has, in as many digits."""
    assert (np.asarray(result).dtype, np.shape(result)) == (wanted.dtype, wanted.value.shape)
    np.testing.assert_allclose(result, wanted.value, rtol=1e-16, atol=1e-16)


def bits_of(result: Any, alone: Array) -> None:
    """Raise where rows have other bits than they have alone."""
    result = np.asarray(result)
    assert (result.dtype, result.shape) == (alone.dtype, alone.shape)
    first, second = bits(result), bits(alone)
    assert (first == second).all(), f"{(first != second).sum()} elements have other bits than in a row alone"


def bits(x: Array) -> Array:
    """Return the bits of numbers, and the same for every NaN."""
    return np.where(np.isnan(x), np.full((), np.nan, x.dtype), x).view(f"u{x.itemsize}")


# ----- rows alone


def activation_alone(call: Call, dtype: Any) -> tuple[Array]:
    """Return what softmax or log_softmax makes of each row by itself."""
    arguments, function = call.arguments, getattr(softmaxjit, call.operation)
    shape = np.shape(arguments["x"])
    rows, kept, axes, _ = exact.operand(arguments["x"], arguments.get("where"), arguments["axis"], shape)
    tau = temperatures(arguments, shape, axes)
    result = np.empty(rows.shape, dtype)
    for row, keep, each_tau, target in zip(rows.astype(dtype), kept, tau, result, strict=True):
        target[...] = function(row, temperature=each_tau, where=None if keep.all() else keep)
    return (from_rows(result, axes, shape),)


def sum_alone(call: Call, dtype: Any) -> tuple[Array, ...]:
    """Return what logsumexp makes of each row by itself."""
    arguments = keywords_of(call)
    b, signed = arguments.get("b"), arguments.get("return_sign")
    shape = np.broadcast_shapes(np.shape(arguments["x"]), np.shape(b))
    rows, kept, axes, _ = exact.operand(arguments["x"], arguments.get("where"), arguments["axis"], shape)
    weights = None if b is None else in_rows(np.broadcast_to(b, shape).astype(dtype), axes)
    results = np.empty((2, len(rows)), dtype)
    for k, (row, keep) in enumerate(zip(rows.astype(dtype), kept, strict=True)):
        one = {"b": None if weights is None else weights[k], "where": None if keep.all() else keep}
        logs = softmaxjit.logsumexp(row, **one, return_sign=bool(signed))
        results[:, k] = logs if signed else (logs, 0)
    left = [1 if k in axes else n for k, n in enumerate(shape) if arguments.get("keepdims") or k not in axes]
    return tuple(part.reshape(left) for part in (results if signed else results[:1]))


def temperatures(arguments: dict[str, Any], shape: Any, axes: Any) -> list[float]:
    """Return the temperature of each row."""
    lengths = [1 if k in axes else length for k, length in enumerate(shape)]
    return in_rows(np.broadcast_to(arguments.get("temperature", 1.0), lengths), axes)[:, 0].tolist()


# ----- complex sums


def complex_sum(arguments: dict[str, Any]) -> Expectation:
    """Return what compares a sum of complex exponentials, which are of moderate size, with one in more digits."""
    x, b, where = arguments["x"], arguments.get("b", 1), arguments.get("where", True)
    dtype = np.result_type(x.dtype, result_dtype(b)) if np.ndim(b) else x.dtype
    terms = np.where(where, np.asarray(b) * np.exp(x.astype(np.clongdouble)), 0)
    axes = axes_of(arguments["axis"], terms.ndim)
    keepdims = bool(arguments.get("keepdims"))
    total = terms.sum(axis=axes, keepdims=keepdims)
    allowed = 100 * np.finfo(dtype).eps * (np.abs(terms).sum(axis=axes, keepdims=keepdims) + np.abs(total))

    def expect(result: Any) -> None:
        log, sign = result if isinstance(result, tuple) else (result, 1)
        assert np.shape(log) == total.shape
        assert np.asarray(log).dtype == (np.zeros(0, dtype).real.dtype if isinstance(result, tuple) else dtype)
        found = np.exp(np.asarray(log).astype(np.clongdouble)) * sign
        found = np.where(np.isneginf(np.real(log)), 0, found)
        assert (np.abs(found - total) <= allowed).all(), f"{found} instead of {total}"

    return expect


# ----- gradients


def operands_of(arguments: dict[str, Any]) -> tuple[Any, ...]:
    """Return both operands in rows, the temperature of each row, and what makes an array of rows."""
    first = next(arguments[name] for name in ("probs", "log_probs") if name in arguments)
    other = arguments["cotangent"]
    shape = first.shape
    axes = tuple(sorted(axes_of(arguments["axis"], first.ndim)))
    dtype = np.result_type(result_dtype(first), result_dtype(other))
    rows = [in_rows(np.broadcast_to(array, shape).astype(dtype), axes) for array in (first, other)]
    return *rows, temperatures(arguments, shape, axes), lambda result: from_rows(result, axes, shape)


def gradient(operation: str, first: Array, cotangent: Array, tau: list[float], restore: Any) -> Expectation:
    """Return what compares a gradient with the formula, and with what each row has alone."""
    dtype = first.dtype
    wide, g = first.astype(np.longdouble), cotangent.astype(np.longdouble)
    each_tau = np.array(tau, np.longdouble)[:, None]
    of_sum = 2.0 ** (-36 if dtype.itemsize < 8 else -60)  # of its terms: by how much it, or the oracle, is off
    if operation == "softmax_vjp":
        result = wide * (g - (wide * g).sum(axis=-1, keepdims=True))
        magnitude, slack = np.abs(result), wide * np.abs(wide * g).sum(axis=-1, keepdims=True) * of_sum
    else:
        total = g.sum(axis=-1, keepdims=True)
        result = g - np.exp(wide) * total
        magnitude = np.abs(g) + np.exp(wide) * np.abs(total)
        slack = np.abs(total) * float(np.finfo("f4" if dtype.itemsize < 8 else "f8").tiny)
        slack = slack + np.exp(wide) * np.abs(g).sum(axis=-1, keepdims=True) * of_sum
    computed = np.dtype(np.float32) if dtype.itemsize == 2 else dtype
    allowed = 4 * np.spacing((magnitude / each_tau).astype(computed)).astype(np.longdouble)
    smallest = np.longdouble(ml_dtypes.finfo(computed).smallest_subnormal)
    allowed = allowed + slack / each_tau + smallest * (1 + 2 / each_tau)
    if dtype.itemsize == 2:
        allowed = allowed + OF_16_BITS * np.spacing(np.abs(result / each_tau).astype(dtype)).astype(np.longdouble)
    wanted, allowed = restore(result / each_tau), restore(allowed)
    alone = None
    if dtype != np.longdouble:
        alone = np.empty(first.shape, dtype)
        for row, other, one, target in zip(first, cotangent, tau, alone, strict=True):
            target[...] = getattr(softmaxjit, operation)(row, other, temperature=one)
        alone = restore(alone)

    def expect(result: Any) -> None:
        found = np.asarray(result)
        assert (found.dtype, found.shape) == (dtype, wanted.shape)
        error = np.abs(found.astype(np.longdouble) - wanted)
        right = (error <= allowed) | (found == wanted.astype(dtype))  # the latter also where both are infinite
        assert right.all(), f"off by {np.nanmax(error / allowed)} times what is allowed"
        if alone is not None:
            bits_of(found, alone)

    return expect

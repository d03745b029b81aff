"""softmax_vjp and log_softmax_vjp: against exact sums, finite differences and identities, on every kind of argument."""

import contextlib
import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.exceptions import AxisError

from softmaxjit import _direct, log_softmax, log_softmax_vjp, softmax, softmax_vjp
from softmaxjit._kernels.gradients import log_softmax_vjp_rows, softmax_vjp_rows
from softmaxjit._kernels.temperature import ONE_FOR_ALL

from .oracles import DTYPES, LENGTHS, exact_log_softmax, exact_softmax
from .test_activations import FLOATS, LAYOUTS, assert_same_bits, read_only, sample

BOTH = (softmax_vjp, log_softmax_vjp)
KERNELS = (softmax_vjp_rows, log_softmax_vjp_rows)
TEMPERATURES = (1.0, 0.37, 2.9, 1e-9, 1e9)
FIRST = {softmax_vjp: ("probs", softmax), log_softmax_vjp: ("log_probs", log_softmax)}


def operands(function: Any, shape: Any = (4, 5, 6), dtype: Any = np.float64, axis: Any = -1) -> tuple[Any, Any]:
    """Return the result of the activation of random logits, and a random cotangent."""
    cotangent = np.random.default_rng(2).standard_normal(shape).astype(dtype)
    return FIRST[function][1](sample(shape, dtype), axis=axis), cotangent


# ---------------------------------------------------------------------------------------------------------- accuracy


def exact_sums(weights: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sum(weights * x) of rows of floats as longdouble pairs: exact to more than 100 bits."""
    with mpmath.workprec(200):
        sums = [mpmath.fdot(w.tolist(), v.tolist()) for w, v in zip(weights, x, strict=True)]
        high = [float(s) for s in sums]
        low = [float(s - h) for s, h in zip(sums, high, strict=True)]
    return np.array(high, np.longdouble)[:, None], np.array(low, np.longdouble)[:, None]


def errors(function: Any, compute: Any, a: np.ndarray, g: np.ndarray, temperatures: Any = (1.0,)) -> list[float]:
    """Return the largest error of `compute`, in units of what `function` may be off by, at each temperature.

    softmax_vjp: 4 ulp of the result, for two subtractions, a quotient and a product round, each by half an ulp of a
    number of which a relative error may be an ulp of the result; and what the sum may be off by.
    log_softmax_vjp: 4 ulp of the magnitudes of both terms, for the exponential, good to 1 ulp, is multiplied by a sum
    rounded once, and the difference and the quotient round.
    """
    precision = np.finfo(a.dtype)
    first, second = a.astype(np.longdouble), g.astype(np.longdouble)
    if function is softmax_vjp:
        high, low = exact_sums(a, g)
        exact = first * ((second - high) - low)
        magnitude = np.abs(exact)
        slack = first * np.abs(first * second).sum(axis=-1, keepdims=True)
        slack *= 2.0 ** (-40 if a.dtype == np.float32 else -90)
    else:
        high, low = exact_sums(np.ones_like(g), g)
        product = np.exp(first) * (high + low)
        exact, magnitude = second - product, np.abs(second) + np.abs(product)
        slack = np.abs(high) * float(precision.tiny)  # smaller exponentials count as 0
    worst = []
    for temperature in temperatures:
        tau = np.longdouble(temperature)
        subnormal = np.longdouble(precision.smallest_subnormal) * (1 + 2 / tau)  # of the result, and of what is divided
        allowed = 4 * np.spacing((magnitude / tau).astype(a.dtype)) + slack / tau + subnormal
        worst.append(float((np.abs(compute(a, g, temperature=temperature) - exact / tau) / allowed).max()))
    return worst


def cases(function: Any, n: int, dtype: Any, seed: int = 0) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield named rows of probabilities (or their logarithms) with cotangents."""
    rng = np.random.default_rng([seed, n])
    rows = max(4, min(400, 2000 // n))
    normal = rng.standard_normal((rows, n)).astype(dtype)
    activation = FIRST[function][1]

    def dominant(gap: float) -> np.ndarray:
        x = normal - gap
        x[np.arange(rows), rng.integers(n, size=rows)] = 0
        return activation(x.astype(dtype))

    cotangent = rng.standard_normal((rows, n)).astype(dtype)
    one_hot = np.zeros((rows, n), dtype)
    one_hot[np.arange(rows), rng.integers(n, size=rows)] = -1
    yield "normal", activation(3 * normal), cotangent
    yield "wide", activation(60 * normal), cotangent
    yield "one-hot cotangent", activation(3 * normal), one_hot
    yield "one dominant by 20", dominant(20), cotangent
    yield "one dominant by 80", dominant(80), cotangent
    yield "offset cotangent", activation(normal), cotangent + dtype(1e4)
    yield "cotangent of all sizes", activation(3 * normal), cotangent * (10 ** rng.uniform(-20, 20, n)).astype(dtype)
    yield "cotangents that cancel", activation(0 * normal), np.where(np.arange(n) % 2, -(g := cotangent[:, :1]), g)


def plain_softmax_vjp(p: np.ndarray, g: np.ndarray, temperature: float) -> np.ndarray:
    """Return what everyone writes."""
    return p * (g - (p * g).sum(axis=-1, keepdims=True)) / p.dtype.type(temperature)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", BOTH)
def test_error_is_within_the_bound(function: Any, dtype: Any, n: int) -> None:
    worst = {name: max(errors(function, function, a, g, TEMPERATURES)) for name, a, g in cases(function, n, dtype)}
    assert max(worst.values()) <= 1, worst


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_confident_row_keeps_the_accuracy_that_the_plain_formula_loses(dtype: Any) -> None:
    _, p, g = next(case for case in cases(softmax_vjp, 50, dtype) if case[0] == "one dominant by 20")
    assert errors(softmax_vjp, softmax_vjp, p, g)[0] <= 1
    assert errors(softmax_vjp, plain_softmax_vjp, p, g)[0] > 1000


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", BOTH)
def test_the_error_does_not_grow_with_the_length_of_a_row(function: Any, dtype: Any) -> None:
    rng = np.random.default_rng(3)
    n = 300_001
    a = FIRST[function][1](rng.standard_normal((1, n)).astype(dtype))
    g = (1 + rng.standard_normal((1, n))).astype(dtype)
    assert errors(function, function, a, g)[0] <= 1


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
@pytest.mark.parametrize("function", BOTH)
def test_agrees_with_finite_differences(function: Any, temperature: float) -> None:
    exact = exact_softmax if function is softmax_vjp else exact_log_softmax
    rng = np.random.default_rng(4)
    x, g = rng.standard_normal((2, 7)).astype(np.longdouble)
    h = np.longdouble(1e-6)
    differences = [
        (g * (exact(x + h * unit, temperature) - exact(x - h * unit, temperature))).sum() / (2 * h)
        for unit in np.eye(7, dtype=np.longdouble)
    ]
    a = exact(x, temperature).astype(np.float64)
    result = function(a, g.astype(np.float64), temperature=temperature)
    np.testing.assert_allclose(result, np.array(differences, np.float64), rtol=1e-9, atol=1e-11)


# --------------------------------------------------------------------------------------------------------- identities

rows_of_numbers = hnp.arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 40)), elements=st.floats(-30, 30))


@given(rows_of_numbers, st.randoms(use_true_random=False), st.sampled_from([0.3, 1.0, 7.0]))
@settings(deadline=None)
def test_the_gradient_of_a_distribution_adds_up_to_nothing(x: np.ndarray, random: Any, temperature: float) -> None:
    g = np.array([random.uniform(-5, 5) for _ in range(x.size)]).reshape(x.shape)
    scale = 1e-14 * (1 + np.abs(g).sum(axis=-1)) / temperature
    assert (np.abs(softmax_vjp(softmax(x), g, temperature=temperature).sum(axis=-1)) <= scale).all()
    assert (np.abs(log_softmax_vjp(log_softmax(x), g, temperature=temperature).sum(axis=-1)) <= scale).all()


@given(rows_of_numbers, st.integers(-1000, 1000))
@settings(deadline=None)
def test_a_constant_added_to_the_cotangent_of_probabilities_changes_nothing(x: np.ndarray, constant: int) -> None:
    p = softmax(x)
    g = np.rint(x[:, ::-1] * 1024) / 1024  # so that adding the constant is exact
    difference = softmax_vjp(p, g + constant) - softmax_vjp(p, g)
    assert (np.abs(difference) <= 1e-15 * p * (10 + 40 * abs(constant) + np.abs(g).max())).all()


@given(rows_of_numbers)
@settings(deadline=None)
def test_both_agree_through_the_chain_rule(x: np.ndarray) -> None:
    g = np.cos(x)  # of the log-probabilities; that of the probabilities is g / p
    p = softmax(x)
    np.testing.assert_allclose(
        log_softmax_vjp(log_softmax(x), g), softmax_vjp(p, g / p), rtol=1e-12, atol=1e-13 * x.shape[1]
    )


# ----------------------------------------------------------------------------------------------- axes, layouts, dtypes


@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -3, (0,), (1, 2), (2, 0), (-1, -3), (0, 1, 2), ()], ids=str)
@pytest.mark.parametrize("function", BOTH)
def test_any_axis(function: Any, axis: Any) -> None:
    a, g = operands(function, axis=axis)
    if function is softmax_vjp:
        expected = a * (g - (a * g).sum(axis=axis, keepdims=True))
    else:
        expected = g - np.exp(a) * g.sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(function(a, g, axis=axis), expected, rtol=1e-11, atol=1e-14)
    assert_same_bits(function(a, g, axis), function(a, g, axis=axis))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("function", BOTH)
def test_layouts_do_not_change_a_bit(function: Any, layout: str, dtype: Any) -> None:
    a, g = operands(function, (4, 5, 19), dtype)
    for axis in (-1, 0, 1, None, (0, 2)):
        expected = function(a, g, axis=axis)
        for first, second in (
            (LAYOUTS[layout](a), g),
            (a, LAYOUTS[layout](g)),
            (LAYOUTS[layout](a), LAYOUTS[layout](g)),
        ):
            assert_same_bits(function(first, second, axis=axis), expected)
        if layout not in {"read-only", "byte-swapped"}:
            out = LAYOUTS[layout](np.full_like(a, 77))
            assert function(a, g, axis=axis, out=out) is out
            assert_same_bits(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", BOTH)
def test_a_row_has_the_same_bits_alone_in_a_batch_and_anywhere_in_memory(function: Any, dtype: Any) -> None:
    for n in (1, 5, 16, 33, 65, 130, 1001):
        a, g = operands(function, (40, n), dtype)
        whole = function(a, g)
        for k in (0, 7, 39):
            assert_same_bits(function(a[k], g[k]), whole[k])
            # Among NaN, none of which may be read into the result or overwritten.
            surrounded = np.full((3, n + 32), np.nan, dtype)
            places = surrounded[:, k % 16 + 1 : k % 16 + 1 + n]
            places[0], places[1] = a[k], g[k]
            function(places[0], places[1], out=places[2])
            assert_same_bits(places[2], whole[k])
            assert np.isnan(surrounded).sum() == 3 * 32


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("f4", "f4", "f4"),
        ("f4", "f8", "f8"),
        ("f8", "f4", "f8"),
        ("f2", "f2", "f2"),
        ("f2", "f4", "f4"),
        ("f4", "f2", "f4"),
        ("f4", "i2", "f8"),
        ("f4", "i4", "f8"),
        ("f2", "?", "f8"),
        ("i4", "i4", "f8"),
        ("?", "u1", "f8"),
        (">f4", "<f4", "f4"),
    ],
)
def test_the_dtype_is_what_numpy_promotes_both_to_integers_counting_as_float64(
    function: Any, first: str, second: str, expected: str
) -> None:
    a, g = np.array([[0, 1, 1], [1, 0, 1]]).astype(first), np.array([[1, 1, 0], [0, 1, 0]]).astype(second)
    result = function(a, g)
    assert_same_bits(result, function(a.astype(expected), g.astype(expected)))
    assert result.dtype == expected


@pytest.mark.parametrize("function", BOTH)
def test_float16_is_the_float32_result_rounded_once(function: Any) -> None:
    a, g = operands(function, (50, 40), np.float16)
    single = function(a.astype(np.float32), g.astype(np.float32), temperature=0.3)
    assert_same_bits(function(a, g, temperature=0.3), single.astype(np.float16))


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize("shape", [(), (1,), (6,), (5, 6), (5, 1), (4, 1, 6), (1, 1, 1)], ids=str)
def test_the_cotangent_broadcasts(function: Any, shape: tuple[int, ...]) -> None:
    a, _ = operands(function)
    g = np.asarray(np.random.default_rng(5).standard_normal(shape))
    for axis in (-1, 1, None):
        assert_same_bits(function(a, g, axis=axis), function(a, np.broadcast_to(g, a.shape).copy(), axis=axis))


@pytest.mark.parametrize("function", BOTH)
def test_any_array_like_will_do(function: Any) -> None:
    a, g = operands(function, (2, 3))
    assert_same_bits(function(a.tolist(), tuple(map(tuple, g.tolist()))), function(a, g))
    assert function(0.5, 2.0, axis=None).shape == ()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (2, 0, 3), (0, 0)])
@pytest.mark.parametrize("function", BOTH)
def test_empty_arrays(function: Any, shape: tuple[int, ...], dtype: Any) -> None:
    a = np.empty(shape, dtype)
    for axis in [*range(len(shape)), None]:
        for g in (a, np.ones((), dtype)):
            result = function(a, g, axis=axis)
            assert result.shape == shape
            assert result.dtype == dtype
    out = np.empty(shape, dtype)
    assert function(a, a, out=out) is out


# ---------------------------------------------------------------------------------------------------------------- out


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("axis", [-1, 0, None, (0, 2)], ids=str)
@pytest.mark.parametrize("layout", ["C", "Fortran", "every second", "reversed"])
@pytest.mark.parametrize("function", BOTH)
def test_out_may_be_either_operand(function: Any, layout: str, axis: Any, dtype: Any) -> None:
    a, g = operands(function, (4, 5, 36), dtype)
    expected = function(a, g, axis=axis)
    first, second = LAYOUTS[layout](a), LAYOUTS[layout](g)
    assert function(first, g, axis=axis, out=first) is first
    assert function(a, second, axis=axis, out=second) is second
    assert_same_bits(first, expected)
    assert_same_bits(second, expected)
    both = LAYOUTS[layout](a)
    expected = function(a, a, axis=axis)
    function(both, both, axis=axis, out=both)
    assert_same_bits(both, expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shift", [-7, -1, 1, 3, 12])
@pytest.mark.parametrize("function", BOTH)
def test_out_may_overlap_the_operands(function: Any, shift: int, dtype: Any) -> None:
    a, g = operands(function, (9, 36), dtype)
    for axis, which in itertools.product((-1, 0), (0, 1)):
        expected = function(a, g, axis=axis)
        buffer = np.zeros(a.size + 40, dtype)
        given_operands = [a, g]
        overlapping = buffer[20 : 20 + a.size].reshape(a.shape)
        overlapping[...] = given_operands[which]
        given_operands[which] = overlapping
        out = buffer[20 + shift : 20 + shift + a.size].reshape(a.shape)
        function(*given_operands, axis=axis, out=out)
        assert_same_bits(out, expected)


# ------------------------------------------------------------------------------------------- temperature, NaN, infinity


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize("n", [2, 16, 37])
def test_extreme_temperatures(function: Any, n: int, dtype: Any) -> None:
    a, g = operands(function, (3, n), dtype)
    plain = function(a, g)
    assert (plain != 0).all()
    assert (function(a, g, temperature=np.inf) == 0).all()
    assert_same_bits(function(a, g, temperature=1), plain)
    assert_same_bits(function(a, g, temperature=2.0**-60), plain * dtype(2.0**60))
    with np.errstate(under="ignore"):
        assert_same_bits(function(a, g, temperature=2.0**90), plain / dtype(2.0**90))
    assert_same_bits(function(a, g, temperature=5e-324), np.copysign(dtype(np.inf), plain))
    assert (function(a, 0 * g, temperature=5e-324) == 0).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize(
    ("probs", "cotangent", "expected"),
    [
        ([0, 0.5, 0.5], [3, 1, 2], [0, -0.25, 0.25]),
        ([0, 0.5, 0.5], [3, np.inf, 2], [0, np.nan, -np.inf]),
        ([0, 0.5, 0.5], [3, -np.inf, 2], [0, np.nan, np.inf]),
        ([0, 0.5, 0.5], [3, np.nan, 2], [0, np.nan, np.nan]),
        ([0, 0.5, 0.5], [3, np.inf, -np.inf], [0, np.nan, np.nan]),
        ([0, 0.5, 0.5], [np.inf, 1, 2], [np.nan, np.nan, np.nan]),
        ([0, 0.5, 0.5], [np.nan, 1, 2], [np.nan, np.nan, np.nan]),
        ([0, np.nan, 0.5], [3, 1, 2], [0, np.nan, np.nan]),
        ([0, 0, 0], [3, 1, 2], [0, 0, 0]),
    ],
)
def test_nan_infinities_and_zero_probabilities(
    probs: Any, cotangent: Any, expected: Any, temperature: float, dtype: Any
) -> None:
    for padding in (0, 13, 40):  # so that they stand in whole vectors and in the last part of one
        p, g, wanted = (np.concatenate([np.zeros(padding), row]).astype(dtype) for row in (probs, cotangent, expected))
        result = softmax_vjp(p, g, temperature=temperature)
        np.testing.assert_array_equal(result, wanted / dtype(temperature))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize(
    ("log_probs", "cotangent", "expected"),
    [
        ([-np.inf, 0, -1000], [3, 1, 2], [3, -5, 2]),
        ([-np.inf, 0, -1000], [3, np.inf, 2], [np.nan, np.nan, np.nan]),
        ([-1, 0, -1], [3, np.inf, 2], [-np.inf, np.nan, -np.inf]),
        ([-1, 0, -1], [3, -np.inf, 2], [np.inf, np.nan, np.inf]),
        ([-1, 0, -1], [3, np.nan, 2], [np.nan, np.nan, np.nan]),
        ([np.nan, 0, -np.inf], [3, 1, 2], [np.nan, -5, 2]),
        ([np.inf, 0, -np.inf], [3, 1, 2], [-np.inf, -5, 2]),
    ],
)
def test_nan_and_infinities_of_log_probabilities(
    log_probs: Any, cotangent: Any, expected: Any, temperature: float, dtype: Any
) -> None:
    for padding in (0, 13, 40):
        logs, g, wanted = (
            np.concatenate([np.full(padding, fill), row]).astype(dtype)
            for fill, row in ((-1.0, log_probs), (0.0, cotangent), (0.0, expected))
        )
        result = log_softmax_vjp(logs, g, temperature=temperature)[padding:]
        np.testing.assert_array_equal(result, wanted[padding:] / dtype(temperature))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_zero_probability_beside_a_huge_finite_sum(dtype: Any) -> None:
    largest = np.finfo(dtype).max
    for temperature in (1.0, 0.25, 1e-30):
        result = softmax_vjp(np.array([0, 1], dtype), np.array([largest, -largest]), temperature=temperature)
        assert result.tolist() == [0, 0]


@pytest.mark.parametrize(("dtype", "highest"), [(np.float32, 88.37), (np.float64, 709.43)])
def test_exponentials_next_to_the_largest_number_are_infinite(dtype: Any, highest: float) -> None:
    for n in (1, 40):
        logs = np.full((200, n), -np.inf, dtype)
        logs[:, -1] = np.linspace(highest - 1, highest + 1, 200)
        exact = -np.exp(logs[:, -1].astype(np.longdouble)) / n
        cotangent = np.full_like(logs, 1 / n**2)
        result = log_softmax_vjp(logs, cotangent)[:, -1]
        beyond = logs[:, -1] > highest + 0.01
        assert (result[beyond] == -np.inf).all()
        within = logs[:, -1] < highest
        np.testing.assert_allclose(result[within], exact[within].astype(dtype), rtol=4 * np.finfo(dtype).eps)
        assert not np.isnan(result).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_where_one_class_is_certain_nothing_is_left_of_its_gradient(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for n in (2, 17, 40):
        logs, cotangent = np.full((200, n), -np.inf, dtype), np.zeros((200, n), dtype)
        logs[:, 0], cotangent[:, 0] = 0, rng.standard_normal(200)
        assert (log_softmax_vjp(logs, cotangent) == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_exponentials_below_the_smallest_normal_number_count_as_zero(dtype: Any) -> None:
    lowest = np.log(np.finfo(dtype).tiny)
    logs = np.array([0, lowest * dtype(1 - 1e-6), lowest * dtype(1 + 1e-6), 2 * lowest], dtype)
    result = log_softmax_vjp(logs, np.array([1, 0, 0, 0], dtype))
    assert result[1] < 0
    assert result[2:].tolist() == [0, 0]


@pytest.mark.parametrize("function", BOTH)
def test_nothing_warns(function: Any) -> None:
    special = np.array([0, 1, -1, np.inf, -np.inf, np.nan, 1e38, -1e38, 65504], np.float32)
    a, g = (x.ravel() for x in np.meshgrid(special, special))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for dtype in FLOATS:
            with np.errstate(over="ignore"):
                first, second = a.astype(dtype), g.astype(dtype)
            for temperature in (1.0, 1e-40, np.inf):
                function(first[:, None], second[:, None], temperature=temperature)


# ------------------------------------------------------------------------------------------------------------- errors

ONES = np.ones((2, 3))
TEMPERATURE = "accepted are real numbers above 0, up to infinity"
THREADS = "accepted are None and integers from 1"
OUT = "the result has shape (2, 3) and dtype float64"
DTYPES_ACCEPTED = "accepted are float16, bfloat16, float32, float64, longdouble, integers or bool"


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize(
    ("cotangent", "keywords", "error", "message"),
    [
        (ONES, {"temperature": 0}, ValueError, f"temperature is 0; {TEMPERATURE}"),
        (ONES, {"temperature": -0.0}, ValueError, f"temperature is -0.0; {TEMPERATURE}"),
        (ONES, {"temperature": -1.5}, ValueError, f"temperature is -1.5; {TEMPERATURE}"),
        (ONES, {"temperature": np.nan}, ValueError, f"temperature is nan; {TEMPERATURE}"),
        (ONES, {"temperature": "1"}, TypeError, f"temperature is '1'; {TEMPERATURE}"),
        (ONES, {"temperature": None}, TypeError, f"temperature is None; {TEMPERATURE}"),
        (ONES, {"threads": 0}, ValueError, f"threads is 0; {THREADS}"),
        (ONES, {"threads": 1.5}, TypeError, f"threads is 1.5; {THREADS}"),
        (ONES, {"axis": 2}, AxisError, "axis: axis 2 is out of bounds for array of dimension 2"),
        (ONES, {"axis": (0, -2)}, ValueError, "repeated axis in `axis` argument"),
        (
            np.ones(2),
            {},
            ValueError,
            "cotangent has shape (2,); accepted are (2, 3), the shape of NAME, and shapes that broadcast to it",
        ),
        (
            np.ones((1, 2, 3)),
            {},
            ValueError,
            "cotangent has shape (1, 2, 3); accepted are (2, 3), the shape of NAME, and shapes that broadcast to it",
        ),
        (ONES.astype(complex), {}, TypeError, f"cotangent has dtype complex128; {DTYPES_ACCEPTED}"),
        (np.array(["1"]), {}, TypeError, f"cotangent has dtype <U1; {DTYPES_ACCEPTED}"),
        (
            np.ma.array(ONES),
            {},
            TypeError,
            "cotangent is a masked array, whose mask would be lost; pass cotangent.filled(0)",
        ),
    ],
)
def test_errors_name_the_argument_and_leave_out_untouched(
    function: Any, cotangent: Any, keywords: Any, error: Any, message: str
) -> None:
    out = np.full((2, 3), 77.0)
    with pytest.raises(error) as raised:
        function(ONES, cotangent, out=out, **keywords)
    assert type(raised.value) is error
    assert str(raised.value) == message.replace("NAME", FIRST[function][0])
    assert (out == 77).all()


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.full((3, 2), 77.0), ValueError, f"out has shape (3, 2) and dtype float64; {OUT}"),
        (np.full((2, 3), 77, np.float32), ValueError, f"out has shape (2, 3) and dtype float32; {OUT}"),
        (
            read_only(np.full((2, 3), 77.0)),
            ValueError,
            "out, with shape (2, 3), is read-only; accepted is a writeable array",
        ),
        ([[77.0] * 3] * 2, TypeError, "out is of type list; accepted is a numpy.ndarray"),
    ],
    ids=["shape", "dtype", "read-only", "list"],
)
def test_a_bad_out_is_refused_and_untouched(function: Any, out: Any, error: Any, message: str) -> None:
    with pytest.raises(error) as raised:
        function(ONES, ONES, out=out)
    assert str(raised.value) == message
    assert (np.asarray(out) == 77).all()


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize("dtype", [complex, "U1", object])
def test_a_first_operand_of_another_dtype_is_refused_by_its_name(function: Any, dtype: Any) -> None:
    a = ONES.astype(dtype)
    with pytest.raises(TypeError) as raised:
        function(a, ONES)
    assert str(raised.value) == f"{FIRST[function][0]} has dtype {a.dtype}; {DTYPES_ACCEPTED}"


# ------------------------------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", BOTH)
def test_any_number_of_threads_gives_the_same_bits(function: Any, dtype: Any) -> None:
    a, g = operands(function, (500, 300), dtype)
    expected = function(a, g, threads=1)
    for threads in (None, 2, np.int64(2), 10**9):
        assert_same_bits(function(a, g, threads=threads), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("function", "kernel"), [*zip(BOTH, KERNELS, strict=True)])
def test_the_parallel_kernel_gives_the_bits_of_the_serial_one(function: Any, kernel: Any, dtype: Any) -> None:
    a, g = (x.ravel() for x in operands(function, (101, 45), dtype))
    for temperature in (1.0, 0.7):
        serial, parallel = np.zeros_like(a), np.zeros_like(a)
        kernel.compiled(np.dtype(dtype), ONE_FOR_ALL)(a, g, 45, temperature, serial)
        kernel.compiled(np.dtype(dtype), ONE_FOR_ALL, parallel=True)(a, g, 45, temperature, parallel)
        assert_same_bits(parallel, serial)
        assert (serial != 0).all()


@pytest.mark.parametrize("function", BOTH)
def test_a_large_call_runs_in_parallel_and_a_small_one_does_not(function: Any, monkeypatch: Any) -> None:
    kernel = KERNELS[BOTH.index(function)]
    asked = []
    compiled = type(kernel).compiled

    def recorded(self: Any, *kinds: Any, parallel: bool = False, **options: Any) -> Any:
        asked.append((self, parallel))
        return compiled(self, *kinds, parallel=parallel, **options)

    monkeypatch.setattr(type(kernel), "compiled", recorded)
    _direct.SOFTMAX_VJP.clear()  # which remember what was compiled
    _direct.LOG_SOFTMAX_VJP.clear()
    monkeypatch.setattr("softmaxjit._threads.layer_threads", lambda _: contextlib.nullcontext(2))
    for shape, threads, parallel in (((4, 5), None, False), ((400, 300), None, True), ((400, 300), 1, False)):
        asked.clear()
        function(*operands(function, shape, np.float32), threads=threads)
        assert (kernel, parallel) in asked
        assert (kernel, not parallel) not in asked


@pytest.mark.parametrize("function", BOTH)
def test_a_temperature_for_each_row_is_that_of_its_row(function: Any) -> None:
    a, g = operands(function, (5, 40), np.float64)
    temperature = np.array([[0.3], [1.0], [2.5], [1e-20], [np.inf]])
    expected = np.stack(
        [function(*row, temperature=float(tau[0])) for *row, tau in zip(a, g, temperature, strict=True)]
    )
    assert_same_bits(function(a, g, temperature=temperature), expected)


@pytest.mark.parametrize("function", BOTH)
def test_longdouble_is_computed_in_longdouble(function: Any) -> None:
    a, g = operands(function, (5, 40), np.float64)
    result = function(a.astype(np.longdouble), g, temperature=0.5)
    assert result.dtype == np.longdouble
    np.testing.assert_allclose(result.astype(np.float64), function(a, g, temperature=0.5), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("function", BOTH)
def test_a_number_as_cotangent_takes_the_dtype_of_the_array(function: Any) -> None:
    a, _ = operands(function, (5, 40), np.float32)
    assert_same_bits(function(a, 2.0), function(a, np.full((5, 40), 2, np.float32)))


@pytest.mark.parametrize("function", BOTH)
def test_dtypes_that_do_not_go_together_are_refused(function: Any) -> None:
    a, g = operands(function, (5, 40), np.float16)
    with pytest.raises(TypeError, match=r"cotangent has dtype float16; accepted are dtypes that go with bfloat16 of"):
        function(a.astype(ml_dtypes.bfloat16), g)

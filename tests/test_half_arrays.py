"""Public functions on arrays of float16 and bfloat16: the bits of the float32 results, rounded once, without copies."""

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from softmaxjit import _run, log_softmax, log_softmax_vjp, logsumexp, softmax, softmax_vjp
from softmaxjit._plan import PARALLEL_ELEMENTS

from .halves import HALVES, bits_but_of_nan, converted
from .test_activations import read_only, unaligned
from .vectors import Array

ALL = (softmax, log_softmax, logsumexp)
ACTIVATIONS = (softmax, log_softmax)
GRADIENTS = (softmax_vjp, log_softmax_vjp)
LENGTHS = (*range(1, 71), 1000, 70000)
ROWS = 4
MEBIBYTE = 1 << 20

each_dtype = pytest.mark.parametrize("dtype", HALVES, ids=str)
each_function = pytest.mark.parametrize("function", ALL)


def sample(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return logits: ordinary ones, one out of reach of the largest, and in the last row a masked one."""
    x = 4 * np.random.default_rng(shape[-1]).standard_normal(shape)
    x[..., -1] = -300.0
    x[-1, 0] = -np.inf
    return x.astype(dtype)


def assert_same_bits(result: Any, expected: Any) -> None:
    result, expected = np.asarray(result), np.asarray(expected)
    assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
    assert bits_but_of_nan(result) == bits_but_of_nan(expected)


def rounded(function: Any, x: Array, *operands: Array, **keywords: Any) -> Array:
    """Return the result for operands widened to float32, rounded once."""
    wide = [operand.astype(np.float32) for operand in (x, *operands)]
    return converted(np.asarray(function(*wide, **keywords)), x.dtype)


@pytest.fixture
def widenings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The sizes of the rows that were widened to float32."""
    sizes: list[int] = []
    widened = _run.widened

    def recording(rows: Any) -> Any:
        sizes.append(rows.x.size)
        return widened(rows)

    monkeypatch.setattr(_run, "widened", recording)
    return sizes


# What is called through the full path has `threads`; without it, calls may be direct.
LAYOUTS: dict[str, Callable[[Array], tuple[Array, dict[str, Any]]]] = {
    "direct": lambda x: (x, {}),
    "contiguous": lambda x: (x, {"threads": 1}),
    "every second": lambda x: (x.repeat(2, axis=1)[:, ::2], {}),
    "backwards": lambda x: (x[:, ::-1].copy()[:, ::-1], {}),
    "axis 0": lambda x: (x.T.copy(), {"axis": 0}),
    "unaligned": lambda x: (unaligned(x), {}),
    "read-only": lambda x: (read_only(x), {"threads": 1}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@each_function
@each_dtype
def test_any_layout(dtype: Any, function: Any, layout: str, widenings: list[int]) -> None:
    for n in LENGTHS:
        x, keywords = LAYOUTS[layout](sample((ROWS, n), dtype))
        result = function(x, **keywords)
        assert widenings == []
        assert_same_bits(result, rounded(function, x, **keywords))


@each_function
def test_swapped_bytes(function: Any) -> None:
    x = sample((ROWS, 40), np.float16)
    assert_same_bits(function(x.astype(">f2")), function(x))


@pytest.mark.parametrize("threads", [None, 1])
@pytest.mark.parametrize("function", ACTIVATIONS)
@each_dtype
def test_out(dtype: Any, function: Any, threads: int | None, widenings: list[int]) -> None:
    for n in LENGTHS:
        x = sample((ROWS, n), dtype)
        expected = rounded(function, x)
        out = np.zeros((ROWS, 2 * n), dtype)
        for target in (np.zeros_like(x), out[:, ::2], x):
            assert function(x, out=target, threads=threads) is target
            assert_same_bits(target, expected)
        assert (out[:, 1::2] == 0).all()
    assert widenings == []


@pytest.mark.parametrize("shift", [-200, -41, -40, -3, -1, 0, 1, 3, 40, 41, 200])
@pytest.mark.parametrize("function", ACTIVATIONS)
@each_dtype
def test_out_that_overlaps_x(dtype: Any, function: Any, shift: int) -> None:
    memory = np.zeros(700, dtype)
    x, out = (memory[start : start + 4 * 40].reshape(4, 40) for start in (250, 250 + shift))
    x[...] = sample(x.shape, dtype)
    expected = rounded(function, x)
    function(x, out=out)
    assert_same_bits(out, expected)


@each_dtype
def test_sums_into_out(dtype: Any, widenings: list[int]) -> None:
    x = sample((ROWS, 40), dtype)
    expected = rounded(logsumexp, x)
    for threads in (None, 1):
        for out in (np.zeros(ROWS, dtype), np.zeros(2 * ROWS, dtype)[::2], x.copy()[:, 0]):
            assert logsumexp(x, out=out, threads=threads) is out
            assert_same_bits(out, expected)
    assert_same_bits(logsumexp(x, out=x[:, 3]), expected)
    assert widenings == []


@each_function
@each_dtype
def test_masks(dtype: Any, function: Any, widenings: list[int]) -> None:
    for n in LENGTHS:
        x = sample((ROWS, n), dtype)
        where = np.random.default_rng(n).random(x.shape) < 0.6
        where[1] = False
        expected = rounded(function, x, where=where)
        for result in (function(x, where=where), function(np.ma.array(x, mask=~where))):
            assert_same_bits(result, expected)
        out = x.copy() if function is not logsumexp else np.zeros(ROWS, dtype)
        function(out if function is not logsumexp else x, where=where, out=out)
        assert_same_bits(out, expected)
    assert widenings == []


COLUMN = np.array([[0.5], [1.0], [3.0], [1e3]])
TEMPERATURES: dict[str, tuple[Any, bool]] = {  # and whether kernels need float32 rows for them
    "one": (0.3, False),
    "an array of one": (np.float64(0.3), False),
    "for each row": (COLUMN, False),
    "0": (0.0, True),
    "inf": (np.inf, True),
    "tiny": (1e-30, True),
    "one of which is 0": (np.array([[0.0], [1.0], [np.inf], [1e-30]]), True),
}


@pytest.mark.parametrize("name", TEMPERATURES)
@pytest.mark.parametrize("function", ACTIVATIONS)
@each_dtype
def test_temperatures(dtype: Any, function: Any, name: str, widenings: list[int]) -> None:
    temperature, widens = TEMPERATURES[name]
    for n in LENGTHS:
        x = sample((ROWS, n), dtype)
        expected = rounded(function, x, temperature=temperature)
        assert_same_bits(function(x, temperature=temperature), expected)
        assert_same_bits(function(x, temperature=temperature, out=x), expected)
        assert widenings == [x.size] * (2 * widens)
        widenings.clear()


@each_dtype
def test_weights_and_signs(dtype: Any) -> None:
    x = sample((ROWS, 40), dtype)
    x[2] = np.nan
    x[3] = -np.inf
    b = sample((ROWS, 40), dtype)
    b[0] = -1
    for keywords in ({"return_sign": True}, {"b": b, "return_sign": True}, {"b": b}):
        wide = keywords | ({"b": b.astype(np.float32)} if "b" in keywords else {})
        results, expected = logsumexp(x, **keywords), logsumexp(x.astype(np.float32), **wide)
        for result, single in zip(np.atleast_2d(results), np.atleast_2d(expected), strict=True):
            assert_same_bits(result, converted(single, dtype))


@each_dtype
def test_a_number(dtype: Any) -> None:
    x = dtype.type(3)
    for function, expected in ((softmax, 1), (log_softmax, 0), (logsumexp, 3)):
        result = function(x, axis=None)
        assert (type(result), result) == (dtype.type, expected)


@each_function
@each_dtype
def test_nothing(dtype: Any, function: Any) -> None:
    for shape in ((0,), (3, 0), (0, 3)):
        assert_same_bits(function(np.zeros(shape, dtype)), rounded(function, np.zeros(shape, dtype)))


def test_results_out_of_range_are_infinite_without_a_warning() -> None:
    x = np.array([0, -1000], np.float16)
    for keywords in ({}, {"threads": 1}, {"where": True}):
        assert log_softmax(x, temperature=0.01, **keywords).tolist() == [0, -np.inf]
    assert logsumexp(np.full(1 << 17, 65504, np.float16)).tolist() == 65504  # 65515.8, below the middle to 65536
    assert logsumexp(np.full(1 << 24, 65504, np.float16)).tolist() == np.inf  # 65520.6


@each_function
@each_dtype
def test_threads(dtype: Any, function: Any, widenings: list[int]) -> None:
    for shape in ((PARALLEL_ELEMENTS // 10 + 3, 10), (70, 1000), (2, 70000)):
        x = sample(shape, dtype)
        expected = rounded(function, x, threads=1)
        for threads in (1, 2, None):
            assert_same_bits(function(x, threads=threads), expected)
        if function is not logsumexp:
            assert_same_bits(function(x, threads=2, out=x), expected)
    assert widenings == []


@pytest.mark.parametrize("function", GRADIENTS)
@each_dtype
def test_gradients(dtype: Any, function: Any, widenings: list[int]) -> None:
    for n in LENGTHS:
        forward = softmax if function is softmax_vjp else log_softmax
        first, cotangent = forward(sample((ROWS, n), dtype)), sample((ROWS, n), dtype)
        cotangent[-1] = 1.0
        for temperature in (1.0, 0.3, COLUMN):
            expected = rounded(function, first, cotangent, temperature=temperature)
            for threads in (None, 1):
                keywords = {"temperature": temperature, "threads": threads}
                assert_same_bits(function(first, cotangent, **keywords), expected)
                assert_same_bits(function(first, out := cotangent.copy(), out=out, **keywords), expected)
                assert_same_bits(function(out := first.copy(), cotangent, out=out, **keywords), expected)
                assert_same_bits(function(first[:, ::-1].copy()[:, ::-1], cotangent, **keywords), expected)
    assert widenings == []


@pytest.mark.parametrize("function", GRADIENTS)
@each_dtype
def test_gradients_beside_float32(dtype: Any, function: Any) -> None:
    first, cotangent = np.abs(sample((ROWS, 40), dtype)), sample((ROWS, 40), np.float32)
    assert_same_bits(function(first, cotangent), function(first.astype(np.float32), cotangent))


def peak_of(call: Callable[[], Any]) -> int:
    """Return the most memory that NumPy held for a call, in bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@each_function
@each_dtype
def test_large_arrays_are_not_copied(dtype: Any, function: Any) -> None:
    x = np.ones((1 << 15, 1 << 10), dtype)
    assert x.nbytes == 64 * MEBIBYTE
    out = np.zeros(x.shape if function is not logsumexp else x.shape[0], dtype)
    function(x[:2])  # compiles
    function(x, out=out)
    assert peak_of(lambda: function(x, out=out)) < MEBIBYTE
    assert peak_of(lambda: function(x)) < out.nbytes + MEBIBYTE
    where = np.ones(x.shape, np.bool_)
    function(x, where=where, out=out)  # compiles
    assert peak_of(lambda: function(x, where=where, out=out)) < MEBIBYTE
    assert peak_of(lambda: function(x.astype(np.float32))) > x.nbytes  # so that a copy would be noticed

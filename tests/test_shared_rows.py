"""A long row shared out among threads: the same bits as by one thread, whatever it holds."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from softmaxjit import _direct, _threads, log_softmax, logsumexp, softmax
from softmaxjit._carriers import carried
from softmaxjit._direct import Entries
from softmaxjit._jit import Kernel
from softmaxjit._kernels.pieces import PIECE_ELEMENTS
from softmaxjit._kernels.sums import FLUSHED_ELEMENTS
from softmaxjit._kernels.temperature import ONE_FOR_ALL, as_operand
from softmaxjit._plan import KERNELS, LONG, SHARED, SHARED_ROW

from .exact import assert_same_bits
from .oracles import DTYPES
from .test_long_rows import OUTLIERS
from .test_tiles import FAMILIES

# Around one, two and three blocks of softmax, and around what of these the inner loop leaves over, and around parts
# and blocks of the others.
LENGTHS = [blocks * FLUSHED_ELEMENTS + k for blocks in (1, 2, 3) for k in (-1, 0, 1, 63, 64, 65, 1000)]
LENGTHS += [FLUSHED_ELEMENTS + k for k in (2047, 2049, 16383, 16384, 16385, 18433)]

OF_SAME_SHAPE = ("softmax", "log_softmax")
FUNCTIONS: list[Callable[..., Any]] = [softmax, log_softmax, logsumexp]


def row_of(family: str, n: int, dtype: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        return FAMILIES[family](np.random.default_rng(n), (1, n, 1)).astype(dtype).reshape(-1)


def run(operation: str, kernel: Kernel, x: np.ndarray, n: int, temperature: Any, parallel: bool = False) -> np.ndarray:
    """Return what a kernel makes of rows, at a temperature if it takes one."""
    if operation not in OF_SAME_SHAPE:
        out = np.empty(x.size // n, x.dtype)
        kernel.compiled(x.dtype, parallel=parallel)(carried(x), n, carried(out))
        return out
    operand, kind = as_operand(temperature)
    out, in_place = np.full_like(x, 7), x.copy()
    for source, result in ((x, out), (in_place, in_place)):
        kernel.compiled(x.dtype, kind, parallel=parallel)(carried(source), n, operand, carried(result))
    assert_same_bits(in_place, out)
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("operation", SHARED)
def test_shared_rows_have_the_bits_of_rows(operation: str, family: str, dtype: Any) -> None:
    for n in LENGTHS:
        x = row_of(family, n, dtype)
        expected = run(operation, KERNELS[operation], x, n, 1.0)
        assert_same_bits(run(operation, SHARED[operation], x, n, 1.0, parallel=True), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", OUTLIERS)
@pytest.mark.parametrize("operation", SHARED)
def test_one_element_in_any_block_decides_for_all(operation: str, kind: str, dtype: Any) -> None:
    n = 2 * FLUSHED_ELEMENTS + 3 * PIECE_ELEMENTS
    for place in (0, PIECE_ELEMENTS, FLUSHED_ELEMENTS - 1, FLUSHED_ELEMENTS, n // 2, n - PIECE_ELEMENTS - 1, n - 1):
        x = np.random.default_rng(place).uniform(-3, 3, n).astype(dtype)
        x[place] = OUTLIERS[kind][0]
        expected = run(operation, KERNELS[operation], x, n, 1.0)
        assert_same_bits(run(operation, SHARED[operation], x, n, 1.0, parallel=True), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", SHARED)
def test_several_shared_rows_each_at_its_own_temperature(operation: str, dtype: Any) -> None:
    n = 2 * FLUSHED_ELEMENTS + 100
    x = np.concatenate([row_of(family, n, dtype) for family in ("near", "far apart", "equal", "one apart")])
    temperatures = np.array([0.5, 3.0, 1.0, 0.2])
    expected = run(operation, KERNELS[operation], x, n, temperatures)
    assert_same_bits(run(operation, SHARED[operation], x, n, temperatures, parallel=True), expected)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_where_one_thread_is_granted_a_row_is_read_piece_by_piece(
    function: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for = []
    compiled = Kernel.compiled

    def remembered(self: Kernel, *variant: Any, **ways: Any) -> Any:
        asked_for.append((self, ways["parallel"]))
        return compiled(self, *variant, **ways)

    monkeypatch.setattr(Kernel, "compiled", remembered)
    operation = function.__name__
    entries = Entries(operation, *[ONE_FOR_ALL] * (operation in OF_SAME_SHAPE))
    monkeypatch.setattr(_direct, operation.upper(), entries)  # without those of earlier calls
    x = row_of("near", SHARED_ROW[4], np.float32)
    for given in (x, x[::-1]):  # the latter takes the full path
        expected = function(given, threads=1)
        asked_for.clear()
        for granted, kernel in ((2, SHARED[operation]), (1, LONG[operation])):
            monkeypatch.setattr(_threads, "layer_threads", lambda _, granted=granted: nullcontext(granted))
            assert_same_bits(function(given), expected)
            assert asked_for == [(kernel, granted == 2)]
            asked_for.clear()


@pytest.mark.parametrize("dtype", [*DTYPES, np.float16, ml_dtypes.bfloat16], ids=str)
@pytest.mark.parametrize("temperature", [1.0, 0.3, 0.0, np.inf])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_row_has_the_same_bits_on_any_number_of_threads(
    function: Callable[..., Any], dtype: Any, temperature: float
) -> None:
    tempered = {} if function is logsumexp else {"temperature": temperature}
    shortest = SHARED_ROW[np.dtype(dtype).itemsize]
    for n in (shortest - 1, shortest, shortest + 1, 4 * FLUSHED_ELEMENTS):
        x = row_of("near", n, dtype)
        where = np.random.default_rng(1).random(n) < 0.5
        for mask in (None, where):
            expected = function(x, **tempered, where=mask, threads=1)
            assert_same_bits(function(x, **tempered, where=mask), expected)
            assert_same_bits(function(x, **tempered, where=mask, threads=2), expected)
            if function is not logsumexp:
                in_place = x.copy()
                function(in_place, **tempered, where=mask, out=in_place)
                assert_same_bits(in_place, expected)
        backwards = function(x[::-1], **tempered, threads=1)
        assert_same_bits(function(x[::-1], **tempered), backwards)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_not_finite_in_any_block_is_that_of_the_whole_row(function: Callable[..., Any], dtype: Any) -> None:
    n = 3 * FLUSHED_ELEMENTS
    for place in (0, FLUSHED_ELEMENTS + 5, n - 1):
        for value in (np.nan, np.inf):
            x = row_of("near", n, dtype)
            x[place] = value
            result = function(x)
            assert result == np.inf if function is logsumexp and value == np.inf else np.isnan(result).all()
    x = np.full(n, -np.inf, dtype)
    result = function(x)
    assert result == -np.inf if function is logsumexp else np.isnan(result).all()
    x[n - 1] = 3.0
    if function is logsumexp:
        assert logsumexp(x) == 3
    else:
        certain = softmax(x) if function is softmax else np.exp(log_softmax(x))
        assert_same_bits(certain, np.eye(1, n, n - 1, dtype)[0])

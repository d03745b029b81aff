"""Rows that lie across memory, line by line: the same bits as rows one by one, whatever they hold and however they lie.

Which targets take them so is for the plan; the kernels are the same on all.
"""

import itertools
from typing import Any

import numpy as np
import pytest

from softmaxjit import _run, log_softmax, logsumexp, softmax
from softmaxjit._jit import Kernel, routine
from softmaxjit._kernels.panels import FEWEST_PANELS, NARROWEST_PANEL, WIDEST_PANEL, rows_of_panel
from softmaxjit._plan import LINES, MOST_LINES, SHARED_LINES, VECTORS_OF_LINES
from softmaxjit._simd.memory import data_of, lanes

from .exact import assert_same_bits
from .oracles import DTYPES
from .test_tiles import FAMILIES, OF_SAME_SHAPE, one_by_one, result_of, run

OPERATIONS: dict[str, Any] = {"softmax": softmax, "log_softmax": log_softmax, "logsumexp": logsumexp}

# Of no whole block of the sums, around one, two and three, with one to three vectors and parts of one after them.
NUMBERS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 80, 97, 112, 127, 128, 129, 200)

# Whole vectors, and what needs 2, 4, 8 and 16 lines to be such; less than one, and more.
NEIGHBOURS = (1, 2, 3, 4, 7, 8, 12, 15, 16, 17, 20, 24, 31, 32, 40, 49, 64, 66)

# Cut into panels: by their width, and for threads.
CUT = (
    (1, 70, WIDEST_PANEL + 16),
    (2, 66, 2 * WIDEST_PANEL),
    (1, 33, FEWEST_PANELS * NARROWEST_PANEL + 16),
    (2, 40, 3 * NARROWEST_PANEL),
    (3, 17, 2 * NARROWEST_PANEL - 16),
)

each_operation = pytest.mark.parametrize("operation", LINES)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def assert_like_rows(operation: str, x: np.ndarray, temperature: Any = 1.0) -> None:
    """Compare both kernels with that of rows, also in place, and look at the memory around the result."""
    if operation not in OF_SAME_SHAPE:
        temperature = None
    elif np.ndim(temperature):
        temperature = np.ascontiguousarray(temperature).reshape(-1)
    expected = one_by_one(operation, x, temperature)
    for kernels in (LINES, SHARED_LINES):
        around = np.full(expected.size + 200, 7, x.dtype)
        within = around[100:-100].reshape(expected.shape)
        run(kernels[operation], x, x.shape[1:], temperature, within)
        assert_same_bits(within, expected)
        assert (around[:100] == 7).all()
        assert (around[-100:] == 7).all()
    if operation in OF_SAME_SHAPE:
        in_place = x.copy()
        run(LINES[operation], in_place, x.shape[1:], temperature, in_place)
        assert_same_bits(in_place, expected)


@each_dtype
@each_operation
def test_however_many_lines_and_neighbours_there_are(operation: str, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for n, inner in itertools.product(NUMBERS, NEIGHBOURS):
        assert_like_rows(operation, rng.standard_normal((1 + n % 3, n, inner)).astype(dtype))


@each_dtype
@each_operation
@pytest.mark.parametrize("family", FAMILIES)
def test_whatever_rows_hold(family: str, operation: str, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for n, inner in ((5, 3), (16, 16), (70, 20), (130, 33), (200, 64)):
        with np.errstate(over="ignore"):
            x = FAMILIES[family](rng, (3, n, inner)).astype(dtype)
        assert_like_rows(operation, x)


@each_dtype
@each_operation
def test_one_row_of_another_kind_among_plain_ones(operation: str, dtype: Any) -> None:
    """All rows of a panel are taken the way that its most difficult one needs, wherever that shows."""
    rng = np.random.default_rng(0)
    kinds = (np.nan, np.inf, -np.inf, 3e4, -3e4, 90.0, -500.0)
    for special, n, inner in itertools.product(kinds, (83, 131), (3, 19, 32)):
        for place in (0, n // 2, n // 16 * 16 - 1, n - 1):
            x = rng.standard_normal((2, n, inner)).astype(dtype)
            x[1, place, inner - 1] = special
            x[0, :, 2] = special
            assert_like_rows(operation, x)


@each_dtype
@each_operation
def test_one_row_far_from_the_others(operation: str, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for far, spread in itertools.product((60.0, 87.0, 90.0, 200.0, 3e3, 1e8, -90.0, -1e3, -3e4), (1.0, 1e-3)):
        x = rng.standard_normal((2, 131, 35)).astype(dtype)
        x[1, :, 34] = x[1, :, 34] * spread + far
        assert_like_rows(operation, x)


@each_dtype
@pytest.mark.parametrize("operation", OF_SAME_SHAPE)
def test_temperatures_for_all_rows_and_for_each(operation: str, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for (n, inner), family in itertools.product(
        ((3, 5), (64, 16), (70, 21), (140, 40)), ("near", "far apart", "far from 0")
    ):
        x = FAMILIES[family](rng, (3, n, inner)).astype(dtype)
        for temperature in (0.3, 2.0**-40, 2.0**40, rng.choice([0.5, 1.0, 3.0, 2.0**-30], (3, inner))):
            assert_like_rows(operation, x, temperature)


@each_dtype
@each_operation
def test_lines_that_are_cut(operation: str, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for shape in CUT:
        x = rng.standard_normal(shape).astype(dtype)
        assert_like_rows(operation, 5 * x)
        if operation in OF_SAME_SHAPE:
            assert_like_rows(operation, x, rng.uniform(0.5, 2, (shape[0], shape[2])))
        x[0, 3, ::7], x[0, 5, ::5], x[0, :, 5], x[0, :, -6] = np.inf, -np.inf, 30.0, -np.inf
        x[-1, 3, -5], x[-1, 9, -5] = np.inf, np.nan
        assert_like_rows(operation, x)


@each_operation
def test_as_many_lines_as_are_taken_so(operation: str) -> None:
    """Beyond that the sums of rows are flushed."""
    rng = np.random.default_rng(0)
    for n, inner in itertools.product((MOST_LINES[operation] - 1, MOST_LINES[operation]), (3, 16)):
        assert_like_rows(operation, rng.standard_normal((2, n, inner)).astype(np.float32))


@each_dtype
@each_operation
def test_masks_of_rows_are_their_own(operation: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run, "vector_bytes", lambda: VECTORS_OF_LINES)
    rng = np.random.default_rng(0)
    for (outer, n, inner), column in itertools.product(
        ((2, 140, 21), (2, 200, 70), (1, 140, WIDEST_PANEL + 16)), (0, 16, -1)
    ):
        x = (5 * rng.standard_normal((outer, n, inner))).astype(dtype)
        x[0, :, 3] = -np.inf
        where = rng.random(x.shape) < 0.7
        where[-1, :, 6] = False
        x[-1, 5, column], where[-1, 5, column] = np.nan, True
        x[0, 9, column - 2], where[0, 9, column - 2] = np.inf, True
        options = {} if operation in OF_SAME_SHAPE else {"keepdims": True}
        across = OPERATIONS[operation](x, 1, where=where, **options)
        moved = [np.ascontiguousarray(each.swapaxes(1, 2)) for each in (x, where)]
        expected = OPERATIONS[operation](moved[0], 2, where=moved[1], **options)
        assert_same_bits(across, np.ascontiguousarray(expected.swapaxes(1, 2)))


@each_dtype
@each_operation
@pytest.mark.parametrize("threads", [1, 2, None])
def test_by_the_public_functions(
    threads: int | None, operation: str, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_run, "vector_bytes", lambda: VECTORS_OF_LINES)
    asked: list[str] = []
    compiled = Kernel.compiled
    monkeypatch.setattr(
        Kernel, "compiled", lambda self, *a, **k: asked.append(self.body.__name__) or compiled(self, *a, **k)
    )
    rng = np.random.default_rng(0)
    for shape in ((1, 300, 512), (5, 300, 100), (70, 130, 21), (3, 128, 33)):
        x = (5 * rng.standard_normal(shape)).astype(dtype)
        expected = OPERATIONS[operation](np.ascontiguousarray(x.swapaxes(1, 2)), 2, threads=1)
        asked.clear()
        result = OPERATIONS[operation](x, 1, threads=threads)
        assert set(asked) & {f"{operation}_lines", f"{operation}_shared_lines"}
        assert_same_bits(result, np.ascontiguousarray(expected.swapaxes(1, 2) if expected.ndim == 3 else expected))


@routine
def rows_taken_together(x, inner, parts):
    """Return how many rows of so many neighbours are a panel, in `parts` for threads."""
    return rows_of_panel(inner, parts, lanes(data_of(x)))


@pytest.mark.parametrize(("dtype", "width"), [(np.float32, 16), (np.float64, 8)])
def test_lines_of_whole_vectors_are_cut_where_they_are_too_wide_or_threads_have_too_few(dtype: Any, width: int) -> None:
    def panel(inner: int, parts: int = 1) -> int:
        return rows_taken_together(np.zeros(1, dtype), inner, parts)

    assert [panel(n) for n in (width, WIDEST_PANEL, WIDEST_PANEL + 1)] == [width, WIDEST_PANEL, WIDEST_PANEL + 1]
    assert panel(WIDEST_PANEL + width) == -(-(WIDEST_PANEL // width + 1) // 2) * width
    assert panel(5 * WIDEST_PANEL, 4) == WIDEST_PANEL
    for parts in (0, 1, 2, 4):
        assert panel(4 * NARROWEST_PANEL, parts) == 4 * NARROWEST_PANEL // max(parts, 1)
    assert panel(2 * NARROWEST_PANEL - width, 4) == 2 * NARROWEST_PANEL - width
    assert panel(2 * NARROWEST_PANEL, 4) == NARROWEST_PANEL


def test_results_do_not_depend_on_what_memory_holds() -> None:
    """What is kept of rows lies in memory that nobody clears: here in blocks of about these sizes."""
    rng = np.random.default_rng(0)
    for operation, dtype in itertools.product(LINES, DTYPES):
        x = rng.standard_normal((2, 70, 21)).astype(dtype)
        expected = one_by_one(operation, x, 1.0 if operation in OF_SAME_SHAPE else None)
        for filling in (np.nan, np.inf, 5e-324, -1e300):
            for size in (1 << 9, 1 << 11, 1 << 13, 1 << 15):
                np.full(size, filling)  # freed at once
            out = result_of(operation, x, 1)
            run(LINES[operation], x, (70, 21), 1.0 if operation in OF_SAME_SHAPE else None, out)
            assert_same_bits(out, expected)

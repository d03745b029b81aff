"""Short rows and rows that lie across memory: the same bits as rows one by one, whatever they hold."""

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from softmaxjit import log_softmax, logsumexp, softmax
from softmaxjit._carriers import carried
from softmaxjit._jit import Kernel, routine
from softmaxjit._kernels.temperature import as_operand
from softmaxjit._kernels.tiles import aligned, tile_of
from softmaxjit._plan import ACROSS, GROUPED_ROW, KERNELS, LONGEST_ACROSS, SHORT, SHORT_ROW, SLABS
from softmaxjit._simd.memory import data_of, stream_offset

from .exact import assert_same_bits
from .oracles import DTYPES

ALL_DTYPES = [*DTYPES, np.float16, ml_dtypes.bfloat16]

# Of up to one vector, of less than a block of the sums, around one and two blocks, and many.
LENGTHS = (1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200, 1000)

# Around one and two blocks of the sums of log_softmax and logsumexp.
LONG_LENGTHS = (2047, 2048, 2049, 4096, 4097, 5000)

OPERATIONS: dict[str, Any] = {"softmax": softmax, "log_softmax": log_softmax, "logsumexp": logsumexp}
OF_SAME_SHAPE = ["softmax", "log_softmax"]

FAMILIES = {
    "near": lambda rng, shape: rng.standard_normal(shape),
    "confident": lambda rng, shape: 30 * rng.standard_normal(shape),
    "far apart": lambda rng, shape: 400 * rng.standard_normal(shape),
    "far from 0": lambda rng, shape: rng.standard_normal(shape) + 3e4,
    "all kinds": lambda rng, shape: rng.choice([0.0, -0.0, 1.0, -200.0, 300.0, -np.inf], shape),
    "equal": lambda rng, shape: np.broadcast_to(rng.standard_normal((shape[0], 1, shape[2])), shape).copy(),
    "one apart": lambda rng, shape: np.where(
        np.arange(shape[1])[:, None] == rng.integers(shape[1]), 12, 0 * rng.random(shape)
    ),
    "not finite": lambda rng, shape: rng.choice([0.0, 1.0, 2.0, 3.0, -np.inf, np.inf, np.nan], shape),
}


def run(kernel: Kernel, x: np.ndarray, lengths: tuple[int, ...], temperature: Any, out: np.ndarray) -> None:
    """Run a kernel on arrays of any shape; without a temperature where that is None."""
    operands, kinds = (), ()
    if temperature is not None:
        operand, kind = as_operand(temperature)
        operands, kinds = (operand,), (kind,)
    kernel.compiled(x.dtype, *kinds)(carried(x.reshape(-1)), *lengths, *operands, carried(out.reshape(-1)))


def one_by_one(operation: str, x: np.ndarray, temperature: Any) -> np.ndarray:
    """Return the result of an operation on an array of shape (outer, n, inner) along n, by the kernel of rows."""
    rows = np.ascontiguousarray(x.swapaxes(1, 2))
    out = result_of(operation, rows, 2)
    run(KERNELS[operation], rows, (x.shape[1],), temperature, out)
    return np.ascontiguousarray(out.swapaxes(1, 2))


def result_of(operation: str, x: np.ndarray, axis: int) -> np.ndarray:
    """Return memory for a result, which keeps the axis."""
    return np.empty_like(x if operation in OF_SAME_SHAPE else np.ascontiguousarray(x.take([0], axis)))


@routine
def place_of_tile(x, size):
    """Return how far from a line of the caches a tile begins, in elements, and how many it has."""
    memory = tile_of(data_of(x), size)
    first = stream_offset(data_of(memory), 0)
    return stream_offset(aligned(memory), 0), memory.size - first


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tile_begins_where_a_line_of_the_caches_does(dtype: Any) -> None:
    for size in range(1, 200):
        offset, elements = place_of_tile(np.zeros(1, dtype), size)
        assert offset == 0
        assert elements >= size


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@pytest.mark.parametrize("operation", OF_SAME_SHAPE)
def test_extreme_temperatures_give_each_row_the_bits_it_has_alone(operation: str, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    for shape, size in itertools.product(((40, 5), (40, 60), (3, 40, 21), (9, 1)), (30, 6000)):
        x = np.round(size * rng.standard_normal(shape)).astype(dtype)
        x.flat[::40] = rng.choice([-np.inf, np.inf, np.nan], x.flat[::40].shape)
        where = rng.random(shape) < 0.7
        one_per_row = (shape[0], 1, *shape[2:])
        mixed = rng.choice([0.0, np.inf, 5e-324, 1e-30, 1e30, 2.0**-40, 2.0**40, 0.7, 1.0, 3e3], one_per_row)
        for temperature, kept in itertools.product((mixed, 0.0, 1e-30, np.inf), (where | True, where)):
            result = OPERATIONS[operation](x, 1, temperature=temperature, where=kept)
            for (i, _, *rest), tau in np.ndenumerate(np.broadcast_to(temperature, one_per_row)):
                row = (i, slice(None), *rest)
                alone = OPERATIONS[operation](x[row].copy(), temperature=tau, where=kept[row].copy())
                # NumPy's own tests do not see that two NaN of bfloat16 are alike.
                assert_same_bits(result[row].astype(np.float64), alone.astype(np.float64))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ALL_DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_tiles_have_the_bits_of_rows_one_by_one(operation: str, dtype: Any, family: str) -> None:
    rng = np.random.default_rng(0)
    for lengths, shapes in (
        (LENGTHS, ((37, 1), (16, 1), (5, 3), (2, 16), (2, 49), (1, 130))),
        (LONG_LENGTHS, ((1, 5),)),
    ):
        for n, (outer, inner) in itertools.product(lengths, shapes):
            x = np.asarray(FAMILIES[family](rng, (outer, n, inner))).astype(dtype)
            temperatures = (1.0, 0.7, rng.choice([0.3, 1.0, 2.9], outer * inner))
            for temperature in temperatures if operation in OF_SAME_SHAPE else (None,):
                expected = one_by_one(operation, x, temperature)
                for kernels in (SHORT,) if inner == 1 else (ACROSS, SLABS):
                    out = result_of(operation, x, 1)
                    run(kernels[operation], x, (n,) if inner == 1 else (n, inner), temperature, out)
                    assert out.dtype == expected.dtype
                    # NumPy's own tests do not see that two NaN of bfloat16 are alike.
                    assert_same_bits(out.astype(np.float64), expected.astype(np.float64))


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_short_row_has_the_same_bits_alone_and_among_others(operation: str, dtype: Any) -> None:
    function = OPERATIONS[operation]
    longest = {*SHORT_ROW[operation].values(), *GROUPED_ROW[operation].values()}
    for n in sorted({*range(1, 50), *longest, *(n + 1 for n in longest)}):
        x = (4 * np.random.default_rng(n).standard_normal((50, n))).astype(dtype)
        together = function(x)
        for row, result in zip(x, together, strict=True):
            assert_same_bits(result, function(row))
        assert_same_bits(function(x[3:40]), together[3:40])


@pytest.mark.parametrize("axis", [0, 1, (0, 1), -2])
@pytest.mark.parametrize("dtype", ALL_DTYPES)
@pytest.mark.parametrize("operation", OF_SAME_SHAPE)
def test_any_axis_has_the_bits_of_the_last(operation: str, dtype: Any, axis: Any) -> None:
    function = OPERATIONS[operation]
    x = (4 * np.random.default_rng(0).standard_normal((6, 70, 21))).astype(dtype)
    axes = axis if isinstance(axis, tuple) else (axis,)
    places = tuple(range(-len(axes), 0))
    expected = np.moveaxis(function(np.ascontiguousarray(np.moveaxis(x, axes, places)), places), places, axes)
    assert_same_bits(function(x, axis), np.ascontiguousarray(expected))
    assert_same_bits(function(x, axis, threads=1), np.ascontiguousarray(expected))


@pytest.mark.parametrize("axis", [0, 1, (0, 1), -2])
@pytest.mark.parametrize("dtype", ALL_DTYPES)
def test_logsumexp_along_any_axis_has_the_bits_of_the_last(dtype: Any, axis: Any) -> None:
    x = (4 * np.random.default_rng(0).standard_normal((6, 70, 21))).astype(dtype)
    axes = axis if isinstance(axis, tuple) else (axis,)
    places = tuple(range(-len(axes), 0))
    expected = logsumexp(np.ascontiguousarray(np.moveaxis(x, axes, places)), places)
    kept = np.expand_dims(expected, axes if axis != -2 else 1)
    assert_same_bits(logsumexp(x, axis), expected)
    assert_same_bits(logsumexp(x, axis, threads=1, keepdims=True), kept)
    log, sign = logsumexp(x, axis, return_sign=True)
    assert_same_bits(log, expected)
    assert_same_bits(sign, np.ones_like(expected))
    out = np.empty_like(kept)
    assert logsumexp(x, axis, keepdims=True, out=out) is out
    assert_same_bits(out, kept)
    apart = np.empty((*expected.shape, 2), dtype)[..., 0]
    assert logsumexp(x, axis, out=apart) is apart
    assert_same_bits(np.ascontiguousarray(apart), expected)


@pytest.mark.parametrize("dtype", [np.longdouble, np.complex128])
def test_logsumexp_along_another_axis_is_right_for_dtypes_without_kernel(dtype: Any) -> None:
    x = np.random.default_rng(0).standard_normal((7, 5, 3)).astype(dtype)
    expected = np.log(np.exp(x).sum(1))
    np.testing.assert_allclose(logsumexp(x, 1), expected, rtol=1e-14)
    log, sign = logsumexp(x, 1, return_sign=True)
    np.testing.assert_allclose(np.exp(log) * sign, np.exp(expected), rtol=1e-13)


def test_logsumexp_along_another_axis_may_overwrite_the_logits() -> None:
    x = np.random.default_rng(0).standard_normal((40, 50))
    expected = logsumexp(x, 0)
    for k in (0, 7, 39):
        logits = x.copy()
        assert_same_bits(logsumexp(logits, 0, out=logits[k]), expected)


@pytest.mark.parametrize("operation", OF_SAME_SHAPE)
def test_along_another_axis_the_result_may_replace_the_logits(operation: str) -> None:
    function = OPERATIONS[operation]
    x = np.random.default_rng(0).standard_normal((40, 50))
    expected = function(x, 0)
    assert function(x, 0, out=x) is x
    assert_same_bits(x, expected)


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_however_many_rows_are_neighbours_they_have_the_bits_of_rows_one_by_one(operation: str, dtype: Any) -> None:
    """A tile begins and ends anywhere in a line of them, with fewer than a vector or with more."""
    rng = np.random.default_rng(0)
    temperature = 1.0 if operation in OF_SAME_SHAPE else None
    for kernels, inner in [*((ACROSS, inner) for inner in range(2, 70)), *((SLABS, inner) for inner in range(2, 18))]:
        x = rng.standard_normal((7 if kernels is ACROSS else 39, 5, inner)).astype(dtype)
        expected = one_by_one(operation, x, temperature)
        around = np.full(expected.size + 200, 7, dtype)
        within = around[100:-100].reshape(expected.shape)
        run(kernels[operation], x, (5, inner), temperature, within)
        assert_same_bits(within, expected)
        assert (around[:100] == 7).all()
        assert (around[-100:] == 7).all()
        if operation in OF_SAME_SHAPE:
            run(kernels[operation], x, (5, inner), temperature, x)
            assert_same_bits(x, expected)


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_masks_and_temperatures_of_rows_with_few_neighbours_are_their_own(operation: str, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for inner, choice in itertools.product((2, 3, 7), ([0.3, 1.0, 2.9], [0.0, 0.7, 1e-30, np.inf])):
        x = (5 * rng.standard_normal((128, 9, inner))).astype(dtype)
        x[5, 4, 1] = np.nan
        where = rng.random(x.shape) < 0.7
        temperature = rng.choice(choice, (128, 1, inner))

        def result(axis: int, *operands: np.ndarray) -> np.ndarray:
            options = {"temperature": operands[2]} if operation in OF_SAME_SHAPE else {"keepdims": True}
            return OPERATIONS[operation](operands[0], axis, where=operands[1], **options).astype(np.float64)

        across = result(1, x, where, temperature)
        moved = [np.ascontiguousarray(each.swapaxes(1, 2)) for each in (x, where, temperature)]
        assert_same_bits(across, np.ascontiguousarray(result(2, *moved).swapaxes(1, 2)))


@pytest.mark.parametrize("offset", [-50, -1, 1, 50])
@pytest.mark.parametrize("operation", OF_SAME_SHAPE)
def test_along_another_axis_the_result_may_overlap_the_logits(operation: str, offset: int) -> None:
    function = OPERATIONS[operation]
    memory = np.random.default_rng(0).standard_normal(40 * 50 + 50)
    start = max(0, -offset)
    x, out = memory[start : start + 2000].reshape(40, 50), memory[start + offset :][:2000].reshape(40, 50)
    expected = function(x.copy(), 0)
    function(x, 0, out=out)
    assert_same_bits(out, expected)


@pytest.mark.parametrize("n", [LONGEST_ACROSS, LONGEST_ACROSS + 1, 70_000])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_rows_that_are_too_long_to_be_taken_as_they_lie_have_the_same_bits(operation: str, n: int) -> None:
    function = OPERATIONS[operation]
    x = np.random.default_rng(0).standard_normal((n, 3)).astype(np.float32)
    assert_same_bits(function(x, 0), np.ascontiguousarray(function(np.ascontiguousarray(x.T)).T))


@pytest.mark.parametrize("temperature", [0.0, 1e-30, 1e30, np.inf, [[0.0, 1.0, np.inf, 2.0, 1e-20]]])
@pytest.mark.parametrize("operation", OF_SAME_SHAPE)
def test_along_another_axis_any_temperature_is_taken(operation: str, temperature: Any) -> None:
    function = OPERATIONS[operation]
    x = np.random.default_rng(0).standard_normal((7, 5))
    columns = np.broadcast_to(temperature, (1, 5)).T
    expected = function(np.ascontiguousarray(x.T), temperature=columns).T
    assert_same_bits(function(x, 0, temperature=temperature), np.ascontiguousarray(expected))

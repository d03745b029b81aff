"""Long rows, read piece by piece on one thread or several: the bits of passes over whole rows, whatever they hold."""

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from softmaxjit import log_softmax, logsumexp, softmax
from softmaxjit._carriers import carried
from softmaxjit._jit import Kernel, routine
from softmaxjit._kernels.ahead import ahead_of
from softmaxjit._kernels.kept import memory_to_keep
from softmaxjit._kernels.log_long_rows import rest_by_pieces
from softmaxjit._kernels.long_rows import softmax_by_pieces
from softmaxjit._kernels.pieces import LARGEST_RISE, PIECE_ELEMENTS
from softmaxjit._kernels.sums import FLUSHED_ELEMENTS
from softmaxjit._kernels.temperature import as_operand
from softmaxjit._plan import KERNELS, LONG, LONG_ROW, PARALLEL_ELEMENTS, SHARED
from softmaxjit._simd.memory import data_of

from .exact import assert_same_bits
from .oracles import DTYPES
from .test_tiles import FAMILIES

ALL_DTYPES = [*DTYPES, np.float16, ml_dtypes.bfloat16]

# Around pieces, around blocks whose sums are flushed, and what is left of four vectors after either.
LENGTHS = [pieces * PIECE_ELEMENTS + k for pieces in (1, 2, 5) for k in (-1, 0, 1, 63, 65)]
LENGTHS += [FLUSHED_ELEMENTS + k for k in (-1, 0, 1, 65, PIECE_ELEMENTS, 2 * PIECE_ELEMENTS + 1)]
LENGTHS += [2 * FLUSHED_ELEMENTS, 2 * FLUSHED_ELEMENTS + 100]

N = 4 * PIECE_ELEMENTS + 100
OCTAVE = math.log(2)

# What is beside elements from -3 to 3, and whether softmax and the others can take the row piece by piece.
OUTLIERS = {
    "one that rises": (9.0, True, True),
    "one that rises by nearly all that is allowed": (3 + (LARGEST_RISE - 1) * OCTAVE, True, True),
    "one that rises by more": (3 + (LARGEST_RISE + 1) * OCTAVE, False, False),
    "one that falls": (-40.0, True, True),
    "one that falls so far that its probability is subnormal": (-90.0, False, True),
    "one that falls out of reach": (-900.0, False, False),
    "nothing": (-np.inf, False, False),
    "infinity": (np.inf, False, False),
    "a NaN": (np.nan, True, True),
}


def run(
    kernel: Kernel,
    x: np.ndarray,
    temperature: float | None,
    where: Any = None,
    *,
    in_place: bool = False,
    parallel: bool = False,
) -> Any:
    """Return what a kernel makes of a row, at a temperature unless that is None."""
    x = x.copy()
    operands, kinds = [], []
    if temperature is not None:
        operand, kind = as_operand(temperature)
        operands, kinds = [operand], [kind]
    out = np.empty(1, x.dtype) if temperature is None else x if in_place else np.full_like(x, 7)
    source = carried(x) if where is None else (carried(x), where)
    compiled = kernel.compiled(x.dtype, *kinds, masked=where is not None, parallel=parallel)
    compiled(source, x.size, *operands, carried(out))
    return out.astype(np.float64)  # NumPy's own tests do not see that two NaN of bfloat16 are alike


def assert_bits_of_rows(operation: str, x: np.ndarray, temperature: float, where: Any = None) -> None:
    tau = None if operation == "logsumexp" else temperature
    expected = run(KERNELS[operation], x, tau, where)
    for in_place in (False, True):
        assert_same_bits(run(LONG[operation], x, tau, where, in_place=in_place), expected)
        if operation != "softmax" or x.dtype in DTYPES:  # that of 16 bits is not shared out
            assert_same_bits(run(SHARED[operation], x, tau, where, in_place=in_place, parallel=True), expected)


@routine
def softmax_found(x, temperature, out):
    """Return whether a row was taken piece by piece."""
    return softmax_by_pieces(data_of(x), 0, x.size, temperature, data_of(out), data_of(out), False)


@routine
def others_found(x, temperature):
    """Return whether the sum of others was."""
    data = data_of(x)
    return rest_by_pieces(data, 0, x.size, temperature, False, memory_to_keep(data), ahead_of(data, 1, False, None))[0]


def row_of(family: str, n: int, dtype: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        return FAMILIES[family](np.random.default_rng(n), (1, n, 1)).astype(dtype).reshape(-1)


def row_with(outlier: float, place: int, dtype: Any) -> np.ndarray:
    x = np.random.default_rng(place).uniform(-3, 3, N)
    x[:10] = 3
    x[place] = outlier
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("operation", LONG)
def test_long_rows_have_the_bits_of_rows(operation: str, family: str, dtype: Any) -> None:
    for n in LENGTHS:
        assert_bits_of_rows(operation, row_of(family, n, dtype), 1.0)
    for temperature in (0.3, 2.9):
        assert_bits_of_rows(operation, row_of(family, N, dtype), temperature)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", OUTLIERS)
def test_what_is_between_the_ends_decides_whether_their_shift_serves(kind: str, dtype: Any) -> None:
    outlier, softmax_expected, others_expected = OUTLIERS[kind]
    if dtype == np.float64 and -900 <= outlier < -40:  # which has more room, so that far means farther
        outlier *= 8
    for place in (PIECE_ELEMENTS, 3 * PIECE_ELEMENTS - 1, N - PIECE_ELEMENTS - 1):
        x = row_with(outlier, place, dtype)
        assert softmax_found(x, 1.0, np.empty_like(x)) == softmax_expected
        assert others_found(x, 1.0) == others_expected
        for operation in LONG:
            assert_bits_of_rows(operation, x, 1.0)
            assert_bits_of_rows(operation, 2 * x, 2.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_that_will_not_do_is_left_at_once(dtype: Any) -> None:
    third = 2 * PIECE_ELEMENTS
    rows = {
        "far from 0": (row_with(0.0, 0, dtype) + dtype(5000), 0),
        "wide from the start": (row_with(-5000.0, 0, dtype), 0),
        "masked from the start": (row_with(-np.inf, 0, dtype), 0),
        "wide at the end": (row_with(-5000.0, N - 1, dtype), 0),
        "padded": (row_with(-np.inf, N - 1, dtype), 0),
        "wide from the third piece on": (row_with(-5000.0, third, dtype), third),
        "risen in the third piece": (row_with(300.0, third, dtype), third),
    }
    for x, left in rows.values():
        out = np.full_like(x, 7)
        assert not softmax_found(x, 1.0, out)
        assert (out[left:] == 7).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_maximum_at_the_end_is_known_before(dtype: Any) -> None:
    x = row_with(3 + 2 * LARGEST_RISE * OCTAVE, N - 1, dtype)
    assert softmax_found(x, 1.0, np.empty_like(x))
    assert others_found(x, 1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", LONG)
def test_rows_about_as_wide_as_may_be(operation: str, dtype: Any) -> None:
    """To leave a row early is decided by other roundings than whether it was all right."""
    reach = {"softmax": (69, 670), "log_softmax": (130, 780), "logsumexp": (130, 780)}[operation][dtype == np.float64]
    for temperature in (1.0,) if operation == "logsumexp" else (1.0, 0.03, 0.21, 0.7):
        farthest = reach - math.log(N) if operation == "softmax" else reach
        for place in (PIECE_ELEMENTS + 5, 2 * PIECE_ELEMENTS):
            x = np.random.default_rng(place).uniform(1.3, 2.3, N).astype(dtype)
            x[7] = dtype(2.3)
            smallest = x[7] - dtype(farthest * temperature)
            for _ in range(6):
                smallest = np.nextafter(smallest, dtype(0))
            for _ in range(12):
                x[place] = smallest
                assert_bits_of_rows(operation, x, temperature)
                smallest = np.nextafter(smallest, dtype(-np.inf))


def test_rows_that_are_left_early_though_they_would_have_been_all_right() -> None:
    x = np.random.default_rng(0).uniform(1.3, 2.3, 20000).round(1).astype(np.float32)
    x[7], x[15000] = 2.3, -1.6
    assert_bits_of_rows("log_softmax", x, 0.03)
    for place in (5000, 100000):
        x = np.random.default_rng(0).uniform(-1, 1, 131072).astype(np.float32)
        x[5], x[place] = 3.212656, -54.00384
        assert_bits_of_rows("softmax", x, 1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", LONG)
def test_ascending_and_descending_rows(operation: str, dtype: Any) -> None:
    for highest in (5, 14, 40, 200):
        x = np.linspace(-highest, highest, N).astype(dtype)
        assert_bits_of_rows(operation, x, 1.0)
        assert_bits_of_rows(operation, x[::-1], 1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", LONG)
def test_a_first_piece_that_says_nothing(operation: str, dtype: Any) -> None:
    for value in (np.nan, -np.inf, np.inf, np.finfo(dtype).max, np.finfo(dtype).min):
        x = row_with(1.0, N - 1, dtype)
        x[:PIECE_ELEMENTS] = value
        assert_bits_of_rows(operation, x, 1.0)


@pytest.mark.parametrize("operation", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_elements_half_way_between_two_steps_are_rounded_alike_under_every_shift(dtype: Any, operation: str) -> None:
    temperature = 1 / OCTAVE  # steps of an eighth
    x = (np.random.default_rng(0).integers(-160, 48, N) / 16).astype(dtype)
    for rise in range(3, 8):
        x[N // 2] = rise
        assert_bits_of_rows(operation, x, temperature)
    assert softmax_found(x, temperature, np.empty_like(x))


def test_a_reciprocal_that_scaling_would_make_subnormal_is_not_scaled() -> None:
    """Its low part, which is as small as chance will have it; here of a sum of 2**18, times 2**16."""
    found = []
    for n in range(1 << 18, (1 << 18) + 40):
        x = np.zeros(n, np.float32)
        x[:PIECE_ELEMENTS] = x[-PIECE_ELEMENTS:] = -16 * OCTAVE
        found.append(softmax_found(x, 1.0, np.empty_like(x)))
        assert_bits_of_rows("softmax", x, 1.0)
    assert {*found} == {False, True}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", LONG)
def test_masks(operation: str, dtype: Any) -> None:
    x = row_with(1.0, N - 1, dtype)
    for where in (np.random.default_rng(0).random(N) < 0.5, np.ones(N, bool), np.zeros(N, bool), np.arange(N) > 3000):
        assert_bits_of_rows(operation, x, 1.0, where)


@pytest.mark.parametrize("dtype", [*DTYPES, np.float16], ids=str)
def test_public_functions_take_several_long_rows_each_at_its_own_temperature(dtype: Any) -> None:
    n = LONG_ROW[np.dtype(dtype).itemsize]
    rows = max(4, PARALLEL_ELEMENTS // n)
    x = np.random.default_rng(0).standard_normal((rows, n)).astype(dtype)
    x[1, -1], x[2, 5000] = 40, -np.inf
    temperatures = np.linspace(0.5, 2, rows)[:, None]
    for function in (softmax, log_softmax):
        expected = [function(row, temperature=tau) for row, tau in zip(x, temperatures[:, 0], strict=True)]
        for threads in (1, 2):
            assert_same_bits(function(x, temperature=temperatures, threads=threads), np.stack(expected))
    for threads in (1, 2):
        assert_same_bits(logsumexp(x, threads=threads), np.stack([logsumexp(row) for row in x]))

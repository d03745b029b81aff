"""Softmax line by line, of rows that are read once: under shifts that their ends suggest, with the bits of rows."""

import itertools
from typing import Any

import numpy as np
import pytest

from softmaxjit._jit import routine
from softmaxjit._kernels.lines import terms_of_panel
from softmaxjit._kernels.panels import panel_of, places_of, size_of_float64, size_of_places
from softmaxjit._kernels.tiles import aligned, tile_of
from softmaxjit._simd.memory import data_of, keep_until_here, lanes

from .oracles import DTYPES
from .test_lines import assert_like_rows
from .test_long_rows import OCTAVE, OUTLIERS

N = 300
NEIGHBOURS = (3, 16, 21, 40)

# By how many octaves a maximum may lie above what the ends of rows show.
ALLOWED = {np.float32: 40, np.float64: 400}
RISES = {"one that rises by nearly all that is allowed": (-1, True), "one that rises by more": (1, False)}

each_dtype = pytest.mark.parametrize("dtype", DTYPES)


@routine
def terms_serve(x, n, inner, temperature, known, out):
    """Return whether exponentials of one slab serve, which go to `out`; in the end or, if `known`, from the start."""
    data = data_of(x)
    panel = panel_of(0, inner, n, inner, lanes(data), True)
    memory = tile_of(data, size_of_places(panel, lanes(data)))
    memory_of_float64 = np.empty(size_of_float64(panel, data) + lanes(data), np.float64)
    places = places_of(panel, aligned(memory), aligned(memory_of_float64))
    serve, _, plain, _ = terms_of_panel(data, panel, 0, temperature, known, places, data_of(out))
    keep_until_here(memory)
    keep_until_here(memory_of_float64)
    return serve, plain


def are_read_once(x: np.ndarray, out: np.ndarray | None = None, temperature: Any = 1.0) -> bool:
    out = np.empty_like(x) if out is None else out
    serve, _ = terms_serve(x.reshape(-1), *x.shape, temperature, False, out.reshape(-1))
    return bool(serve)


def rows_with(outlier: float, line: int, neighbour: int, inner: int, dtype: Any) -> np.ndarray:
    x = np.random.default_rng(line).uniform(-3, 3, (N, inner))
    x[:3] = 3
    x[line, neighbour] = outlier
    return x.astype(dtype)


@each_dtype
@pytest.mark.parametrize("kind", OUTLIERS)
def test_what_is_between_the_ends_decides_whether_their_shifts_serve(kind: str, dtype: Any) -> None:
    outlier, expected, _ = OUTLIERS[kind]
    if kind in RISES:
        octaves, expected = RISES[kind]
        outlier = 3 + (ALLOWED[dtype] + octaves) * OCTAVE
    elif dtype == np.float64 and -900 <= outlier < -40:  # which has more room, so that far means farther
        outlier *= 8
    for inner, line in itertools.product(NEIGHBOURS, (16, 63, 64, 191, 200, N - 17)):
        for neighbour in (0, inner - 1):
            x = rows_with(outlier, line, neighbour, inner, dtype)
            assert are_read_once(x) == expected
            assert_like_rows("softmax", x[np.newaxis])
            assert are_read_once(2 * x, temperature=2.0) == expected


@each_dtype
def test_what_the_ends_show_is_known_before(dtype: Any) -> None:
    for inner, line in itertools.product(NEIGHBOURS, (0, 1, N - 2, N - 1)):
        assert are_read_once(rows_with(3 + 1.5 * ALLOWED[dtype] * OCTAVE, line, inner - 1, inner, dtype))


@each_dtype
def test_rows_that_will_not_do_are_left_at_once(dtype: Any) -> None:
    """Nothing is written where either end tells, and no more than a block of lines after what tells in between."""
    block = 4 * 64 // np.dtype(dtype).itemsize
    near = -66.0 if dtype == np.float32 else -667.0
    for outlier, line in itertools.product((-np.inf, -5000.0, near), (0, 1, 70, 127, N - 1)):
        x = rows_with(outlier, line, 5, 21, dtype)
        out = np.full_like(x, 7)
        assert not are_read_once(x, out)
        left = (line // block + 1) * block if 1 < line < N - 1 else 0
        assert (out[left:] == 7).all()
        assert (out[:left] != 7).all()


@each_dtype
def test_extremes_that_are_known_always_serve(dtype: Any) -> None:
    """In place nothing could be taken back; whatever rows hold."""
    for outlier, line in itertools.product((3.0, 40.0, -60.0, -np.inf, np.inf, np.nan), (0, 100, N - 1)):
        x = rows_with(outlier, line, 2, 21, dtype)
        serve, plain = terms_serve(x.reshape(-1), N, 21, 1.0, True, x.reshape(-1))
        assert serve
        assert plain == (np.isnan(outlier) or -70 < outlier < 70)


@each_dtype
def test_normally_distributed_rows_are_read_once(dtype: Any) -> None:
    """Of many neighbours there are some whose ends say little of their maxima."""
    x = np.random.default_rng(0).standard_normal((1000, 1000))
    for spread in (1, 5, 6 if dtype == np.float32 else 60):
        assert are_read_once((spread * x).astype(dtype))


@each_dtype
def test_rows_each_at_its_own_temperature_are_read_once(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for inner in NEIGHBOURS:
        x = rng.uniform(-3, 3, (N, inner)).astype(dtype)
        for lowest in (0.5, 0.1):
            assert are_read_once(x, temperature=rng.uniform(lowest, 2, inner))


@each_dtype
def test_rows_each_at_its_own_temperature_whose_shifts_rise(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for inner in NEIGHBOURS:
        x = rng.uniform(-3, 3, (2, N, inner))
        x[:, 100:130] += rng.uniform(0, 14, (2, 1, inner))
        for lowest in (0.5, 0.05):
            assert_like_rows("softmax", x.astype(dtype), rng.uniform(lowest, 2, (2, inner)))


@each_dtype
def test_elements_half_way_between_two_steps_are_rounded_alike_under_every_shift(dtype: Any) -> None:
    temperature = 1 / OCTAVE  # steps of an eighth
    x = (np.random.default_rng(0).integers(-160, 48, (1, N, 21)) / 16).astype(dtype)
    for rise in range(3, 8):
        x[:, N // 2] = rise
        assert are_read_once(x[0], temperature=temperature)
        assert_like_rows("softmax", x, temperature)


def test_reciprocals_that_scaling_would_make_subnormal_are_not_scaled() -> None:
    """Their low parts, which are as small as chance will have them."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(40):
        x = rng.uniform(-0.5, 0, (2000, 16)).astype(np.float32)
        x[:16] = x[-16:] = -(ALLOWED[np.float32] - 1) * OCTAVE
        found.append(are_read_once(x))
        assert_like_rows("softmax", x[np.newaxis])
    assert {*found} == {False, True}

"""where and masked arrays: what is masked plays no part, whatever it holds."""

import warnings
from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from softmaxjit import log_softmax, logsumexp, softmax

from . import exact
from .exact import assert_exact, assert_same_bits

SAME_SHAPE = (softmax, log_softmax)
ALL = (softmax, log_softmax, logsumexp)
FILL = {softmax: 0.0, log_softmax: -np.inf, logsumexp: -np.inf}
EXACT = {softmax: exact.softmax, log_softmax: exact.log_softmax, logsumexp: exact.logsumexp}
LENGTHS = (1, 2, 7, 8, 9, 16, 17, 33, 64, 65, 130, 1001)


def sample(shape: Any = (3, 4, 5), dtype: Any = np.float64, scale: float = 3.0) -> np.ndarray:
    return (np.random.default_rng(5).standard_normal(shape) * scale).astype(dtype)


def mask(shape: Any, kept: float = 0.6) -> np.ndarray:
    return np.random.default_rng(6).random(shape) < kept


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", ALL)
def test_masked_entries_are_left_out_of_rows_of_any_length(function: Any, dtype: Any) -> None:
    for n in LENGTHS:
        x, where = sample((20, n), dtype), mask((20, n))
        assert_exact(function(x, where=where), EXACT[function](x, where=where))


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("shape", [(), (1,), (5,), (4, 1), (4, 5), (3, 1, 1), (1, 4, 1), (3, 4, 5)], ids=str)
@pytest.mark.parametrize("axis", [-1, 0, 1, None, (0, 2)], ids=str)
def test_where_broadcasts_against_x(function: Any, shape: Any, axis: Any) -> None:
    x, where = sample(), mask(shape)
    result = function(x, axis=axis, where=where)
    assert_exact(result, EXACT[function](x, axis, where=where))
    assert_same_bits(result, function(x, axis=axis, where=where.tolist()))
    assert_same_bits(result, function(x, axis=axis, where=np.asfortranarray(np.broadcast_to(where, x.shape))))


@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.0, "one for each row"])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64], ids=str)
@pytest.mark.parametrize("function", ALL)
def test_masked_entries_count_as_minus_infinity_to_the_last_bit(function: Any, dtype: Any, temperature: Any) -> None:
    if function is logsumexp and temperature != 1.0:
        temperature = 1.0
    for shape, axis in product([(n, 20) for n in LENGTHS], [0, -1]):
        x = sample(shape, dtype, 10.0)
        where = mask(shape)
        where[0] = where[:, 0] = True
        tau: Any = temperature
        if isinstance(temperature, str):
            tau = np.random.default_rng(7).uniform(0.5, 2.0, (1, 20) if axis == 0 else (shape[0], 1))
        keywords = {} if function is logsumexp else {"temperature": tau}
        result = function(x, axis, where=where, **keywords)
        assert_same_bits(result, function(np.where(where, x, dtype(-np.inf)), axis, **keywords))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64], ids=str)
@pytest.mark.parametrize("function", SAME_SHAPE)
def test_masked_entries_of_nan_rows_are_filled_along_any_axis(function: Any, dtype: Any) -> None:
    x, where = sample((4, 40, 5), dtype), mask((4, 40, 5))
    x[1, 3, 2], where[1, 3, 2] = np.nan, True
    where[2, :, 4] = False
    result = function(x, 1, where=where)
    assert (result[~where] == FILL[function]).all()
    assert np.isnan(result[1, where[1, :, 2], 2]).all()
    assert np.isnan(result).sum() == where[1, :, 2].sum()


@pytest.mark.parametrize("function", ALL)
def test_a_scalar_keeps_all_or_nothing(function: Any) -> None:
    x = sample()
    for everything in (None, True, np.True_, np.array(True)):
        assert_same_bits(function(x, where=everything), function(x))
    for nothing in (False, np.False_, np.array(False)):
        assert (function(x, where=nothing) == FILL[function]).all()


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 1e308])
@pytest.mark.parametrize("function", ALL)
def test_what_is_masked_never_shows(function: Any, poison: float) -> None:
    for n in LENGTHS:
        x, where = sample((20, n)), mask((20, n))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = function(np.where(where, x, poison), where=where)
        assert_same_bits(result, function(np.where(where, x, 0), where=where))
        if function is not logsumexp:
            assert (result[~where] == FILL[function]).all()


@pytest.mark.parametrize("special", [np.nan, np.inf])
@pytest.mark.parametrize("function", SAME_SHAPE)
def test_a_row_that_is_nan_is_so_only_where_it_is_not_masked(function: Any, special: float) -> None:
    for n in LENGTHS[1:]:
        x, where = sample((2, n)), mask((2, n))
        where[:, 0], where[:, -1] = True, False
        x[0, 0] = special
        result = function(x, where=where)
        assert np.isnan(result[0, where[0]]).all()
        assert (result[~where] == FILL[function]).all()
        assert not np.isnan(result[1]).any()


@pytest.mark.parametrize("temperature", [0.0, 1e-30, 0.5, np.inf, np.array([[0], [1.0], [np.inf]])], ids=str)
@pytest.mark.parametrize("function", ALL)
def test_rows_with_nothing_left_differ_from_rows_of_minus_infinity(function: Any, temperature: Any) -> None:
    keywords = {} if function is logsumexp else {"temperature": temperature}
    x = sample((3, 20))
    where = mask(x.shape)
    where[1] = False
    result = function(x, where=where, **keywords)
    assert (result[1] == FILL[function]).all()
    assert np.isfinite(np.max(result[[0, 2]], axis=-1)).all()
    x[2] = -np.inf
    left = function(x, where=where, **keywords)[2]
    assert left == -np.inf if function is logsumexp else np.isnan(left[where[2]]).all()


@pytest.mark.parametrize("temperature", [0.0, 1e-30, 0.3, 1e30, np.inf, np.array([[0], [1.5], [np.inf]])], ids=str)
@pytest.mark.parametrize("function", SAME_SHAPE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_with_any_temperature(function: Any, dtype: Any, temperature: Any) -> None:
    x, where = sample((3, 40), dtype).round(), mask((3, 40))
    x[:, 3] = -np.inf
    x[~where] = np.nan
    result = function(x, where=where, temperature=temperature)
    assert_exact(result, EXACT[function](x, where=where, temperature=temperature))


@pytest.mark.parametrize("function", SAME_SHAPE)
@pytest.mark.parametrize("axis", [-1, 0, None])
def test_where_in_place(function: Any, axis: Any) -> None:
    x, where = sample(), mask((3, 4, 5))
    x[~where] = np.nan
    expected = function(x, axis, where=where)
    assert function(x, axis, where=where, out=x) is x
    assert_same_bits(x, expected)


@pytest.mark.parametrize("function", SAME_SHAPE)
def test_where_may_lie_in_the_memory_of_out(function: Any) -> None:
    x, where = sample((4, 8)), mask((4, 8))
    expected = function(x, where=where)
    out = np.zeros((4, 8))
    overlapping = out.view(bool)[:, 3:11]
    overlapping[...] = where
    function(x, where=overlapping, out=out)
    assert_same_bits(out, expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, int, bool])
@pytest.mark.parametrize("function", ALL)
def test_the_mask_of_a_masked_array_is_where(function: Any, dtype: Any) -> None:
    x, where = sample((6, 20)).astype(dtype), mask((6, 20))
    result = function(np.ma.array(x, mask=~where))
    assert type(result) is np.ndarray
    assert_same_bits(result, function(x, where=where))
    assert_same_bits(function(np.ma.array(x)), function(x))
    both = np.ma.array(x, mask=~where)
    assert_same_bits(function(both, where=mask(20)), function(x, where=where & mask(20)))


def test_masked_weights_are_no_weights() -> None:
    x, where = sample((6, 20)), mask((6, 20))
    b = np.ma.array(np.where(where, 2.0, np.nan), mask=~where)
    assert_same_bits(logsumexp(x, b=b), logsumexp(x, b=2.0, where=where))
    assert_same_bits(logsumexp(np.ma.array(x, mask=~where), b=2.0), logsumexp(x, b=2.0, where=where))


def test_masked_entries_of_where_do_not_count() -> None:
    x = sample((6, 20))
    where = np.ma.array(mask((6, 20)), mask=np.tile(mask(20), (6, 1)))
    assert_same_bits(softmax(x, where=where), softmax(x, where=where.filled(False)))


@pytest.mark.parametrize("function", ALL)
def test_large_masked_calls_are_the_same_in_parallel(function: Any) -> None:
    x, where = sample((500, 300)), mask((500, 300))
    where[7] = False
    x[8] = np.nan
    assert_same_bits(function(x, where=where, threads=2), function(x, where=where, threads=1))
    assert_same_bits(function(x[6:9], where=where[6:9]), function(x, where=where)[6:9])


def test_empty_arrays_with_where() -> None:
    for shape in ((0, 3), (3, 0)):
        x, where = np.empty(shape), np.ones(shape, bool)
        for function in ALL:
            assert_same_bits(function(x, where=where), function(x))

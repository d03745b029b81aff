"""Of one temperature for all rows there are two kinds; which one a call is of changes what compiles, never a bit."""

from typing import Any

import numpy as np
import pytest
from numba import njit

import softmaxjit
from softmaxjit._kernels.temperature import (
    LARGEST_TEMPERATURE,
    ONE_FOR_ALL,
    ONE_FOR_EACH_ROW,
    ONE_OF_ANY_RANGE,
    SMALLEST_TEMPERATURE,
    as_operand,
)
from softmaxjit._plan import ACROSS, GROUPED, KERNELS, SHORT, SLABS

from .exact import assert_same_bits

BEYOND = [0.0, 5e-324, np.nextafter(SMALLEST_TEMPERATURE, 0), np.nextafter(LARGEST_TEMPERATURE, np.inf), np.inf]


@pytest.mark.parametrize("temperature", [SMALLEST_TEMPERATURE, 1.0, LARGEST_TEMPERATURE])
def test_one_that_the_row_kernels_take_comes_as_it_is(temperature: float) -> None:
    assert as_operand(temperature) == (temperature, ONE_FOR_ALL)


@pytest.mark.parametrize("temperature", BEYOND)
def test_any_other_comes_in_a_tuple(temperature: float) -> None:
    assert as_operand(temperature) == ((temperature,), ONE_OF_ANY_RANGE)


def test_one_for_each_row_comes_as_it_is() -> None:
    temperatures = np.array([0.0, 1.0])
    operand, kind = as_operand(temperatures)
    assert operand is temperatures
    assert kind == ONE_FOR_EACH_ROW


WAYS = [
    (kernels[operation], lengths)
    for kernels, lengths in (
        *((KERNELS, (5,)), (KERNELS, (100,)), (SHORT, (5,)), (GROUPED, (60,))),
        *((ACROSS, (5, 20)), (SLABS, (5, 4))),
    )
    for operation in ("softmax", "log_softmax")
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kernel", "lengths"), WAYS, ids=lambda each: getattr(each, "body", each))
def test_both_kinds_give_the_same_bits(kernel: Any, lengths: tuple[int, ...], dtype: Any) -> None:
    x = (9 * np.random.default_rng(1).standard_normal(600)).astype(dtype)
    direct, any_range = np.empty_like(x), np.empty_like(x)
    for temperature in (SMALLEST_TEMPERATURE, 0.7, 1.0, LARGEST_TEMPERATURE):
        kernel.compiled(x.dtype, ONE_FOR_ALL)(x, *lengths, temperature, direct)
        kernel.compiled(x.dtype, ONE_OF_ANY_RANGE)(x, *lengths, (temperature,), any_range)
        assert_same_bits(any_range, direct)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("temperature", BEYOND)
def test_beyond_the_range_each_row_has_the_bits_it_has_among_others(temperature: float, threads: int) -> None:
    x = (9 * np.random.default_rng(2).standard_normal((400, 300))).astype(np.float32)
    mixed = np.where(np.arange(400)[:, None] % 2, temperature, 1.0)
    for function in (softmaxjit.softmax, softmaxjit.log_softmax):
        among_others = function(x, temperature=mixed)[1::2]
        assert_same_bits(function(x, temperature=temperature, threads=threads)[1::2], among_others)


@njit
def at_defaults(x, zero=0.0, one=1.0, two=2):
    return (
        softmaxjit.softmax(x, temperature=zero),
        softmaxjit.softmax(x, temperature=one),
        softmaxjit.log_softmax(x, temperature=two),
        softmaxjit.cross_entropy(x, 3, temperature=two),
        softmaxjit.softmax_vjp(x, x, temperature=two),
    )


def test_a_default_of_a_caller_is_known_to_be_in_range_or_not() -> None:
    x = 9 * np.random.default_rng(3).standard_normal(20)
    results = at_defaults(x)
    assert results[0][x.argmax()] == 1.0
    expected = (
        softmaxjit.softmax(x, temperature=0),
        softmaxjit.softmax(x),
        softmaxjit.log_softmax(x, temperature=2),
        softmaxjit.cross_entropy(x, 3, temperature=2),
        softmaxjit.softmax_vjp(x, x, temperature=2),
    )
    for result, wanted in zip(results, expected, strict=True):
        assert_same_bits(np.asarray(result), np.asarray(wanted))


@njit
def at_zero_with_out(x, temperature, out):
    return softmaxjit.softmax(x, temperature=temperature, out=out)


@pytest.mark.parametrize("temperature", [*BEYOND, 0.7, 0, True])
def test_with_out_any_temperature_gives_the_bits_of_python(temperature: Any) -> None:
    x = (9 * np.random.default_rng(4).standard_normal((3, 20))).astype(np.float32)
    result = at_zero_with_out(x, temperature, np.empty_like(x))
    assert_same_bits(result, softmaxjit.softmax(x, temperature=temperature))

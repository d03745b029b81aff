"""Arithmetic on vectors, lane by lane, and the same on single floats."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from softmaxjit._simd.arithmetic import (
    add_exactly,
    add_to_larger,
    equal_or_nan,
    fma,
    horner,
    is_finite,
    is_negative,
    larger,
    like,
    magnitude,
    multiply_exactly,
    polynomial,
    power_of_two,
    select,
    smaller,
)

from .oracles import DTYPES
from .vectors import bits, fractions, nearest, on_floats, on_vectors, pairs_of_special_values, values

OVER = pytest.mark.parametrize("on", [on_vectors, on_floats], ids=["vectors", "floats"])
DTYPE = pytest.mark.parametrize("dtype", DTYPES)


@DTYPE
def test_operators_round_each_lane_as_numpy_does(dtype: Any) -> None:
    x, y, z = values(dtype)
    operators = on_vectors(lambda x, y, z: (((x * y) + z) / (y - x)) * 0.1 + 2.5)
    expected = (((x * y) + z) / (y - x)) * dtype(0.1) + dtype(2.5)
    assert bits(operators(x, y, z)) == bits(expected)


@DTYPE
def test_the_negative_of_a_lane_is_its_other_sign_zeros_and_nan_included(dtype: Any) -> None:
    x, _ = pairs_of_special_values(dtype)
    assert bits(on_vectors(lambda x, *_: -x)(x)) == bits(-x)


def code_of_comparisons(x: Any, y: Any, *_: Any) -> Any:
    none = like(x, 0)
    code = select(x < y, 1, none) + select(x <= y, 2, none) + select(x > y, 4, none)
    return code + select(x >= y, 8, none) + select(x == y, 16, none) + select(x != y, 32, none)


@DTYPE
def test_comparisons_hold_where_they_do_in_numpy_with_nan_unequal_to_all(dtype: Any) -> None:
    x, y = pairs_of_special_values(dtype)
    comparisons = (x < y, x <= y, x > y, x >= y, x == y, x != y)
    expected = sum(2**k * held for k, held in enumerate(comparisons))
    assert on_vectors(code_of_comparisons)(x, y).tolist() == expected.tolist()


def code_of_properties(x: Any, y: Any, *_: Any) -> Any:
    none = like(x, 0)
    code = select(is_negative(x), 1, none) + select(is_finite(x), 2, none)
    return code + select(equal_or_nan(x, y), 4, none)


@OVER
@DTYPE
def test_signs_finiteness_and_equality_are_told_of_zeros_infinities_and_nan(dtype: Any, on: Any) -> None:
    x, y = pairs_of_special_values(dtype)
    properties = (np.signbit(x), np.isfinite(x), (x == y) | np.isnan(x) | np.isnan(y))
    expected = sum(2**k * held for k, held in enumerate(properties))
    assert on(code_of_properties)(x, y).tolist() == expected.tolist()


@DTYPE
def test_the_magnitude_clears_the_sign_and_nothing_else(dtype: Any) -> None:
    x, _ = pairs_of_special_values(dtype)
    assert bits(on_vectors(lambda x, *_: magnitude(x))(x)) == bits(np.abs(x))


@OVER
@DTYPE
def test_larger_and_smaller_give_the_second_operand_for_a_nan_or_a_tie_and_select_gives_either(
    dtype: Any, on: Any
) -> None:
    x, y = pairs_of_special_values(dtype)
    choose = on(lambda x, y, z: select(z > 0, larger(x, y), smaller(x, y)))
    for z in (np.resize(dtype(pattern), x.size) for pattern in ([1, 0], [0, 1], [1, 1, 0, 0, 0, 1, 0])):
        expected = np.where(z > 0, np.where(x > y, x, y), np.where(x < y, x, y))
        assert bits(choose(x, y, z)) == bits(expected)


@OVER
@DTYPE
def test_fma_rounds_once(dtype: Any, on: Any) -> None:
    x, y, z = values(dtype, size=800, spread=3)
    eps = np.finfo(dtype).eps
    # (1 + eps) * (1 - eps) - 1 is -eps**2, of which a rounded product leaves nothing.
    x[0], y[0], z[0] = 1 + eps, 1 - eps, -1
    z[1:400] = -(x * y)[1:400]
    result = on(fma)(x, y, z)
    exact = [a * b + c for a, b, c in zip(*map(fractions, (x, y, z)), strict=True)]
    assert result[0] == -(eps**2)
    assert result.tolist() == [float(nearest(value, dtype)) for value in exact]


COEFFICIENTS = (0.3, -0.7, 1.9, 0.11)


@OVER
@DTYPE
def test_horner_is_a_chain_of_fma_from_the_highest_coefficient(dtype: Any, on: Any) -> None:
    (x,) = values(dtype, count=1, spread=2)
    expected = []
    for v in fractions(x):
        total = Fraction(float(dtype(COEFFICIENTS[-1])))
        for c in COEFFICIENTS[-2::-1]:
            total = Fraction(float(nearest(total * v + Fraction(float(dtype(c))), dtype)))
        expected.append(float(total))
    assert on(lambda x, *_: horner(x, COEFFICIENTS))(x).tolist() == expected


@pytest.mark.parametrize("coefficients", [(5, -3, 2, 7, -1), (5, -3, 2, 7), (4, 9)])
@DTYPE
def test_a_polynomial_in_two_chains_has_every_term(dtype: Any, coefficients: tuple[int, ...]) -> None:
    x = np.arange(-8, 9).astype(dtype)
    expected = np.polynomial.polynomial.polyval(x, coefficients)
    assert on_vectors(lambda x, *_: polynomial(x, coefficients))(x).tolist() == expected.tolist()


PARTS = {
    "add": lambda x, y, z: select(z > 0, add_exactly(x, y)[0], add_exactly(x, y)[1]),
    "add_to_larger": lambda x, y, z: select(z > 0, add_to_larger(x, y)[0], add_to_larger(x, y)[1]),
    "multiply": lambda x, y, z: select(z > 0, multiply_exactly(x, y)[0], multiply_exactly(x, y)[1]),
}


@pytest.mark.parametrize("operation", PARTS)
@DTYPE
def test_exact_sums_and_products_are_a_rounded_result_and_all_of_its_error(dtype: Any, operation: str) -> None:
    x, y = values(dtype, count=2)
    if operation == "add_to_larger":
        x, y = np.where(abs(x) >= abs(y), x, y), np.where(abs(x) >= abs(y), y, x)
        x[0] = 0
    compute = on_vectors(PARTS[operation])
    result, error = compute(x, y, np.ones_like(x)), compute(x, y, np.zeros_like(x))
    assert bits(result) == bits(x * y if operation == "multiply" else x + y)
    parts = zip(fractions(result), fractions(error), strict=True)
    operands = zip(fractions(x), fractions(y), strict=True)
    assert [a + b for a, b in parts] == [a * b if operation == "multiply" else a + b for a, b in operands]
    assert np.count_nonzero(error) > 100


@OVER
@DTYPE
def test_power_of_two_is_exact_over_all_normal_exponents(dtype: Any, on: Any) -> None:
    info = np.finfo(dtype)
    k = np.arange(info.minexp, info.maxexp)
    shifted = (1.5 * 2.0**info.nmant + (info.maxexp - 1) + k).astype(dtype)
    assert bits(on(lambda x, *_: power_of_two(x))(shifted)) == bits(np.ldexp(dtype(1), k))

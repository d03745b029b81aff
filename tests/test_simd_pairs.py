"""exp, log1p and log of pairs of float64 against fifty digits."""

from typing import Any

import mpmath
import numpy as np
import pytest

from softmaxjit._jit import routine
from softmaxjit._simd.pairs import exp_pair, log1p_pair, log_pair

from .vectors import Array, bits, neighbours, on_floats, on_vectors


@routine
def exp_pairs(x, error, octaves, high, low):
    for i in range(x.size):
        high[i], low[i] = exp_pair(x[i], error[i], octaves[i])


@routine
def log1p_pairs(x, error, _octaves, high, low):
    for i in range(x.size):
        high[i], low[i] = log1p_pair(x[i], error[i])


@routine
def log_pairs(x, error, octaves, high, low):
    for i in range(x.size):
        high[i], low[i] = log_pair(x[i], error[i], np.intp(octaves[i]))


def exact_exp_pair(x: Any, octaves: int) -> Any:
    return mpmath.exp(x) * mpmath.mpf(2) ** -octaves


def exact_log_pair(x: Any, octaves: int) -> Any:
    return mpmath.log(x * mpmath.mpf(2) ** octaves)


def pair_arguments(name: str) -> tuple[Array, Array]:
    """Return numbers over the range of a function, and octaves: as it wants them for exp, any for log."""
    rng = np.random.default_rng(1)
    powers = np.ldexp(1.0, rng.integers(-1020, 1020, 800))
    sqrt2 = np.concatenate([neighbours(v, np.float64) for v in (0.5**0.5, 2**0.5, 1.0)])
    if name == "exp":
        x = np.concatenate([rng.uniform(-740, 700, 1500), rng.uniform(-0.35, 0.35, 500), 2.0 ** -np.arange(1.0, 90)])
        return x, np.rint(x / np.log(2))
    if name == "log1p":
        x = np.concatenate([powers * rng.uniform(1, 2, 800), rng.uniform(0, 20, 800), np.abs(sqrt2 - 1), [0.0]])
        return x, np.zeros_like(x)
    x = np.concatenate([powers[:400] * rng.uniform(1, 2, 400), rng.uniform(0.5, 2, 800), sqrt2])
    return x, np.where(rng.random(x.size) < 0.5, 0, rng.integers(-3000, 3000, x.size)).astype(float)


# What computes, what it should be, and the bound; of 10**5 arguments the worst had 2**-57.8, 2**-56.8 and 2**-56.7.
PAIRS = {
    "exp": (exp_pairs, exact_exp_pair, 2.0**-57.5),
    "log1p": (log1p_pairs, lambda x, _: mpmath.log1p(x), 2.0**-56.5),
    "log": (log_pairs, exact_log_pair, 2.0**-56.5),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_are_about_32_times_as_precise_as_a_float64_and_rounded_in_their_high_part(name: str) -> None:
    compute, exact, bound = PAIRS[name]
    x, octaves = pair_arguments(name)
    error = x * np.random.default_rng(2).uniform(-1, 1, x.size) * 2.0**-54
    high, low = np.empty_like(x), np.empty_like(x)
    compute(x, error, octaves, high, low)
    with mpmath.workdps(50):
        for v, e, k, *pair in zip(x, error, octaves, high, low, strict=True):
            value = exact(mpmath.mpf(float(v)) + mpmath.mpf(float(e)), int(k))
            difference = abs(mpmath.fsum(map(float, pair)) - value)
            assert difference <= bound * abs(value), (v, e, k)
    assert (high + low == high).all()


def test_the_logarithm_of_one_plus_infinity_is_infinite_and_of_nan_is_nan() -> None:
    x = np.array([np.inf, np.nan])
    high, low = np.empty_like(x), np.empty_like(x)
    log1p_pairs(x, np.zeros(2), np.zeros(2), high, low)
    assert high[0] == np.inf
    assert np.isnan(high[1])
    assert low.tolist() == [0, 0]


def high_of_log1p(x, error, _):
    return log1p_pair(x, error)[0]


def low_of_log1p(x, error, _):
    return log1p_pair(x, error)[1]


@pytest.mark.parametrize("part", [high_of_log1p, low_of_log1p])
def test_a_vector_has_the_bits_of_single_numbers(part: Any) -> None:
    x, _ = pair_arguments("log1p")
    x = np.concatenate([x, [np.inf]])
    error = np.where(np.isfinite(x), x, 0) * np.random.default_rng(2).uniform(-1, 1, x.size) * 2.0**-54
    assert bits(on_vectors(part)(x, error)) == bits(on_floats(part)(x, error))

"""exp and exp_scaled against fifty digits, and exp's bits on other processors."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from llvmlite import binding

from softmaxjit._jit import routine
from softmaxjit._simd import exp_scaled as scaled
from softmaxjit._simd.exp import exp
from softmaxjit._simd.memory import data_of, lanes, load, store

from .children import finish, start
from .oracles import DTYPES
from .vectors import Array, bits, neighbours, on_floats, on_vectors

exp_of_vectors = on_vectors(lambda x, *_: exp(x))
exp_of_floats = on_floats(lambda x, *_: exp(x))


@pytest.fixture(autouse=True)
def fifty_digits() -> Any:
    with mpmath.workdps(50):
        yield


def exact_exp(x: Any) -> Any:
    return mpmath.exp(mpmath.mpf(float(x)))


def ulp_of(value: Any, dtype: Any) -> Any:
    """Return the distance of the floats around a positive number of any size, subnormal ones included."""
    info = np.finfo(dtype)
    return mpmath.ldexp(1, max(mpmath.frexp(value)[1] - 1, int(info.minexp)) - int(info.nmant))


def ulp_errors(x: Array, result: Array, exact: Callable[[Any], Any] = exact_exp) -> list[float]:
    values = [exact(v) for v in x]
    return [
        float(abs(mpmath.mpf(float(ours)) - value) / ulp_of(value, x.dtype.type))
        for ours, value in zip(result, values, strict=True)
    ]


def limits(dtype: Any) -> dict[str, float]:
    """Return where exp becomes infinite, subnormal and 0."""
    info = np.finfo(dtype)
    sizes = {
        "infinite": mpmath.mpf(float(info.max)),
        "subnormal": mpmath.mpf(float(info.tiny)),
        "zero": mpmath.mpf(float(info.smallest_subnormal)) / 2,
    }
    return {name: float(mpmath.log(size)) for name, size in sizes.items()}


def arguments(dtype: Any) -> Array:
    """Return numbers over the whole range of exp: anywhere, around its limits, between two steps of ln2, near 0."""
    rng = np.random.default_rng(0)
    edges = limits(dtype)
    parts = [
        rng.uniform(edges["zero"] - 1, edges["infinite"], 2500),
        rng.uniform(edges["zero"] - 1, edges["subnormal"] + 1, 300),
        (np.arange(-1070 if dtype == np.float64 else -148, 128, 2) + 0.5) * np.log(2) * (1 + rng.uniform(-1e-7, 1e-7)),
        np.ldexp(1.0, -np.arange(130)),
        -np.ldexp(1.0, -np.arange(130)),
        *(neighbours(edge, dtype).astype(float) for edge in edges.values()),
    ]
    x = np.concatenate(parts).astype(dtype)
    return x[x.astype(np.float64) <= edges["infinite"]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_is_within_one_ulp_over_its_whole_range(dtype: Any) -> None:
    x = arguments(dtype)
    errors = ulp_errors(x, exp_of_vectors(x))
    worst = int(np.argmax(errors))
    assert errors[worst] <= 1, x[worst]


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_of_vectors_and_of_floats_has_the_same_bits(dtype: Any) -> None:
    x = np.concatenate([arguments(dtype), SPECIAL.astype(dtype), dtype([1e4, -1e4])])
    assert bits(exp_of_vectors(x)) == bits(exp_of_floats(x))


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0])


@pytest.mark.parametrize("on", [exp_of_vectors, exp_of_floats], ids=["vectors", "floats"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_of_nan_infinities_and_zeros_is_exact(dtype: Any, on: Any) -> None:
    nan, *others = on(SPECIAL.astype(dtype))
    assert np.isnan(nan)
    assert bits(np.array(others)) == bits(dtype([np.inf, 0.0, 1.0, 1.0]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_is_infinite_from_exactly_where_it_exceeds_the_largest_number(dtype: Any) -> None:
    x = np.append(neighbours(limits(dtype)["infinite"], dtype), np.finfo(dtype).max)
    largest = mpmath.mpf(float(np.finfo(dtype).max))
    assert np.isinf(exp_of_vectors(x)).tolist() == [bool(exact_exp(v) > largest) for v in x]


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_underflows_gradually_and_never_below_zero(dtype: Any) -> None:
    edges = limits(dtype)
    x = np.append(np.linspace(edges["subnormal"] - 0.1, edges["zero"] - 2, 400), [-1e4, -np.finfo(dtype).max])
    x = x.astype(dtype)
    result = exp_of_vectors(x)
    assert max(ulp_errors(x[:400], result[:400])) <= 1
    assert np.unique(result).size > 15  # flushed, they would all be 0
    assert (result[x < edges["zero"] - 0.7] == 0).all()
    assert not np.signbit(result).any()


@routine
def scaled_of(x, divisor, octaves, out, rounded):
    data, target, again = data_of(x), data_of(out), data_of(rounded)
    steps = scaled.exp_steps(data, divisor)
    for i in range(0, x.size, lanes(data)):
        value, u, scale = scaled.exp_scaled(load(data, i), steps, scaled.exp_magic(data, octaves))
        store(target, i, value)
        store(again, i, u * scale + scale)


@pytest.mark.parametrize("divisor", [1.0, 0.37, 1000.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_scaled_is_exp_of_a_quotient_times_its_factor_and_power_of_two(dtype: Any, divisor: float) -> None:
    element = {np.float32: scaled.types.float32, np.float64: scaled.types.float64}[dtype]
    factor = scaled.FACTOR[element]
    highest = scaled.LARGEST_SHIFT[element] * 0.9
    octaves = float(np.rint(highest / np.log(2)))
    rng = np.random.default_rng(0)
    x = (rng.uniform(highest - scaled.REACH[element], highest, 1600) * divisor).astype(dtype)
    x[:4] = [0, -0.0, highest * divisor, (highest - scaled.REACH[element]) * divisor]
    x[:2] += dtype((highest - 5) * divisor)
    out, rounded = np.empty_like(x), np.empty_like(x)
    scaled_of(x, divisor, octaves, out, rounded)
    power = mpmath.mpf(2) ** (scaled.HEADROOM[element] - int(octaves))

    def exact(v: Any) -> Any:
        return mpmath.exp(mpmath.mpf(float(v)) / mpmath.mpf(divisor)) * power * mpmath.mpf(factor)

    assert max(ulp_errors(x, out, exact)) <= {np.float32: 1.0, np.float64: 0.6}[dtype]
    assert np.abs(rounded / out - 1).max() <= 2 * np.finfo(dtype).eps


@pytest.mark.parametrize(("dtype", "ulp"), [(np.float32, 0.04), (np.float64, 0.004)])
def test_the_table_of_exp_scaled_adds_no_error(dtype: Any, ulp: float) -> None:
    x = np.zeros(16, dtype)
    for j in range(8):
        scaled_of(x, 1.0, -j / 8, out := np.empty_like(x), np.empty_like(x))
        element = {np.float32: scaled.types.float32, np.float64: scaled.types.float64}[dtype]
        exact = mpmath.mpf(scaled.FACTOR[element]) * mpmath.mpf(2) ** (scaled.HEADROOM[element] + mpmath.mpf(j) / 8)
        assert abs(mpmath.mpf(float(out[0])) - exact) / ulp_of(exact, dtype) <= ulp


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_scaled_keeps_a_nan(dtype: Any) -> None:
    x = np.full(16, np.nan, dtype)
    scaled_of(x, 1.0, 0.0, out := np.empty_like(x), np.empty_like(x))
    assert np.isnan(out).all()


HASHES = """
import json
from tests.test_simd_exp import hashes
print(json.dumps(hashes()))
"""


def hashes() -> dict[str, str]:
    return {
        f"{kind} {np.dtype(dtype)}": hashlib.sha256(on(arguments(dtype)).tobytes()).hexdigest()
        for kind, on in (("vectors", exp_of_vectors), ("floats", exp_of_floats))
        for dtype in DTYPES
    }


def test_exp_has_the_same_bits_on_other_processors_with_fma(tmp_path: Path) -> None:
    features = binding.get_host_cpu_features()
    avx2 = "+avx,+avx2,+fma,+bmi,+bmi2,+sse4.1,+sse4.2,+f16c"
    processors = {
        "haswell": ("avx2", avx2),
        "skylake-avx512": ("avx512vl", f"{avx2},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"),
    }
    children = [
        start(HASHES, tmp_path, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=its_features)
        for name, (needed, its_features) in processors.items()
        if features.get(needed)
    ]
    expected = hashes()
    assert len(set(expected.values())) == 2
    assert all(finish(child) == expected for child in children)

"""exp, log, sigmoid and their kin: NumPy ufuncs, accurate, compiled when first needed, and inlined inside ``@njit``."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from numba import njit

import softmaxjit
from softmaxjit import exp, log, log_sigmoid, sigmoid, softplus, temperature_scale

from .children import run

DTYPES = (np.float32, np.float64)
UNARY = (exp, log, sigmoid, softplus, log_sigmoid)


def exact_softplus(x: Any) -> Any:
    return mpmath.log1p(mpmath.exp(x))


# Each ufunc with its value to fifty digits and its bound in units of the last place.
ORACLES: dict[str, tuple[Any, Callable[[Any], Any], float]] = {
    "exp": (exp, mpmath.exp, 1),
    "log": (log, mpmath.log, 1),
    "sigmoid": (sigmoid, lambda x: 1 / (1 + mpmath.exp(-x)), 2),
    "softplus": (softplus, exact_softplus, 2),
    "log_sigmoid": (log_sigmoid, lambda x: -exact_softplus(-x), 2),
}


def exponents(dtype: Any) -> np.ndarray:
    """Return numbers over the whole range where an exponential is neither 0 nor infinite, and some below."""
    lowest, highest = (-104, 88.7) if dtype is np.float32 else (-746, 709.7)
    random = np.random.default_rng(0)
    edges = [0.0, -0.0, 1e-30, -1e-30, 16.6, 17.4, 36.7, 37.5, -87.4, -88.8, -103.9, -104.1, -708.5, -745.2]
    return np.concatenate(
        [
            np.linspace(lowest, highest, 3001),
            random.uniform(-1, 1, 2000),
            random.uniform(-4, 4, 2000),
            10 ** random.uniform(-20, 1, 500) * random.choice([-1, 1], 500),
            edges,
        ]
    ).astype(dtype)


def positive_numbers(dtype: Any) -> np.ndarray:
    """Return numbers from the smallest subnormal to the largest, many of them near 1 and near where m starts anew."""
    info = np.finfo(dtype)
    random = np.random.default_rng(0)
    edges = np.array([info.smallest_subnormal, 3 * info.smallest_subnormal, info.tiny, info.max, 0.75, 1, 1.5], dtype)
    normal = [
        2 ** random.uniform(info.minexp, info.maxexp - 1, 2000),
        random.uniform(0.7, 1.6, 4000),
        1 + 10 ** random.uniform(-16, -1, 500) * random.choice([-1, 1], 500),
    ]
    # Through the bits, since powers of two that small are inexact in some C libraries.
    subnormal = random.integers(1, info.tiny.view(f"i{info.bits // 8}"), 500).astype(f"i{info.bits // 8}").view(dtype)
    return np.concatenate([edges, np.nextafter(edges, dtype(0)), *[part.astype(dtype) for part in normal], subnormal])


def ulps(result: np.ndarray, x: np.ndarray, exact: Callable[[Any], Any]) -> np.ndarray:
    """Return the errors in units of the last place, against fifty digits."""
    errors = []
    with mpmath.workdps(50), np.errstate(under="ignore"):
        for value, ours in zip(x.tolist(), result.tolist(), strict=True):
            truth = exact(mpmath.mpf(value))
            unit = float(np.spacing(np.abs(x.dtype.type(float(truth)))))
            errors.append(float(abs(mpmath.mpf(ours) - truth) / unit))
    return np.array(errors)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ORACLES)
def test_values_are_within_their_bound_everywhere(name: str, dtype: Any) -> None:
    function, exact, bound = ORACLES[name]
    x = positive_numbers(dtype) if name == "log" else exponents(dtype)
    x = x[x != 0] if name == "log" else x
    result = function(x)
    assert result.dtype == dtype
    errors = ulps(result, x, exact)
    assert errors.max() <= bound, x[errors.argmax()]


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values_without_a_warning(dtype: Any) -> None:
    inf, nan = np.inf, np.nan
    info = np.finfo(dtype)
    # Full vectors, since the compiler treats those apart from the rest.
    x = np.repeat(np.array([nan, -nan, inf, -inf, 0, -0.0, info.max, -info.max, -1], dtype), 16)
    expected = {
        exp: [nan, nan, inf, 0, 1, 1, inf, 0, np.exp(dtype(-1))],
        log: [nan, nan, inf, nan, -inf, -inf, np.log(info.max), nan, nan],
        sigmoid: [nan, nan, 1, 0, 0.5, 0.5, 1, 0, 1 / (1 + np.exp(dtype(1)))],
        softplus: [nan, nan, inf, 0, np.log(2), np.log(2), info.max, 0, np.log1p(np.exp(dtype(-1)))],
        log_sigmoid: [nan, nan, 0, -inf, -np.log(2), -np.log(2), 0, -info.max, -np.log1p(np.exp(dtype(1)))],
    }
    for function, values in expected.items():
        with np.errstate(all="raise", over="ignore" if function is exp else "raise"):
            result = function(x)
        np.testing.assert_allclose(result, np.repeat(values, 16), rtol=4 * info.eps, err_msg=function.__name__)


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_warns_of_overflow_as_numpys_does(dtype: Any) -> None:
    highest = np.log(np.finfo(dtype).max)
    below, above = np.full(40, np.nextafter(highest, dtype(0))), np.full(40, highest + dtype(1))
    for function in (np.exp, exp):
        with np.errstate(over="raise"):
            assert np.isfinite(function(below)).all()
            assert np.isinf(function(np.full(40, np.inf, dtype))).all()
            with pytest.raises(FloatingPointError, match="overflow"):
                function(above)


def test_sigmoid_is_monotonic_and_symmetric_to_rounding() -> None:
    x = np.linspace(-30, 30, 10001)
    assert (np.diff(sigmoid(x)) >= -2 * np.spacing(sigmoid(x)[1:])).all()
    np.testing.assert_allclose(sigmoid(x) + sigmoid(-x), 1, rtol=4e-16)


def test_log_sigmoid_is_softplus_turned_around_to_the_bit() -> None:
    x = exponents(np.float64)
    assert log_sigmoid(x).tobytes() == (-softplus(-x)).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_temperature_scale_divides(dtype: Any) -> None:
    x = np.random.default_rng(0).standard_normal((50, 7)).astype(dtype)
    temperature = np.random.default_rng(1).uniform(0.1, 10, (50, 1)).astype(dtype)
    result = temperature_scale(x, temperature)
    assert result.dtype == dtype
    assert result.tobytes() == (x / temperature).tobytes()


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("dtype", "result"),
    [("f4", "f4"), ("f8", "f8"), ("f2", "f4"), ("i8", "f8"), ("i1", "f4"), ("?", "f4"), (">f4", "f4")],
)
def test_the_result_dtype_is_that_of_numpys_casting_in_whatever_order_dtypes_come(
    dtype: str, result: str, order: int
) -> None:
    for first in ("f4", "f8", "i4")[::order]:
        sigmoid(np.ones(2, first))
    assert sigmoid(np.ones(2, dtype)).dtype == result
    assert temperature_scale(np.ones(2, dtype), np.ones(2, dtype)).dtype == result


def test_mixed_operands_are_computed_in_the_wider() -> None:
    assert temperature_scale(np.ones(2, np.float32), np.ones(2)).dtype == np.float64
    assert temperature_scale(np.ones(2, np.float32), 2.0).dtype == np.float32
    assert temperature_scale(3, 2) == 1.5


def test_they_are_ufuncs_with_out_where_and_broadcasting() -> None:
    x = np.linspace(-3, 3, 12).reshape(3, 4)
    out = np.full((3, 4), 77.0)
    assert sigmoid(x, out=out) is out
    assert (out == sigmoid(x)).all()
    masked = sigmoid(x, where=x > 0, out=np.full((3, 4), 77.0))
    assert (masked[x <= 0] == 77).all()
    assert (masked[x > 0] == sigmoid(x)[x > 0]).all()
    positional = np.full((3, 4), 77.0)
    assert sigmoid(x, positional, where=[True, False, True, False]) is positional
    assert (positional[:, ::2] == sigmoid(x)[:, ::2]).all()
    assert (positional[:, 1::2] == 77).all()
    assert (sigmoid(x, where=x > 0)[x > 0] == sigmoid(x)[x > 0]).all()
    assert temperature_scale(x[:, :1], np.ones(4)).shape == (3, 4)
    assert (temperature_scale.outer(x[0], [1.0, 2.0]) == x[0][:, None] / [1.0, 2.0]).all()
    assert (sigmoid(x[:, ::-2].T) == sigmoid(x)[:, ::-2].T).all()
    assert np.isscalar(sigmoid(0.5))
    for function in (*UNARY, temperature_scale):
        function(*[x + 4] * function.nin)
        assert (function.nin, function.nout) == (2 if function is temperature_scale else 1, 1)
        assert {loop[-1] for loop in function.types} == {"f", "d"}


def test_where_broadcasts_and_spares_masked_elements_their_warnings() -> None:
    assert sigmoid(1.0, where=[True, False, True]).shape == (3,)
    out = np.full(2, 77.0)
    temperature_scale(np.ones(2), [0.0, 2.0], out=out, where=[False, True])
    assert out.tolist() == [77, 0.5]


def test_where_keeps_the_mask_of_a_masked_array_and_one_out_is_enough() -> None:
    result = exp(np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False]), where=[True, True, False])
    assert result.mask.tolist() == [False, True, False]
    with pytest.raises(TypeError, match="out"):
        exp([1.0], np.zeros(1), out=np.zeros(1), where=[True])


METHODS = """
import json
import numpy as np
from softmaxjit import temperature_scale
x = np.array([8.0, 2.0, 2.0, 4.0])
arguments = {"outer": [x, x], "reduce": [x], "accumulate": [x], "reduceat": [x, [0, 2]]}
results = {name: [np.asarray(getattr(function, name)(*given)).tolist() for function in (temperature_scale, np.divide)]
           for name, given in arguments.items() if name == METHOD}
print(json.dumps(results[METHOD]))
"""


@pytest.mark.parametrize("method", ["outer", "reduce", "accumulate", "reduceat"])
def test_methods_are_those_of_numpys_division_before_any_call(tmp_path: Path, method: str) -> None:
    ours, numpys = run(METHODS.replace("METHOD", repr(method)), tmp_path / "cache")
    assert ours == numpys


def test_the_first_use_may_be_in_several_threads_at_once(tmp_path: Path) -> None:
    script = """
    import json, threading
    import numpy as np
    from softmaxjit import sigmoid
    together, values = threading.Barrier(4), []

    def call():
        together.wait()
        values.append(float(sigmoid(0.0)))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(values))
    """
    assert run(script, tmp_path / "cache") == [0.5] * 4


@pytest.mark.parametrize("function", UNARY, ids=lambda function: function.__name__)
def test_every_layout_and_place_gives_the_same_bits(function: Any) -> None:
    x = np.random.default_rng(0).uniform(0.1, 9, (7, 40))
    expected = function(x)
    assert function(x[:, ::-2].T).tobytes() == expected[:, ::-2].T.tobytes()
    assert function(x, out=np.full_like(x, 77)).tobytes() == expected.tobytes()
    assert [function(value) for value in x.ravel()] == expected.ravel().tolist()
    masked = function(x, where=x > 4, out=np.full_like(x, 77))
    assert (masked == np.where(x > 4, expected, 77)).all()


def test_a_ufunc_of_one_number_reduces_nothing() -> None:
    for function in UNARY:
        with pytest.raises(ValueError, match="reduce only supported for binary functions"):
            function.reduce(np.ones(3))
    quotients = np.array([[8, 2, 2], [9, 3, 1]], np.float64)
    assert temperature_scale.reduce(quotients, axis=1).tolist() == [2, 3]


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(TypeError):
        sigmoid(np.ones(2, complex))


@njit
def of_scalars(x, temperature):
    return sigmoid(x), temperature_scale(x, temperature)


@njit(fastmath=True)
def of_arrays(x, temperature):
    return sigmoid(temperature_scale(x, temperature))


def loop_over(function: Any, **options: bool) -> Any:
    """Return a user's own loop that calls a ufunc on each number."""

    @njit(**options)
    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    return loop


def test_inside_compiled_code_on_scalars() -> None:
    for x in (-2.5, 0.0, 3.7, np.float32(1.5)):
        assert of_scalars(x, type(x)(2)) == (sigmoid(x), temperature_scale(x, type(x)(2)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_inside_compiled_code_on_arrays_nan_kept_whatever_the_callers_flags(dtype: Any) -> None:
    x = np.array([[-3, np.nan, 2], [np.inf, -np.inf, 0]], dtype)
    temperature = np.array([[2], [3]], dtype)
    result = of_arrays(x, temperature)
    assert result.dtype == dtype
    assert result.tobytes() == sigmoid(x / temperature).tobytes()


@pytest.mark.parametrize("fastmath", [False, True])
@pytest.mark.parametrize("function", UNARY, ids=lambda function: function.__name__)
def test_a_users_loop_is_vectorised_and_gives_the_same_bits_whatever_its_flags(function: Any, fastmath: bool) -> None:
    loop = loop_over(function, fastmath=fastmath)
    for dtype, llvm_type in ((np.float32, "float"), (np.float64, "double")):
        specials = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e-40, 80, -80], dtype)
        x = np.concatenate([np.repeat(specials, 8), exponents(dtype), specials])
        out = np.empty_like(x)
        loop(x, out)
        assert out.tobytes() == function(x).tobytes()
        # What is left after optimisation works on vectors, and calls neither the ufunc nor the C library.
        code = loop.inspect_llvm(loop.signatures[-1])
        assert re.search(rf"fmul <\d+ x {llvm_type}>", code)
        assert re.search(rf"(?:llvm\.fma\.v\d+f\d+|fadd <\d+ x {llvm_type}>)", code)
        calls = set(re.findall(r"call [^@\n]*@([\w.]+)", code))
        assert not {name for name in calls if re.search(r"exp|log|sigmoid|softplus", name)}, calls


def test_importing_compiles_no_loop(tmp_path: Path) -> None:
    script = """
    import json
    import numpy as np
    from softmaxjit import exp, log, log_sigmoid, sigmoid, softplus, temperature_scale
    ufuncs = [exp, log, log_sigmoid, sigmoid, softplus, temperature_scale]
    before = [ufunc.ntypes for ufunc in ufuncs]
    exp(np.float32(1))
    print(json.dumps([before, [ufunc.ntypes for ufunc in ufuncs]]))
    """
    assert run(script, tmp_path / "cache") == [[0] * 6, [2] + [0] * 5]


def test_without_compiling_numpy_computes_them(tmp_path: Path) -> None:
    script = """
    import json
    import numpy as np
    import softmaxjit
    x = np.array([-800.0, -3.0, 0.0, 2.5, 800.0])
    results = {}
    for name in ("exp", "log", "log_sigmoid", "sigmoid", "softplus"):
        with np.errstate(all="ignore"):
            results[name] = getattr(softmaxjit, name)(x, out=np.full(5, 77.0), where=x > -5).tolist()
    results["temperature_scale"] = softmaxjit.temperature_scale(x, 2).tolist()
    print(json.dumps(results).replace("NaN", "null").replace("-Infinity", '"-inf"').replace("Infinity", '"inf"'))
    """
    results = run(script, tmp_path / "cache", NUMBA_DISABLE_JIT="1")
    x = np.array([-3.0, 0.0, 2.5, 800.0])
    assert results.pop("temperature_scale") == [-400, -1.5, 0, 1.25, 400]
    for name, result in results.items():
        with np.errstate(all="ignore"):
            expected = getattr(softmaxjit, name)(x)
        assert result[0] == 77
        values = [np.nan if value is None else float(value) for value in result[1:]]
        np.testing.assert_allclose(values, expected, rtol=1e-15, atol=1e-300)

"""Dtypes and array-likes beyond float32 and float64, and the plain NumPy path without the JIT."""

import inspect
import warnings
from pathlib import Path
from typing import Any

import ml_dtypes
import mpmath
import numpy as np
import pandas as pd
import pytest

from softmaxjit import log_softmax, logsumexp, softmax

from . import exact
from .children import run
from .exact import assert_same_bits

ALL = (softmax, log_softmax, logsumexp)
EXACT = {softmax: exact.softmax, log_softmax: exact.log_softmax, logsumexp: exact.logsumexp}
KEYWORDS: dict[Any, list[dict[str, Any]]] = {
    softmax: [{"temperature": 0.3}, {"temperature": np.array([[0.0], [1], [np.inf], [1e-30]])}],
    log_softmax: [{"temperature": 3}, {"temperature": np.array([[0.0], [1], [np.inf], [1e-30]])}],
    logsumexp: [{"b": 0.5}, {"keepdims": True}, {"b": np.float16([[2], [1], [0], [0.25]])}],
}


def sample(shape: Any = (4, 40), dtype: Any = np.float64, scale: float = 3.0) -> np.ndarray:
    return (np.random.default_rng(10).standard_normal(shape) * scale).astype(dtype)


WHERE = np.random.default_rng(11).random((4, 40)) < 0.6


# ------------------------------------------------------------------------------------------------- 16 bits


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("function", ALL)
def test_sixteen_bits_are_the_float32_result_rounded_once(function: Any, dtype: Any) -> None:
    x = sample((4, 40), dtype)
    for keywords in ({}, {"axis": 0}, {"axis": None}, {"where": WHERE}, *KEYWORDS[function]):
        wide = {k: v.astype(np.float32) if k == "b" and np.ndim(v) else v for k, v in keywords.items()}
        narrow = {k: v.astype(dtype) if k == "b" and np.ndim(v) else v for k, v in keywords.items()}
        with np.errstate(over="ignore"):
            expected = np.asarray(function(x.astype(np.float32), **wide)).astype(dtype)
        result = function(x, **narrow)
        assert_same_bits(result, expected)
        out = np.zeros(expected.shape, dtype)
        assert function(x, out=out, **narrow) is out
        assert_same_bits(out, expected)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_sixteen_bits_in_place_strided_and_with_a_sign(dtype: Any) -> None:
    x = sample((4, 40), dtype)
    log, sign = logsumexp(x, b=-1, return_sign=True)
    assert log.dtype == sign.dtype == dtype
    assert (sign == -1).all()
    for view in (x[:, ::-1], x[::2, 1::3], x.T):
        expected = softmax(view.copy())
        in_place = x.copy()
        place = in_place[:, ::-1] if view.shape == x.shape else view.copy()
        assert_same_bits(softmax(place, out=place), expected)
    wide = np.array([300.0, -60000], np.float32).astype(dtype)
    assert softmax(wide).tolist() == [1, 0]


# ---------------------------------------------------------------------------------------- longdouble and complex


@pytest.mark.parametrize("function", ALL)
def test_longdouble_keeps_its_precision(function: Any) -> None:
    x = sample(dtype=np.longdouble) + np.longdouble(2) ** -60
    for keywords in ({}, {"axis": 0}, {"axis": None}, {"where": WHERE}, *KEYWORDS[function]):
        result, wanted = np.asarray(function(x, **keywords)), EXACT[function](x, **keywords).value
        assert result.dtype == np.longdouble
        np.testing.assert_allclose(result, wanted, rtol=1e-17, atol=1e-18)


def test_longdouble_takes_nothing_from_float64() -> None:
    huge = np.longdouble("1e4000")
    assert logsumexp(np.array([huge, huge])) == huge
    assert softmax(np.array([-huge, huge])).tolist() == [0, 1]
    assert log_softmax(np.array([-huge, huge]))[0] == -2 * huge
    log, sign = logsumexp(np.zeros(2, np.longdouble), b=np.array([-huge, 1]), return_sign=True)
    assert sign == -1
    assert abs(log - np.log(huge)) < 1e-12


def complex_logsumexp(x: np.ndarray, b: np.ndarray) -> complex:
    with mpmath.workdps(40):
        terms = [mpmath.mpc(complex(w)) * mpmath.exp(mpmath.mpc(complex(v))) for v, w in zip(x, b, strict=True)]
        return complex(mpmath.log(mpmath.fsum(terms)))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.complex64, 2e-6), (np.complex128, 1e-14)])
def test_complex_logsumexp_agrees_with_mpmath(dtype: Any, tolerance: float) -> None:
    x = (sample((5, 9)) + 1j * sample((9, 5)).T).astype(dtype)
    b = (sample(9, scale=1) - 0.5j).astype(dtype)
    for weights in (None, b, np.abs(b)):
        result = logsumexp(x, b=weights)
        assert result.dtype == dtype
        wanted = [complex_logsumexp(row, np.ones(9) if weights is None else weights) for row in x]
        np.testing.assert_allclose(result, wanted, rtol=tolerance, atol=tolerance)
        assert (abs(result.imag) <= np.pi * (1 + 1e-7)).all()


def test_complex_logsumexp_with_a_sign_and_where() -> None:
    x = sample((5, 9)) + 1j * sample((9, 5)).T
    whole = logsumexp(x)
    log, sign = logsumexp(x, return_sign=True)
    assert log.dtype == np.float64
    np.testing.assert_allclose(log, whole.real, rtol=1e-14)
    np.testing.assert_allclose(sign, np.exp(1j * whole.imag), rtol=1e-14)
    where = WHERE[0, :9]
    np.testing.assert_allclose(logsumexp(x, where=where), logsumexp(x[:, where]), rtol=1e-14)
    np.testing.assert_allclose(logsumexp(x + 800), whole.real + 800 + 1j * whole.imag, rtol=1e-13)
    np.testing.assert_allclose(logsumexp(sample(4), b=-1 + 0j), logsumexp(sample(4)) + np.pi * 1j, rtol=1e-14)


# --------------------------------------------------------------------------------------------------- array-likes


class OnlyArray:
    """What NumPy knows of a tensor of another library."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.values, dtype) if copy else np.asarray(self.values, dtype)


def matrix(x: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.asmatrix(x)


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("wrap", [np.ndarray.tolist, pd.DataFrame, OnlyArray, matrix, memoryview, np.ma.array])
def test_array_likes_give_plain_arrays(function: Any, wrap: Any) -> None:
    x = sample()
    for axis in (-1, 0, None):
        result = function(wrap(x), axis=axis)
        assert type(result) in {np.ndarray, np.float64}
        assert_same_bits(result, function(x, axis=axis))
    assert_same_bits(function(wrap(x), where=wrap(WHERE)), function(x, where=WHERE))


def test_array_likes_as_every_other_argument() -> None:
    x, tau = sample(), np.array([[0.5], [1.0], [2.0], [4.0]])
    for wrap in (np.ndarray.tolist, pd.DataFrame, OnlyArray, matrix):
        assert_same_bits(softmax(x, temperature=wrap(tau)), softmax(x, temperature=tau))
        assert_same_bits(logsumexp(x, b=wrap(abs(x))), logsumexp(x, b=abs(x)))


@pytest.mark.parametrize("dtype", [float, np.float32, int, bool, "Float64"])
@pytest.mark.parametrize("function", ALL)
def test_a_pandas_series_is_one_row(function: Any, dtype: Any) -> None:
    values = sample(20).astype(dtype if dtype != "Float64" else float)
    result = function(pd.Series(values).astype(dtype))
    assert type(result) in {np.ndarray, np.float64, np.float32}
    assert_same_bits(result, function(values))


def test_temperature_may_be_of_any_real_dtype() -> None:
    x, tau = sample(), np.array([[0.5], [1.0], [2.0], [4.0]])
    for dtype in (np.float16, np.float32, np.longdouble, ml_dtypes.bfloat16, ">f8"):
        assert_same_bits(softmax(x, temperature=tau.astype(dtype)), softmax(x, temperature=tau))
    assert_same_bits(softmax(x, temperature=ml_dtypes.bfloat16(0.5)), softmax(x, temperature=0.5))


# ---------------------------------------------------------------------------------------------- without the JIT


TOLERANCES = {"float16": 1e-3, "float32": 1e-6, "float64": 1e-12}


def results_of_every_function() -> list[tuple[str, list[float]]]:
    """Return the dtypes and values of calls of each public function; run from its source in another process too."""
    import numpy as np  # noqa: PLC0415

    import softmaxjit as sj  # noqa: PLC0415

    rng = np.random.default_rng(12)
    x, y = rng.standard_normal((3, 40)) * 3, rng.standard_normal((3, 40))
    where = y > -0.5
    where[1] = False
    tau = np.array([[0.0], [0.7], [np.inf]])
    results = [
        sj.softmax(x, 0, temperature=0.3),
        sj.softmax(x, where=where),
        sj.softmax(x, temperature=tau),
        sj.softmax(x.astype(np.float32), out=np.zeros(x.shape, np.float32)),
        sj.softmax(np.ma.array(x, mask=~where)),
        sj.log_softmax(x, None, temperature=2),
        sj.log_softmax(x, where=where),
        sj.log_softmax(x, temperature=tau, where=where),
        sj.logsumexp(x, where=where),
        sj.logsumexp(x, b=y),
        sj.logsumexp(x, keepdims=True, b=2, where=where),
        sj.logsumexp(x.astype(np.float16)),
        sj.softmax(x.astype(np.float16)),
        sj.log_softmax_vjp(sj.log_softmax(x).astype(np.float16), y.astype(np.float16)),
        *sj.logsumexp(x, b=y, return_sign=True),
        *sj.logsumexp(x, (0, 1), return_sign=True),
        sj.softmax_vjp(sj.softmax(x), y),
        sj.log_softmax_vjp(sj.log_softmax(x), y, temperature=0.5),
        sj.temperature_scale(x, 2.0),
        *[f(abs(x)) for f in (sj.sigmoid, sj.log_sigmoid, sj.softplus, sj.exp, sj.log)],
    ]
    return [(str(result.dtype), np.asarray(result, float).ravel().tolist()) for result in results]


def test_without_the_jit_every_function_gives_the_same_numbers(tmp_path: Path) -> None:
    script = f"{inspect.getsource(results_of_every_function)}\nimport json\n"
    script += "print(json.dumps(results_of_every_function()))"
    plain = run(script, tmp_path, NUMBA_DISABLE_JIT="1")
    for (kind, result), (wanted_kind, wanted) in zip(plain, results_of_every_function(), strict=True):
        assert kind == wanted_kind
        np.testing.assert_allclose(result, wanted, rtol=TOLERANCES[kind], atol=1e-300)


def test_without_the_jit_wrong_calls_say_the_same(tmp_path: Path) -> None:
    script = """
    import json
    import numpy as np
    from softmaxjit import log_softmax, logsumexp, softmax
    def message(call):
        try:
            call()
        except (TypeError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
    x = np.ones((3, 4))
    print(json.dumps([
        message(lambda: softmax(x, temperature=-1)),
        message(lambda: log_softmax(x, where=1)),
        message(lambda: logsumexp(x, keepdims="no")),
    ]))
    """
    assert run(script, tmp_path, NUMBA_DISABLE_JIT="1") == [
        "ValueError: temperature is -1; accepted are real numbers from 0 to infinity",
        "TypeError: where has dtype int64; accepted is bool",
        "TypeError: keepdims is 'no'; accepted are True and False",
    ]

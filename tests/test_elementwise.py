"""temperature_scale and sigmoid: NumPy ufuncs, accurate, compiled when first needed, and callable inside ``@njit``."""

from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from numba import njit

from softmaxjit import sigmoid, temperature_scale

from .children import run


def logits(dtype: Any) -> np.ndarray:
    """Return numbers over the whole range where a sigmoid is neither 0 nor 1, and beyond."""
    limits = (-104, 20) if dtype is np.float32 else (-746, 40)
    edges = [
        0.0,
        -0.0,
        1e-30,
        -1e-30,
        16.6,
        17.4,
        36.7,
        37.5,
        89.0,
        -87.4,
        -88.8,
        -103.9,
        -104.1,
        -708.5,
        -745.2,
        700.0,
    ]
    return np.concatenate([np.linspace(*limits, 4001), np.linspace(-1, 1, 1001), edges]).astype(dtype)


def ulps(result: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the errors of a sigmoid in units of the last place, against fifty digits."""
    with mpmath.workdps(50):
        errors = []
        for value, ours in zip(x.tolist(), result, strict=True):
            exact = 1 / (1 + mpmath.exp(-mpmath.mpf(value)))
            with np.errstate(under="ignore"):
                unit = float(np.spacing(x.dtype.type(float(exact))))
            errors.append(float(abs(mpmath.mpf(float(ours)) - exact) / unit))
    return np.array(errors)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_is_within_two_ulp_everywhere(dtype: Any) -> None:
    x = logits(dtype)
    result = sigmoid(x)
    assert result.dtype == dtype
    errors = ulps(result, x)
    assert errors.max() <= 2, x[errors.argmax()]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_at_the_ends_and_of_nan(dtype: Any) -> None:
    # A warning would be an error here, of an invalid value too.
    with np.errstate(over="warn", divide="warn", invalid="warn"):
        result = sigmoid(np.array([np.inf, -np.inf, np.nan, 1e30, -1e30, 0], dtype))
    assert result[[0, 1, 3, 4, 5]].tolist() == [1, 0, 1, 0, 0.5]
    assert np.isnan(result[2])


def test_sigmoid_is_monotonic_and_symmetric_to_rounding() -> None:
    x = np.linspace(-30, 30, 10001)
    assert (np.diff(sigmoid(x)) >= -2 * np.spacing(sigmoid(x)[1:])).all()
    np.testing.assert_allclose(sigmoid(x) + sigmoid(-x), 1, rtol=4e-16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
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
    for function, operands in ((sigmoid, 1), (temperature_scale, 2)):
        assert (function.nin, function.nout) == (operands, 1)
        assert {loop[-1] for loop in function.types} == {"f", "d"}


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(TypeError):
        sigmoid(np.ones(2, complex))


@njit
def of_scalars(x, temperature):
    return sigmoid(x), temperature_scale(x, temperature)


@njit(fastmath=True)
def of_arrays(x, temperature):
    return sigmoid(temperature_scale(x, temperature))


def test_inside_compiled_code_on_scalars() -> None:
    for x in (-2.5, 0.0, 3.7, np.float32(1.5)):
        assert of_scalars(x, type(x)(2)) == (sigmoid(x), temperature_scale(x, type(x)(2)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inside_compiled_code_on_arrays_nan_kept_whatever_the_callers_flags(dtype: Any) -> None:
    x = np.array([[-3, np.nan, 2], [np.inf, -np.inf, 0]], dtype)
    temperature = np.array([[2], [3]], dtype)
    result = of_arrays(x, temperature)
    assert result.dtype == dtype
    assert result.tobytes() == sigmoid(x / temperature).tobytes()


def test_importing_compiles_no_loop(tmp_path: Path) -> None:
    script = """
    import json
    import numpy as np
    from softmaxjit import sigmoid, temperature_scale
    before = [sigmoid.ntypes, temperature_scale.ntypes]
    sigmoid(np.float32(1))
    print(json.dumps([before, sigmoid.ntypes, temperature_scale.ntypes]))
    """
    assert run(script, tmp_path / "cache") == [[0, 0], 2, 0]

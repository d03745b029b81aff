"""softmax, log_softmax and logsumexp from Python: every kind of argument, special values, and the same bits."""

import itertools
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
from numpy.exceptions import AxisError

from softmaxjit import log_softmax, logsumexp, softmax

SAME_SHAPE = (softmax, log_softmax)
ALL = (softmax, log_softmax, logsumexp)
PEERS = {softmax: scipy.special.softmax, log_softmax: scipy.special.log_softmax, logsumexp: scipy.special.logsumexp}
FLOATS = (np.float16, np.float32, np.float64)


def sample(shape: Any = (3, 4, 5), dtype: Any = np.float64, scale: float = 3.0) -> np.ndarray:
    return (np.random.default_rng(1).standard_normal(shape) * scale).astype(dtype)


def peer(function: Any, x: Any, axis: Any = -1, **keywords: Any) -> np.ndarray:
    """Return SciPy's result, computed in float64."""
    with np.errstate(all="ignore"):
        return np.asarray(PEERS[function](np.asarray(x, np.float64), axis=axis, **keywords))


def assert_close(result: Any, expected: Any) -> None:
    precision = np.finfo(np.asarray(result).dtype)
    # SciPy's log_softmax is only accurate beside the largest logit.
    np.testing.assert_allclose(result, expected, rtol=100 * precision.eps, atol=max(float(precision.tiny), 1e-13))


def assert_same_bits(result: Any, expected: Any) -> None:
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    assert np.ascontiguousarray(result).tobytes() == np.ascontiguousarray(expected).tobytes()


# ------------------------------------------------------------------------------------------------------------- axis

AXES = [None, 0, 1, 2, -1, -2, -3, (0,), (1, 2), (0, 2), (2, 0), (-1, -3), (0, 1, 2), ()]


@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("function", ALL)
def test_any_axis_agrees_with_scipy(function: Any, axis: Any) -> None:
    x = sample()
    expected = x if axis == () and function is logsumexp else np.ones(x.shape) if axis == () else None
    if axis == () and function is log_softmax:
        expected = np.zeros(x.shape)
    assert_close(function(x, axis=axis), peer(function, x, axis) if expected is None else expected)
    assert_same_bits(function(x, axis), function(x, axis=axis))


@pytest.mark.parametrize("axis", AXES[:-1], ids=str)
def test_keepdims_leaves_length_one_where_axes_were(axis: Any) -> None:
    x = sample()
    result = logsumexp(x, axis=axis, keepdims=True)
    assert result.shape == peer(logsumexp, x, axis, keepdims=True).shape
    assert result.ravel().tolist() == np.ravel(logsumexp(x, axis=axis)).tolist()
    out = np.empty_like(result)
    assert logsumexp(x, axis=axis, keepdims=True, out=out) is out
    assert_same_bits(out, result)


@pytest.mark.parametrize("function", ALL)
def test_an_axis_that_is_out_of_range_raises_numpys_error(function: Any) -> None:
    for axis in (3, -4, (0, 3)):
        with pytest.raises(AxisError, match=r"axis (3|-4) is out of bounds"):
            function(sample(), axis=axis)
    with pytest.raises(ValueError, match="repeated axis"):
        function(sample(), axis=(0, -3))
    with pytest.raises(AxisError):
        function(1.0)
    for axis in (1.5, "0", [0.5]):
        words = f"axis is {axis!r}; accepted are an integer, a tuple of integers or None"
        with pytest.raises(TypeError, match=re.escape(words)):
            function(sample(), axis=axis)


# ---------------------------------------------------------------------------------------------- kinds of x, any layout


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_keep_their_dtype(function: Any, dtype: Any) -> None:
    x = sample((6, 40), dtype)
    result = function(x)
    assert result.dtype == dtype
    assert_close(result, peer(function, x))


@pytest.mark.parametrize("function", ALL)
def test_float16_is_the_float32_result_rounded_once(function: Any) -> None:
    x = sample((50, 40), np.float16)
    assert_same_bits(function(x), function(x.astype(np.float32)).astype(np.float16))


def test_float16_overflows_to_infinity_without_a_warning() -> None:
    assert log_softmax(np.array([-65504, 65504], np.float16)).tolist() == [-np.inf, 0]


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4", ">u2"])
def test_integers_and_bool_become_float64(function: Any, dtype: Any) -> None:
    x = np.arange(12).reshape(3, 4).astype(dtype)
    assert_same_bits(function(x), function(x.astype(np.float64)))


@pytest.mark.parametrize("function", ALL)
def test_any_array_like_will_do(function: Any) -> None:
    x = np.array([[1.0, 2.0], [3.0, 5.0]])
    for array_like in (x.tolist(), tuple(map(tuple, x.tolist())), [x[0], x[1]], memoryview(x)):
        assert_same_bits(np.asarray(function(array_like)), function(x))
    assert type(function([1, 2])) is type(function(np.array([1.0, 2.0])))


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("x", [1.5, np.float32(1.5), np.array(1.5), True])
def test_a_scalar_has_no_axis_but_all_of_them(function: Any, x: Any) -> None:
    result = function(x, axis=None)
    assert_close(result, {softmax: 1, log_softmax: 0, logsumexp: x}[function])
    assert np.ndim(result) == 0
    assert result.dtype == (np.float32 if isinstance(x, np.float32) else np.float64)


def test_a_reduction_to_no_dimension_gives_a_scalar_and_fills_an_out() -> None:
    assert isinstance(logsumexp(sample(5)), np.float64)
    assert isinstance(logsumexp(sample((3, 4), np.float32), axis=None), np.float32)
    out = np.empty(())
    assert logsumexp(sample(5), out=out) is out
    assert out == logsumexp(sample(5))


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize(
    "x",
    [
        np.array(["1", "2"]),
        np.array([1, None]),
        np.array(["2020-01-01"], "M8[D]"),
        np.zeros(3, "f4,f4"),
    ],
    ids=lambda x: str(x.dtype),
)
def test_other_dtypes_are_refused_by_name(function: Any, x: np.ndarray) -> None:
    words = f"x has dtype {x.dtype}; accepted are float16, bfloat16, float32, float64, longdouble, integers"
    with pytest.raises(TypeError, match=re.escape(words)):
        function(x)


def unaligned(x: np.ndarray) -> np.ndarray:
    result = np.frombuffer(bytearray(x.nbytes + 1), x.dtype, offset=1).reshape(x.shape)
    result[...] = x
    assert not result.flags.aligned
    return result


def read_only(x: np.ndarray) -> np.ndarray:
    result = x.copy()
    result.flags.writeable = False
    return result


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C": lambda x: x.copy(),
    "Fortran": np.asfortranarray,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "axes rotated": lambda x: np.ascontiguousarray(np.moveaxis(x, 0, -1)).transpose(2, 0, 1),
    "every second": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "reversed": lambda x: x[..., ::-1].copy()[..., ::-1],
    "reversed rows": lambda x: x[::-1].copy()[::-1],
    "part of more": lambda x: np.pad(x, 3)[3:-3, 3:-3, 3:-3],
    "read-only": read_only,
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "unaligned": unaligned,
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_gives_the_same_bits_and_is_left_alone(function: Any, layout: str, dtype: Any) -> None:
    x = sample((4, 5, 19), dtype)
    laid_out = LAYOUTS[layout](x)
    assert (laid_out == x).all()
    for axis in (-1, 0, 1, None, (0, 2)):
        # The order of a row's elements is that of the indices, not of memory.
        result = function(laid_out, axis=axis)
        assert result.dtype.isnative
        assert_same_bits(np.asarray(result), np.asarray(function(x, axis=axis)))
    assert (laid_out == x).all()


@pytest.mark.parametrize("function", ALL)
def test_an_array_of_zero_strides_is_as_good_as_its_copy(function: Any) -> None:
    x = np.broadcast_to(sample((1, 7, 1)), (3, 7, 5))
    for axis in (-1, 1, 0):
        assert_same_bits(function(x, axis=axis), function(x.copy(), axis=axis))


@pytest.mark.parametrize("function", ALL)
def test_big_endian_after_a_read_only_array_is_not_misread(function: Any) -> None:
    """Numba's dispatcher takes the one for the other."""
    x = sample((3, 8), np.float32)
    function(read_only(x))
    function(unaligned(x))
    assert_same_bits(function(x.astype(">f4")), function(x))


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_has_the_same_bits_alone_in_a_batch_and_anywhere_in_memory(function: Any, dtype: Any) -> None:
    for n in (1, 5, 16, 33, 65, 130, 1001):
        rows = sample((40, n), dtype, 10)
        whole = function(rows)
        buffer = np.empty(n + 16, dtype)
        for k in (0, 7, 39):
            assert_same_bits(np.asarray(function(rows[k])), np.asarray(whole[k]))
            assert_same_bits(function(rows[k:]), whole[k:])
            place = buffer[k % 16 : k % 16 + n]
            place[...] = rows[k]
            assert_same_bits(np.asarray(function(place)), np.asarray(whole[k]))


# ------------------------------------------------------------------------------------------------------------- empty


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (2, 0, 3), (0, 0)])
def test_empty_arrays(shape: tuple[int, ...], dtype: Any) -> None:
    x = np.empty(shape, dtype)
    for axis in [*range(len(shape)), None]:
        for function in SAME_SHAPE:
            result = function(x, axis=axis)
            assert result.shape == shape
            assert result.dtype == dtype
        result = np.asarray(logsumexp(x, axis=axis))
        assert result.shape == x.sum(axis=axis).shape
        assert (result == -np.inf).all()
        assert logsumexp(x, axis=axis, keepdims=True).shape == x.sum(axis=axis, keepdims=True).shape


# ------------------------------------------------------------------------------------------------------ special values


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 33, 64, 130])
def test_nan_and_infinities_in_every_position(n: int, dtype: Any) -> None:
    for special in (np.nan, np.inf, -np.inf):
        rows = sample((n + 1, n), dtype)
        rows[np.arange(n), np.arange(n)] = special  # the last row stays as it is
        plain = sample((n + 1, n), dtype)[-1]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            results = [function(rows) for function in ALL]
            at_temperatures = [softmax(rows, temperature=tau) for tau in (0.0, 1e-20, 0.5, 1e20)]
        for function, result in zip(ALL, results, strict=True):
            assert_same_bits(np.asarray(result[-1]), np.asarray(function(plain)))
        assert_close(results[0], peer(softmax, rows))
        assert_close(results[2], peer(logsumexp, rows))
        if special == -np.inf and n > 1:
            assert_close(results[1], peer(log_softmax, rows))
            assert (results[0][np.arange(n), np.arange(n)] == 0).all()
        else:
            assert np.isnan(results[1][:-1]).all()
        if special != -np.inf or n == 1:
            assert all(np.isnan(result[:-1]).all() for result in at_temperatures)


@pytest.mark.parametrize("dtype", FLOATS)
def test_rows_of_minus_infinity_alone(dtype: Any) -> None:
    for n in (1, 7, 16, 100):
        x = np.full((2, n), -np.inf, dtype)
        assert np.isnan(softmax(x)).all()
        assert np.isnan(log_softmax(x)).all()
        assert (logsumexp(x) == -np.inf).all()


def test_infinities_of_both_signs_and_nan_together() -> None:
    x = np.array([[np.inf, -np.inf, 0], [np.nan, np.inf, 0], [np.inf, np.inf, 0]])
    assert np.isnan(softmax(x)).all()
    assert np.isnan(log_softmax(x)).all()
    assert str(logsumexp(x).tolist()) == "[inf, nan, inf]"


# --------------------------------------------------------------------------------------------------------- temperature


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", SAME_SHAPE)
@pytest.mark.parametrize("temperature", [0.25, 3, np.float32(2), np.array(0.5), True])
def test_a_temperature_divides_the_logits(function: Any, dtype: Any, temperature: Any) -> None:
    x = sample((5, 33), dtype)
    assert_close(function(x, temperature=temperature), peer(function, x.astype(np.float64) / float(temperature)))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("temperature", [0.0, -0.0, 5e-324])
def test_at_temperature_zero_the_maxima_share_all(dtype: Any, temperature: float) -> None:
    x = np.array([[1, 3, 2, 3], [0, 0, 0, 0], [-np.inf, 1, 0, -5], [7, 7, 7, 6]], dtype)
    expected = np.array([[0, 1 / 2, 0, 1 / 2], [1 / 4] * 4, [0, 1, 0, 0], [1 / 3, 1 / 3, 1 / 3, 0]])
    assert_close(softmax(x, temperature=temperature), expected)
    with np.errstate(divide="ignore"):
        assert_close(log_softmax(x, temperature=temperature), np.log(expected))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("temperature", [np.inf, 1e300])
def test_at_infinite_temperature_all_but_minus_infinity_share_equally(dtype: Any, temperature: float) -> None:
    x = np.array([[1, 300, -2, 3], [-np.inf, 1, 0, -5], [-np.inf, -np.inf, 2, -np.inf]], dtype)
    expected = np.array([[1 / 4] * 4, [0, 1 / 3, 1 / 3, 1 / 3], [0, 0, 1, 0]])
    assert_close(softmax(x, temperature=temperature), expected)
    with np.errstate(divide="ignore"):
        assert_close(log_softmax(x, temperature=temperature), np.log(expected))


@pytest.mark.parametrize("function", SAME_SHAPE)
@pytest.mark.parametrize("temperature", [-1, -1e-300, -np.inf, np.nan, np.float32("nan")])
def test_a_negative_or_nan_temperature_is_refused(function: Any, temperature: Any) -> None:
    out = np.full(3, 9.0)
    words = re.escape(f"temperature is {temperature!r}; accepted are real numbers from 0 to infinity")
    with pytest.raises(ValueError, match=words):
        function(np.ones(3), temperature=temperature, out=out)
    assert (out == 9).all()


@pytest.mark.parametrize("function", SAME_SHAPE)
@pytest.mark.parametrize("temperature", ["1", None, 1j, np.array("1"), [1j], [[1], [2, 3]], {}], ids=repr)
def test_a_temperature_that_is_not_a_number_is_refused(function: Any, temperature: Any) -> None:
    words = re.escape(f"temperature is {temperature!r}; accepted are real numbers from 0 to infinity")
    with pytest.raises(TypeError, match=words):
        function(np.ones((2, 3)), temperature=temperature)


# ----------------------------------------------------------------------------------------------------------------- out


def empty_like_result(function: Any, x: np.ndarray, axis: Any) -> np.ndarray:
    return np.full_like(np.asarray(function(x, axis=axis)), 77)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in {"read-only", "byte-swapped"}])
def test_out_of_any_layout_is_filled_and_returned(function: Any, layout: str, dtype: Any) -> None:
    x = sample((4, 5, 6), dtype)
    for axis in (-1, 1, (0, 2)) if function is not logsumexp else (-1,):
        # As many dimensions as `x`, for every layout to make sense.
        expected = np.asarray(function(x, axis=axis))
        shaped = expected if expected.ndim == 3 else expected[None]
        out = LAYOUTS[layout](np.full_like(shaped, 77))
        out = out if expected.ndim == 3 else out[0]
        assert function(x, axis=axis, out=out) is out
        assert_same_bits(out, expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", SAME_SHAPE)
@pytest.mark.parametrize("axis", [-1, 0, None, (0, 2)], ids=str)
@pytest.mark.parametrize("layout", ["C", "Fortran", "every second", "reversed"])
def test_out_may_be_x_itself(function: Any, layout: str, axis: Any, dtype: Any) -> None:
    x = sample((4, 5, 6), dtype)
    expected = function(x, axis=axis)
    in_place = LAYOUTS[layout](x)
    assert function(in_place, axis=axis, out=in_place) is in_place
    assert_same_bits(in_place, expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shift", [-7, -1, 1, 3, 12])
def test_out_may_overlap_x(dtype: Any, shift: int) -> None:
    x = sample((9, 6), dtype)
    for function, axis in itertools.product(ALL, (-1, 0)):
        expected = function(x, axis=axis)
        buffer = np.zeros(100, dtype)
        overlapping = buffer[20 : 20 + x.size].reshape(x.shape)
        overlapping[...] = x
        out = buffer[20 + shift : 20 + shift + expected.size].reshape(expected.shape)
        function(overlapping, axis=axis, out=out)
        assert_same_bits(out, expected)


@pytest.mark.parametrize("temperatures", [[0.5, 1.0, 2.0, 3.0], [0.0, 1.0, np.inf, 1e-30]], ids=str)
@pytest.mark.parametrize("function", SAME_SHAPE)
def test_out_may_overlap_temperatures(function: Any, temperatures: list[float]) -> None:
    x = sample((4, 30), np.float64)
    expected = function(x, temperature=np.array(temperatures)[:, None])
    for shift in (0, 1, 50):
        out = np.zeros(120)
        overlapping = out[shift : shift + 4].reshape(4, 1)
        overlapping[:, 0] = temperatures
        function(x, temperature=overlapping, out=out.reshape(4, 30))
        assert_same_bits(out.reshape(4, 30), expected)


@pytest.mark.parametrize("function", SAME_SHAPE)
def test_out_may_be_x_transposed_or_reversed(function: Any) -> None:
    x = sample((6, 6))
    for axis, view in itertools.product((0, 1), (lambda a: a.T, lambda a: a[::-1], lambda a: a[:, ::-1])):
        expected = function(x, axis=axis)
        buffer = x.copy()
        function(buffer, axis=axis, out=view(buffer))
        assert_same_bits(view(buffer), expected)


def test_out_of_a_subclass_is_filled_and_returned(tmp_path: Any) -> None:
    x = sample((4, 6))
    mapped = np.memmap(tmp_path / "out", np.float64, "w+", shape=x.shape)
    assert softmax(x, out=mapped) is mapped
    assert_same_bits(np.asarray(mapped), softmax(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        matrix = np.asmatrix(np.zeros(x.shape))
    assert softmax(x, axis=0, out=matrix) is matrix
    assert_same_bits(np.asarray(matrix), softmax(x, axis=0))


def bad_outs() -> list[Any]:
    good = np.full((3, 4), 77.0)
    return [
        pytest.param(np.full((4, 3), 77.0), ValueError, id="other shape"),
        pytest.param(np.full((1, 3, 4), 77.0), ValueError, id="more dimensions"),
        pytest.param(np.full(12, 77.0), ValueError, id="fewer dimensions"),
        pytest.param(good.astype(np.float32), ValueError, id="other dtype"),
        pytest.param(good.astype(">f8"), ValueError, id="byte-swapped"),
        pytest.param(good.astype(int), ValueError, id="integers"),
        pytest.param(read_only(good), ValueError, id="read-only"),
        pytest.param(good.tolist(), TypeError, id="list"),
        pytest.param(np.ma.array(good), TypeError, id="masked"),
    ]


@pytest.mark.parametrize(("out", "error"), bad_outs())
@pytest.mark.parametrize("function", SAME_SHAPE)
def test_a_bad_out_is_refused_and_untouched(function: Any, out: Any, error: Any) -> None:
    with pytest.raises(error, match="out"):
        function(sample((3, 4)), out=out)
    assert (np.asarray(out) == 77).all()


def test_a_bad_out_of_logsumexp_is_refused_and_untouched() -> None:
    x = sample((3, 4))
    for shape, keepdims in (((4,), False), ((3, 1), False), ((3,), True), ((), False)):
        out = np.full(shape, 77.0)
        with pytest.raises(ValueError, match=r"out has shape .*; the result has shape"):
            logsumexp(x, keepdims=keepdims, out=out)
        assert (out == 77).all()


@pytest.mark.parametrize("function", ALL)
def test_any_other_error_leaves_out_untouched(function: Any) -> None:
    x = sample((3, 4))
    out = np.full(np.shape(function(x)), 77.0)
    for keywords in ({"threads": 0}, {"axis": 5}):
        with pytest.raises(ValueError, match=r"threads|axis"):
            function(x, out=out, **keywords)
    assert (out == 77).all()


# ------------------------------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("function", ALL)
def test_threads_are_none_or_a_positive_integer(function: Any) -> None:
    x = sample((500, 300), np.float32)
    for threads in (None, 1, 2, np.int64(2), 10**9):
        assert_same_bits(function(x, threads=threads), function(x))
    for threads in (0, -1):
        with pytest.raises(ValueError, match=f"threads is {threads}; accepted are None and integers from 1"):
            function(x, threads=threads)
    for threads in (1.5, "2", [1]):
        with pytest.raises(TypeError, match=r"threads is .*; accepted are None and integers from 1"):
            function(x, threads=threads)


@pytest.mark.parametrize("function", SAME_SHAPE)
def test_large_parallel_calls_agree_with_scipy_in_any_layout(function: Any) -> None:
    x = sample((400, 300), np.float32)
    for axis, out in ((-1, None), (0, None), (-1, np.empty_like(x)), (0, np.empty_like(x, order="F"))):
        assert_close(function(x, axis=axis, out=out, threads=2), peer(function, x, axis))
    assert_close(function(x, temperature=1e20, threads=2), peer(function, x / 1e20))

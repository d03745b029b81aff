"""The same functions inside ``@njit``: the values, bits and errors of Python, serial, without allocation."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit, prange
from numba.core.errors import TypingError
from numba.core.runtime import _nrt_python, rtsys
from numpy.exceptions import AxisError

import softmaxjit
from softmaxjit import log_softmax, logsumexp, softmax

from .children import run

ALL = (softmax, log_softmax, logsumexp)


def sample(shape: Any = (3, 4, 5), dtype: Any = np.float64, scale: float = 3.0) -> np.ndarray:
    return (np.random.default_rng(2).standard_normal(shape) * scale).astype(dtype)


def assert_same_bits(result: Any, expected: Any) -> None:
    result, expected = np.asarray(result), np.asarray(expected)
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    assert np.ascontiguousarray(result).tobytes() == np.ascontiguousarray(expected).tobytes()


# Callers, each compiled once for each type of argument; the tests share what they compile.
@njit
def softmax_along(x, axis):
    return softmax(x, axis)


@njit
def log_softmax_along(x, axis):
    return log_softmax(x, axis)


@njit
def logsumexp_along(x, axis):
    return logsumexp(x, axis)


@njit
def softmax_into(x, axis, out):
    return softmax(x, axis=axis, out=out)


@njit
def log_softmax_into(x, axis, out):
    return log_softmax(x, axis=axis, out=out)


@njit
def logsumexp_into(x, axis, out):
    return logsumexp(x, axis=axis, out=out)


ALONG = {softmax: softmax_along, log_softmax: log_softmax_along, logsumexp: logsumexp_along}
INTO = {softmax: softmax_into, log_softmax: log_softmax_into, logsumexp: logsumexp_into}

# ----------------------------------------------------------------------------------------------------- values and bits


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", ALL)
def test_any_axis_gives_the_bits_of_python(function: Any, dtype: Any) -> None:
    for shape in ((3, 4, 5), (2, 3, 70), (1, 17, 1)):
        x = sample(shape, dtype)
        for axis in (-3, -2, -1, 0, 1, 2):
            assert_same_bits(ALONG[function](x, axis), function(x, axis))


@pytest.mark.parametrize(
    "axis", [np.uint64(1), np.int8(-1), (np.uint64(0), np.uint64(2)), (np.int32(0), np.int64(1))], ids=str
)
def test_an_axis_may_be_of_any_integer_type(axis: Any) -> None:
    x = sample((3, 4, 5))
    as_python = tuple(map(int, axis)) if isinstance(axis, tuple) else int(axis)
    assert_same_bits(softmax_along(x, axis), softmax(x, as_python))


@pytest.mark.parametrize("function", ALL)
def test_vectors_of_every_length_give_the_bits_of_python(function: Any) -> None:
    for n in (1, 2, 7, 8, 9, 15, 16, 17, 33, 64, 65, 130, 1001):
        x = sample(n)
        assert_same_bits(ALONG[function](x, -1), function(x))


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("Fortran", np.asfortranarray),
        ("strided", lambda x: np.repeat(x, 2, axis=-1)[..., ::2]),
        ("reversed", lambda x: x[..., ::-1].copy()[..., ::-1]),
        ("broadcast", lambda x: np.broadcast_to(x[:1], x.shape)),
    ],
)
@pytest.mark.parametrize("function", [softmax, logsumexp])
def test_any_layout_gives_the_bits_of_python(function: Any, name: str, layout: Callable[[Any], Any]) -> None:
    x = layout(sample((4, 33)))
    x.flags.writeable = name == "Fortran"
    assert not x.flags.c_contiguous
    for axis in (-1, 0):
        assert_same_bits(ALONG[function](x, axis), function(x, axis))


def test_a_read_only_array_will_do() -> None:
    x = sample((4, 33))
    x.flags.writeable = False
    assert_same_bits(log_softmax_along(x, -1), log_softmax(x))


@pytest.mark.parametrize(("function", "dtype"), [(softmax, np.int64), (logsumexp, np.bool_)])
def test_integers_and_bool_become_float64(function: Any, dtype: Any) -> None:
    x = (sample((3, 5)) > 0).astype(dtype)
    assert_same_bits(ALONG[function](x, 0), function(x, 0))


def test_empty_arrays() -> None:
    for shape in ((0, 3), (3, 0), (0, 0)):
        x = np.empty(shape)
        for axis in (0, 1):
            for function in ALL:
                assert_same_bits(ALONG[function](x, axis), function(x, axis))
    assert logsumexp_along(np.empty(0), 0) == -np.inf


@njit
def in_every_way(x):
    return (
        softmax(x),
        softmax(x, 0),
        softmax(x, axis=-1, temperature=2),
        softmax(x, temperature=0.5, out=None),
        softmax(x, 0, temperature=np.float32(2.0), out=np.empty_like(x)),
        log_softmax(x, temperature=0.0),
        log_softmax(x, temperature=np.inf, axis=0),
        logsumexp(x, 0, out=np.empty(x.shape[1])),
    )


def test_arguments_by_position_and_by_keyword() -> None:
    x = sample((3, 20))
    expected = (
        softmax(x),
        softmax(x, 0),
        softmax(x, axis=-1, temperature=2),
        softmax(x, temperature=0.5),
        softmax(x, 0, temperature=2.0),
        log_softmax(x, temperature=0.0),
        log_softmax(x, temperature=np.inf, axis=0),
        logsumexp(x, 0),
    )
    for result, wanted in zip(in_every_way(x), expected, strict=True):
        assert_same_bits(result, wanted)


@njit
def with_defaults(x, axis=-1, out=None):
    return logsumexp(softmax(x, axis=axis, out=out), axis)


@njit
def through_defaults(x):
    return with_defaults(x), with_defaults(x, 0)


def test_defaults_of_a_caller_are_passed_on() -> None:
    x = sample((3, 20))
    rows, columns = through_defaults(x)
    assert_same_bits(rows, logsumexp(softmax(x)))
    assert_same_bits(columns, logsumexp(softmax(x, 0), 0))


@njit(parallel=True)
def in_a_parallel_loop(x, probabilities, sums):
    for row in prange(x.shape[0]):
        softmax(x[row], out=probabilities[row])
        sums[row] = logsumexp(x[row])


def test_a_users_parallel_loop_gives_the_bits_of_python() -> None:
    x = sample((200, 130), np.float32, 10)
    probabilities, sums = np.empty_like(x), np.empty(200, np.float32)
    in_a_parallel_loop(x, probabilities, sums)
    assert_same_bits(probabilities, softmax(x))
    assert_same_bits(sums, logsumexp(x))


@njit(fastmath=True, error_model="python", boundscheck=True)
def in_fast_math(x):
    return softmax(x), log_softmax(x), logsumexp(x)


def test_a_fast_math_caller_gets_the_same_bits_nan_and_infinities_too() -> None:
    x = sample((8, 20))
    x[0, 3] = x[1, 17] = np.nan
    x[2, 4] = x[3, 18] = np.inf
    x[4, 5] = x[5, 19] = -np.inf
    x[6] = -np.inf
    for result, function in zip(in_fast_math(x), ALL, strict=True):
        assert_same_bits(result, function(x))


# ----------------------------------------------------------------------------------------------------------------- out


@pytest.mark.parametrize("function", ALL)
def test_out_is_filled_and_returned(function: Any) -> None:
    x = sample((4, 33))
    for axis in (-1, 0):
        expected = function(x, axis)
        out = np.full_like(expected, 77)
        result = INTO[function](x, axis, out)
        assert_same_bits(out, expected)
        assert result.ctypes.data == out.ctypes.data


@pytest.mark.parametrize("function", ALL)
def test_out_of_other_layouts_is_filled(function: Any) -> None:
    x = sample((4, 33))
    expected = function(x)
    strided = np.full((*expected.shape, 2), 77.0)[..., 0]
    INTO[function](x, -1, strided)
    assert_same_bits(strided, expected)


@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_out_may_be_x_itself(function: Any) -> None:
    for axis in (-1, 0):
        x = sample((4, 33))
        expected = function(x, axis)
        INTO[function](x, axis, x)
        assert_same_bits(x, expected)


@pytest.mark.parametrize("shift", [-7, -1, 1, 3, 12])
@pytest.mark.parametrize("function", ALL)
def test_out_may_overlap_x(function: Any, shift: int) -> None:
    x = sample((4, 33))
    for axis in (-1, 0):
        expected = function(x, axis)
        buffer = np.zeros(200)
        overlapping = buffer[20 : 20 + x.size].reshape(x.shape)
        overlapping[...] = x
        out = buffer[20 + shift : 20 + shift + expected.size].reshape(expected.shape)
        INTO[function](overlapping, axis, out)
        assert_same_bits(out, expected)


@njit
def softmax_tempered_into(x, axis, temperature, out):
    return softmax(x, axis, temperature=temperature, out=out)


@njit
def log_softmax_tempered_into(x, axis, temperature, out):
    return log_softmax(x, axis, temperature=temperature, out=out)


TEMPERED = {softmax: softmax_tempered_into, log_softmax: log_softmax_tempered_into}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", TEMPERED)
def test_with_out_any_axis_and_temperature_give_the_bits_of_python(function: Any, dtype: Any) -> None:
    """What the kernel takes as it is, and what it does not."""
    for shape in ((10,), (3, 10), (0,), (3, 0), (0, 3)):
        x = sample(shape, dtype)
        for axis in (-1, len(shape) - 1, 0, -len(shape)):
            for temperature in (1.0, 0.3, 1e-20, 0.0, np.inf, 2, np.array(0.3)):
                expected = function(x, axis, temperature=temperature)
                out = np.full_like(x, 77)
                assert TEMPERED[function](x, axis, temperature, out) is out
                assert_same_bits(out, expected)
                in_place = x.copy()
                TEMPERED[function](in_place, axis, temperature, in_place)
                assert_same_bits(in_place, expected)
        for axis in (len(shape), -len(shape) - 1):
            with pytest.raises(AxisError):
                TEMPERED[function](x, axis, 1.0, np.empty_like(x))
        for temperature in (-1.0, np.nan, -np.inf, -1):
            with pytest.raises(ValueError, match="temperature is negative or NaN"):
                TEMPERED[function](x, -1, temperature, np.empty_like(x))


@pytest.mark.parametrize("function", ALL)
def test_out_of_another_shape_raises_value_error_and_is_untouched(function: Any) -> None:
    x = sample((4, 33))
    result = function(x)
    for out in (np.full((5, *result.shape[1:]), 77.0), np.full((5, *result.shape[1:], 2), 77.0)[..., 0]):
        with pytest.raises(ValueError, match="out has another shape than the result"):
            INTO[function](x, -1, out)
        assert (out == 77).all()


@njit
def without_allocating(x, probabilities, logs, sums):
    for _ in range(10):
        softmax_into(x, -1, probabilities)
        log_softmax_into(x, -1, logs)
        logsumexp_into(x, -1, sums)
        softmax(x, temperature=0.0, out=probabilities)
        softmax_into(probabilities, -1, probabilities)


@njit
def doing_nothing(x, probabilities, logs, sums):
    pass


@njit
def allocating(x, _probabilities, _logs, _sums):
    return softmax_along(x, -1)


def test_with_out_and_contiguous_rows_nothing_is_allocated() -> None:
    x = sample((50, 130))
    arguments = x, np.empty_like(x), np.empty_like(x), np.empty(50)
    counts = []
    was_on = _nrt_python.memsys_stats_enabled()
    _nrt_python.memsys_enable_stats()
    try:
        for function in (doing_nothing, without_allocating, allocating):
            function(*arguments)
            before = rtsys.get_allocation_stats().alloc
            function(*arguments)
            counts.append(rtsys.get_allocation_stats().alloc - before)
    finally:
        if not was_on:
            _nrt_python.memsys_disable_stats()
    of_the_arguments, with_out, without = counts
    assert with_out == of_the_arguments
    assert without > of_the_arguments


@njit
def with_scalars(x, yes, tau):
    return (
        softmax(x, where=True),
        softmax(x, where=yes, temperature=tau),
        logsumexp(x, where=False),
        logsumexp(x, b=tau, return_sign=True),
    )


def test_scalars_and_arrays_without_an_axis_are_masks_temperatures_and_weights_too() -> None:
    x, yes, tau = sample((3, 20)), np.array(True), np.array(2.5)
    results, expected = with_scalars(x, yes, tau), with_scalars.py_func(x, yes, tau)
    for result, wanted in zip((*results[:3], *results[3]), (*expected[:3], *expected[3]), strict=True):
        assert_same_bits(result, wanted)


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("function", ALL)
def test_an_axis_out_of_range_raises_numpys_error(function: Any) -> None:
    for axis in (2, -3):
        with pytest.raises(AxisError, match=f"axis {axis} is out of bounds for array of dimension 2"):
            ALONG[function](sample((4, 33)), axis)
    with pytest.raises(AxisError, match="axis 1 is out of bounds for array of dimension 1"):
        ALONG[function](sample(4), 1)


@njit
def at_temperature(x, temperature):
    return softmax(x, temperature=temperature)


@pytest.mark.parametrize("temperature", [-1.0, -np.inf, np.nan])
def test_a_negative_or_nan_temperature_raises_value_error(temperature: float) -> None:
    words = re.escape("accepted are real numbers from 0 to infinity")
    for call in (at_temperature, lambda x, temperature: softmax(x, temperature=temperature)):
        with pytest.raises(ValueError, match=words):
            call(sample((4, 33)), temperature)


def typing_errors() -> list[Any]:
    x = sample((4, 33))
    read_only = np.empty_like(x)
    read_only.flags.writeable = False
    return [
        pytest.param(softmax_along, (x.astype(complex), -1), "x has dtype complex128; accepted are", id="complex"),
        pytest.param(softmax_into, (x + 0j, -1, x + 0j), "x has dtype complex128; accepted are", id="complex out"),
        pytest.param(
            softmax_along,
            (x.astype(np.float16), -1),
            "x has dtype float16; accepted are float32, float64, integers or bool",
            id="float16",
        ),
        pytest.param(logsumexp_along, (1.0, -1), "x has type float64; accepted is an array", id="scalar"),
        pytest.param(softmax_along, (np.array(1.0), -1), "accepted is an array of at least one dimension", id="0-d"),
        pytest.param(softmax_along, (x, 1.0), "axis has type float64; accepted are an integer", id="axis"),
        pytest.param(softmax_into, (x, -1, x.astype(np.float32)), "out has dtype float32; the result has", id="dtype"),
        pytest.param(softmax_into, (x, -1, np.empty(132)), "out has 1 dimensions; the result has 2", id="flat"),
        pytest.param(logsumexp_into, (x, -1, x), "out has 2 dimensions; the result has 1", id="keepdims"),
        pytest.param(softmax_into, (x, -1, read_only), "out is read-only; accepted is a writeable", id="read-only"),
        pytest.param(softmax_into, (x, -1, 1.0), "out has type float64; accepted is an array", id="out"),
        # With an `out` there are two overloads to refuse what one refuses.
        pytest.param(softmax_into, (x, 1.0, x), "axis has type float64; accepted are an integer", id="axis, out"),
        pytest.param(softmax_into, (1.0, -1, x), "x has type float64; accepted is an array", id="scalar, out"),
        *(
            pytest.param(softmax_into, (logits, -1, logits), words, id=f"{logits.dtype}, in place")
            for logits, words in (
                (x.astype(np.int64), "out has dtype int64; the result has dtype float64"),
                (x.astype(np.uint16), "out has dtype uint16; the result has dtype float64"),  # bits of bfloat16
                (x.astype(np.float16), "x has dtype float16; accepted are"),
            )
        ),
        pytest.param(at_temperature, (x, "1"), "temperature has type unicode_type; accepted are", id="temperature"),
        pytest.param(
            at_temperature, (x, 1j), "temperature has type complex128; accepted are", id="complex temperature"
        ),
    ]


@pytest.mark.parametrize(("call", "arguments", "words"), typing_errors())
def test_what_the_types_decide_is_a_typing_error_that_says_so(call: Any, arguments: Any, words: str) -> None:
    with pytest.raises(TypingError, match=words):
        call(*arguments)


@njit
def with_threads(x):
    return softmax(x, threads=2)


def test_threads_are_not_accepted() -> None:
    with pytest.raises(TypingError, match="threads"):
        with_threads(sample((4, 33)))


def test_a_user_may_ask_numba_for_debug_information(warm_cache: Path) -> None:
    script = """
    import json, warnings
    import numpy as np
    from tests.test_njit import logsumexp_along
    warnings.simplefilter("ignore")  # Numba's, that it finds no line for a lambda
    print(json.dumps(logsumexp_along(np.zeros((2, 1)), -1).tolist()))
    """
    assert run(script, warm_cache, NUMBA_DEBUGINFO="1") == [0.0, 0.0]


# What a user calls in a function of three arguments: an array, a mask and a place for a result.
CACHED = {
    "axes and out": "softmax(x, 0), log_softmax(x, None, out=out), logsumexp(x, (0, 1)), logsumexp(x, 0, out=out[0])",
    "masks": "softmax(x, where=where)",  # by the same lines as log_softmax, and so are temperatures
    "temperatures": "softmax(x, temperature=2.0), softmax(x, temperature=x[:, :1])",
    "masked sums": "logsumexp(x, where=where), logsumexp(x, where=where[0], keepdims=True)",
    "weighted sums": "logsumexp(x, b=x), logsumexp(x, b=x[0], where=where, return_sign=True)",
    "gradients": "softmax_vjp(x, x, temperature=x[:, :1]), log_softmax_vjp(x, x[0], 0)",
    "losses": "cross_entropy(x, np.arange(2)), cross_entropy_and_grad(x, x, reduction='none')",
    "special": "special.softmax(x), special.log_softmax(x, 1), special.logsumexp(x, b=x, keepdims=True)",
    "ufuncs": "exp(x), log(x), sigmoid(x), log_sigmoid(x[0, 0]), softplus(x), temperature_scale(x, 2.0)",
}


@pytest.mark.parametrize("calls", CACHED.values(), ids=CACHED)
def test_a_users_cached_function_hits_in_the_next_process(calls: str, warm_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(
        "import numba\n"
        "import numpy as np\n"
        "from softmaxjit import *\n"
        "from softmaxjit import special\n"
        "@numba.njit(cache=True)\n"
        "def caller(x, where, out):\n"
        f"    return {calls}\n"
    )
    script = f"""
    import json, sys
    sys.path.insert(0, {str(tmp_path)!r})
    import numpy as np
    import user
    results = user.caller(np.ones((2, 2)), np.ones((2, 2), bool), np.empty((2, 2)))
    print(json.dumps([repr(results), sum(user.caller.stats.cache_hits.values())]))
    """
    first, second = [run(script, warm_cache) for _ in range(2)]
    assert first[1] == 0
    assert second == [first[0], 1]


def test_every_public_function_is_called_from_a_cached_one() -> None:
    of_arrays = set(softmaxjit.__all__) - {"__version__", "warmup"}
    assert set(re.findall(r"\b(\w+)\(x", " ".join(CACHED.values()))) == of_arrays

"""Wrong calls: what each says, in Python and inside ``@njit``, and that none writes to `out`."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError
from numpy.exceptions import AxisError

from softmaxjit import log_softmax, logsumexp, softmax

X = np.arange(12.0).reshape(3, 4)
SAME_SHAPE = (softmax, log_softmax)
SUM = (logsumexp,)
ALL = (*SAME_SHAPE, *SUM)

REAL = "accepted are float16, bfloat16, float32, float64, longdouble, integers or bool"
COMPLEX = "accepted are float16, bfloat16, float32, float64, longdouble, integers, bool or complex numbers"
NUMBERS = "accepted are real numbers from 0 to infinity"
ROWS = "accepted are scalars and shapes that broadcast to (3, 1), one for each row"
AXES = "accepted are an integer, a tuple of integers or None"
FLAGS = "accepted are True and False"
THREADS = "accepted are None and integers from 1"
RAGGED = "setting an array element with a sequence"


class Wrong(NamedTuple):
    """A wrong argument, the functions that have it, and how the message begins."""

    functions: tuple[Callable[..., Any], ...]
    argument: str
    value: Any
    error: type[Exception]
    message: str


def read_only(shape: Any) -> np.ndarray:
    result = np.full(shape, 77.0)
    result.flags.writeable = False
    return result


def filled(shape: Any, dtype: Any = np.float64) -> np.ndarray:
    return np.full(shape, 77, dtype)


def wrong_calls() -> list[Wrong]:
    def each(functions: Any, argument: str, error: Any, *pairs: tuple[Any, str]) -> list[Wrong]:
        return [Wrong(functions, argument, value, error, f"{argument} {message}") for value, message in pairs]

    masked = np.ma.array([[1.0], [2.0], [3.0]], mask=[[0], [1], [0]])
    return [
        *each(
            SAME_SHAPE,
            "x",
            TypeError,
            (np.ones((3, 4), complex), f"has dtype complex128; {REAL}"),
            (np.full((3, 4), "a"), f"has dtype <U1; {REAL}"),
            (np.full((3, 4), None), f"has dtype object; {REAL}"),
            ({"a": 1}, f"has dtype object; {REAL}"),
        ),
        *each(
            SUM,
            "x",
            TypeError,
            (np.full((3, 4), "a"), f"has dtype <U1; {COMPLEX}"),
            (np.zeros((3, 4), "M8[D]"), f"has dtype datetime64[D]; {COMPLEX}"),
            (None, f"has dtype object; {COMPLEX}"),
        ),
        *each(ALL, "x", ValueError, ([[1.0], [2.0, 3.0]], f"is no array: {RAGGED}")),
        *each(
            ALL,
            "axis",
            TypeError,
            (1.0, f"is 1.0; {AXES}"),
            ("0", f"is '0'; {AXES}"),
            ((0, 0.5), f"is (0, 0.5); {AXES}"),
            (np.array([0.0]), f"is array([0.]); {AXES}"),
        ),
        Wrong(ALL, "axis", 2, AxisError, "axis: axis 2 is out of bounds for array of dimension 2"),
        Wrong(ALL, "axis", (0, -3), AxisError, "axis: axis -3 is out of bounds for array of dimension 2"),
        Wrong(ALL, "axis", (1, -1), ValueError, "repeated axis in `axis` argument"),
        *each(
            SAME_SHAPE,
            "temperature",
            TypeError,
            ("1", f"is '1'; {NUMBERS}"),
            (None, f"is None; {NUMBERS}"),
            (1j, f"is 1j; {NUMBERS}"),
            ([[1], [2, 3]], f"is [[1], [2, 3]]; {NUMBERS}"),
            (np.array(["a"]), f"is array(['a'], dtype='<U1'); {NUMBERS}"),
            (masked, f"is {masked!r}; {NUMBERS}"),
        ),
        *each(
            SAME_SHAPE,
            "temperature",
            ValueError,
            (-1, f"is -1; {NUMBERS}"),
            (np.nan, f"is nan; {NUMBERS}"),
            (-np.inf, f"is -inf; {NUMBERS}"),
            (np.array([[1.0], [-2.0], [np.nan]]), f"has shape (3, 1) and holds -2.0; {NUMBERS}"),
            (np.array([[1.0], [2.0], [np.nan]]), f"has shape (3, 1) and holds nan; {NUMBERS}"),
            (np.ones(3), f"has shape (3,); {ROWS}"),
            (np.ones((3, 4)), f"has shape (3, 4); {ROWS}"),
            (np.ones((2, 1)), f"has shape (2, 1); {ROWS}"),
            (np.ones((1, 3, 1)), f"has shape (1, 3, 1); {ROWS}"),
        ),
        *each(
            ALL,
            "where",
            TypeError,
            (1, "has dtype int64; accepted is bool"),
            ("yes", "has dtype <U3; accepted is bool"),
            (np.ones((3, 4)), "has dtype float64; accepted is bool"),
            (np.array([[True, None]]), "has dtype object; accepted is bool"),
        ),
        *each(
            ALL,
            "where",
            ValueError,
            (np.ones(3, bool), "has shape (3,); accepted are shapes that broadcast to (3, 4)"),
            (np.ones((2, 3, 4), bool), "has shape (2, 3, 4); accepted are shapes that broadcast to (3, 4)"),
            ([[True], [True, False]], f"is no array: {RAGGED}"),
        ),
        *each(
            SUM,
            "b",
            TypeError,
            ("1", f"has dtype <U1; {COMPLEX}"),
            ([1, None, 2, 3], f"has dtype object; {COMPLEX}"),
        ),
        *each(
            SUM,
            "b",
            ValueError,
            (np.ones(3), "has shape (3,); it does not broadcast with shape (3, 4) of x"),
            ([[1.0], [2.0, 3.0]], f"is no array: {RAGGED}"),
        ),
        *[
            Wrong(SUM, name, value, TypeError, f"{name} is {value!r}; {FLAGS}")
            for name in ("keepdims", "return_sign")
            for value in ("no", 1, 0, None, [True], np.array(True), 1.0)
        ],
        *each(
            ALL,
            "threads",
            TypeError,
            (1.5, f"is 1.5; {THREADS}"),
            ("2", f"is '2'; {THREADS}"),
            ([1], f"is [1]; {THREADS}"),
        ),
        *each(ALL, "threads", ValueError, (0, f"is 0; {THREADS}"), (-1, f"is -1; {THREADS}")),
        *each(
            ALL,
            "out",
            TypeError,
            ([[77.0]], "is of type list; accepted is a numpy.ndarray"),
            (np.ma.array(filled((3, 4))), "is of type MaskedArray; accepted is a numpy.ndarray"),
            (np.float64(77), "is of type float64; accepted is a numpy.ndarray"),
        ),
        *each(
            SAME_SHAPE,
            "out",
            ValueError,
            (
                filled((4, 3)),
                "has shape (4, 3) and dtype float64; the result has shape (3, 4) and dtype float64",
            ),
            (
                filled((3, 4), np.float32),
                "has shape (3, 4) and dtype float32; the result has shape (3, 4) and dtype float64",
            ),
        ),
        Wrong(
            SAME_SHAPE,
            "out",
            read_only((3, 4)),
            ValueError,
            "out, with shape (3, 4), is read-only; accepted is a writeable array",
        ),
        *each(
            SUM,
            "out",
            ValueError,
            (filled((3, 1)), "has shape (3, 1) and dtype float64; the result has shape (3,) and dtype float64"),
            (filled(3, int), "has shape (3,) and dtype int64; the result has shape (3,) and dtype float64"),
            (filled(3, ">f8"), "has shape (3,) and dtype >f8; the result has shape (3,) and dtype float64"),
        ),
    ]


def test_weights_that_have_no_common_dtype_with_x_are_refused() -> None:
    with pytest.raises(TypeError, match="b has dtype float16; accepted are dtypes that go with bfloat16 of x"):
        logsumexp(X.astype(ml_dtypes.bfloat16), b=np.ones(4, np.float16))


@pytest.mark.parametrize("wrong", wrong_calls(), ids=lambda wrong: f"{wrong.argument} {str(wrong.value)[:20]!r}")
def test_a_wrong_argument_is_refused_in_so_many_words_and_out_is_untouched(wrong: Wrong) -> None:
    for function in wrong.functions:
        out = filled(3 if function is logsumexp else (3, 4))
        arguments = {"x": X, "out": out, wrong.argument: wrong.value}
        with pytest.raises(wrong.error, match="^" + re.escape(wrong.message)) as caught:
            function(arguments.pop("x"), **arguments)
        assert type(caught.value) is wrong.error
        assert (out == 77).all()
        if isinstance(wrong.value, np.ndarray) and wrong.argument == "out":
            assert (np.asarray(wrong.value) == 77).all()


def test_what_one_function_takes_another_does_not() -> None:
    for function, keyword in (*((f, k) for f in SAME_SHAPE for k in ("b", "keepdims")), (logsumexp, "temperature")):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{keyword}'"):
            function(X, **{keyword: 1})
    for function in ALL:
        with pytest.raises(TypeError, match="positional argument"):
            function(X, -1, 1.0)


def test_no_function_is_named_where_weights_make_the_result_larger_than_out() -> None:
    out = filled(3)
    words = "out has shape (3,) and dtype float64; the result has shape (2, 3) and dtype float64"
    with pytest.raises(ValueError, match=re.escape(words)):
        logsumexp(X, b=np.ones((2, 3, 4)), out=out)
    assert (out == 77).all()


# ------------------------------------------------------------------------------------------------------ inside @njit


@njit
def at_temperature(x, temperature, out):
    return softmax(x, temperature=temperature, out=out)


@njit
def masked(x, where, out):
    return log_softmax(x, where=where, out=out)


@njit
def weighted(x, b, out):
    return logsumexp(x, b=b, out=out)


@njit
def over(x, axis, out):
    return log_softmax(x, axis, out=out)


@njit
def with_keepdims(x, keepdims, out):
    return logsumexp(x, keepdims=keepdims, out=out)


@njit
def with_sign(x, return_sign, out):
    return logsumexp(x, return_sign=return_sign, out=out)


@njit
def softmax_into(x, _, out):
    return softmax(x, out=out)


@njit
def sums_into(x, _, out):
    return logsumexp(x, out=out)


SHAPE = "has a shape that does not broadcast to"

RUN_TIME = [
    (at_temperature, -1.0, ValueError, f"temperature is negative or NaN; {NUMBERS}"),
    (at_temperature, np.nan, ValueError, f"temperature is negative or NaN; {NUMBERS}"),
    (at_temperature, np.array([[1.0], [1.0], [-1.0]]), ValueError, f"temperature is negative or NaN; {NUMBERS}"),
    (at_temperature, np.ones((3, 4)), ValueError, f"temperature {SHAPE} x with length 1 along axis"),
    (at_temperature, np.ones((2, 1)), ValueError, f"temperature {SHAPE} x with length 1 along axis"),
    (masked, np.ones((3, 3), bool), ValueError, SHAPE),
    (masked, np.ones((4, 1), bool), ValueError, SHAPE),
    (weighted, np.ones((2, 4)), ValueError, SHAPE),
    (over, 2, AxisError, "axis 2 is out of bounds for array of dimension 2"),
    (over, (0, -3), AxisError, "axis -3 is out of bounds for array of dimension 2"),
    (over, (1, -1), ValueError, "repeated axis in `axis` argument"),
]

BY_TYPE = [
    (at_temperature, "1", "temperature has type unicode_type; accepted are real numbers"),
    (at_temperature, None, "temperature has type none; accepted are real numbers"),
    (at_temperature, np.ones((3, 1), complex), "temperature has type array(complex128, 2d, C); accepted are"),
    (at_temperature, np.ones((1, 3, 1)), "temperature has 3 dimensions; accepted are up to 2"),
    (masked, 1, "where has type int64; accepted are None, bool and arrays of it that broadcast to x"),
    (masked, np.ones((3, 4)), "where has type array(float64, 2d, C); accepted are None, bool and arrays of it"),
    (masked, np.ones((1, 3, 4), bool), "where has type array(bool, 3d, C); accepted are None, bool and arrays of it"),
    (weighted, "1", "b has type unicode_type; accepted are None, real numbers and arrays of them"),
    (weighted, 1j, "b has type complex128; accepted are None, real numbers and arrays of them"),
    (weighted, np.ones(4, complex), "b has dtype complex128; accepted are float32, float64, integers or bool"),
    (weighted, np.ones((1, 3, 4)), "b has 3 dimensions; accepted are up to 2 in compiled code"),
    (over, "0", f"axis has type unicode_type; {AXES}"),
    (over, (0, 1.0), f"axis has type Tuple(int64, float64); {AXES}"),
    (with_keepdims, 1, f"keepdims has type int64; accepted are the constants {FLAGS[13:]}"),
    (with_keepdims, True, f"keepdims has type bool; accepted are the constants {FLAGS[13:]}"),
    (with_sign, None, f"return_sign has type none; accepted are the constants {FLAGS[13:]}"),
]


def output_of(call: Any, dtype: Any = np.float64) -> np.ndarray:
    return filled(3 if call in {weighted, with_keepdims, with_sign, sums_into} else (3, 4), dtype)


@pytest.mark.parametrize(("call", "value", "error", "message"), RUN_TIME)
def test_compiled_code_raises_what_values_decide(call: Any, value: Any, error: Any, message: str) -> None:
    out = output_of(call)
    with pytest.raises(error, match=re.escape(message)):
        call(X, value, out)
    assert (out == 77).all()


@pytest.mark.parametrize(("call", "value", "message"), BY_TYPE)
def test_compiled_code_is_refused_where_types_decide(call: Any, value: Any, message: str) -> None:
    out = output_of(call)
    with pytest.raises(TypingError, match=re.escape(message)):
        call(X, value, out)
    assert (out == 77).all()


@pytest.mark.parametrize("call", [softmax_into, sums_into])
def test_compiled_code_refuses_a_wrong_out(call: Any) -> None:
    good = output_of(call)
    for out, message in (
        (good.astype(np.float32), "out has dtype float32; the result has dtype float64"),
        (good[None], f"out has {good.ndim + 1} dimensions; the result has {good.ndim}"),
        (read_only(good.shape), "out is read-only; accepted is a writeable array"),
        (1.0, "out has type float64; accepted is an array"),
    ):
        with pytest.raises(TypingError, match=message):
            call(X, None, out)
        assert np.isin(out, [77, 1]).all()
    out = filled((5, *good.shape[1:]))
    with pytest.raises(ValueError, match="out has another shape than the result"):
        call(X, None, out)
    assert (out == 77).all()


@njit
def sums_with_threads(x, threads, out):
    return logsumexp(x, out=out, threads=threads)


@njit
def softmax_with_threads(x, threads, out):
    return softmax(x, out=out, threads=threads)


@pytest.mark.parametrize(("call", "shape"), [(sums_with_threads, (3,)), (softmax_with_threads, X.shape)])
def test_compiled_code_refuses_threads(call: Any, shape: tuple[int, ...]) -> None:
    out = filled(shape)
    with pytest.raises(TypingError, match="threads is not accepted in compiled code, where calls are serial"):
        call(X, 2, out)
    assert (out == 77).all()


@pytest.mark.parametrize("dtype", [np.float16, np.complex128, "M8[D]"])
def test_compiled_code_refuses_dtypes_that_it_has_no_kernels_for(dtype: Any) -> None:
    for call in (softmax_into, sums_into):
        with pytest.raises(TypingError, match=r"x has dtype .*; accepted are float32, float64, integers or bool"):
            call(X.astype(np.int64).astype(dtype), None, output_of(call))

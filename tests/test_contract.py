"""The public contract, row by row: one table of bodies, run in Python, in ``@njit`` and side by side in parallel.

Each body is also run with the functions of `exact` in place of ours.
"""

import functools
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numba import njit, prange

from softmaxjit import log_softmax, logsumexp, softmax

from . import exact
from .exact import Exact, assert_exact, assert_same_bits

INF, NAN = np.inf, np.nan


def sample(shape: Any = (3, 40), dtype: Any = np.float64, scale: float = 3.0) -> np.ndarray:
    return (np.random.default_rng(3).standard_normal(shape) * scale).astype(dtype)


def holed(shape: Any = (3, 40)) -> np.ndarray:
    """Return a mask with gaps in each row, and one row with nothing left."""
    where = np.random.default_rng(4).random(shape) < 0.6
    where[1] = False
    return where


def poisoned() -> np.ndarray:
    """Return rows that hold NaN and infinities under `holed`, and the last a NaN beside it."""
    x = sample((4, 40))
    x[~holed((4, 40))] = np.resize([NAN, INF, -INF], (~holed((4, 40))).sum())
    x[3, np.argmax(holed((4, 40))[3])] = NAN
    return x


def special() -> np.ndarray:
    x = sample((7, 40))
    for row, values in enumerate([(NAN,), (INF,), (-INF,), (NAN, INF), (INF, -INF), (INF, INF)]):
        x[row, 5 : 5 + len(values)] = values
    x[6] = -INF
    return x


# ---------------------------------------------------------------------------------------------------------- the bodies


def axes(x, axis):
    return (
        softmax(x, axis),
        log_softmax(x, (0, 2)),
        softmax(x, axis=None),
        softmax(x, ()),
        logsumexp(x, (-1, 1), keepdims=True),
    )


def temperatures(x, each_row, each_column, scalar):
    return (
        softmax(x, temperature=each_row),
        log_softmax(x, temperature=each_row),
        softmax(x, 0, temperature=each_column),
        log_softmax(x, temperature=scalar),
    )


def masks(x, where, column_mask, each_row):
    return (
        softmax(x, where=where),
        log_softmax(x, 0, where=column_mask),
        logsumexp(x, where=where),
        log_softmax(x, where=where, temperature=each_row),
    )


def weights(x, b, one_row, where):
    masked, masked_sign = logsumexp(x, 0, b=one_row, where=where, keepdims=True, return_sign=True)
    log, sign = logsumexp(x, b=b, return_sign=True)
    return (
        logsumexp(x, b=b),
        logsumexp(x, None, b=0.25),
        logsumexp(x, return_sign=True)[1],
        masked,
        masked_sign,
        log,
        sign,
    )


def dtypes(x, wide, integers, flags):
    return (
        softmax(x, temperature=0.5),
        logsumexp(x, b=wide),
        softmax(integers),
        log_softmax(flags, where=flags),
    )


def outs(x, whole, strided, sums, kept, where, in_place, overlapped, overlapping):
    return (
        softmax(x, out=whole),
        log_softmax(x, where=where, out=strided),
        logsumexp(x, out=sums),
        logsumexp(x, keepdims=True, b=x, out=kept),
        softmax(in_place, where=where, out=in_place),
        log_softmax(overlapped, out=overlapping),
    )


def empties(no_rows, no_columns):
    log, sign = logsumexp(no_columns, return_sign=True)
    return softmax(no_rows), log_softmax(no_columns), logsumexp(no_rows, None), log, sign


def layouts(fortran, strided, where, each_row):
    return softmax(fortran, where=where, temperature=each_row), logsumexp(fortran, 0, b=strided, return_sign=True)[0]


def each_row(x, where, temperature, probabilities, sums):
    for row in prange(x.shape[0]):
        softmax(x[row], temperature=temperature[row], where=where[row], out=probabilities[row])
        sums[row] = logsumexp(x[row], b=probabilities[row])
    return probabilities, sums


def overlapped() -> tuple[np.ndarray, np.ndarray]:
    buffer = np.resize(sample(100), 130)
    return buffer[:120].reshape(3, 40), buffer[7:127].reshape(3, 40)


def frozen(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


SIGNED = np.where(np.arange(120) % 3 == 0, -0.5, 2.0).reshape(3, 40)
EACH_ROW = np.array([[0.3], [2.0], [1e-30]])
LIMITS = np.array([[0.0], [INF], [0.7]])


class Case(NamedTuple):
    """A body and what makes its arguments, anew for each run, which may write to some of them."""

    body: Callable[..., tuple[Any, ...]]
    arguments: Callable[[], tuple[Any, ...]]
    written: tuple[int, ...] = ()


CASES = {
    "axis -1": Case(axes, lambda: (sample((3, 4, 9)), -1)),
    "axis 0": Case(axes, lambda: (sample((3, 4, 9)), 0)),
    "axis 1": Case(axes, lambda: (sample((3, 4, 9)), 1)),
    "axis -3 of more": Case(axes, lambda: (sample((2, 1, 70)), -3)),
    "temperature": Case(temperatures, lambda: (sample(), EACH_ROW, np.linspace(0.1, 4, 40), 2.5)),
    "limits of temperature": Case(temperatures, lambda: (sample().round(), LIMITS, np.resize([0, INF, 1.0], 40), 0.0)),
    "one temperature": Case(temperatures, lambda: (sample(), np.array([[0.9]]), np.array([2.0]), 1e-30)),
    "where": Case(masks, lambda: (poisoned(), holed((4, 40)), holed((4, 40))[0], np.array([[1.0], [0], [0.2], [INF]]))),
    "where of one row": Case(masks, lambda: (sample(), holed()[:1], holed()[2], EACH_ROW)),
    "where nothing is masked": Case(masks, lambda: (sample(), holed() | True, holed()[2] | True, LIMITS)),
    "b": Case(weights, lambda: (sample(), SIGNED, SIGNED[0], holed())),
    "b of one row": Case(weights, lambda: (sample(), SIGNED[:1], -SIGNED[1], holed()[1:2])),
    "b is 0": Case(weights, lambda: (sample(), 0 * SIGNED, SIGNED[0], holed())),
    "dtypes": Case(dtypes, lambda: (sample((3, 40), np.float32), abs(SIGNED), sample(scale=9).astype(int), holed())),
    "out": Case(
        outs,
        lambda: (
            *(abs(sample()), sample(), sample((3, 80))[:, ::2], sample(3), sample((3, 1)), holed()),
            *(sample(), *overlapped()),
        ),
        written=(1, 2, 3, 4, 6, 7, 8),
    ),
    "empty": Case(empties, lambda: (np.empty((0, 3)), np.empty((3, 0)))),
    "NaN and infinities": Case(temperatures, lambda: (special(), LIMITS[[0, 1, 2, 2, 2, 2, 2]], np.ones(40), 0.5)),
    "NaN and infinities under weights": Case(
        weights, lambda: (special(), np.array([[0, 0, 0.5, 1, -1] * 8]), np.ones(40), holed((7, 40)))
    ),
    "layouts": Case(
        layouts,
        lambda: (np.asfortranarray(sample()), sample((3, 80))[:, ::-2], holed()[:, ::-1], frozen(EACH_ROW.copy())),
    ),
    "each row in a loop": Case(
        each_row, lambda: (sample(), holed(), np.array([0.3, 1, 0]), sample(), sample(3)), written=(3, 4)
    ),
}

# ------------------------------------------------------------------------------------------------------- the runners

COMPILED: dict[Any, Any] = {body: njit(body) for body in {case.body for case in CASES.values()}}


def in_python(case: Case) -> tuple[Any, ...]:
    return run_once(case, case.body)


def in_njit(case: Case) -> tuple[Any, ...]:
    return run_once(case, COMPILED[case.body])


@functools.cache
def parallel_caller(body: Callable[..., Any]) -> Any:
    """Return a function that runs a body `times` times side by side on the same arguments, and once alone."""
    compiled = COMPILED[body]

    # What the first return is dropped: results put into a list from a parallel loop crash Numba 0.68.
    @njit(parallel=True)
    def caller(times, arguments, others):
        for _ in prange(times):
            compiled(*arguments)
        return compiled(*others)

    return caller


def in_parallel(case: Case) -> tuple[Any, ...]:
    arguments, others = case.arguments(), case.arguments()
    results = parallel_caller(case.body)(1 if case.written else 4, arguments, others)
    for k in case.written:
        assert_same_bits(arguments[k], others[k])
    return results


def run_once(case: Case, call: Callable[..., Any]) -> tuple[Any, ...]:
    """Run a body, and see that it wrote to nothing that it should not write to."""
    arguments, before = case.arguments(), case.arguments()
    results = call(*arguments)
    for k, (argument, original) in enumerate(zip(arguments, before, strict=True)):
        if k not in case.written and isinstance(argument, np.ndarray):
            np.testing.assert_array_equal(argument, original)
    return results


def run_exactly(case: Case) -> tuple[Exact, ...]:
    """Run a body on the functions of `exact`."""
    names = {name: getattr(exact, name) for name in ("softmax", "log_softmax", "logsumexp")}
    body = types.FunctionType(case.body.__code__, {**globals(), **names})
    return body(*case.arguments())


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.body is not each_row])
def test_python_is_exact(name: str) -> None:
    for result, wanted in zip(in_python(CASES[name]), run_exactly(CASES[name]), strict=True):
        assert_exact(result, wanted)


@pytest.mark.parametrize("runner", [in_njit, in_parallel])
@pytest.mark.parametrize("name", CASES)
def test_compiled_code_gives_the_bits_of_python(name: str, runner: Callable[[Case], tuple[Any, ...]]) -> None:
    for result, wanted in zip(runner(CASES[name]), in_python(CASES[name]), strict=True):
        assert_same_bits(result, wanted)

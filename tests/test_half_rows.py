"""Kernels of rows on float16 and bfloat16: the bits of the float32 kernels' results, rounded once."""

from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from softmaxjit._carriers import carried
from softmaxjit._kernels.gradients import log_softmax_vjp_rows, softmax_vjp_rows
from softmaxjit._kernels.log_softmax import log_softmax_rows
from softmaxjit._kernels.logsumexp import logsumexp_rows
from softmaxjit._kernels.softmax import softmax_rows
from softmaxjit._kernels.temperature import ONE_FOR_ALL

from .children import finish, start
from .guard_pages import GuardedPages, Side
from .halves import HALVES, bits_but_of_nan, converted
from .vectors import Array

LENGTHS = (*range(1, 71), 1000)
ROWS = 5
SINGLE = np.dtype(np.float32)
TEMPERATURE = 0.7

FAMILIES = {
    "near": lambda rng, n: 3 * rng.standard_normal((ROWS, n)),
    "wide": lambda rng, n: 300 * rng.standard_normal((ROWS, n)),
    "far": lambda rng, n: rng.choice([-6e4, 6e4, 5e4, 1e-6], (ROWS, n)),
    # Subnormal numbers, and so far below 0 that the logarithm of the sum is subnormal or the smallest above.
    "tiny": lambda rng, n: rng.choice([-1e-39, 1e-39, 0, -1e-7], (ROWS, n)),
    "confident": lambda rng, n: np.where(np.arange(n) == n // 2, 0, -60 + rng.integers(-6, 6, (ROWS, n)) / 2),
    "special": lambda rng, n: rng.choice([-np.inf, np.inf, np.nan, 1.0], (ROWS, n), p=[0.3, 0.1, 0.1, 0.5]),
}


def rows(family: str, n: int, dtype: Any) -> Array:
    return FAMILIES[family](np.random.default_rng(n), n).astype(dtype)


def logsumexp(x: Array, out: Array) -> None:
    logsumexp_rows.compiled(x.dtype)(carried(x.reshape(-1)), x.shape[1], carried(out))


def activation(kernel: Any, x: Array, out: Array) -> None:
    compiled = kernel.compiled(x.dtype, ONE_FOR_ALL)
    compiled(carried(x.reshape(-1)), x.shape[1], TEMPERATURE, carried(out.reshape(-1)))


def log_softmax(x: Array, out: Array) -> None:
    activation(log_softmax_rows, x, out)


def softmax(x: Array, out: Array) -> None:
    activation(softmax_rows, x, out)


def gradient(kernel: Any, x: Array, cotangent: Array, out: Array) -> None:
    flat = [carried(array.reshape(-1)) for array in (x, cotangent, out)]
    kernel.compiled(x.dtype, ONE_FOR_ALL)(*flat[:2], x.shape[1], TEMPERATURE, flat[2])


def both(call: Any, operands: list[Array], shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Return the bits of a kernel's result in the operands' dtype, and of that in float32, rounded."""
    dtype = operands[0].dtype
    out, single = np.zeros(shape, dtype), np.zeros(shape, SINGLE)
    call(*operands, out)
    call(*(operand.astype(SINGLE) for operand in operands), single)
    return bits_but_of_nan(out), bits_but_of_nan(converted(single, dtype))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_results_are_the_float32_results_rounded_once(dtype: Any, family: str) -> None:
    for n in LENGTHS:
        x = rows(family, n, dtype)
        for call, shape in ((logsumexp, (ROWS,)), (log_softmax, x.shape), (softmax, x.shape)):
            found, expected = both(call, [x], shape)
            assert found == expected, n


@pytest.mark.parametrize("kernel", [softmax_vjp_rows, log_softmax_vjp_rows], ids=["softmax", "log_softmax"])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_gradients_are_the_float32_results_rounded_once(dtype: Any, kernel: Any) -> None:
    for n in LENGTHS:
        operands = [-np.abs(rows("near", n, dtype)), rows("near", n + 1, dtype)[:, :n].copy()]
        found, expected = both(lambda *arrays: gradient(kernel, *arrays), operands, (ROWS, n))
        assert found == expected, n


@pytest.mark.parametrize("call", [softmax, log_softmax])
def test_activations_work_in_place(call: Any) -> None:
    for n in LENGTHS:
        x = rows("near", n, HALVES[0])
        call(x, out := np.zeros_like(x))
        call(x, x)
        assert x.tobytes() == out.tobytes()


def wrong_calls() -> list[str]:
    """Return the calls, if any, that wrote elsewhere or gave other results than in ordinary memory; run in a child."""
    pages, result = GuardedPages(2 * ROWS * max(LENGTHS)), GuardedPages(2 * ROWS * max(LENGTHS))
    wrong = []
    for dtype, n, side in product(HALVES, LENGTHS, get_args(Side)):
        x = rows("near", n, dtype)
        for call, shape in ((logsumexp, (ROWS,)), (log_softmax, x.shape), (softmax, x.shape)):
            call(x, expected := np.zeros(shape, dtype))
            call(pages.hold(x, side), out := result.hold(np.zeros(shape, dtype), side))
            if out.tobytes() != expected.tobytes() or not (pages.is_blank_around() and result.is_blank_around()):
                wrong.append(f"{call.__name__} {dtype} {n} {side}")
    return wrong


SCRIPT = """
import faulthandler, json
from tests.test_half_rows import wrong_calls
faulthandler.enable()
print(json.dumps(wrong_calls()))
"""


PROCESSORS: dict[str, dict[str, str]] = {"this": {}, "generic": {"NUMBA_CPU_NAME": "generic"}}


def test_kernels_touch_nothing_beyond_rows_of_halves(warm_cache: Path) -> None:
    children = [start(SCRIPT, warm_cache, **chosen) for chosen in PROCESSORS.values()]
    assert [finish(child) for child in children] == [[], []]

"""A row's result has the same bits wherever the row lies, whatever is beside it, and whoever computes it on what."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llvmlite import binding
from numba import njit, prange

from softmaxjit import log_softmax, log_softmax_vjp, logsumexp, softmax, softmax_vjp

from .children import finish, start
from .exact import assert_same_bits
from .oracles import DTYPES

LENGTHS = (1, 2, 7, 15, 16, 17, 24, 33, 40, 64, 65, 127, 130, 1000, 2049)
ROWS = 9

Operation = Callable[..., np.ndarray]

# Of logits x and other numbers g, along an axis, with any further keywords.
OPERATIONS: dict[str, Operation] = {
    "softmax": lambda x, _, axis=-1, **k: softmax(x, axis, **k),
    "softmax at a temperature": lambda x, _, axis=-1, **k: softmax(x, axis, temperature=0.37, **k),
    "masked softmax": lambda x, g, axis=-1, **k: softmax(x, axis, where=g < 1, **k),
    "log_softmax": lambda x, _, axis=-1, **k: log_softmax(x, axis, **k),
    "logsumexp": lambda x, _, axis=-1, **k: logsumexp(x, axis, **k),
    "weighted logsumexp": lambda x, g, axis=-1, **k: logsumexp(x, axis, b=abs(g), **k),
    "softmax_vjp": lambda x, g, axis=-1, **k: softmax_vjp(abs(x), g, axis, **k),
    "log_softmax_vjp": lambda x, g, axis=-1, **k: log_softmax_vjp(-abs(x), g, axis, **k),
}


def rows(dtype: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield logits of several ranges and other numbers, of many lengths."""
    for n in LENGTHS:
        rng = np.random.default_rng(n)
        for scale in (1, 40, 1e4):
            x = (scale * rng.standard_normal((ROWS, n))).astype(dtype)
            yield x, rng.standard_normal((ROWS, n)).astype(dtype)


each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def shifted(x: np.ndarray, elements: int) -> np.ndarray:
    """Return a copy of an array so many elements from where a line of the cache begins."""
    memory = np.zeros(x.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + elements * x.itemsize
    copy = memory[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


@each_operation
@each_dtype
def test_at_any_alignment_of_operands_and_results(operation: Operation, dtype: Any) -> None:
    for x, g in rows(dtype):
        expected = operation(x, g)
        for elements in range(64 // x.itemsize):
            out = shifted(np.zeros_like(expected), elements * 3 % (64 // x.itemsize))
            assert_same_bits(operation(shifted(x, elements), shifted(g, elements * 5 % 8), out=out), expected)


@each_operation
@each_dtype
def test_in_any_layout(operation: Operation, dtype: Any) -> None:
    for x, g in rows(dtype):
        expected = operation(x, g)
        assert_same_bits(operation(x.repeat(2, axis=1)[:, ::2], g), expected)
        assert_same_bits(operation(x[:, ::-1].copy()[:, ::-1], g.repeat(3, axis=0)[::3]), expected)
        assert_same_bits(operation(np.asfortranarray(x), np.asfortranarray(g)), expected)
        across = operation(x.T.copy(), g.T.copy(), axis=0)
        assert_same_bits(np.ascontiguousarray(across.T), expected)


@each_operation
@each_dtype
def test_alone_and_in_any_batch(operation: Operation, dtype: Any) -> None:
    for x, g in rows(dtype):
        expected = operation(x, g)
        for parts in ([1] * ROWS, [8, 1], [2, 7], [4, 4, 1]):
            ends = np.cumsum(parts)
            split = [operation(x[end - k : end], g[end - k : end]) for k, end in zip(parts, ends, strict=True)]
            assert_same_bits(np.concatenate(split), expected)
        assert_same_bits(np.stack([operation(*row) for row in zip(x, g, strict=True)]), expected)


@each_operation
@each_dtype
def test_on_any_number_of_threads(operation: Operation, dtype: Any) -> None:
    for n in (7, 1000):
        rng = np.random.default_rng(n)
        x, g = rng.standard_normal((2, 70_000 // n, n)).astype(dtype)
        expected = operation(x, g, threads=1)
        for threads in (None, 2, 64):
            assert_same_bits(operation(x, g, threads=threads), expected)


# ------------------------------------------------------------------------------------------ entry points and processors


@njit
def every(x, g):
    return (
        softmax(x),
        softmax(x, temperature=0.37),
        softmax(x, where=g < 1),
        log_softmax(x),
        logsumexp(x),
        logsumexp(x, b=np.abs(g)),
        softmax_vjp(np.abs(x), g),
        log_softmax_vjp(-np.abs(x), g),
    )


@njit(parallel=True)
def every_in_parallel(x, probabilities, logs, sums):
    for row in prange(len(x)):
        softmax(x[row], out=probabilities[row])
        log_softmax(x[row], out=logs[row])
        sums[row] = logsumexp(x[row])


def digest(dtype: Any, through_compiled_code: bool) -> str:
    """Return a digest of the results of every operation; raise where compiled code gives others than Python."""
    found = hashlib.sha256()
    for x, g in rows(dtype):
        results = {name: operation(x, g) for name, operation in OPERATIONS.items()}
        for name, result in results.items():
            found.update(name.encode() + result.tobytes())
        if through_compiled_code:
            side_by_side = np.zeros_like(x), np.zeros_like(x), np.zeros(ROWS, dtype)
            every_in_parallel(x, *side_by_side)
            compiled = dict(zip(OPERATIONS, every(x, g), strict=True))
            for name, result in (
                *compiled.items(),
                *zip(("softmax", "log_softmax", "logsumexp"), side_by_side, strict=True),
            ):
                assert_same_bits(result, results[name])
    return found.hexdigest()


AVX2 = "+avx,+avx2,+fma,+bmi,+bmi2,+sse4.1,+sse4.2,+f16c"
AVX512 = f"{AVX2},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"

SCRIPT = """
import json
import numpy as np
from tests.test_same_bits import digest
print(json.dumps(digest(np.{dtype}, {through_compiled_code})))
"""


def processors() -> dict[str, dict[str, str]]:
    """Return settings for other processors of which this one has all that they have.

    Where it has no AVX-512, it computes what was compiled for a processor with it, but in vectors of AVX2.
    """
    has = binding.get_host_cpu_features().get
    if not has("avx2"):
        return {}
    return {
        "haswell": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": AVX2},
        "skylake-avx512": {
            "NUMBA_CPU_NAME": "skylake-avx512",
            "NUMBA_CPU_FEATURES": AVX512 if has("avx512vl") else f"{AVX2},-avx512f",
        },
    }


# Callers take long to compile, so those for one dtype are enough; `test_contract` has more, on one processor.
@pytest.mark.parametrize(("dtype", "through_compiled_code"), [(np.float32, True), (np.float64, False)])
def test_on_any_processor_with_fma(dtype: Any, through_compiled_code: bool, warm_cache: Path) -> None:
    script = SCRIPT.format(dtype=dtype.__name__, through_compiled_code=through_compiled_code)
    children = [start(script, warm_cache, **settings) for settings in processors().values()]
    expected = digest(dtype, through_compiled_code)
    assert [finish(child) for child in children] == [expected] * len(children)

"""What is right, and on what: one table of operations, lengths and input families, read by tests and benchmarks."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

import softmaxjit

DTYPES = (np.float32, np.float64)

# Around every multiple of the lanes (8 in float64, 16 in float32) and of the four vectors that a loop takes at once.
LENGTHS = (
    1,
    2,
    3,
    7,
    8,
    9,
    15,
    16,
    17,
    31,
    32,
    33,
    47,
    63,
    64,
    65,
    66,
    79,
    80,
    127,
    128,
    129,
    130,
    255,
    1000,
    1001,
    5000,
)

TEMPERATURES = (1.0, 0.37, 2.9)


def longdouble_parts(x: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (x - m) / temperature, its exponentials, and log(sum) of rows, in extended precision."""
    assert np.finfo(np.longdouble).nmant >= 63, "the oracle needs 80-bit numbers"
    z = x.astype(np.longdouble)
    z = (z - z.max(axis=-1, keepdims=True)) / np.longdouble(temperature)
    e = np.exp(z)
    others = e.copy()
    np.put_along_axis(others, z.argmax(axis=-1, keepdims=True), 0, axis=-1)
    return z, e, np.log1p(others.sum(axis=-1, keepdims=True))


def exact_softmax(x: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    _, e, _ = longdouble_parts(x, temperature)
    return e / e.sum(axis=-1, keepdims=True)


def exact_log_softmax(x: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    z, _, log = longdouble_parts(x, temperature)
    return z - log


def exact_logsumexp(x: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    assert temperature == 1
    _, _, log = longdouble_parts(x, 1.0)
    return (x.astype(np.longdouble).max(axis=-1, keepdims=True) + log)[..., 0]


def largest_term(x: np.ndarray) -> np.ndarray:
    """Return the larger of the maximum and the logarithm: where they cancel, the errors are those of the terms."""
    _, _, log = longdouble_parts(x, 1.0)
    return np.maximum(np.abs(x.max(axis=-1)), log[..., 0])


class Operation(NamedTuple):
    """An operation on rows, its oracle, and the bound between them in ulp."""

    name: str
    compute: Callable[..., Any]
    exact: Callable[..., np.ndarray]
    bound: float
    takes_temperature: bool

    def error(self, x: np.ndarray, temperature: float = 1.0) -> float:
        """Return the largest error in ulp: of the result, in logsumexp of its largest term if that is larger."""
        keywords = {"temperature": temperature} if self.takes_temperature else {}
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            scale = 0 if self.takes_temperature else largest_term(x)
            return ulp_error(self.compute(x, **keywords), self.exact(x, temperature), scale)


OPERATIONS = (
    Operation("softmax", softmaxjit.softmax, exact_softmax, 4.0, True),
    Operation("log_softmax", softmaxjit.log_softmax, exact_log_softmax, 2.0, True),
    Operation("logsumexp", softmaxjit.logsumexp, exact_logsumexp, 1.0, False),
)


def families(n: int, dtype: Any, rows: int, seed: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """Yield named batches of rows of length n."""
    rng = np.random.default_rng([seed, n])
    shape = (rows, n)
    limit = float(np.finfo(dtype).max)
    tiny = float(np.finfo(dtype).tiny)

    def one_dominant(gap: float) -> np.ndarray:
        x = 3.3 - gap - rng.uniform(0, 1, shape)
        x[np.arange(rows), rng.integers(n, size=rows)] = 3.3
        return x

    normal = rng.standard_normal(shape)
    for scale in (0.1, 1, 3, 10):
        yield f"normal x {scale}", (scale * normal).astype(dtype)
    yield "uniform +-40", rng.uniform(-40, 40, shape).astype(dtype)
    yield "all equal", np.repeat(5 * normal[:, :1], n, axis=1).astype(dtype)
    for gap in (5, 25, 80, 200):
        yield f"one dominant by {gap}", one_dominant(gap).astype(dtype)
    for offset in (1e4, -1e4, 1e6):
        yield f"offset {offset:g}", (offset + normal).astype(dtype)
    yield "near the largest number", (limit * (1 - rng.uniform(0, 1e-6, shape))).astype(dtype)
    yield "near the most negative number", (-limit * (1 - rng.uniform(0, 1e-6, shape))).astype(dtype)
    yield "both ends of the range", (limit * rng.choice([-1.0, 1.0], shape)).astype(dtype)
    yield "subnormal", (tiny * rng.uniform(-1, 1, shape)).astype(dtype)
    yield "signed zeros", (0.0 * rng.choice([-1.0, 1.0], shape)).astype(dtype)
    yield "ascending", np.sort(3 * normal, axis=1).astype(dtype)
    yield "descending", -np.sort(3 * normal, axis=1).astype(dtype)
    yield "wide", rng.uniform(-300, 300, shape).astype(dtype)


def ulp_error(result: np.ndarray, exact: np.ndarray, scale: Any = 0) -> float:
    """Return the largest error in ulp of the result, or of `scale` where that is larger.

    Results below the smallest normal number do not count.
    """
    dtype = result.dtype
    counts = np.maximum(np.abs(exact), scale) >= ml_dtypes.finfo(dtype).tiny
    if not counts.any():
        return 0.0
    result, exact, scale = result[counts], exact[counts], np.broadcast_to(scale, exact.shape)[counts]
    error = np.abs(result.astype(np.longdouble) - exact) / np.spacing(np.maximum(np.abs(exact), scale).astype(dtype))
    error[np.isinf(result) & (result == exact.astype(dtype))] = 0
    return float(np.where(np.isnan(error), np.inf, error).max())

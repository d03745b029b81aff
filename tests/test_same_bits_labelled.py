"""What takes labels has the same bits on any number of threads, in any batch, and on any processor with FMA."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softmaxjit import cross_entropy, cross_entropy_and_grad, softmax
from softmaxjit.calibration import (
    bootstrap,
    brier_decomposition,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    fit_vector_scaling,
    nll,
    reliability_curve,
)

from .children import finish, start
from .exact import assert_same_bits
from .oracles import DTYPES
from .test_same_bits import processors

LENGTHS = (2, 10, 17, 40, 130, 1000)
ROWS = 9

Operation = Callable[..., Any]

# A number, or several, for each row; of logits, their classes, other numbers in their shape and a temperature by row.
BY_ROW: dict[str, Operation] = {
    "cross_entropy": lambda x, y, *_, **k: cross_entropy(x, y, reduction="none", **k),
    "cross_entropy at temperatures": lambda x, y, _, t, **k: cross_entropy(
        x, y, temperature=t, label_smoothing=0.1, reduction="none", **k
    ),
    "cross_entropy with probabilities": lambda x, _, g, *__, **k: cross_entropy(x, abs(g), reduction="none", **k),
    "cross_entropy_and_grad": lambda x, y, *_, **k: cross_entropy_and_grad(x, y, reduction="none", **k),
}

# Numbers for all rows together.
OVER_ROWS: dict[str, Operation] = {
    "mean cross_entropy": cross_entropy,
    "mean cross_entropy_and_grad": cross_entropy_and_grad,
    "fit_temperature": fit_temperature,
    "fit_vector_scaling": lambda x, y, **k: fit_vector_scaling(x, y, max_iter=5, **k)[:4],
    "expected_calibration_error": lambda x, y, **k: expected_calibration_error(x, y, from_logits=True, **k),
    "the same by class": lambda x, y, **k: expected_calibration_error(x, y, from_logits=True, classwise=True, **k),
    "the same of mass": lambda x, y, **k: expected_calibration_error(softmax(x), y, binning="mass", **k),
    "brier_score": lambda x, y, **k: brier_score(softmax(x), y, **k),
    "brier_decomposition": lambda x, y, **k: brier_decomposition(x, y, from_logits=True, **k),
    "nll": lambda x, y, **k: nll(x, y, from_logits=True, **k),
    "reliability_curve": lambda x, y, **k: reliability_curve(x, y, from_logits=True, **k),
    "bootstrap of a mean": lambda x, y, **k: bootstrap(nll, x, y, from_logits=True, n_resamples=50, rng=1, **k),
    "bootstrap of an error": lambda x, y, **k: bootstrap(
        expected_calibration_error, softmax(x), y, n_resamples=50, rng=1, **k
    ),
    "the same of mass by resample": lambda x, y, **k: bootstrap(
        expected_calibration_error, softmax(x), y, n_resamples=50, rng=1, binning="mass", **k
    ),
}


def logits_and_more(dtype: Any, rows: int, n: int, scale: float) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(n)
    x, g = (scale * rng.standard_normal((rows, n))).astype(dtype), rng.standard_normal((rows, n)).astype(dtype)
    return x, rng.integers(n, size=rows), g, rng.uniform(0.1, 10, (rows, 1))


def batches(dtype: Any) -> Iterator[tuple[np.ndarray, ...]]:
    for n in LENGTHS:
        for scale in (1, 40, 1e4):
            yield logits_and_more(dtype, ROWS, n, scale)


def arrays(result: Any) -> list[np.ndarray]:
    """Return what an operation gave as arrays."""
    if isinstance(result, tuple):
        return [array for each in result for array in arrays(each)]
    return [np.asarray(result)]


def assert_all_same(results: Any, expected: Any) -> None:
    for result, other in zip(arrays(results), arrays(expected), strict=True):
        assert_same_bits(result, other)


each_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.mark.parametrize("operation", BY_ROW.values(), ids=BY_ROW)
@each_dtype
def test_alone_and_in_any_batch(operation: Operation, dtype: Any) -> None:
    for operands in batches(dtype):
        expected = arrays(operation(*operands))
        for parts in ([1] * ROWS, [8, 1], [4, 4, 1]):
            ends = np.cumsum(parts)
            split = [
                arrays(operation(*[operand[end - k : end] for operand in operands]))
                for k, end in zip(parts, ends, strict=True)
            ]
            assert_all_same(tuple(map(np.concatenate, zip(*split, strict=True))), tuple(expected))


@pytest.mark.parametrize("operation", BY_ROW.values(), ids=BY_ROW)
@each_dtype
def test_of_each_row_on_any_number_of_threads(operation: Operation, dtype: Any) -> None:
    for n in (10, 1000):
        operands = logits_and_more(dtype, 70_000 // n, n, 3)
        expected = operation(*operands, threads=1)
        for threads in (None, 2, 64):
            assert_all_same(operation(*operands, threads=threads), expected)


@pytest.mark.parametrize("operation", OVER_ROWS.values(), ids=OVER_ROWS)
@each_dtype
def test_of_all_rows_on_any_number_of_threads(operation: Operation, dtype: Any) -> None:
    x, labels, *_ = logits_and_more(dtype, 7_000, 10, 3)
    expected = operation(x, labels, threads=1)
    for threads in (None, 2, 64):
        assert_all_same(operation(x, labels, threads=threads), expected)


# ---------------------------------------------------------------------------------------------------------- processors


def digest(dtype: Any) -> str:
    """Return a digest of the results of every operation, on one thread, which compiles less."""
    found = hashlib.sha256()
    for operands in batches(dtype):
        for operation in BY_ROW.values():
            found.update(b"".join(array.tobytes() for array in arrays(operation(*operands, threads=1))))
    x, labels, *_ = logits_and_more(dtype, 500, 10, 3)
    for operation in OVER_ROWS.values():
        found.update(b"".join(array.tobytes() for array in arrays(operation(x, labels, threads=1))))
    return found.hexdigest()


SCRIPT = """
import json
import numpy as np
from tests.test_same_bits_labelled import digest
print(json.dumps(digest(np.{dtype})))
"""


@each_dtype
def test_on_any_processor_with_fma(dtype: Any, tmp_path: Path) -> None:
    script = SCRIPT.format(dtype=dtype.__name__)
    children = [start(script, tmp_path / name, **settings) for name, settings in processors().items()]
    expected = digest(dtype)
    assert [finish(child) for child in children] == [expected] * len(children)

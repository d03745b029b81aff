"""What contenders compute: the setting, its logits, and which results are right."""

import math
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from . import CommandError
from .table import shape_and_axis

Array = np.ndarray[Any, Any]

# How far a result may be off: textbooks in 16 bits also round the differences, sums and quotients to these.
TOLERANCES = {"float64": 2e-4, "float32": 2e-4, "float16": 0.03, "bfloat16": 0.15}


class Setting(NamedTuple):
    """What every contender is to compute."""

    operation: str
    shape: tuple[int, ...]
    axis: int
    dtype: str
    threads: int

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def title(self) -> str:
        """The shape and its axis, the last axis unsaid, as the command line takes them."""
        text = "x".join(map(str, self.shape))
        return text if self.axis in (-1, len(self.shape) - 1) else f"{text}@{self.axis}"


class Problem(NamedTuple):
    """A setting and its logits."""

    setting: Setting
    x: Array

    def empty_result(self) -> Array:
        """Return an array for the result, its pages touched: only the allocating calls are to pay for fresh pages."""
        shape = list(self.x.shape)
        if self.setting.operation == "logsumexp":
            del shape[self.setting.axis]
        return np.ones(shape, self.x.dtype)


def problem_of(setting: Setting) -> Problem:
    """Return a setting with logits, the same in every process."""
    bits = import_module("ml_dtypes").bfloat16 if setting.dtype == "bfloat16" else setting.dtype
    return Problem(setting, (3 * np.random.default_rng(0).standard_normal(setting.shape)).astype(bits))


def parsed_shape(text: str) -> tuple[tuple[int, ...], int]:
    """Return the shape and the axis that the command line was given."""
    try:
        return shape_and_axis(text)
    except ValueError as error:
        raise CommandError(f"--shape is {error}", 2) from None


def check(problem: Problem, result: Array) -> float:
    """Raise ValueError unless a result is about right, so that nobody is timed for something else.

    Long rows may be as wrong as sums that are added up one by one in the dtype, up to 2 %: it is the same work.

    Returns
    -------
    float
        The largest relative error where it is above what rows of any length may have, else 0.
    """
    axis, operation = problem.setting.axis, problem.setting.operation
    x = problem.x.astype(np.float64)
    largest = x.max(axis=axis, keepdims=True)
    x -= largest
    total = np.exp(x).sum(axis=axis, keepdims=True)
    if operation == "softmax":
        expected = np.exp(x) / total
    elif operation == "log_softmax":
        expected = x - np.log(total)
    else:
        expected = np.squeeze(largest + np.log(total), axis)
    if result.dtype != problem.x.dtype or result.shape != expected.shape:
        raise ValueError(f"a wrong result: {result.dtype} of shape {result.shape}")
    usual = TOLERANCES[problem.setting.dtype]
    n = problem.setting.shape[axis]
    sums = min(0.02, n * float(np.finfo(result.dtype).eps)) if result.dtype.kind == "f" else 0.0
    found = result.astype(np.float64)
    if not np.allclose(found, expected, usual + sums, 1e-6):
        raise ValueError(f"a wrong result: off by up to {np.max(np.abs(found - expected)):.2g}")
    if np.allclose(found, expected, usual, 1e-6):
        return 0.0
    return float(np.max(np.abs(found - expected) / np.maximum(np.abs(expected), np.finfo(np.float32).tiny)))

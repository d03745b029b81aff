"""No kernel that takes labels reads or writes beyond its arrays, at any row length; see `test_memory_safety`."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from softmaxjit._kernels.bins import CLASS_SUMS, bin_classes
from softmaxjit._kernels.cross_entropy import cross_entropy_rows
from softmaxjit._kernels.cross_entropy_grad import cross_entropy_and_grad_rows
from softmaxjit._kernels.cross_entropy_grad_grouped_rows import cross_entropy_and_grad_grouped_rows
from softmaxjit._kernels.cross_entropy_grad_short_rows import cross_entropy_and_grad_short_rows
from softmaxjit._kernels.cross_entropy_of_several import cross_entropy_grouped_rows, cross_entropy_short_rows
from softmaxjit._kernels.judgement import judge_logits, judge_probabilities
from softmaxjit._kernels.likelihood import labelled_distances, likelihood_rows
from softmaxjit._kernels.targets import CLASSES, PROBABILITIES
from softmaxjit._kernels.temperature import ONE_FOR_ALL
from softmaxjit._kernels.vector_scaling import DERIVATIVES, PARTS, vector_scaling_rows

from .children import run
from .guard_pages import GuardedPages
from .oracles import DTYPES
from .test_memory_safety import SIDES

ROWS = 3
LENGTHS = (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130, 2049)
BINS = 3


def fills_a_vector(a: Any) -> bool:
    """Whether rows do, as groups whose rows are written take no others."""
    return bool(a.n * a.dtype.itemsize >= 64)


CALLS: dict[str, Callable[[Any], Any]] = {
    "cross_entropy_rows": lambda a: cross_entropy_rows.compiled(a.dtype, ONE_FOR_ALL, CLASSES)(
        a.x, a.n, 1.5, a.labels, a.weight, 0.1, a.numbers
    ),
    "cross_entropy_rows of probabilities": lambda a: cross_entropy_rows.compiled(a.dtype, ONE_FOR_ALL, PROBABILITIES)(
        a.x, a.n, 1.5, a.p, a.weight, 0.1, a.numbers
    ),
    "cross_entropy_short_rows": lambda a: cross_entropy_short_rows.compiled(a.dtype, ONE_FOR_ALL, CLASSES)(
        a.x, a.n, 1.5, a.labels, a.weight, 0.0, a.numbers
    ),
    "cross_entropy_short_rows of probabilities": lambda a: cross_entropy_short_rows.compiled(
        a.dtype, ONE_FOR_ALL, PROBABILITIES
    )(a.x, a.n, 1.5, a.p, a.weight, 0.1, a.numbers),
    "cross_entropy_grouped_rows": lambda a: cross_entropy_grouped_rows.compiled(a.dtype, ONE_FOR_ALL, CLASSES)(
        a.x, a.n, 1.5, a.labels, a.weight, 0.0, a.numbers
    ),
    "cross_entropy_grouped_rows of probabilities": lambda a: cross_entropy_grouped_rows.compiled(
        a.dtype, ONE_FOR_ALL, PROBABILITIES
    )(a.x, a.n, 1.5, a.p, a.weight, 0.1, a.numbers),
    "cross_entropy_and_grad_rows": lambda a: cross_entropy_and_grad_rows.compiled(a.dtype, ONE_FOR_ALL, CLASSES)(
        a.x, a.n, 1.5, a.labels, a.weight, 0.1, 0.5, a.numbers, a.out
    ),
    "cross_entropy_and_grad_short_rows": lambda a: cross_entropy_and_grad_short_rows.compiled(
        a.dtype, ONE_FOR_ALL, CLASSES
    )(a.x, a.n, 1.5, a.labels, a.weight, 0.0, 0.5, a.numbers, a.out),
    "cross_entropy_and_grad_short_rows of probabilities": lambda a: cross_entropy_and_grad_short_rows.compiled(
        a.dtype, ONE_FOR_ALL, PROBABILITIES
    )(a.x, a.n, 1.5, a.p, a.weight, 0.1, 0.5, a.numbers, a.out),
    "cross_entropy_and_grad_grouped_rows": lambda a: (
        cross_entropy_and_grad_grouped_rows.compiled(a.dtype, ONE_FOR_ALL, CLASSES)(
            a.x, a.n, 1.5, a.labels, a.weight, 0.0, 0.5, a.numbers, a.out
        )
        if fills_a_vector(a)
        else None
    ),
    "cross_entropy_and_grad_grouped_rows of probabilities": lambda a: (
        cross_entropy_and_grad_grouped_rows.compiled(a.dtype, ONE_FOR_ALL, PROBABILITIES)(
            a.x, a.n, 1.5, a.p, a.weight, 0.1, 0.5, a.numbers, a.out
        )
        if fills_a_vector(a)
        else None
    ),
    "labelled_distances": lambda a: labelled_distances.compiled(a.dtype, CLASSES)(
        a.x, a.n, a.labels, a.weight, a.numbers, a.others[:0], a.sums
    ),
    "labelled_distances of probabilities": lambda a: labelled_distances.compiled(a.dtype, PROBABILITIES)(
        a.x, a.n, a.p, a.weight, a.numbers[:1], a.others, a.sums
    ),
    "likelihood_rows": lambda a: likelihood_rows.compiled(a.dtype)(a.x, a.n, 0.7, a.numbers, a.sums),
    "judge_logits": lambda a: judge_logits.compiled(a.dtype)(
        a.x, a.n, 1.5, a.labels, a.numbers, a.others, a.numbers, a.others
    ),
    "judge_probabilities": lambda a: judge_probabilities.compiled(a.dtype)(
        a.p, a.n, a.labels, a.numbers, a.others, a.numbers, a.others
    ),
    "bin_classes": lambda a: bin_classes.compiled(a.dtype)(
        a.p, a.n, a.labels, np.arange(BINS + 1) / BINS, 0, True, a.classes
    ),
    "vector_scaling_rows": lambda a: vector_scaling_rows.compiled(a.dtype)(
        a.x, a.n, a.scale, a.bias, a.labels, a.numbers, a.gradients
    ),
}
GROUPS = (
    ("cross_entropy_rows", "cross_entropy_rows of probabilities"),
    ("cross_entropy_short_rows", "cross_entropy_short_rows of probabilities"),
    ("cross_entropy_grouped_rows", "cross_entropy_grouped_rows of probabilities"),
    ("cross_entropy_and_grad_short_rows", "cross_entropy_and_grad_short_rows of probabilities"),
    ("cross_entropy_and_grad_grouped_rows", "cross_entropy_and_grad_grouped_rows of probabilities"),
    ("cross_entropy_and_grad_rows", "vector_scaling_rows"),
    ("labelled_distances", "labelled_distances of probabilities", "likelihood_rows"),
    ("judge_logits", "judge_probabilities", "bin_classes"),
)


def operands(n: int, dtype: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n)
    x = (5 * rng.standard_normal((ROWS, n))).astype(dtype)
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    return {
        "x": x.reshape(-1),
        "p": np.minimum(p, 1).astype(dtype).reshape(-1),
        "labels": rng.integers(n, size=ROWS),
        "weight": rng.uniform(0.5, 2, n).astype(dtype),
        "scale": rng.uniform(0.5, 2, n),
        "bias": rng.standard_normal(n),
        "out": np.full(ROWS * n, np.nan, dtype),
        "numbers": np.ones(ROWS),
        "others": np.ones(ROWS),
        "sums": np.zeros(4),
        "classes": np.zeros(n * BINS * CLASS_SUMS),
        "gradients": np.zeros(PARTS * (1 + DERIVATIVES * n)),
    }


def call(name: str, n: int, dtype: Any, arrays: dict[str, np.ndarray]) -> list[bytes]:
    """Return what all arrays hold after a call."""
    CALLS[name](SimpleNamespace(**arrays, n=n, dtype=np.dtype(dtype)))
    return [array.tobytes() for array in arrays.values()]


def wrong_calls(dtype: Any, *names: str) -> list[str]:
    """Return the calls that wrote elsewhere, or other results than in ordinary memory; run in a child."""
    wrong = []
    pages = {key: GuardedPages(array.nbytes) for key, array in operands(max(LENGTHS), dtype).items()}
    for n, name, side in product(LENGTHS, names, SIDES):
        arrays = operands(n, dtype)
        expected = call(name, n, dtype, {key: array.copy() for key, array in arrays.items()})
        held = {key: pages[key].hold(array, side) for key, array in arrays.items()}
        right = call(name, n, dtype, held) == expected
        if not right or not all(page.is_blank_around() for page in pages.values()):
            wrong.append(f"{name} {n} {side}")
    return wrong


def test_every_call_is_in_one_group() -> None:
    assert sorted(name for group in GROUPS for name in group) == sorted(CALLS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_kernels_touch_nothing_beyond_their_arrays(names: tuple[str, ...], dtype: Any, warm_cache: Path) -> None:
    script = f"""
    import faulthandler, json
    import numpy as np
    from tests.test_calibration_memory_safety import wrong_calls
    faulthandler.enable()
    print(json.dumps(wrong_calls(np.{dtype.__name__}, *{names})))
    """
    assert run(script, warm_cache) == []

"""Losses of several rows at once: the bits of rows one by one, whatever they hold and whatever is true of them."""

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from softmaxjit import cross_entropy, cross_entropy_and_grad
from softmaxjit._carriers import carried
from softmaxjit._jit import Kernel
from softmaxjit._kernels.targets import CLASSES, PROBABILITIES
from softmaxjit._kernels.temperature import as_operand
from softmaxjit._plan import FEWEST_ROWS, GROUPED, GROUPED_ROW, KERNELS, SHORT, SHORT_ROW

from .exact import assert_same_bits
from .oracles import DTYPES
from .test_tiles import FAMILIES

ALL_DTYPES = [*DTYPES, np.float16, ml_dtypes.bfloat16]
ROWS = 37  # two groups of 16, or tiles, and a part of one
LANES = {np.float32: 16, np.float64: 8}  # which rows in groups fill, where gradients are written
LENGTHS = (1, 2, 3, 7, 10, 16, 17, 33, 64, 130, 384)


def losses_by(kernel: Kernel, x: Any, labels: Any, weight: Any, smoothing: float, temperature: Any) -> Any:
    """Return what a kernel makes of rows."""
    operand, kind = as_operand(temperature)
    soft = labels.dtype == x.dtype
    losses = np.full(len(x), 7.0)
    compiled = kernel.compiled(x.dtype, kind, PROBABILITIES if soft else CLASSES)
    truth = carried(labels.reshape(-1)) if soft else labels
    compiled(carried(x.reshape(-1)), x.shape[1], operand, truth, weight, smoothing, losses)
    return losses


def gradients_by(
    kernel: Kernel, x: Any, labels: Any, weight: Any, smoothing: float, temperature: Any, scale: float, in_place: bool
) -> Any:
    """Return the losses of rows and their gradients, the latter in place of the rows or not."""
    operand, kind = as_operand(temperature)
    soft = labels.dtype == x.dtype
    losses, rows = np.full(len(x), 7.0), x.reshape(-1).copy()
    out = rows if in_place else np.full_like(rows, 7.0)
    compiled = kernel.compiled(x.dtype, kind, PROBABILITIES if soft else CLASSES)
    compiled(rows, x.shape[1], operand, labels.reshape(-1), weight, smoothing, scale, losses, out)
    return np.concatenate([losses, out.astype(np.float64)])


def truths(rng: np.random.Generator, x: np.ndarray) -> Any:
    """Return labels, weights and smoothing: every second row right, some left out."""
    rows, n = x.shape
    computed = np.float32 if x.dtype.itemsize < 8 else np.float64
    right = np.asarray(x, np.float64).argmax(axis=1)
    classes = np.where(np.arange(rows) % 2, right, rng.integers(n, size=rows))
    some = np.where(rng.random(rows) < 0.3, -1, classes)
    ones, weight = np.ones(n, computed), rng.choice([0.0, 0.5, 2.0], n).astype(computed)
    probabilities = rng.dirichlet(np.ones(n), rows).astype(x.dtype)
    return (
        (classes, ones, 0.0),
        (some, weight, 0.0),
        (np.full(rows, -1), ones, 0.0),
        (some, weight, 0.1),
        (probabilities, weight, 0.1),
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ALL_DTYPES)
@pytest.mark.parametrize("kernels", [SHORT, GROUPED], ids=["short", "grouped"])
def test_losses_have_the_bits_of_rows_one_by_one(kernels: dict[str, Kernel], dtype: Any, family: str) -> None:
    rng = np.random.default_rng(0)
    for n in LENGTHS:
        x = np.asarray(FAMILIES[family](rng, (ROWS, n, 1)))[..., 0].astype(dtype)
        temperatures = (1.0, 0.7, rng.choice([0.3, 1.0, 2.9], ROWS))
        for truth, temperature in itertools.product(truths(rng, x), temperatures):
            ours = losses_by(kernels["cross_entropy"], x, *truth, temperature)
            assert_same_bits(ours, losses_by(KERNELS["cross_entropy"], x, *truth, temperature))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernels", [SHORT, GROUPED], ids=["short", "grouped"])
def test_gradients_have_the_bits_of_rows_one_by_one(kernels: dict[str, Kernel], dtype: Any, family: str) -> None:
    rng = np.random.default_rng(0)
    for n in (n for n in LENGTHS if kernels is SHORT or n >= LANES[dtype]):
        x = np.asarray(FAMILIES[family](rng, (ROWS, n, 1)))[..., 0].astype(dtype)
        temperatures = (1.0, 0.7, rng.choice([0.3, 1.0, 2.9], ROWS))
        for k, (truth, temperature) in enumerate(itertools.product(truths(rng, x), temperatures)):
            # Of factors that underflow without care, and that overflow with it.
            for scale in (1.0, 2.0**-27, 2.0**34, 1e-38):
                given = x, *truth, temperature, scale, k % 2 == 0
                ours = gradients_by(kernels["cross_entropy_and_grad"], *given)
                assert_same_bits(ours, gradients_by(KERNELS["cross_entropy_and_grad"], *given))


@pytest.mark.parametrize("kernels", [SHORT, GROUPED], ids=["short", "grouped"])
def test_any_number_of_rows_has_the_bits_of_rows_one_by_one(kernels: dict[str, Kernel]) -> None:
    rng = np.random.default_rng(1)
    for rows, n in itertools.product((1, 2, 7, 8, 9, 15, 16, 17, 70, 1500), (2, 40)):
        x = 4 * rng.standard_normal((rows, n))
        for truth in truths(rng, x):
            ours = losses_by(kernels["cross_entropy"], x, *truth, 1.0)
            assert_same_bits(ours, losses_by(KERNELS["cross_entropy"], x, *truth, 1.0))
            for in_place in (False, True) if n >= LANES[np.float64] or kernels is SHORT else ():
                given = x, *truth, 1.0, 1.0, in_place
                ours = gradients_by(kernels["cross_entropy_and_grad"], *given)
                assert_same_bits(ours, gradients_by(KERNELS["cross_entropy_and_grad"], *given))


@pytest.mark.parametrize("dtype", ALL_DTYPES)
def test_a_batch_has_the_bits_of_its_rows_at_each_boundary_of_the_plan(dtype: Any) -> None:
    rng = np.random.default_rng(2)
    size = max(4, np.dtype(dtype).itemsize)
    short, grouped = SHORT_ROW["cross_entropy"][size], GROUPED_ROW["cross_entropy"][size]
    for n, rows in itertools.product((short, short + 1, grouped, grouped + 1), (FEWEST_ROWS - 1, FEWEST_ROWS, 40)):
        x = (5 * rng.standard_normal((rows, n))).astype(dtype)
        labels = rng.integers(n, size=rows)
        for temperature in (1.0, 1e-20, np.inf, rng.choice([1e-20, 0.5, 3.0, np.inf], (rows, 1))):
            batch = cross_entropy(x, labels, temperature=temperature, reduction="none")
            taus = np.broadcast_to(temperature, (rows, 1))[:, 0]
            alone = [
                cross_entropy(row, label, temperature=tau) for row, label, tau in zip(x, labels, taus, strict=True)
            ]
            assert_same_bits(batch.astype(np.float64), np.array(alone, np.float64))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_a_batch_have_the_bits_of_its_rows_at_each_boundary_of_the_plan(dtype: Any) -> None:
    rng = np.random.default_rng(3)
    size = np.dtype(dtype).itemsize
    short, grouped = SHORT_ROW["cross_entropy_and_grad"][size], GROUPED_ROW["cross_entropy_and_grad"][size]
    for n, rows in itertools.product((short, short + 1, grouped, grouped + 1), (FEWEST_ROWS - 1, FEWEST_ROWS, 40)):
        x = (5 * rng.standard_normal((rows, n))).astype(dtype)
        labels = rng.integers(n, size=rows)
        for temperature in (1.0, 1e-20, np.inf, rng.choice([1e-20, 0.5, 3.0, np.inf], (rows, 1))):
            _, batch = cross_entropy_and_grad(x, labels, temperature=temperature, reduction="none")
            taus = np.broadcast_to(temperature, (rows, 1))[:, 0]
            alone = [
                cross_entropy_and_grad(row, label, temperature=tau)[1]
                for row, label, tau in zip(x, labels, taus, strict=True)
            ]
            assert_same_bits(batch, np.array(alone))

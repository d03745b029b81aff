"""Sums through memory: the bits of sums in registers, at every length around the places of exponentials there."""

from typing import Any

import numpy as np
import pytest

from softmaxjit import log_softmax, logsumexp
from softmaxjit._kernels.kept import BEHIND, RING
from softmaxjit._kernels.others import OTHERS_BLOCK_ELEMENTS

from .exact import assert_same_bits

PAIR = 32  # elements of two vectors
ENDS = (0, PAIR, BEHIND, BEHIND + PAIR, RING, RING + BEHIND, 3 * RING, OTHERS_BLOCK_ELEMENTS)
LENGTHS = sorted({n + k for n in ENDS for k in (-17, -16, -1, 0, 1, 15, 16, 17) if n + k > 0})
ROWS = 16  # a vector of them along an axis is a tile, which adds from registers


@pytest.mark.parametrize("gap", [0.0, 12.0, 25.0], ids=["even", "confident", "read twice"])
@pytest.mark.parametrize("operation", [log_softmax, logsumexp])
def test_rows_have_the_bits_of_columns_of_a_tile(operation: Any, gap: float) -> None:
    for n in LENGTHS:
        x = np.random.default_rng(n).standard_normal((ROWS, n)).astype(np.float32)
        x[np.arange(ROWS), np.arange(ROWS) * 7 % n] += np.float32(gap)
        across = np.ascontiguousarray(operation(np.ascontiguousarray(x.T), axis=0).T)
        assert_same_bits(across, np.stack([operation(row) for row in x]))
        assert_same_bits(across, operation(x, axis=-1))  # in groups, where they are not too long


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("operation", [log_softmax, logsumexp])
def test_special_values_do_not_stay_in_memory_for_the_next_row(operation: Any, special: float) -> None:
    for n in (40, BEHIND + 5, RING + 33):
        x = np.random.default_rng(n).standard_normal((40, n)).astype(np.float32)
        expected = operation(x, axis=-1)
        x[1::2, -1] = x[1::2, 0] = special
        assert_same_bits(operation(x, axis=-1)[::2], expected[::2])
        assert_same_bits(operation(x[::2][:3], axis=-1), expected[::2][:3])

"""Rows of an input so large that memory is asked for ahead have the bits that they have alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from softmaxjit import log_softmax, logsumexp, softmax
from softmaxjit._kernels.ahead import FAR_BYTES, FARTHEST, NEAREST

from .exact import assert_same_bits

DTYPES = [np.dtype(name) for name in (np.float32, np.float64, np.float16)]
# Short rows; around how far ahead memory is asked for, in vectors of up to 16; and more than a block of the sums.
LENGTHS = (2, 3, 10, 33, 97, 300, 700, 16 * NEAREST - 1, 16 * NEAREST + 1, 16 * FARTHEST + 1, 1 << 17)


@pytest.mark.parametrize("function", [softmax, log_softmax, logsumexp])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows_of_a_large_input_have_the_bits_of_a_small_one(dtype: Any, function: Callable[..., Any]) -> None:
    for n in LENGTHS:
        rows = FAR_BYTES // (n * dtype.itemsize) + 2
        x = np.random.default_rng(n).normal(0, 10, (rows, n)).astype(dtype)
        where = x > -5
        few = [slice(row, row + max(1, 1000 // n)) for row in range(0, rows, max(1, 1000 // n))]
        expected = np.concatenate([function(x[part]) for part in few])
        masked = np.concatenate([function(x[part], where=where[part]) for part in few])
        for threads in (None, 1):
            assert_same_bits(function(x, threads=threads), expected)
            assert_same_bits(function(x, where=where, threads=threads), masked)
        if function is not logsumexp:
            assert_same_bits(function(x, out=x), expected)

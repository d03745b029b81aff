"""Squares of vectors, and numbers of another width."""

from typing import Any

import numpy as np
import pytest

from softmaxjit._jit import routine
from softmaxjit._simd.arithmetic import both, nearest_integer
from softmaxjit._simd.lanes import widen
from softmaxjit._simd.memory import data_of, element_like, load, load_float64, store, store_float64
from softmaxjit._simd.transpose import load_square, store_square, transposed

from .oracles import DTYPES

DTYPE = pytest.mark.parametrize("dtype", DTYPES)


@routine
def turn(source, at, stride, target, out_at, out_stride):
    store_square(data_of(target), out_at, out_stride, transposed(load_square(data_of(source), at, stride)))


@DTYPE
def test_a_square_is_turned_over_its_diagonal(dtype: Any) -> None:
    width = 64 // np.dtype(dtype).itemsize
    stride = width + 3
    source = np.arange(5 + width * stride, dtype=dtype)
    target = np.zeros(2 + width * width, dtype)
    turn(source, 5, stride, target, 2, width)
    square = np.lib.stride_tricks.sliding_window_view(source[5:], width)[::stride][:width]
    np.testing.assert_array_equal(target[2:].reshape(width, width), square.T)
    assert not target[:2].any()


@DTYPE
def test_where_stored_vectors_overlap_the_next_one_stays(dtype: Any) -> None:
    width = 64 // np.dtype(dtype).itemsize
    source = np.arange(width * width, dtype=dtype)
    target = np.zeros(3 * (width - 1) + width, dtype)
    turn(source, 0, width, target, 0, 3)
    square = source.reshape(width, width).T
    np.testing.assert_array_equal(target, np.concatenate([square[:-1, :3].ravel(), square[-1]]))


@routine
def widened_and_back(x, wide, back, chosen):
    v = load(data_of(x), 0)
    w = widen(v)
    store_float64(data_of(wide), 1, nearest_integer(w))
    store(data_of(back), 0, element_like(data_of(x), load_float64(data_of(wide), 1, v)))
    chosen[0] = both(widen(x[0]) > 0.0, x[1] > 0)


@DTYPE
def test_vectors_are_widened_rounded_to_integers_and_narrowed(dtype: Any) -> None:
    width = 64 // np.dtype(dtype).itemsize
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.4, 1e6 + 0.25, 7, -7] * (width // 8), dtype)
    wide, back, chosen = np.zeros(width + 2), np.zeros(width, dtype), np.zeros(1, np.bool_)
    widened_and_back(x, wide, back, chosen)
    np.testing.assert_array_equal(wide, [0, *np.rint(x.astype(np.float64)), 0])
    np.testing.assert_array_equal(back, np.rint(x))
    assert chosen[0]
    widened_and_back(-x, wide, back, chosen)
    assert not chosen[0]

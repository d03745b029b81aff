"""Stores past the caches: right values at every alignment, and none elsewhere."""

from typing import Any

import numpy as np
import pytest

from softmaxjit._jit import routine
from softmaxjit._simd.memory import data_of, lanes, load, load_part, store_part, stream, stream_offset

from .oracles import DTYPES


@routine
def copy_past_the_caches(x, out):
    """Copy as a kernel would: up to the first multiple of 64 bytes, whole vectors, the rest."""
    source, target = data_of(x), data_of(out)
    i = min(out.size, stream_offset(target, 0))
    store_part(target, 0, i, load_part(source, 0, i, 0))
    while i + lanes(target) <= out.size:
        stream(target, i, load(source, i))
        i += lanes(target)
    store_part(target, i, out.size - i, load_part(source, i, out.size - i, 0))


@routine
def offset_of(array, index):
    return stream_offset(data_of(array), index)


def on_a_multiple_of_64_bytes(size: int, dtype: Any) -> np.ndarray:
    memory = np.zeros(size * np.dtype(dtype).itemsize + 64, np.uint8)
    return memory[-memory.ctypes.data % 64 :][: size * np.dtype(dtype).itemsize].view(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_streamed_values_are_right_at_every_alignment_and_none_are_elsewhere(dtype: Any) -> None:
    width = 64 // np.dtype(dtype).itemsize
    for before in range(width + 1):
        for size in (*range(2 * width + 2), 5 * width + 3):
            whole = on_a_multiple_of_64_bytes(size + 4 * width, dtype)
            whole[:] = -1
            x = np.arange(size, dtype=dtype)
            copy_past_the_caches(x, whole[before : before + size])
            assert whole[before : before + size].tolist() == x.tolist()
            assert (np.delete(whole, slice(before, before + size)) == -1).all()


def test_streaming_is_compiled_to_stores_past_the_caches() -> None:
    x = on_a_multiple_of_64_bytes(64, np.float32)
    copy_past_the_caches(x, x.copy())
    assert any("!nontemporal" in code for code in copy_past_the_caches.compiled.inspect_llvm().values())


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_offset_of_a_stream_counts_elements_up_to_the_next_multiple_of_64_bytes(dtype: Any) -> None:
    width = 64 // np.dtype(dtype).itemsize
    x = on_a_multiple_of_64_bytes(4 * width, dtype)
    assert [offset_of(x, index) for index in range(2 * width)] == [-index % width for index in range(2 * width)]
    assert [offset_of(x[k:], 0) for k in range(width)] == [-k % width for k in range(width)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_offset_of_a_stream_is_minus_one_where_elements_straddle_every_multiple(dtype: Any) -> None:
    size = np.dtype(dtype).itemsize
    memory = on_a_multiple_of_64_bytes(256, np.uint8)
    offsets = [offset_of(memory[start : start + 2 * size].view(dtype), 0) for start in range(64)]
    assert offsets == [-(start // size) % (64 // size) if start % size == 0 else -1 for start in range(64)]

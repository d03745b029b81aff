"""float16 and bfloat16 in memory: exact when loaded, rounded once when stored, and nothing touched beside them."""

import hashlib
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from softmaxjit._carriers import carried
from softmaxjit._jit import routine
from softmaxjit._simd.memory import (
    data_of,
    lanes,
    load,
    load_element,
    load_part,
    store,
    store_element,
    store_normal,
    store_part,
    stream_offset,
)

from .children import finish, run, start
from .guard_pages import GuardedPages, Side
from .halves import HALVES, bits_but_of_nan, converted, every, hard_to_round
from .test_simd_memory import copy_past_the_caches, on_a_multiple_of_64_bytes
from .vectors import Array, bits

HALF = pytest.mark.parametrize("dtype", HALVES, ids=str)
LANES = 16


@routine
def copy_vectors(source, target):
    for i in range(0, target.size, lanes(data_of(source))):
        store(data_of(target), i, load(data_of(source), i))


@routine
def copy_elements(source, target):
    for i in range(target.size):
        store_element(data_of(target), i, load_element(data_of(source), i))


@routine
def copy_part(source, target, fill, loaded):
    v = load_part(data_of(source), 0, target.size, fill)
    store(data_of(loaded), 0, v)
    store_part(data_of(target), 0, target.size, v)


@routine
def copy_normal(source, target):
    for i in range(0, target.size, lanes(data_of(source))):
        store_normal(data_of(target), i, load(data_of(source), i))


COPY = pytest.mark.parametrize("copy", [copy_vectors, copy_elements], ids=["vectors", "elements"])


def copied(copy: Any, x: Array, dtype: Any) -> Array:
    """Return x in another dtype, by way of what loads and stores make of it."""
    whole = np.resize(x, -(-x.size // LANES) * LANES)
    out = np.zeros(whole.size, dtype)
    copy(carried(whole), carried(out))
    return out[: x.size]


def test_a_carrier_is_a_view_that_tells_the_formats_apart() -> None:
    single, swapped = np.zeros(3, np.float32), np.zeros(3, ">f2")
    halves = [np.zeros(3, dtype) for dtype in HALVES]
    assert [carried(x).dtype for x in halves] == [np.uint16, np.int16]
    assert all(np.shares_memory(carried(x), x) for x in halves)
    assert carried(single) is single
    assert carried(swapped) is swapped


@COPY
@HALF
def test_every_pattern_is_loaded_exactly(dtype: Any, copy: Any) -> None:
    x = every(dtype)
    found = copied(copy, x, np.float32)
    assert bits_but_of_nan(found) == bits_but_of_nan(converted(x, np.float32))
    assert (np.signbit(found) == (x.view(np.int16) < 0)).all()


@COPY
@HALF
def test_every_pattern_comes_back(dtype: Any, copy: Any) -> None:
    x = every(dtype)
    found = copied(copy, x, dtype)
    assert bits_but_of_nan(found) == bits_but_of_nan(x)


@COPY
@HALF
def test_a_store_rounds_to_the_nearest_even(dtype: Any, copy: Any) -> None:
    x = hard_to_round(dtype)
    assert bits_but_of_nan(copied(copy, x, dtype)) == bits_but_of_nan(converted(x, dtype))


def without_subnormal(x: Array) -> Array:
    return x[(x == 0) | ~(np.abs(x) < np.finfo(np.float32).tiny)]


@HALF
def test_a_store_of_normal_numbers_gives_the_same_bits(dtype: Any) -> None:
    x = without_subnormal(hard_to_round(dtype))
    assert x.size > 100_000
    assert bits(copied(copy_normal, x, dtype)) == bits(copied(copy_vectors, x, dtype))


@pytest.mark.parametrize("above_the_middle", [2.0**-40, 2.0**-20])
@HALF
def test_an_element_is_rounded_to_float32_before(dtype: Any, above_the_middle: float) -> None:
    next_number = every(dtype)[int(np.ones(1, dtype).view(np.uint16)[0]) + 1]
    x = np.array([1 + (float(next_number) - 1) / 2 + above_the_middle])
    expected = converted(x.astype(np.float32), dtype)
    assert expected == (1 if above_the_middle == 2.0**-40 else next_number)
    out = np.zeros(1, dtype)
    copy_elements(x, carried(out))
    assert out == expected


def wrong_parts(dtype: Any) -> list[str]:
    """Return the wrong copies of a part of a vector, of any length at any alignment; run in a child."""
    source, target = GuardedPages(), GuardedPages()
    wrong = []
    for count, side, gap in product(range(LANES + 1), get_args(Side), range(0, 64, 2)):
        x = np.arange(1, count + 1).astype(dtype)
        x_held, out = source.hold(x, side, gap), target.hold(np.zeros_like(x), side, gap)
        loaded = np.zeros(LANES, np.float32)
        copy_part(carried(x_held), carried(out), 0.1, loaded)
        expected = np.append(x.astype(np.float32), np.full(LANES - count, 0.1, np.float32))
        right = bits(loaded) == bits(expected) and bits(out) == bits(x)
        if count == LANES:
            out[:] = 0
            copy_vectors(carried(x_held), carried(out))
            right = right and bits(out) == bits(x)
        if not right or not target.is_blank_around():
            wrong.append(f"{count} {side} {gap}")
    return wrong


HASHES = """
import json
from tests.test_simd_halves import HALVES, hashes, wrong_parts
print(json.dumps([hashes(), *map(wrong_parts, HALVES)]))
"""


def hashes() -> list[str]:
    """Return hashes of all that is loaded and stored, NaN included."""
    found = []
    for dtype, copy in product(HALVES, (copy_vectors, copy_elements)):
        results = copied(copy, every(dtype), np.float32), copied(copy, hard_to_round(dtype), dtype)
        found += [hashlib.sha256(result.tobytes()).hexdigest() for result in results]
    for dtype in HALVES:
        result = copied(copy_normal, without_subnormal(hard_to_round(dtype)), dtype)
        found.append(hashlib.sha256(result.tobytes()).hexdigest())
    return found


@pytest.mark.parametrize("processor", ["", "generic"])
def test_parts_touch_nothing_beyond_and_bits_are_the_same_without_instructions_for_halves(
    processor: str, tmp_path: Path
) -> None:
    chosen = {"NUMBA_CPU_NAME": processor} if processor else {}
    assert run(HASHES, tmp_path, **chosen) == [hashes(), [], []]


BEYOND = """
import numpy as np
from tests.guard_pages import GuardedPages
from tests.test_simd_halves import HALVES, LANES, copy_vectors
source = GuardedPages().hold(np.zeros(LANES - 1, np.uint16), "end")
copy_vectors(source, np.zeros(LANES, np.float32))
"""


def test_one_element_too_many_ends_the_process(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="exit status -"):
        finish(start(BEYOND, tmp_path))


@routine
def offset_of(array, index):
    return stream_offset(data_of(array), index)


@HALF
def test_halves_are_streamed_at_multiples_of_their_32_bytes(dtype: Any) -> None:
    x = carried(on_a_multiple_of_64_bytes(128, dtype))
    assert [offset_of(x, index) for index in range(40)] == [-index % LANES for index in range(40)]
    odd = on_a_multiple_of_64_bytes(64, np.uint8)[1:33].view(x.dtype)
    assert offset_of(odd, 0) == -1


@HALF
def test_streamed_halves_are_right_at_every_alignment_and_none_are_elsewhere(dtype: Any) -> None:
    for before, size in product(range(LANES + 1), (*range(2 * LANES + 2), 5 * LANES + 3)):
        whole = on_a_multiple_of_64_bytes(size + 4 * LANES, dtype)
        whole[:] = -1
        x = np.arange(size).astype(dtype)
        copy_past_the_caches(x.view(carried(x).dtype), carried(whole)[before : before + size])
        assert whole[before : before + size].tolist() == x.tolist()
        assert (np.delete(whole, slice(before, before + size)) == -1).all()

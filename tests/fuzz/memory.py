"""Random arrays: any values, anywhere in memory, with memory around them of which every byte is watched."""

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
Random = np.random.Generator

BLANK = 0xA5


class Placed(NamedTuple):
    """An array, and all the memory that it lies in."""

    array: Array
    memory: Array


def values(rng: Random, shape: tuple[int, ...], dtype: Any) -> Array:
    """Return numbers of one of many kinds, now and then with some that are not finite."""
    dtype = np.dtype(dtype)
    if dtype.kind in "bui":
        largest = 1 if dtype.kind == "b" else min(np.iinfo(dtype).max, int(rng.choice([3, 30, 1 << 40])))
        smallest = -largest if dtype.kind == "i" else 0
        return rng.integers(smallest, largest, shape, endpoint=True).astype(dtype)
    plain = dtype.kind == "c" or dtype == np.longdouble
    x = numbers(rng, shape, 3 if plain else int(rng.integers(9)))
    if dtype.kind == "c":
        return (x + 1j * rng.uniform(-4, 4, shape)).astype(dtype)
    if not plain and rng.random() < 0.15:
        odd = rng.choice([np.nan, np.inf, -np.inf, -np.inf, 0.0], shape)
        x = np.where(rng.random(shape) < rng.choice([0.03, 0.3, 1.0]), odd, x)
    with np.errstate(all="ignore"):
        return np.asarray(x).astype(dtype)


def numbers(rng: Random, shape: tuple[int, ...], kind: int) -> Array:
    """Return finite numbers of a kind."""
    normal = rng.standard_normal(shape)
    makers = (
        lambda: np.round(3 * normal),  # ties
        lambda: rng.uniform(-300, 300, shape),
        lambda: normal + rng.choice([1e4, -1e4, 1e6]),
        lambda: rng.choice([0.1, 1, 3, 10]) * normal,
        lambda: rng.choice([1.0, -1.0, 0.5], shape) * rng.choice([1e38, 1e-39, 1e-310, 3e4, 0.0]),
        lambda: 0 * normal + rng.uniform(-50, 50),
        lambda: np.where(rng.random(shape) < 0.1, 12.0, normal) - rng.choice([0, 80]),
    )
    return makers[kind if kind < len(makers) else 3]()


def placed(rng: Random, array: Array, *, any_layout: bool = True, aligned: bool = False) -> Placed:
    """Return a copy of an array in memory of its own: its axes in any order and direction, with gaps, unaligned."""
    if not any_layout:
        return placed_in(blank(array.nbytes), array, 0, strides_of(array.shape, array.itemsize))
    strides = random_strides(rng, array.shape, array.itemsize)
    low, high = extent(array.shape, strides, array.itemsize)
    gap = int(rng.integers(4)) * (array.itemsize if aligned else int(rng.choice([1, array.itemsize])))
    memory = blank(high - low + gap + int(rng.choice([0, 0, 200])))
    return placed_in(memory, array, gap - low, strides)


def placed_over(
    rng: Random, other: Placed, shape: tuple[int, ...], dtype: Any, *, any_layout: bool, aligned: bool
) -> Placed | None:
    """Return an array of what is somewhere in the memory of another, None where it does not fit."""
    size = np.dtype(dtype).itemsize
    strides = random_strides(rng, shape, size) if any_layout else strides_of(shape, size)
    low, high = extent(shape, strides, size)
    room = other.memory.size - (high - low)
    if room < 0:
        return None
    offset = int(rng.integers(room, endpoint=True))
    if aligned:
        offset -= offset % size
    return Placed(view_of(other.memory, shape, dtype, offset - low, strides), other.memory)


def placed_in(memory: Array, array: Array, offset: int, strides: tuple[int, ...]) -> Placed:
    """Return a copy of an array, of other strides, in memory."""
    view = view_of(memory, array.shape, array.dtype, offset, strides)
    view[...] = array
    return Placed(view, memory)


def view_of(memory: Array, shape: tuple[int, ...], dtype: Any, offset: int, strides: tuple[int, ...]) -> Array:
    """Return the array that lies in memory so many bytes from its start."""
    return np.ndarray(shape, dtype, memory, offset, strides)


def blank(size: int) -> Array:
    """Return so many bytes, and at least one."""
    return np.full(size + 1, BLANK, np.uint8)


def strides_of(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the strides of an array in C order."""
    return tuple(itemsize * int(np.prod(shape[k + 1 :], dtype=int)) for k in range(len(shape)))


def random_strides(rng: Random, shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return strides of which no two elements share memory."""
    strides = [0] * len(shape)
    distance = itemsize
    for axis in rng.permutation(len(shape)) if rng.random() < 0.6 else reversed(range(len(shape))):
        step = int(rng.choice([1, 1, 1, -1, 2, -2, 3]))
        strides[axis] = distance * step
        distance *= abs(step) * max(1, shape[axis])
    return tuple(strides)


def extent(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> tuple[int, int]:
    """Return where an array begins and ends, in bytes from its first element."""
    spans = [(length - 1) * stride for length, stride in zip(shape, strides, strict=True)]
    if 0 in shape:
        return 0, 0
    return sum(min(0, span) for span in spans), sum(max(0, span) for span in spans) + itemsize

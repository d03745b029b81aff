"""No kernel reads or writes beyond its arrays, each of which lies against an unreadable page, at any row length."""

import functools
import signal
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest

from softmaxjit import log_softmax, logsumexp, softmax
from softmaxjit._args.values import computed_dtype
from softmaxjit._carriers import carried
from softmaxjit._jit import routine
from softmaxjit._kernels.across import softmax_across
from softmaxjit._kernels.ahead import FAR_BYTES
from softmaxjit._kernels.gradients import log_softmax_vjp_rows, softmax_vjp_rows
from softmaxjit._kernels.grouped_rows import softmax_grouped_rows
from softmaxjit._kernels.lines import softmax_lines
from softmaxjit._kernels.log_grouped_rows import log_softmax_grouped_rows, logsumexp_grouped_rows
from softmaxjit._kernels.log_lines import log_softmax_lines, logsumexp_lines
from softmaxjit._kernels.log_long_rows import log_softmax_long_rows, logsumexp_long_rows
from softmaxjit._kernels.log_shared_rows import log_softmax_shared_rows, logsumexp_shared_rows
from softmaxjit._kernels.log_softmax import log_softmax_rows
from softmaxjit._kernels.log_tiles import (
    log_softmax_across,
    log_softmax_short_rows,
    log_softmax_slabs,
    logsumexp_across,
    logsumexp_short_rows,
    logsumexp_slabs,
)
from softmaxjit._kernels.long_rows import softmax_long_rows
from softmaxjit._kernels.rounding import rounded_copy
from softmaxjit._kernels.shared_rows import softmax_shared_rows
from softmaxjit._kernels.short_rows import softmax_short_rows
from softmaxjit._kernels.slabs import softmax_slabs
from softmaxjit._kernels.softmax import softmax_rows
from softmaxjit._kernels.temperature import ONE_FOR_EACH_ROW
from softmaxjit._kernels.weighted import weighted_logsumexp_rows
from softmaxjit._plan import LONG_ROW, LONGEST_ACROSS, SHARED_ROW
from softmaxjit._simd.memory import data_of, load, load_part, store, store_part

from .children import finish, run, start
from .guard_pages import GuardedPages, Side
from .oracles import DTYPES

# Numbers of rows and their lengths: beyond two rounds of the loops that take four vectors of 16 at once, beyond a block
# of the sums, and so long that memory is asked for ahead, also where it is unreadable.
SHAPES = (
    [(3, n) for n in range(1, 141)],
    [(3, 65536 + 64 + 17)],
    [(3, FAR_BYTES // 4 // 3 + 17)],
)
# Whole vectors of rows and more; for `across`, of which half or all lie side by side, also wider than a tile.
SHORTEST = (1, 2, 3, 7, 8, 9, 15, 16, 17, 23, 24, 25, 30, 31, 32, 33, 39, 40, 41, 130)
TILES = [[(rows, n) for rows in (8, 16, 17, 33, 65, 130) for n in SHORTEST]]
# Rows of a vector and more, up to a block of the sums, in fewer than a group, one, and more.
GROUPS_OF_ROWS = [
    [(rows, n) for rows in (1, 8, 16, 17, 37) for n in (16, 17, 31, 32, 33, 63, 64, 65, 100, 129)],
    [(5, n) for n in (500, 1025, 2047, 2048)],
]
# Around what decides which kernel takes how many elements (see `_plan`).
MORE_SHAPES = {
    "long_rows": [[(3, LONG_ROW[4] + k) for k in (-1, 0, 1)], [(3, 2 * LONG_ROW[4] + 17)]],
    "shared_rows": [[(1, n + k) for n in {*SHARED_ROW.values()} for k in (-1, 0, 1)]],
    "grouped_rows": GROUPS_OF_ROWS,
    "half_grouped_rows": GROUPS_OF_ROWS,
    "slabs": TILES,
    "lines": TILES,
    "half_slabs": TILES,
    "tiles": [*TILES, [(3, LONGEST_ACROSS + k) for k in (-1, 0, 1)]],
    "log_tiles": [*TILES, [(3, LONGEST_ACROSS + k) for k in (-1, 0, 1)]],
    "half_tiles": TILES,
}
SIDES = get_args(Side)

# By their public functions, and by themselves where the functions pass copies or have memory of their own.
CALLS: dict[str, Callable[[Any], Any]] = {
    "softmax": lambda a: softmax(a.x, out=a.out),
    "softmax of a wide row": lambda a: softmax(a.wide, out=a.out),
    "softmax in place": lambda a: softmax(a.x, out=a.x),
    "softmax where": lambda a: softmax(a.x, where=a.where, out=a.out),
    "softmax temperatures": lambda a: softmax(a.x, temperature=a.tau, out=a.out),
    "softmax extreme temperatures": lambda a: softmax(a.x, where=a.where, temperature=a.extreme, out=a.out),
    "log_softmax": lambda a: log_softmax(a.x, out=a.out),
    "log_softmax of a wide row": lambda a: log_softmax(a.wide, out=a.out),
    "log_softmax in place": lambda a: log_softmax(a.x, out=a.x),
    "log_softmax where": lambda a: log_softmax(a.x, where=a.where, out=a.out),
    "log_softmax temperatures": lambda a: log_softmax(a.x, temperature=a.tau, out=a.out),
    "log_softmax extreme temperatures": lambda a: log_softmax(a.x, where=a.where, temperature=a.extreme, out=a.out),
    "logsumexp": lambda a: logsumexp(a.x, out=a.log),
    "logsumexp of a wide row": lambda a: logsumexp(a.wide, out=a.log),
    "logsumexp where": lambda a: logsumexp(a.x, where=a.where, out=a.log),
    "logsumexp b": lambda a: logsumexp(a.x, b=a.b, out=a.log),
    "logsumexp b where": lambda a: logsumexp(a.x, b=a.b, where=a.where, out=a.log),
    "softmax_rows": lambda a: softmax_rows.compiled(a.dtype, ONE_FOR_EACH_ROW)(a.flat.x, a.n, a.flat.tau, a.flat.out),
    "softmax_long_rows": lambda a: softmax_long_rows.compiled(a.dtype, ONE_FOR_EACH_ROW)(
        a.flat.x, a.n, a.flat.tau, a.flat.out
    ),
    "log_softmax_long_rows": lambda a: log_softmax_long_rows.compiled(a.dtype, ONE_FOR_EACH_ROW)(
        a.flat.x, a.n, a.flat.tau, a.flat.out
    ),
    "logsumexp_long_rows": lambda a: logsumexp_long_rows.compiled(a.dtype)(a.flat.x, a.n, a.flat.log),
    "softmax_long_rows masked": lambda a: softmax_long_rows.compiled(a.dtype, ONE_FOR_EACH_ROW, masked=True)(
        (a.flat.poisoned, a.flat.where), a.n, a.flat.tau, a.flat.out
    ),
    "softmax_shared_rows": lambda a: softmax_shared_rows.compiled(a.dtype, ONE_FOR_EACH_ROW)(
        a.flat.x, a.n, a.flat.tau, a.flat.out
    ),
    "log_softmax_shared_rows": lambda a: log_softmax_shared_rows.compiled(a.dtype, ONE_FOR_EACH_ROW)(
        a.flat.x, a.n, a.flat.tau, a.flat.out
    ),
    "logsumexp_shared_rows": lambda a: logsumexp_shared_rows.compiled(a.dtype)(a.flat.x, a.n, a.flat.log),
    "softmax_rows masked": lambda a: softmax_rows.compiled(a.dtype, ONE_FOR_EACH_ROW, masked=True)(
        (a.flat.poisoned, a.flat.where), a.n, a.flat.extreme, a.flat.out
    ),
    "softmax_short_rows masked": lambda a: softmax_short_rows.compiled(a.dtype, ONE_FOR_EACH_ROW, masked=True)(
        (a.flat.poisoned, a.flat.where), a.n, a.flat.extreme, a.flat.out
    ),
    "softmax_across masked": lambda a: softmax_across.compiled(a.dtype, ONE_FOR_EACH_ROW, masked=True)(
        (a.flat.poisoned, a.flat.where), a.n, a.inner, a.flat.extreme, a.flat.out
    ),
    "log_softmax_across masked": lambda a: log_softmax_across.compiled(a.dtype, ONE_FOR_EACH_ROW, masked=True)(
        (a.flat.poisoned, a.flat.where), a.n, a.inner, a.flat.extreme, a.flat.out
    ),
    "logsumexp_short_rows masked": lambda a: logsumexp_short_rows.compiled(a.dtype, masked=True)(
        (a.flat.poisoned, a.flat.where), a.n, a.flat.log
    ),
    "log_softmax_shared_rows masked": lambda a: log_softmax_shared_rows.compiled(
        a.dtype, ONE_FOR_EACH_ROW, masked=True
    )((a.flat.poisoned, a.flat.where), a.n, a.flat.extreme, a.flat.out),
    "softmax_short_rows": lambda a: softmax_short_rows.compiled(a.dtype, ONE_FOR_EACH_ROW)(
        a.flat.x, a.n, a.flat.tau, a.flat.out
    ),
    "softmax_across": lambda a: softmax_across.compiled(a.dtype, ONE_FOR_EACH_ROW)(
        a.flat.x, a.n, a.inner, a.flat.tau, a.flat.out
    ),
    "log_softmax_short_rows": lambda a: log_softmax_short_rows.compiled(a.dtype, ONE_FOR_EACH_ROW)(
        a.flat.x, a.n, a.flat.tau, a.flat.out
    ),
    "log_softmax_across": lambda a: log_softmax_across.compiled(a.dtype, ONE_FOR_EACH_ROW)(
        a.flat.x, a.n, a.inner, a.flat.tau, a.flat.out
    ),
    "logsumexp_short_rows": lambda a: logsumexp_short_rows.compiled(a.dtype)(a.flat.x, a.n, a.flat.log),
    "logsumexp_across": lambda a: logsumexp_across.compiled(a.dtype)(a.flat.x, a.n, a.inner, a.flat.log),
    "softmax_slabs": lambda a: softmax_slabs.compiled(a.dtype, ONE_FOR_EACH_ROW)(
        a.flat.x, a.n, a.few, a.flat.tau, a.flat.out
    ),
    "softmax_slabs masked": lambda a: softmax_slabs.compiled(a.dtype, ONE_FOR_EACH_ROW, masked=True)(
        (a.flat.poisoned, a.flat.where), a.n, a.few, a.flat.extreme, a.flat.out
    ),
    "log_softmax_slabs": lambda a: log_softmax_slabs.compiled(a.dtype, ONE_FOR_EACH_ROW)(
        a.flat.x, a.n, a.few, a.flat.tau, a.flat.out
    ),
    "logsumexp_slabs": lambda a: logsumexp_slabs.compiled(a.dtype)(a.flat.x, a.n, a.few, a.flat.log),
    "softmax_lines": lambda a: softmax_lines.compiled(a.dtype, ONE_FOR_EACH_ROW)(
        a.flat.x, a.n, a.inner, a.flat.tau, a.flat.out
    ),
    "softmax_lines masked": lambda a: softmax_lines.compiled(a.dtype, ONE_FOR_EACH_ROW, masked=True)(
        (a.flat.poisoned, a.flat.where), a.n, a.inner, a.flat.tau, a.flat.out
    ),
    "log_softmax_lines": lambda a: log_softmax_lines.compiled(a.dtype, ONE_FOR_EACH_ROW)(
        a.flat.x, a.n, a.inner, a.flat.tau, a.flat.out
    ),
    "logsumexp_lines": lambda a: logsumexp_lines.compiled(a.dtype)(a.flat.wide, a.n, a.inner, a.flat.log),
    "softmax_grouped_rows": lambda a: softmax_grouped_rows.compiled(a.dtype, ONE_FOR_EACH_ROW)(
        a.flat.x, a.n, a.flat.tau, a.flat.out
    ),
    "softmax_grouped_rows masked": lambda a: softmax_grouped_rows.compiled(a.dtype, ONE_FOR_EACH_ROW, masked=True)(
        (a.flat.poisoned, a.flat.where), a.n, a.flat.tau, a.flat.out
    ),
    "log_softmax_grouped_rows": lambda a: log_softmax_grouped_rows.compiled(a.dtype, ONE_FOR_EACH_ROW)(
        a.flat.x, a.n, a.flat.tau, a.flat.out
    ),
    "log_softmax_grouped_rows masked": lambda a: log_softmax_grouped_rows.compiled(
        a.dtype, ONE_FOR_EACH_ROW, masked=True
    )((a.flat.poisoned, a.flat.where), a.n, a.flat.tau, a.flat.out),
    "logsumexp_grouped_rows": lambda a: logsumexp_grouped_rows.compiled(a.dtype)(a.flat.x, a.n, a.flat.log),
    "logsumexp_grouped_rows masked": lambda a: logsumexp_grouped_rows.compiled(a.dtype, masked=True)(
        (a.flat.poisoned, a.flat.where), a.n, a.flat.log
    ),
    "log_softmax_rows": lambda a: log_softmax_rows.compiled(a.dtype, ONE_FOR_EACH_ROW)(
        a.flat.x, a.n, a.flat.tau, a.flat.out
    ),
    "weighted_logsumexp_rows": lambda a: weighted_logsumexp_rows.compiled(a.dtype)(
        a.flat.x, a.flat.b, a.n, a.log, a.sign
    ),
    "softmax_vjp_rows": lambda a: gradient_rows(softmax_vjp_rows, a, a.flat.tau),
    "softmax_vjp_rows of temperature 1": lambda a: gradient_rows(softmax_vjp_rows, a, a.flat.ones),
    "log_softmax_vjp_rows": lambda a: gradient_rows(log_softmax_vjp_rows, a, a.flat.tau),
    "log_softmax_vjp_rows of temperature 1": lambda a: gradient_rows(log_softmax_vjp_rows, a, a.flat.ones),
    "rounded_copy": lambda a: rounded_copy.compiled(a.dtype)(a.flat.computed, a.flat.out),
}


# By the first word: each group in a process of its own, which compiles no more than it needs.
GROUPS = {
    "softmax": ("softmax",),
    "log_softmax": ("log_softmax",),
    "logsumexp": ("logsumexp", "weighted_logsumexp_rows"),
    "rows": ("softmax_rows", "log_softmax_rows"),
    "long_rows": ("softmax_long_rows", "log_softmax_long_rows", "logsumexp_long_rows"),
    "shared_rows": ("softmax_shared_rows", "log_softmax_shared_rows", "logsumexp_shared_rows"),
    "grouped_rows": ("softmax_grouped_rows", "log_softmax_grouped_rows", "logsumexp_grouped_rows"),
    "tiles": ("softmax_short_rows", "softmax_across"),
    "log_tiles": ("log_softmax_short_rows", "log_softmax_across", "logsumexp_short_rows", "logsumexp_across"),
    "lines": ("softmax_lines", "log_softmax_lines", "logsumexp_lines"),
    "slabs": ("softmax_slabs", "log_softmax_slabs", "logsumexp_slabs"),
    "gradients": ("softmax_vjp_rows", "log_softmax_vjp_rows", "rounded_copy"),
}
# The same in 16 bits; for kernels of single rows see `test_half_rows`.
HALF_GROUPS = {
    "half_tiles": ("softmax_short_rows", "softmax_across", "log_softmax_short_rows", "logsumexp_across"),
    "half_slabs": ("softmax_slabs", "logsumexp_slabs"),
    "half_grouped_rows": ("softmax_grouped_rows", "log_softmax_grouped_rows", "logsumexp_grouped_rows"),
    "half_gradients": ("softmax_vjp_rows", "log_softmax_vjp_rows", "rounded_copy"),
}


def gradient_rows(kernel: Any, a: Any, temperatures: np.ndarray) -> None:
    kernel.compiled(a.dtype, ONE_FOR_EACH_ROW)(a.flat.x, a.flat.b, a.n, temperatures, a.flat.out)


@functools.cache
def operands(rows: int, n: int, dtype: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n)
    x = (5 * rng.standard_normal((rows, n))).astype(dtype)
    poisoned = x.copy()
    poisoned[rows // 2, -1] = np.nan
    return {
        "x": x,
        "poisoned": poisoned,
        "wide": (1000 * rng.standard_normal((rows, n))).astype(dtype),
        "where": rng.random((rows, n)) < 0.7,
        "tau": np.resize([0.5, 1.0, 3.0], (rows, 1)),
        "ones": np.ones((rows, 1)),
        "extreme": np.resize([0.0, 0.7, np.inf], (rows, 1)),
        "b": rng.standard_normal((rows, n)).astype(dtype),
        "computed": rng.standard_normal((rows, n)).astype(computed_dtype(np.dtype(dtype))),
        "out": np.full((rows, n), np.nan, dtype),
        "log": np.zeros(rows, dtype),
        "sign": np.zeros(rows, dtype),
    }


def call(name: str, arrays: dict[str, np.ndarray]) -> list[bytes]:
    """Return what all arrays hold after a call."""
    x = arrays["x"]
    rows, n = x.shape
    flat = SimpleNamespace(**{key: carried(array.reshape(-1)) for key, array in arrays.items()})
    inner = rows if rows % 2 else rows // 2
    few = next(k for k in (2, 3, 5, rows) if rows % k == 0)
    CALLS[name](SimpleNamespace(**arrays, n=n, inner=inner, few=few, dtype=x.dtype, flat=flat))
    return [array.tobytes() for array in arrays.values()]


def wrong_calls(dtype: Any, group: str) -> list[str]:
    """Return the calls of a group that wrote elsewhere, or other results than in ordinary memory; run in a child."""
    wrong = []
    names = [name for name in CALLS if name.split()[0] in (GROUPS | HALF_GROUPS)[group]]
    for shapes in (*([] if group.endswith("grouped_rows") else SHAPES), *MORE_SHAPES.get(group, [])):
        sizes = {key: array.nbytes for key, array in operands(*max(shapes, key=np.prod), dtype).items()}
        columns = max(rows for rows, _ in shapes) * np.dtype(np.float64).itemsize
        pages = {key: GuardedPages(max(size, columns)) for key, size in sizes.items()}
        for shape, name in product(shapes, names):
            arrays = operands(*shape, dtype)
            expected = call(name, {key: array.copy() for key, array in arrays.items()})
            for side in SIDES:
                held = {key: pages[key].hold(array, side) for key, array in arrays.items()}
                right = call(name, held) == expected
                if not right or not all(page.is_blank_around() for page in pages.values()):
                    wrong.append(f"{name} {shape} {side}")
    return wrong


@routine
def copy_part(source, target, fill, loaded):
    v = load_part(data_of(source), 0, target.size, fill)
    store(data_of(loaded), 0, v)
    store_part(data_of(target), 0, target.size, v)


@routine
def copy_whole(source, target):
    store(data_of(target), 0, load(data_of(source), 0))


def wrong_parts(dtype: Any) -> list[str]:
    """Return the wrong copies of a part of a vector, of any length at any alignment; run in a child."""
    size = np.dtype(dtype).itemsize
    width = 64 // size
    source, target = GuardedPages(), GuardedPages()
    wrong = []
    for count, side, gap in product(range(width + 1), SIDES, range(0, 64, size)):
        x = np.arange(1, count + 1, dtype=dtype)
        x_held, out = source.hold(x, side, gap), target.hold(np.zeros_like(x), side, gap)
        loaded = np.zeros(width, dtype)
        copy_part(x_held, out, 0.5, loaded)
        right = loaded.tolist() == x.tolist() + [0.5] * (width - count) and out.tolist() == x.tolist()
        if count == width:
            out[:] = 0
            copy_whole(x_held, out)
            right = right and out.tolist() == x.tolist()
        if not right or not target.is_blank_around():
            wrong.append(f"{count} {side} {gap}")
    return wrong


def beyond(dtype: Any) -> None:
    """Read a whole vector where there is a part of one."""
    width = 64 // np.dtype(dtype).itemsize
    copy_whole(GuardedPages().hold(np.zeros(width - 1, dtype), "end"), np.zeros(width, dtype))


SCRIPT = """
import faulthandler, json
import numpy as np
from tests.test_memory_safety import {function}
faulthandler.enable()
print(json.dumps({function}(np.{dtype}, *{arguments})))
"""


def script(function: Callable[..., Any], dtype: Any, *arguments: str) -> str:
    return SCRIPT.format(function=function.__name__, dtype=dtype.__name__, arguments=arguments)


def test_every_call_is_in_one_group() -> None:
    groups = [group for name in CALLS for group, words in GROUPS.items() if name.split()[0] in words]
    assert len(groups) == len(CALLS)
    assert set(groups) == set(GROUPS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group", GROUPS)
def test_kernels_touch_nothing_beyond_their_arrays_at_any_row_length(group: str, dtype: Any, warm_cache: Path) -> None:
    assert run(script(wrong_calls, dtype, group), warm_cache) == []


@pytest.mark.parametrize("group", HALF_GROUPS)
def test_kernels_of_halves_touch_nothing_beyond_their_arrays(group: str, warm_cache: Path) -> None:
    assert run(script(wrong_calls, np.float16, group), warm_cache) == []


@pytest.mark.parametrize("dtype", DTYPES)
def test_loads_and_stores_touch_nothing_beyond_a_part_of_a_vector(dtype: Any, warm_cache: Path) -> None:
    assert run(script(wrong_parts, dtype), warm_cache) == []


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_element_too_many_ends_the_process(dtype: Any, warm_cache: Path) -> None:
    child = start(script(beyond, dtype), warm_cache)
    with pytest.raises(AssertionError, match="exit status -"):
        finish(child)
    assert child.returncode in {-signal.SIGSEGV, -signal.SIGBUS}

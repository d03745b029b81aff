"""No call keeps memory: what compiled code allocates it frees, whichever way the call goes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numba.core.runtime import rtsys

from softmaxjit import log_softmax, log_softmax_vjp, logsumexp, softmax, softmax_vjp

from .children import run

CALLS = 50


def sample(*shape: int, dtype: str = "f8") -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


X = sample(20, 12)
WHERE = X < 1
TAU = np.linspace(0.3, 3, 20)[:, None]
COLD = np.where(TAU < 1, 0.0, TAU)

PYTHON = {
    "direct": lambda: softmax(X),
    "rows": lambda: log_softmax(X[:3, :], out=np.empty((3, 12))),
    "axis 0": lambda: log_softmax(X, 0),
    "masked, each at its temperature": lambda: softmax(X, where=WHERE, temperature=COLD),
    "halves": lambda: softmax(X.astype("f2")),
    "parallel": lambda: softmax(np.broadcast_to(X[:1], (9000, 12)).copy()),
    "one long row": lambda: log_softmax(np.resize(X, 140_000)),
    "weighted": lambda: logsumexp(X, b=X, where=WHERE, return_sign=True),
    "gradient": lambda: softmax_vjp(softmax(X), X[:1]),
}


@njit
def activations(x, where, tau, out):
    softmax(x, out=out)
    return softmax(x, 0, where=where), log_softmax(x.T, temperature=tau.T, axis=0), logsumexp(x, None)


@njit
def sums(x, where, tau, out):
    gradient = log_softmax_vjp(x, x[:1], temperature=tau, out=out)
    return logsumexp(x, b=x, where=where, return_sign=True), softmax_vjp(x.T, x.T, 0), gradient


@njit
def with_out(x, out, zero):
    softmax(x, out=out)
    softmax(x, 0, out=out)
    log_softmax(x, temperature=zero, out=out)
    kept = softmax(x, temperature=zero, out=out)
    return log_softmax(x, out=out), kept, softmax(x, 0, out=out)


@njit
def at_temperature(x, tau):
    return softmax(x, temperature=tau)


NJIT = {
    "activations": lambda: activations(X, WHERE, TAU, np.empty_like(X)),
    "sums": lambda: sums(X, WHERE, TAU, np.empty_like(X)),
    "with out": lambda: with_out(X, np.empty_like(X), 0.0),
}


@njit
def raising(x):
    if x.size > 0:
        raise ValueError
    return x.sum()


@njit
def calling(x):
    return raising(x)


def refused(function, *arguments) -> None:
    try:
        function(*arguments)
    except ValueError:
        return
    raise AssertionError("nothing was raised")


def kept_by(call: Callable[[], Any]) -> list[int]:
    """Return how much more compiled code holds after many calls than before them; run in a child that counts it."""
    call()
    held = []
    for _ in range(2):
        stats = rtsys.get_allocation_stats()
        held.append((stats.alloc - stats.free, stats.mi_alloc - stats.mi_free))
        for _ in range(CALLS):
            call()
    return [after - before for before, after in zip(*held, strict=True)]


def all_kept() -> dict[str, list[int]]:
    return {name: kept for name, call in (PYTHON | NJIT).items() if (kept := kept_by(call)) != [0, 0]}


def kept_by_errors() -> list[list[int]]:
    """Return what errors keep: one of ours, and one of a function that does nothing else but call another."""
    return [kept_by(lambda: refused(at_temperature, X, -1.0)), kept_by(lambda: refused(calling, X))]


def test_nothing_is_kept(warm_cache: Path) -> None:
    script = "import json; from tests.test_leaks import all_kept; print(json.dumps(all_kept()))"
    assert run(script, warm_cache, NUMBA_NRT_STATS="1") == {}


@njit
def in_a_loop(x, out):
    for _ in range(x.size):
        softmax(x, out=out)


def follow(name: str, after: dict[str, list[str]], seen: set[str]) -> set[str]:
    """Return the blocks that can come after one of the given name."""
    for other in set(after.get(name, ())) - seen:
        seen.add(other)
        follow(other, after, seen)
    return seen


def test_a_loop_over_rows_with_out_counts_no_references() -> None:
    """To change a counter locks the memory: the next row would begin only when this one is done."""
    in_a_loop(X[0], np.empty_like(X[0]))
    (code,) = in_a_loop.inspect_llvm().values()
    (body,) = re.findall(r"^define [^@{]*@_ZN5tests10test_leaks9in_a_loop.*? \{\n(.*?)^\}", code, re.M | re.S)
    blocks = dict(re.findall(r"^([^ \n]+):(.*?)(?=^[^ \n]+:|\Z)", body, re.M | re.S))
    uncounted = {name: block for name, block in blocks.items() if "@NRT_" not in block}
    assert len(uncounted) < len(blocks)
    after = {name: re.findall(r"label %([^ ,\n]+)", block) for name, block in uncounted.items()}
    calling = [name for name, block in uncounted.items() if re.search(r" call \S+ @_ZN10softmaxjit8_kernels", block)]
    assert any(name in follow(name, after, set()) for name in calling)


def test_kernels_of_rows_count_no_references_either(tmp_path: Path) -> None:
    script = """
    import json
    import re
    import numpy as np
    from softmaxjit._kernels.softmax import softmax_rows
    from softmaxjit._kernels.temperature import ONE_FOR_ALL, ONE_FOR_EACH_ROW

    def calls(kind):
        (code,) = softmax_rows.compiled(np.dtype(np.float32), kind).inspect_llvm().values()
        return re.findall(r" call [^@]*@(NRT_[a-z]+)", code)

    print(json.dumps([calls(ONE_FOR_ALL), len(calls(ONE_FOR_EACH_ROW)) > 0]))
    """
    assert run(script, tmp_path / "cache", SOFTMAXJIT_CACHE="0") == [[], True]


def test_an_error_keeps_no_more_than_numba_does_at_any_error(warm_cache: Path) -> None:
    """Numba never lets go of what a compiled function has passed to another that raises."""
    script = "import json; from tests.test_leaks import kept_by_errors; print(json.dumps(kept_by_errors()))"
    ours, plain = run(script, warm_cache, NUMBA_NRT_STATS="1")
    assert ours == plain == [CALLS, CALLS]


def test_what_is_kept_is_counted(warm_cache: Path) -> None:
    script = """
    import json
    from tests.test_leaks import X, at_temperature, kept_by
    held = []
    print(json.dumps(kept_by(lambda: held.append(at_temperature(X, 1.0)))))
    """
    assert run(script, warm_cache, NUMBA_NRT_STATS="1") == [CALLS, CALLS]

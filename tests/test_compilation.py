"""warmup: after it nothing is left to compile, in this process, in its children and in those that start later."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import softmaxjit
from softmaxjit import _direct, _direct_labelled, _jit, _run_labelled, _threads, _warmup, calibration, warmup
from softmaxjit.__main__ import main
from softmaxjit._plan import VECTORS_OF_LINES
from softmaxjit._simd.target import vector_bytes

from .children import run

COUNTING = """
import json
import os
import sys
import numba
import numpy as np
from numba.core import event

compiled = []

class Listener(event.Listener):
    def on_start(self, event):
        compiled.append(str(event.data["dispatcher"]))

    def on_end(self, event):
        pass

event.register("numba:compile", Listener())
import softmaxjit

def calls():
    # One row and many, for one thread and for several, and one long row: of five kernels three, which is quick enough.
    for shape in ((10,), (40, 500), (1 << 9, 500), (1 << 18,)):
        assert np.isfinite(softmaxjit.logsumexp(np.ones(shape, np.float32))).all()
        softmaxjit.logsumexp(np.ones(shape, np.float32), threads=1)

def layer():
    try:
        return numba.threading_layer()
    except ValueError:
        return None
"""

FEWER = (
    "from softmaxjit import _warmup as w; w.SHORT, w.GROUPED, w.ACROSS, w.SLABS = {}, {}, {}, {}; "
    "w.has_lines = lambda _: False"
)
WARM = f"""{COUNTING}
{FEWER}
w._OTHER_PROCESS = "{FEWER}; w.compile_parallel()"
entries = softmaxjit.warmup(["logsumexp"], ["float32"])
warmed, launched = len(compiled), layer()
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    calls()
    os.write(writer, json.dumps([len(compiled) - warmed, layer()]).encode())
    os._exit(0)
os.close(writer)
assert os.waitpid(child, 0)[1] == 0
in_child = json.loads(os.read(reader, 1000))
calls()
left = len(compiled) - warmed
print(json.dumps([[entry._asdict() for entry in entries], warmed > 0, launched, in_child, left]))
"""

LATER = f"{COUNTING}calls(); print(json.dumps(len(compiled)))"

KERNELS_OF_LOGSUMEXP = {
    f"logsumexp_{kind}"
    for kind in ("rows", "long_rows", "shared_rows", "short_rows", "grouped_rows", "across", "slabs")
}


def test_after_warmup_nothing_compiles_here_in_a_fork_and_in_the_next_process(tmp_path: Path) -> None:
    entries, compiled, launched, (in_child, childs_layer), left = run(WARM, tmp_path, NUMBA_NUM_THREADS="2")
    names = ("logsumexp_rows", "logsumexp_long_rows")
    expected = {(name, "float32", parallel) for name in names for parallel in (False, True)}
    expected.add(("logsumexp_shared_rows", "float32", True))
    assert {(entry["kernel"], entry["dtype"], entry["parallel"]) for entry in entries} == expected
    assert len(entries) == len(expected)
    assert compiled
    assert all(entry["compiled"] and entry["seconds"] > 0 for entry in entries)
    assert launched is None
    assert in_child == 0
    assert childs_layer is not None  # so that the child is free to run in parallel
    assert left == 0
    assert run(LATER, tmp_path, NUMBA_NUM_THREADS="2") == 0

    entries, compiled, launched, *_ = run(WARM, tmp_path, NUMBA_NUM_THREADS="2")
    assert len(entries) == len(expected)
    assert not compiled
    assert not any(entry["compiled"] for entry in entries)
    assert launched is None


# --------------------------------------------------------------------------------------------------- what is compiled


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, ...]]]:
    """Return the list of kernels that are asked for from now on, and have none of them compile or run.

    What they could write of these dtypes becomes what callers can work with.
    """
    found: list[tuple[Any, ...]] = []
    filling = {np.dtype(np.float64): 0.5, np.dtype(np.int64): 0}

    def pretend(*operands: Any) -> None:
        for operand in operands:
            if isinstance(operand, np.ndarray) and operand.flags.writeable and operand.dtype in filling:
                operand.fill(filling[operand.dtype])

    def compiled(self: _jit.Kernel, dtype: Any, *variant: Any, parallel: bool = False, masked: bool = False) -> Any:
        found.append((self.body.__name__, dtype.name, *map(str, variant), masked, parallel))
        return pretend

    def entry(self: _jit.Kernel, dtype: Any, *variant: Any) -> Any:
        return compiled(self, dtype, *variant)

    monkeypatch.setattr(_jit.Kernel, "compiled", compiled)
    monkeypatch.setattr(_jit.Kernel, "entry", entry)
    for name in ("same_shape", "reduced", "two_operands"):
        monkeypatch.setattr(_direct, name, lambda *_: None)  # all calls go the long way, to the same kernels
    monkeypatch.setattr(_direct_labelled, "are_plain", lambda *_: False)
    _run_labelled._entry_of_total.cache_clear()
    yield found
    _run_labelled._entry_of_total.cache_clear()


def shapes() -> Iterator[tuple[tuple[int, ...], int]]:
    yield from (((10,), -1), ((40, 5), -1), ((40, 50), -1), ((40, 500), -1), ((9, 200), 0))
    yield from (((1 << 15, 5), -1), ((1 << 9, 500), -1), ((500, 1 << 9), 0), ((1 << 18,), -1), ((1 << 15, 9), 0))
    yield from (((1 << 12, 50), -1), ((2, 1 << 16), -1), ((16, 9, 3), 1), ((1 << 12, 9, 3), 1), ((30, 1 << 12), 0))


def call_all(dtype: Any, monkeypatch: pytest.MonkeyPatch, *, everything: bool, labelled: bool = False) -> None:
    for threads in (1, 2):  # those that are to be had
        monkeypatch.setattr(_threads, "layer_threads", lambda _, threads=threads: nullcontext(threads))
        monkeypatch.setattr(_threads, "pool_threads", lambda _: nullcontext(1))
        for shape, axis in shapes():
            call(np.ones(shape, dtype), axis, everything)
        if labelled:
            for rows, n in ((10, 5), (10, 50), (10, 500), (1 << 15, 5), (1 << 12, 50), (1 << 8, 500)):
                call_with_labels(np.ones((rows, n), dtype), everything)


def call(x: np.ndarray, axis: int, everything: bool) -> None:
    temperatures: list[Any] = [1.0]
    masks = [None]
    if everything:
        temperatures += [np.full(x.max(axis, keepdims=True).shape, 2.0), 0.0, 1e300]
        temperatures.append(0 * temperatures[1])
        masks.append(x > 0)
        softmaxjit.logsumexp(x, axis, b=2.0)
    for mask in masks:
        softmaxjit.logsumexp(x, axis, where=mask)
        for temperature in temperatures:
            softmaxjit.softmax(x, axis, temperature=temperature, where=mask)
            softmaxjit.log_softmax(x, axis, temperature=temperature, where=mask)
    for temperature in [temperature for temperature in temperatures if np.all(temperature)]:
        softmaxjit.softmax_vjp(x, x, axis, temperature=temperature)
        softmaxjit.log_softmax_vjp(x, x, axis, temperature=temperature)


def call_with_labels(x: np.ndarray, everything: bool) -> None:
    labels = np.arange(len(x)) % x.shape[1]
    temperatures: list[Any] = [1.0, np.full((len(x), 1), 2.0), 1e300, np.full((len(x), 1), 1e300)]
    for truth in [labels, np.ones_like(x)] if everything else [labels]:
        for temperature in temperatures if everything else [1.0]:
            softmaxjit.cross_entropy(x, truth, temperature=temperature)
            softmaxjit.cross_entropy_and_grad(x, truth, temperature=temperature)
        calibration.fit_temperature(x, truth)
    calibration.fit_vector_scaling(x, labels)
    p = np.full_like(x, 0.2)
    for from_logits in (False, True):
        calibration.expected_calibration_error(p, labels, from_logits=from_logits, classwise=True)
        calibration.reliability_curve(p, labels, from_logits=from_logits)
        calibration.accuracy(p[:, 0].astype(float), labels, from_logits=from_logits)
    calibration.brier_decomposition(p, labels)
    calibration.bootstrap(calibration.accuracy, p, labels, n_resamples=9)
    for binning in ("width", "mass"):
        calibration.bootstrap(calibration.expected_calibration_error, p, labels, n_resamples=9, binning=binning)
    calibration.bootstrap(lambda *_: 0.5, p, labels, n_resamples=1)


def listed(dtypes: tuple[str, ...], *, everything: bool, labelled: bool = False) -> set[tuple[Any, ...]]:
    operations = _warmup.ALL_OPERATIONS if labelled else _warmup.OPERATIONS
    return {
        (task.kernel.body.__name__, task.dtype.name, *map(str, task.variant), task.masked, parallel)
        for task in _warmup.tasks(operations, dtypes, everything)
        for parallel in task.ways
    }


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_plain_calls_ask_for_is_compiled(
    dtype: str, labelled: bool, asked_for: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    call_all(dtype, monkeypatch, everything=False, labelled=labelled)
    assert set(asked_for) - listed((dtype,), everything=False, labelled=labelled) == set()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", ml_dtypes.bfloat16])
def test_what_any_call_asks_for_is_compiled_with_all(
    dtype: Any, asked_for: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    call_all(dtype, monkeypatch, everything=True, labelled=True)
    # What has 16 bits takes copies in float32 to some kernels.
    assert set(asked_for) - listed((np.dtype(dtype).name, "float32"), everything=True, labelled=True) == set()


def test_no_kernel_is_compiled_that_no_call_asks_for(
    asked_for: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for dtype in ("float32", "float64", "float16", ml_dtypes.bfloat16):
        call_all(dtype, monkeypatch, everything=True, labelled=True)
    assert listed(_warmup.ALL_DTYPES, everything=True, labelled=True) - set(asked_for) == set()


# ----------------------------------------------------------------------------------------------- arguments, the command


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("softmax",), TypeError, r"operations is 'softmax'; accepted are sequences of names, such as \['softmax'\]"),
        ((None, "float32"), TypeError, "dtypes is 'float32'"),
        (
            (["sofmax"],),
            ValueError,
            "operations has 'sofmax'; accepted are softmax, .*, calibration",
        ),
        ((None, ["int8"]), ValueError, "dtypes has 'int8'; accepted are float32, float64, float16, bfloat16"),
    ],
)
def test_wrong_names_are_refused(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        warmup(*arguments)


@pytest.mark.parametrize("why", ["one thread", "unsafe layer", "no cache"])
def test_no_other_process_starts_where_parallel_kernels_would_be_of_no_use(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _warmup.has_parallel()
    if why == "one thread":
        monkeypatch.setattr("numba.core.config.NUMBA_NUM_THREADS", 1)
    elif why == "unsafe layer":
        monkeypatch.setattr(_threads, "layer_is_safe", lambda: False)
    else:
        monkeypatch.setenv("SOFTMAXJIT_CACHE", "0")
    monkeypatch.setattr(_warmup, "_OTHER_PROCESS", "raise SystemExit(3)")
    assert not any(entry.parallel for entry in warmup(["logsumexp"], ["float32"]))


def test_an_other_process_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_warmup, "_OTHER_PROCESS", "raise SystemExit(3)")
    with pytest.raises(RuntimeError, match="ended with exit status 3"):
        warmup(["logsumexp"], ["float32"])


def test_the_other_process_imports_nothing_from_the_working_directory(tmp_path: Path) -> None:
    """As the command, whose own directory is on the path, does not: what lies there may be anybody's."""
    (tmp_path / "json.py").write_text("raise SystemExit('of the working directory')")
    script = f"""
    import json, os, sys
    from softmaxjit import _warmup, warmup
    _warmup._OTHER_PROCESS = "import json"
    assert not any(path in ("", {str(tmp_path)!r}) for path in sys.path)
    os.chdir({str(tmp_path)!r})
    print(json.dumps([entry.parallel for entry in warmup([])]))
    """
    assert run(script, tmp_path, NUMBA_NUM_THREADS="2") == []


def test_the_command_lists_what_is_ready_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warmup", "--op", "logsumexp", "--dtype", "float32"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    expected = {(kernel, "float32", threads) for kernel in KERNELS_OF_LOGSUMEXP for threads in ("one", "many")}
    expected.remove(("logsumexp_shared_rows", "float32", "one"))
    if vector_bytes() == VECTORS_OF_LINES:
        expected |= {("logsumexp_lines", "float32", "one"), ("logsumexp_shared_lines", "float32", "many")}
    assert {tuple(line.split()[:3]) for line in lines[1:]} == expected
    assert len(lines) == 1 + len(expected)
    assert last.endswith(f" loaded; kept in {_jit.cache_directory()}")


def test_the_command_needs_a_cache(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SOFTMAXJIT_CACHE", "0")
    assert main(["warmup"]) == 1
    assert capsys.readouterr().err == "softmaxjit: there is no cache to compile for: SOFTMAXJIT_CACHE=0\n"


def test_without_jit_there_is_nothing_to_do(tmp_path: Path) -> None:
    script = "import json, softmaxjit; print(json.dumps(softmaxjit.warmup(all=True)))"
    assert run(script, tmp_path, NUMBA_DISABLE_JIT="1") == []

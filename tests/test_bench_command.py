"""``softmaxjit bench`` compares whoever is installed, and says in plain lines what it could not measure cleanly."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from softmaxjit.__main__ import main
from softmaxjit._commands import CommandError, bench, bench_tables, turns
from softmaxjit._commands.bench_figure import save_bench_figure
from softmaxjit._commands.contenders import CONTENDERS, OURS, ROOF
from softmaxjit._commands.problem import Problem, Setting, check, parsed_shape, problem_of
from softmaxjit._commands.standings import Standings
from softmaxjit._commands.table import OPERATIONS, SHAPES
from softmaxjit._commands.turns import Match
from softmaxjit._kernels.copy import COPY_BLOCK_ELEMENTS, stream_copy

from .children import PACKAGE, TIME_LIMIT, environment, link_kernels
from .oracles import DTYPES

QUICK = ("--starts", "1", "--rounds", "1")
SETTING = Setting("softmax", (4, 33), -1, "float32", 1)

# A peer whose softmax is wrong, and one that ends the process; installed or not, these come first.
WRONG_TORCH = """
__version__ = "0"
set_num_threads = set_num_interop_threads = set_grad_enabled = lambda value: None
from_numpy = lambda array: array
softmax = lambda x, axis, out=None: x + 1
"""
ENDING_JAX = """
import os, sys
print("jax: no luck today", file=sys.stderr, flush=True)
os._exit(3)
"""


def start(cache: Path, directory: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start the command in a directory, with the peers that are there before those installed."""
    packages = os.pathsep.join([str(directory), str(PACKAGE.parent)])
    return subprocess.Popen(
        [sys.executable, "-P", "-W", "error", "-m", "softmaxjit", "bench", *arguments],
        cwd=directory,
        env=environment(cache, PYTHONPATH=packages),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(cache: Path, directory: Path, *arguments: str) -> tuple[str, str]:
    child = start(cache, directory, *arguments)
    try:
        stdout, stderr = child.communicate(timeout=TIME_LIMIT)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
    assert child.returncode == 0, stdout + stderr
    return stdout, stderr


@pytest.fixture(scope="module")
def measured(kernels_of_the_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a directory in which the command has run, and what it printed."""
    directory = tmp_path_factory.mktemp("bench")
    (directory / "torch.py").write_text(WRONG_TORCH)
    (directory / "jax.py").write_text(ENDING_JAX)
    shapes = ("--shape", "4x33", "--shape", "5x7@0")
    cache = tmp_path_factory.mktemp("cache")
    link_kernels(kernels_of_the_run, cache)
    stdout, stderr = run(cache, directory, *shapes, *QUICK, "--json", "speed.json", "--plot", "speed.png")
    assert stderr == ""
    return directory, stdout


def test_a_table_for_each_shape_and_mode_and_a_summary(measured: tuple[Path, str]) -> None:
    lines = [line.strip() for line in measured[1].splitlines()]
    for heading in ("4x33", "5x7@0", "Summary", "Not measured cleanly"):
        assert heading in lines
    assert sum(line.startswith("with out= ") for line in lines) == 2
    assert sum(line.startswith("allocating ") for line in lines) == 2
    assert sum(line.startswith("SciPy ") for line in lines) == 2  # it has no out=
    assert sum(line.startswith("NumPy textbook ") for line in lines) == 4
    assert lines[-1] == "Figure: speed.png"
    assert max(len(line) for line in measured[1].split("Not measured")[0].splitlines()[2:]) <= 110


def test_who_is_wrong_or_ends_is_left_out_with_one_line(measured: tuple[Path, str]) -> None:
    lines = measured[1].splitlines()
    for shape in ("4x33", "5x7@0"):
        assert any(line.startswith(f"{shape}: PyTorch left out, ValueError: a wrong result: off by") for line in lines)
        assert f"{shape}: JAX left out, its process ended with status 3, jax: no luck today" in lines
    assert not any(line.strip().startswith(("PyTorch ", "JAX ")) for line in lines)


def test_json_holds_every_turn_and_what_follows_from_them(measured: tuple[Path, str]) -> None:
    document = json.loads((measured[0] / "speed.json").read_text())
    assert document["options"]["shapes"] == ["4x33", "5x7@0"]
    assert {"Python", "numpy", "softmaxjit", "scipy"} <= set(document["versions"])
    assert {"processor", "cores", "system", "load_before"} <= set(document["machine"])
    assert any("PyTorch left out" in line for line in document["warnings"])
    for shape in document["shapes"]:
        contenders = shape["contenders"]
        assert {OURS, ROOF, "scipy", "numpy"} <= set(contenders)
        assert not {"torch", "jax"} & set(contenders)
        assert set(contenders["scipy"]) == {"allocating"}
        ours, theirs = (contenders[name]["into"]["turns"] for name in (OURS, "numpy"))
        assert len(ours) == len(theirs) == 1
        ratio = theirs[0]["seconds"] / ours[0]["seconds"]
        assert contenders["numpy"]["into"]["softmaxjit_is_times_as_fast"] == pytest.approx(ratio)
        roof = contenders[ROOF]["into"]["turns"][0]["seconds"]
        assert shape["fraction_of_roof"]["into"] == pytest.approx(roof / ours[0]["seconds"])
        assert shape["best_peer"]["into"] in contenders


def test_the_figure_is_there_and_nothing_else(measured: tuple[Path, str]) -> None:
    assert (measured[0] / "speed.png").read_bytes().startswith(b"\x89PNG")
    names = {path.name for path in measured[0].iterdir()} - {"__pycache__"}
    assert names == {"jax.py", "torch.py", "speed.json", "speed.png"}


@pytest.mark.parametrize(("operation", "dtype"), [("log_softmax", "float64"), ("logsumexp", "float16")])
def test_json_on_standard_output_is_alone_there(warm_cache: Path, tmp_path: Path, operation: str, dtype: str) -> None:
    options = ("--op", operation, "--dtype", dtype, "--shape", "3x4x5@1", *QUICK, "--json", "-")
    stdout, stderr = run(warm_cache, tmp_path, *options)
    document = json.loads(stdout)
    assert document["shapes"][0]["shape"] == [3, 4, 5]
    assert OURS in document["shapes"][0]["contenders"]
    assert "\nSummary\n" in stderr


@pytest.mark.skipif(not Path("/proc").exists(), reason="process groups are looked up there")
def test_ctrl_c_ends_its_workers_and_leaves_the_files(warm_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "speed.json").write_text("old")
    child = start(warm_cache, tmp_path, "--shape", "4x33", "--rounds", "1000000", "--json", "speed.json")
    try:
        deadline = time.monotonic() + TIME_LIMIT
        while not any(map(ignores_interrupts, members(child.pid))) and time.monotonic() < deadline:
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=TIME_LIMIT)
        assert (child.returncode, stderr.strip()) == (130, "softmaxjit: stopped")
        assert members(child.pid) == []
    finally:
        if members(child.pid):
            os.killpg(child.pid, signal.SIGKILL)
    assert (tmp_path / "speed.json").read_text() == "old"
    assert list(tmp_path.glob(".*.tmp")) == []


def members(group: int) -> list[int]:
    """Return the processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, number = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has just ended
            continue
        if int(number) == group and state not in "ZX":
            found.append(int(path.parent.name))
    return found


def ignores_interrupts(process: int) -> bool:
    """Whether it does, as a worker that has begun."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:  # it has just ended
        return False
    (ignored,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(ignored, 16) >> (signal.SIGINT - 1) & 1)


def test_ctrl_c_while_a_worker_is_started_ends_that_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []

    def interrupted_start(*arguments: Any, **options: Any) -> "subprocess.Popen[str]":
        signal.raise_signal(signal.SIGINT)
        started.append(subprocess.Popen(*arguments, **options))
        signal.raise_signal(signal.SIGINT)
        return started[-1]

    monkeypatch.setattr(turns, "subprocess", SimpleNamespace(Popen=interrupted_start, PIPE=subprocess.PIPE))
    files: list[Any] = []
    temporary_file = turns.tempfile.TemporaryFile

    def noted_file() -> Any:
        files.append(temporary_file())
        return files[-1]

    monkeypatch.setattr(turns.tempfile, "TemporaryFile", noted_file)
    with pytest.raises(KeyboardInterrupt):
        Match([OURS, ROOF], SETTING).play(1)
    assert [process.returncode for process in started] == [-signal.SIGKILL]
    assert [file.closed for file in files] == [True]


@pytest.mark.parametrize(
    "shape", ["", "x", "10x", "0x3", "4x-1", "4x5@2", "4x5@-3", "4x5@", "4 x 5", "1e3", "٣x٤", "4x5@0@1"]
)
def test_a_text_that_is_no_shape_is_said_in_one_line(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--shape", shape]) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.startswith(f"softmaxjit: --shape is {shape!r}; accepted are ")
    assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--json", "missing/speed.json"], 1, "cannot write missing/speed.json: No such file or directory"),
        (["--json", "."], 2, "--json . is not a regular file"),
        (["--plot", "missing/speed.png"], 1, "cannot write missing/speed.png: No such file or directory"),
        (["--plot", "/dev/null"], 2, "--plot /dev/null is not a regular file"),
        (["--plot", "speed.exe"], 2, "--plot is speed.exe; accepted are names that end in"),
        (["--json", "x/../x.png", "--plot", "x.png"], 2, "--json x/../x.png and --plot x.png are one file; accepted"),
        (["--dtype", "int8"], 2, "Invalid value for '--dtype'"),
        (["--threads", "0"], 2, "Invalid value for '--threads'"),
        (["--rounds", "0"], 2, "Invalid value for '--rounds'"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_measured(
    arguments: list[str], status: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(turns.Match, "play", None)
    assert main(["bench", "--shape", "4x33", *arguments]) == status
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.startswith(f"softmaxjit: {message}")
    assert stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("module", "arguments"), [("matplotlib.figure", ["--plot", "x.png"])])
def test_a_figure_without_matplotlib_is_said_before_anything_is_measured(
    module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["bench", *arguments]) == 2
    assert capsys.readouterr().err == "softmaxjit: --plot needs matplotlib: pip install 'softmaxjit[plot]'\n"


def test_a_peer_that_is_not_installed_has_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = CONTENDERS["scipy"]._replace(modules=("there_is_no_such_module",))
    monkeypatch.setitem(CONTENDERS, "scipy", missing)
    names, lines = bench.installed()
    assert "scipy" not in names
    assert "SciPy is not installed (there_is_no_such_module)" in lines


def test_every_shape_of_the_table_is_one() -> None:
    texts = [text for regime in SHAPES.values() for text in regime]
    assert len(texts) == 15
    settings = [Setting("softmax", *parsed_shape(text), "float32", 1) for text in texts]
    assert [setting.title for setting in settings] == texts
    with pytest.raises(CommandError):
        parsed_shape("1024,1000")


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_right_results_pass_and_wrong_ones_do_not(dtype: str) -> None:
    for operation in OPERATIONS:
        problem = problem_of(Setting(operation, (6, 5), 0, dtype, 1))
        result = CONTENDERS["numpy"].prepare(problem).allocating()
        check(problem, result)
        for wrong in (result * 1.5, result[..., np.newaxis], result.astype(np.complex64), result * np.nan):
            with pytest.raises(ValueError, match="a wrong result"):
                check(problem, wrong if wrong.dtype.kind == "c" else wrong.astype(problem.x.dtype))


def test_a_sum_that_is_nearly_right_is_wrong_in_float32() -> None:
    problem = Problem(SETTING._replace(shape=(2, 5)), np.zeros((2, 5), np.float32))
    check(problem, np.full((2, 5), 0.2, np.float32))
    with pytest.raises(ValueError, match=r"off by up to 0\.01"):
        check(problem, np.full((2, 5), 0.21, np.float32))


def test_a_long_row_may_be_as_wrong_as_a_sum_taken_one_by_one_and_that_is_said() -> None:
    problem = Problem(SETTING._replace(shape=(100_000,)), np.zeros(100_000, np.float32))
    problem.x[0] = np.float32(np.log(1e5))
    right = (np.exp(problem.x.astype(np.float64)) / np.exp(problem.x.astype(np.float64)).sum()).astype(np.float32)
    assert check(problem, right) == 0
    assert check(problem, right * np.float32(1.01)) == pytest.approx(0.01, rel=1e-3)
    with pytest.raises(ValueError, match="a wrong result"):
        check(problem, right * np.float32(1.03))


def made_up(seconds: dict[tuple[str, str], list[float]], cores: float = 1.0) -> Standings:
    return Standings(SETTING, {key: [{"seconds": s, "cores": cores} for s in each] for key, each in seconds.items()})


@pytest.mark.parametrize("shapes", [1, 2, 5])
def test_title_and_legend_lie_within_the_figure(shapes: int, tmp_path: Path) -> None:
    everyone = made_up({(name, mode): [1.0, 2.0] for name in CONTENDERS for mode in ("into", "allocating")})
    path = tmp_path / "speed.png"
    save_bench_figure(path, [everyone] * shapes, "log_softmax, bfloat16, 16 thread(s)")
    picture = plt.imread(path)[..., :3]
    assert picture.min() == 0
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == 1).all()


def test_ratios_are_medians_of_ratios_within_rounds() -> None:
    standings = made_up(
        {
            (OURS, "into"): [1.0, 2.0, 4.0],
            ("numpy", "into"): [3.0, 4.0, 20.0],
            ("torch", "into"): [3.0, 4.5, 4.4],
            (ROOF, "into"): [0.5, 0.5, 1.0],
            ("scipy", "allocating"): [1.0, 1.0, 1.0],
        }
    )
    assert standings.ratio("numpy", "into") == 3.0
    assert standings.fraction_of_roof("into") == 0.25
    assert standings.best_peer("into") == "numpy"  # by its median
    assert standings.best_peer("allocating") == "scipy"
    assert standings.ratio("scipy", "allocating") is None  # ours was left out there
    assert bench_tables.summary_of([standings]).row_count == 1


def test_what_is_wide_or_had_more_cores_or_fewer_has_one_line_each() -> None:
    assert made_up({(OURS, "into"): [1.0, 1.1, 1.2]}, cores=1.2).remarks() == []
    assert made_up({(OURS, "into"): [1.0, 1.0, 1.25]}).remarks() == [
        "4x33: softmaxjit with out=: 3 turns lay -20% to +0% around their median"
    ]
    assert made_up({("jax", "allocating"): [1.0]}, cores=1.8).remarks() == [
        "4x33: JAX allocating: kept 1.8 cores busy, not 1"
    ]
    assert made_up({("jax", "allocating"): [1.0]}, cores=0.4).remarks() == [
        "4x33: JAX allocating: had to wait for a core, and got 0.4"
    ]


def test_a_busy_machine_and_too_many_threads_have_one_line_each() -> None:
    options = bench.Options("softmax", (), "float32", 3, 1, 1, None, None)
    idle = {"load_before": 0.5, "cores": 4}
    assert bench.warnings_about_the_machine(idle, options) == []
    assert bench.warnings_about_the_machine({"load_before": None, "cores": None}, options) == []
    assert bench.warnings_about_the_machine({"load_before": 0.6, "cores": 2}, options) == [
        "the machine was busy before the start: load average 0.6",
        "3 threads shared 2 cores",
    ]


class FakeWorker:
    """Answers for a while."""

    answers = {"numpy": 100, "scipy": 1}  # noqa: RUF012

    def __init__(self, name: str, _setting: Setting) -> None:
        self.name = name
        self.left = self.answers[name]

    def description(self) -> dict[str, Any]:
        return {"modes": ["allocating"], "versions": {self.name: "1"}, "off": 0.01 * (self.name == "numpy")}

    def turn(self, _mode: str) -> dict[str, Any]:
        self.left -= 1
        return {"seconds": 1.0, "cores": 1.0} if self.left >= 0 else {"error": "tired"}

    def close(self) -> None:
        self.left = 0


def test_who_ends_in_the_middle_is_forgotten_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "Worker", FakeWorker)
    match = Match(["numpy", "scipy"], SETTING)
    match.play(3)
    match.play(3)
    assert match.left_out == {"scipy": "tired"}
    assert match.off == {"numpy": 0.01}
    assert {key: len(each) for key, each in match.turns.items()} == {("numpy", "allocating"): 6}


class RefusingWorker(FakeWorker):
    """Takes no part."""

    answers = dict.fromkeys(CONTENDERS, 0)

    def description(self) -> dict[str, Any]:
        return {"error": "not today"}


def test_where_everyone_is_left_out_one_line_says_that_nothing_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(turns, "Worker", RefusingWorker)
    results = ("--json", str(tmp_path / "speed.json"), "--plot", str(tmp_path / "speed.png"))
    assert main(["bench", "--shape", "4x33", *results]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("4x33") + 1] == "Nothing was measured: every contender was left out."
    assert "4x33: softmaxjit left out, not today" in lines
    assert not any(line.startswith(("Summary", "A ratio is")) for line in lines)
    assert json.loads((tmp_path / "speed.json").read_text())["shapes"][0]["contenders"] == {}
    assert (tmp_path / "speed.png").exists()


def test_a_shape_that_nobody_took_is_not_in_the_summary() -> None:
    measured = made_up({(OURS, "into"): [1.0], ("numpy", "into"): [2.0]})
    assert bench_tables.summary_of([measured, made_up({})]).row_count == 1


def test_a_worker_that_gives_no_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "START_LIMIT", 0.05)
    worker = turns.Worker("numpy", SETTING)
    description = worker.description()
    worker.close()
    assert description == {"error": "no answer within 0 s"}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_streaming_copy_is_exact_at_every_alignment_and_length_and_writes_nothing_beyond(dtype: Any) -> None:
    kernel = stream_copy.compiled(np.dtype(dtype))
    width = 64 // np.dtype(dtype).itemsize
    x = np.random.default_rng(0).standard_normal(COPY_BLOCK_ELEMENTS * 2 + 3 * width).astype(dtype)
    x[:3] = np.nan, -0.0, np.inf
    for size in (
        *range(3 * width + 2),
        COPY_BLOCK_ELEMENTS - 1,
        COPY_BLOCK_ELEMENTS + 1,
        2 * COPY_BLOCK_ELEMENTS + width + 3,
    ):
        for before in range(width + 1):
            whole = np.full(size + 3 * width, -1, dtype)
            kernel(x[:size], whole[before : before + size])
            assert whole[before : before + size].tobytes() == x[:size].tobytes()
            assert (np.delete(whole, slice(before, before + size)) == -1).all()


def test_the_streaming_copy_stores_past_the_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTMAXJIT_CACHE", "0")  # of what was loaded from one, Numba has no code to show
    monkeypatch.setattr(stream_copy, "_compiled", {})
    kernel = stream_copy.compiled(np.dtype(np.float64))
    x = np.arange(3.0 * COPY_BLOCK_ELEMENTS)
    out = np.zeros_like(x)
    kernel(x, out)
    assert np.array_equal(x, out)
    assert any("!nontemporal" in code for code in kernel.inspect_llvm().values())

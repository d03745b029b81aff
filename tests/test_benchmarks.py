"""The asv suite is sound, reads the tables of the tests, and each of its benchmarks runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from softmaxjit._commands import table
from softmaxjit._commands.contenders import CONTENDERS, OURS, ROOF

from .oracles import OPERATIONS

ROOT = Path(__file__).parents[1]
ASV_BENCH = ROOT / "asv_bench"

# As asv does it: a suite's setup_cache(), then each benchmark with what that returned before the parameters.
EVERY_BENCHMARK_ONCE = """
import importlib, inspect, json, pkgutil, subprocess, sys
import benchmarks

def run_raw(code, setup=""):
    subprocess.run([sys.executable, "-c", setup + "\\n" + code], check=True, timeout=120)

benchmarks.peers = importlib.import_module("benchmarks.peers")
benchmarks.peers.STARTS = benchmarks.peers.ROUNDS = 1

done, results = {}, {}
for module in pkgutil.walk_packages(benchmarks.__path__, "benchmarks."):
    for name, suite in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
        if name.startswith("_") or suite.__module__ != module.name:
            continue
        params = [list(values) for values in getattr(suite, "params", ())]
        instance = suite()
        instance.params = tuple(values[:1] for values in params)
        cache = instance.setup_cache() if hasattr(suite, "setup_cache") else None
        # The last contender, a copy of ours, is always installed; the first peer need not be.
        names = getattr(suite, "param_names", ())
        arguments = [values[-1 if name == "contender" else 0] for name, values in zip(names, params)]
        for method, body in inspect.getmembers(instance, inspect.ismethod):
            if method.startswith(("time_", "timeraw_", "track_", "mem_", "peakmem_")):
                result = body(*([] if cache is None else [cache]), *arguments)
                if method.startswith("timeraw_"):  # which returns code, perhaps with a setup
                    run_raw(*([result] if isinstance(result, str) else result))
                key = f"{module.name}.{name}.{method}"
                done[key] = params
                if method.startswith("track_"):
                    results[key] = [result, getattr(body, "unit", None)]
print(json.dumps([done, results]))
"""


def run(*command: str, limit: float, directory: Path = ASV_BENCH, **environment: str) -> str:
    """Run a child process in a directory and return what it printed."""
    child = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert child.returncode == 0, child.stdout + child.stderr
    return child.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what the suite is made of, since it keeps Numba's cache beside itself."""
    directory = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ASV_BENCH / "benchmarks", directory / "asv_bench" / "benchmarks")
    for path in ("softmaxjit/_commands/table.py", "tests/oracles.py"):
        (directory / path).parent.mkdir(parents=True)
        shutil.copy(ROOT / path, directory / path)
    return directory


@pytest.fixture
def repository(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with this checkout's files for asv in one commit."""
    directory = tmp_path_factory.mktemp("repository") / "softmaxjit"
    shutil.copytree(checkout, directory, ignore=shutil.ignore_patterns(".asv", "__pycache__"))
    shutil.copytree(ASV_BENCH / ".asv" / "results", directory / "asv_bench" / ".asv" / "results")
    for path in ("Makefile", "pyproject.toml", ".gitignore", "asv_bench/asv.conf.json", "asv_bench/scratch.py"):
        shutil.copy(ROOT / path, directory / path)
    somebody = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    for arguments in (("init", "--quiet"), ("add", "--all"), (*somebody, "commit", "--quiet", "--message", "all")):
        run("git", *arguments, limit=10, directory=directory)
    return directory


@pytest.fixture(scope="module")
def measured(checkout: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters of every benchmark, each of which ran at its smallest, and what was tracked."""
    output = run(
        *(sys.executable, "-P", "-c", f"import sys; sys.path.append('.')\n{EVERY_BENCHMARK_ONCE}"),
        limit=600,
        directory=checkout / "asv_bench",
        PYTHONPATH=str(ROOT),
        NUMBA_NUM_THREADS="1",
    )
    done, results = json.loads(output)
    return done, results


def test_asv_finds_no_problems(tmp_path: Path) -> None:
    # A home of its own, since asv may write its description of the machine there.
    output = run(sys.executable, "-m", "asv", "check", "-E", "existing:same", limit=60, HOME=str(tmp_path))
    assert "No problems found" in output


def test_asv_finds_a_benchmark_whose_arguments_are_not_its_parameters(repository: Path, tmp_path: Path) -> None:
    """The check above can fail, by its status, and so do the tests, which every change must pass."""
    suite = repository / "asv_bench" / "benchmarks" / "startup.py"
    suite.write_text(suite.read_text("utf-8") + "\n    def time_of(self, one, more):\n        pass\n", "utf-8")
    command = (sys.executable, "-m", "asv", "check", "-E", "existing:same")
    with pytest.raises(AssertionError, match=r"StartUp\.time_of: call: wrong number of arguments"):
        run(*command, limit=60, directory=repository / "asv_bench", HOME=str(tmp_path))


# In place of the virtual environment's interpreter: one benchmark of what is installed instead of an hour, with the
# configuration that was asked for.
PYTHON_OF_MAKE = """#!{python}
import os, subprocess, sys
arguments = sys.argv[1:]
if "continuous" in arguments:
    assert os.environ["BENCH"] == arguments[arguments.index("--bench") + 1]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    given = arguments[3:5] if arguments[3] == "--config" else []
    arguments = ["-m", "asv", "run", *given, "-E", "existing:same", "--set-commit-hash", commit]
    arguments += ["--quick", "--bench", "timeraw_import"]
os.execv({python!r}, [{python!r}, *arguments])
"""


def test_make_bench_leaves_no_trace_among_what_is_committed(repository: Path, tmp_path: Path) -> None:
    interpreter = repository / ".venv" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.write_text(PYTHON_OF_MAKE.format(python=sys.executable))
    interpreter.chmod(0o755)
    (repository / ".venv" / ".test").touch()  # so that nothing is installed
    run("make", "bench", limit=300, directory=repository, HOME=str(tmp_path))
    (commit,) = run("git", "rev-parse", "HEAD", limit=10, directory=repository).split()
    scratch = repository / "asv_bench" / ".asv" / "env" / "scratch" / "results"
    assert list(scratch.glob(f"*/{commit[:8]}-*.json"))
    assert run("git", "status", "--porcelain", limit=10, directory=repository) == ""


def test_every_benchmark_runs_at_its_smallest_parameters(
    checkout: Path, measured: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    done, _ = measured
    assert list((checkout / "asv_bench/.asv/env/numba-cache/existing").rglob("*.nbc"))
    for benchmark in (
        "activations.Softmax.time_into",
        "activations.Logsumexp.time_allocating",
        "activations.SixteenBits.time_into",
        "activations.Gradients.time_into",
        "activations.Arguments.time_into",
        "calibration.Labelled.time_call",
        "calibration.Resamples.time_bootstrap",
        "compiled.InsideNjit.time_loop_over_rows",
        "elementwise.Ufuncs.time_ufunc_into",
        "memory.Softmax.peakmem_in_place",
        "accuracy.Error.track_largest_error",
        "peers.Softmax.track_times_as_long_as",
        "startup.StartUp.timeraw_import",
        "startup.StartUp.timeraw_first_call_warm",
    ):
        assert f"benchmarks.{benchmark}" in done


def test_what_is_tracked_has_a_unit_and_is_plausible(measured: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, results = measured
    assert all(unit for _, unit in results.values())
    # Not NaN, which is what the ratios are when nothing could be measured.
    assert all(0 < result < 1000 for result, _ in results.values())
    error, unit = results["benchmarks.accuracy.Error.track_largest_error"]
    assert unit == "ulp"
    assert 0.4 < error <= OPERATIONS[0].bound


# In a process that does nothing else: one that a large softmax went through before has had the memory already.
MEMORY = """
import sys; sys.path.append(".")
from benchmarks import memory
suite = memory.Softmax()
"""
WHAT_ASV_DOES = (
    "suite.params = ((1_000_000,), (1000,)); suite.setup_cache()",
    "suite.peakmem_in_place(1_000_000, 1000); suite.peakmem_into(1_000_000, 1000)",
)
A_COPY_IS_CAUGHT = """
suite.peakmem_in_place(50_000_000, 1000)
memory.softmaxjit.softmax = lambda x, out: memory.np.copyto(out, x + 1)
try:
    suite.peakmem_in_place(50_000_000, 1000)
except MemoryError as error:
    print(error)
"""


def test_a_second_copy_of_the_logits_is_caught_but_not_what_compiling_takes(checkout: Path) -> None:
    printed = [
        run(
            *(sys.executable, "-P", "-c", f"{MEMORY}\n{code}"),
            limit=300,
            directory=checkout / "asv_bench",
            PYTHONPATH=str(ROOT),
            NUMBA_NUM_THREADS="1",
            ASV_COMMIT="with an empty cache",
        )
        for code in (*WHAT_ASV_DOES, A_COPY_IS_CAUGHT)
    ]
    assert printed[:2] == ["", ""]
    assert "MB more for logits of 200 MB" in printed[2]


def test_a_suite_fills_the_cache_once_though_another_module_has_one_of_its_name(checkout: Path) -> None:
    script = """
import sys; sys.path.append(".")
from benchmarks import fill_cache
for module in ("activations", "memory", "memory"):
    called = {"__module__": module, "params": ((1,),), "time_it": lambda self, _: print(self.__module__)}
    fill_cache(type("Softmax", (), called)())
"""
    output = run(
        *(sys.executable, "-P", "-c", script),
        limit=60,
        directory=checkout / "asv_bench",
        PYTHONPATH=str(ROOT),
        ASV_COMMIT="one in which each fills it once",
    )
    assert output.split() == ["activations", "memory"]


def test_only_what_was_asked_for_fills_the_cache(checkout: Path) -> None:
    script = """
import sys; sys.path.append(".")
from benchmarks import fill_cache
for name in ("Softmax", "Logsumexp"):
    called = {"__module__": "benchmarks.activations", "params": (("10", "5x7"), ("float32",))}
    called["time_it"] = lambda self, shape, dtype: print(type(self).__name__, shape, dtype)
    fill_cache(type(name, (), called)())
"""
    for asked, filled in (("^activations.Softmax.time_it.*'5x7'", "Softmax 5x7 float32\n"), ("^memory", "")):
        output = run(
            *(sys.executable, "-P", "-c", script),
            limit=60,
            directory=checkout / "asv_bench",
            PYTHONPATH=str(ROOT),
            ASV_COMMIT="one of which some is asked for",
            BENCH=asked,
        )
        assert output == filled


@pytest.mark.parametrize(("threads", "timer"), [("1", "process_time"), ("2", "perf_counter")])
def test_only_one_thread_is_timed_by_its_processor_time(checkout: Path, threads: str, timer: str) -> None:
    # As Numba has it, whether that is from the environment or not: where asv runs what is installed, it sets nothing.
    script = (
        f"import sys; sys.path.append('.')\nimport numba; numba.config.NUMBA_NUM_THREADS = {threads}\n"
        "from benchmarks import THREADS, Timed; print(THREADS, Timed.timer.__name__)"
    )
    output = run(
        *("env", "-u", "NUMBA_NUM_THREADS", sys.executable, "-P", "-c", script),
        limit=60,
        directory=checkout / "asv_bench",
        PYTHONPATH=str(ROOT),
    )
    assert output.split() == [threads, timer]


def test_asv_takes_a_larger_ratio_for_a_slowdown_and_so_it_is_one(checkout: Path) -> None:
    script = (
        "import sys; sys.path.append('.')\nfrom benchmarks.peers import Softmax\n"
        "print(*(Softmax().track_times_as_long_as({('4x33', 'numpy'): fast}, '4x33', 'numpy') for fast in (4.0, 2.0)))"
    )
    output = run(
        *(sys.executable, "-P", "-c", script),
        limit=60,
        directory=checkout / "asv_bench",
        PYTHONPATH=str(ROOT),
    )
    assert output.split() == ["0.25", "0.5"]


def test_committed_results_are_described_as_the_benchmarks_are_now(checkout: Path) -> None:
    # asv does not publish results of a version, a hash of the benchmark's code, that the description does not have.
    script = (
        "import json, pathlib, sys, asv_runner.discovery as discovery\n"
        "with open('found.json', 'w') as file: discovery.list_benchmarks(pathlib.Path('benchmarks').absolute(), file)"
    )
    run(sys.executable, "-c", script, limit=60, directory=checkout / "asv_bench", PYTHONPATH=str(ROOT))
    found = json.loads((checkout / "asv_bench" / "found.json").read_text("utf-8"))
    described = json.loads((ASV_BENCH / ".asv" / "results" / "benchmarks.json").read_text("utf-8"))
    del described["version"]
    for what in ("version", "unit", "params"):
        now = {benchmark["name"]: benchmark[what] for benchmark in found}
        assert {name: benchmark[what] for name, benchmark in described.items()} == now, "run asv_bench/describe.py"


def test_parameters_are_those_of_the_tables(measured: tuple[dict[str, Any], dict[str, Any]]) -> None:
    done, _ = measured
    labelled, _, _ = done["benchmarks.calibration.Labelled.time_call"]
    assert {"fit_temperature", "fit_vector_scaling", "calibration_report", "nll"} <= set(labelled)
    regimes = [shapes[0] for shapes in table.SHAPES.values()]
    assert [tested.name for tested in OPERATIONS] == list(table.OPERATIONS)
    assert done["benchmarks.activations.Softmax.time_into"] == [["10", *regimes], ["float32", "float64"]]
    assert done["benchmarks.activations.SixteenBits.time_into"] == [
        list(table.OPERATIONS),
        regimes,
        ["float16", "bfloat16"],
    ]
    assert done["benchmarks.peers.Softmax.track_times_as_long_as"] == [regimes, [n for n in CONTENDERS if n != OURS]]
    assert list(CONTENDERS) == [OURS, *table.PEERS, ROOF]


def test_another_installed_commit_does_not_change_the_parameters(checkout: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "softmaxjit", tmp_path / "softmaxjit", ignore=shutil.ignore_patterns("__pycache__"))
    older = tmp_path / "softmaxjit" / "_commands" / "table.py"
    older.write_text(older.read_text("utf-8").replace("1024x1000", "7x7"), "utf-8")
    script = "import sys; sys.path.append('.')\nfrom benchmarks.activations import Softmax; print(Softmax.params[0])"
    output = run(
        *(sys.executable, "-P", "-c", script), limit=60, directory=checkout / "asv_bench", PYTHONPATH=str(tmp_path)
    )
    assert "'1024x1000'" in output

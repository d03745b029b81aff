"""The asv suite is sound, and each of its benchmarks and each contender of the comparison runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ASV_BENCH = Path(__file__).parents[1] / "asv_bench"

EVERY_BENCHMARK_ONCE = """
import importlib, inspect, json, pkgutil
import benchmarks

done = []
for module in pkgutil.walk_packages(benchmarks.__path__, "benchmarks."):
    for name, suite in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
        smallest = [values[0] for values in getattr(suite, "params", ())]
        for method, body in inspect.getmembers(suite, inspect.isfunction):
            if method.startswith(("time_", "timeraw_", "track_", "mem_", "peakmem_")):
                body(suite(), *smallest)
                done.append(f"{module.name}.{name}.{method}")
print(json.dumps(done))
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


def test_asv_finds_no_problems(tmp_path: Path) -> None:
    # A home of its own, since asv may write its description of the machine there.
    output = run(sys.executable, "-m", "asv", "check", "-E", "existing:same", limit=60, HOME=str(tmp_path))
    assert "No problems found" in output


def test_every_benchmark_runs_at_its_smallest_parameters(tmp_path: Path) -> None:
    # Of a copy, since the suite keeps Numba's cache beside itself.
    shutil.copytree(ASV_BENCH / "benchmarks", tmp_path / "benchmarks")
    done = json.loads(run(sys.executable, "-c", EVERY_BENCHMARK_ONCE, limit=120, directory=tmp_path))
    assert (tmp_path / ".asv" / "env" / "numba-cache" / "existing").is_dir()
    assert "benchmarks.activations.Rows.time_allocating" in done
    assert "benchmarks.activations.Rows.time_into" in done


@pytest.mark.parametrize("operation", ["softmax", "log_softmax", "logsumexp"])
def test_side_by_side_compares_everyone_who_is_installed(operation: str, tmp_path: Path) -> None:
    arguments = ["--op", operation, "--shape", "4", "33", "--starts", "1", "--rounds", "1"]
    output = run(sys.executable, "side_by_side.py", *arguments, limit=120, NUMBA_CACHE_DIR=str(tmp_path))
    assert "left out" not in output
    with_out, allocating = output.split("with out=")[1].split("allocating")
    for title in ("softmaxjit", "SciPy", "NumPy textbook"):  # the extra [test] brings these
        assert f"\n{title} " in allocating
    assert "\nNumPy textbook " in with_out
    assert "\nSciPy " not in with_out


def test_a_contender_with_a_wrong_result_is_left_out() -> None:
    output = run(sys.executable, "-c", WRONG_RESULT, limit=60)
    assert output == "raised\n"


WRONG_RESULT = """
import numpy as np
from contenders import Problem, check

x = np.zeros((2, 5), np.float32)
check(Problem("softmax", x, -1, 1), np.full_like(x, 0.2))
try:
    check(Problem("softmax", x, -1, 1), np.full_like(x, 0.21))
except AssertionError:
    print("raised")
"""

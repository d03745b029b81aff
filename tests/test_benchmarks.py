"""The asv suite is sound, and each of its benchmarks runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ASV_BENCH = Path(__file__).parents[1] / "asv_bench"

EVERY_BENCHMARK_ONCE = """
import importlib, inspect, json, pkgutil, subprocess, sys
import benchmarks

def run_raw(code, setup=""):
    subprocess.run([sys.executable, "-c", setup + "\\n" + code], check=True, timeout=120)

done = []
for module in pkgutil.walk_packages(benchmarks.__path__, "benchmarks."):
    for name, suite in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
        smallest = [values[0] for values in getattr(suite, "params", ())]
        for method, body in inspect.getmembers(suite, inspect.isfunction):
            if method.startswith(("time_", "timeraw_", "track_", "mem_", "peakmem_")):
                result = body(suite(), *smallest)
                if method.startswith("timeraw_"):  # which returns code, perhaps with a setup
                    run_raw(*([result] if isinstance(result, str) else result))
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
    done = json.loads(run(sys.executable, "-c", EVERY_BENCHMARK_ONCE, limit=300, directory=tmp_path))
    assert (tmp_path / ".asv" / "env" / "numba-cache" / "existing").is_dir()
    assert "benchmarks.activations.Rows.time_allocating" in done
    assert "benchmarks.activations.Rows.time_into" in done
    assert {f"benchmarks.startup.StartUp.timeraw_{name}" for name in ("import", "first_call_warm")} <= set(done)

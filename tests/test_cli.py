"""The command line as a whole: how it starts, what it needs, and ``softmaxjit info``."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import softmaxjit
from softmaxjit import _cache
from softmaxjit.__main__ import main
from softmaxjit._commands.info import hardware_bits

from .children import TIME_LIMIT


def run_child(cache: Path | None, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "SOFTMAXJIT_"))}
    if cache is not None:
        kept["NUMBA_CACHE_DIR"] = str(cache)
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env=kept | variables,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


def run_in_shell(cache: Path, directory: Path, redirected: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a directory with a shell, its arguments followed by redirections."""
    script = "import subprocess, sys; sys.exit(subprocess.call(['bash', '-o', 'pipefail', '-c', sys.argv[1]]))"
    return run_child(cache, "-c", script, f"cd '{directory}'; '{sys.executable}' -m softmaxjit {redirected}")


def info(cache: Path | None, **variables: str) -> dict[str, str]:
    child = run_child(cache, "-m", "softmaxjit", "info", **variables)
    assert (child.returncode, child.stderr) == (0, "")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in child.stdout.splitlines())}


def test_the_command_that_pip_installs_is_main() -> None:
    (entry,) = metadata.entry_points(group="console_scripts", name="softmaxjit")
    assert entry.load() is main


def test_without_a_subcommand_it_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    without = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == without
    for subcommand in ("demo", "info", "apply", "bench", "calibrate"):
        assert f"\n  {subcommand} " in without


@pytest.mark.parametrize("arguments", [["hardmax"], ["info", "--all"], ["apply"], ["apply", "x.npy"], ["info", "x"]])
def test_wrong_arguments_are_said_in_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.startswith("softmaxjit: ")
    assert stderr.count("\n") == 1


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"softmaxjit {softmaxjit.__version__}\n"


@pytest.mark.parametrize("arguments", ["info", "demo", "--help", "--version"])
def test_a_full_device_as_standard_output_is_said_in_one_line(warm_cache: Path, tmp_path: Path, arguments: str) -> None:
    child = run_in_shell(warm_cache, tmp_path, f"{arguments} >/dev/full")
    assert child.stderr == "softmaxjit: standard output: No space left on device\n"
    assert child.returncode == 1


@pytest.mark.parametrize("arguments", ["info", "demo", "--help"])
def test_a_reader_that_goes_away_is_no_failure_worth_a_word(warm_cache: Path, tmp_path: Path, arguments: str) -> None:
    child = run_in_shell(warm_cache, tmp_path, f"{arguments} | true")
    assert child.stderr == ""


def test_a_closed_standard_output_stream_stops_nothing(warm_cache: Path, tmp_path: Path) -> None:
    child = run_in_shell(warm_cache, tmp_path, "info >&-")
    assert (child.returncode, child.stderr) == (0, "")


def test_an_interrupt_while_the_command_line_is_imported_is_said_in_one_line(tmp_path: Path) -> None:
    script = """
import signal
import sys
from softmaxjit.__main__ import main

class Interrupting:
    def find_spec(self, name, *_):
        if name == "click":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.exit(main(["info"]))
"""
    child = run_child(tmp_path, "-c", script)
    assert (child.returncode, child.stdout, child.stderr) == (130, "", "softmaxjit: stopped\n")


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_packages_of_the_extra_it_says_what_to_install(tmp_path: Path, missing: str) -> None:
    script = (
        f"import sys; sys.modules[{missing!r}] = None; from softmaxjit.__main__ import main; sys.exit(main(['info']))"
    )
    child = run_child(tmp_path, "-c", script)
    assert child.stderr == "softmaxjit: the command line needs more packages: pip install 'softmaxjit[cli]'\n"
    assert child.stdout == ""
    assert child.returncode == 2


def test_another_package_that_is_missing_is_not_hidden(tmp_path: Path) -> None:
    script = "import sys; sys.modules['llvmlite'] = None; from softmaxjit.__main__ import main"
    child = run_child(tmp_path, "-c", script)
    assert "softmaxjit[cli]" not in child.stderr
    assert child.returncode == 1


def test_the_library_imports_nothing_of_the_command_line(tmp_path: Path) -> None:
    script = "import json, sys, softmaxjit, softmaxjit.__main__; print(json.dumps(list(sys.modules)))"
    imported = set(json.loads(run_child(tmp_path, "-c", script).stdout))
    assert "numba" in imported
    assert not imported & {"click", "rich", "matplotlib", "softmaxjit.cli", "softmaxjit._commands"}


def test_info_gives_the_versions(tmp_path: Path) -> None:
    facts = info(tmp_path)
    assert facts["softmaxjit"] == softmaxjit.__version__
    assert facts["Python"] == sys.version.split()[0]
    for package in ("NumPy", "Numba", "llvmlite"):
        assert facts[package] == metadata.version(package.lower())


def test_info_describes_the_target_that_numba_compiles_for(tmp_path: Path) -> None:
    facts = info(tmp_path, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert facts["CPU target"] == "generic"
    assert facts["Vector features"] == "none"
    assert facts["Vector width"] == "128 bits; the library counts in 512: 16 float32 or 8 float64 lanes"
    assert info(tmp_path)["CPU target"] != "generic"


def test_the_vector_width_follows_the_features() -> None:
    assert hardware_bits(["avx", "avx2", "avx512f"]) == 512
    assert hardware_bits(["avx", "avx2"]) == 256
    assert hardware_bits(["neon"]) == 128


def test_info_gives_threads_and_layer(tmp_path: Path) -> None:
    facts = info(tmp_path, NUMBA_NUM_THREADS="1", NUMBA_THREADING_LAYER="workqueue")
    assert facts["Threads"] == "1"
    assert facts["Threading layer"] == (
        "workqueue (large calls use threads of their own: it allows one caller at a time)"
    )


def test_info_says_that_no_threading_layer_loads(tmp_path: Path) -> None:
    assert info(tmp_path, NUMBA_THREADING_LAYER="unheard-of")["Threading layer"] == (
        "none (large calls use threads of their own)"
    )


def test_info_launches_no_threading_layer(tmp_path: Path) -> None:
    script = """
import numba
from softmaxjit.__main__ import main
main(["info"])
try:
    numba.threading_layer()
except ValueError:
    print("none launched")
"""
    assert run_child(tmp_path, "-c", script).stdout.endswith("\nnone launched\n")


def test_info_gives_the_directory_in_which_compiled_kernels_are(tmp_path: Path) -> None:
    directory = Path(info(tmp_path)["Cache directory"])
    assert not list(directory.glob("*.nbi"))
    run_child(tmp_path, "-c", "import numpy, softmaxjit; softmaxjit.softmax(numpy.zeros(3, 'f4'))")
    assert list(directory.glob("*.nbi"))
    assert directory.is_relative_to(tmp_path)


def test_info_follows_numba_to_another_directory_where_one_cannot_be_made(tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.touch()
    assert str(blocked) not in info(blocked)["Cache directory"]


@pytest.mark.parametrize("variable", ["SOFTMAXJIT_CACHE=0", "NUMBA_DISABLE_JIT=1"])
def test_info_says_what_turned_the_cache_off(tmp_path: Path, variable: str) -> None:
    name, _, value = variable.partition("=")
    assert info(tmp_path, **{name: value})["Cache directory"] == f"off ({variable})"


def test_info_says_that_there_is_no_directory_to_write_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_cache, "FunctionCache", None)  # Numba raises where no directory is writable
    assert main(["info"]) == 0
    assert "Cache directory: off (no directory to write to)\n" in capsys.readouterr().out


def test_the_command_works_without_a_cache(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 4), np.float32))
    command = ["-m", "softmaxjit", "apply", str(tmp_path / "x.npy"), "-o", str(tmp_path / "y.npy")]
    child = run_child(tmp_path, *command, SOFTMAXJIT_CACHE="0")
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")
    assert np.array_equal(np.load(tmp_path / "y.npy"), np.full((3, 4), 0.25, np.float32))

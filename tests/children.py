"""Scripts run in Python processes of their own: for what one process can see only once, or would not survive."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1] / "softmaxjit"
TIME_LIMIT = 120  # seconds: for a hang, not for a slow machine

# What would make a child of this process another than a child of the user's shell.
_OURS = ("NUMBA_", "SOFTMAXJIT_", "PYTHON", "XDG_CACHE_HOME")


def environment(cache: Path | None, **variables: str) -> dict[str, str]:
    """Return this process's environment with Numba's cache in `cache` and with `variables`, free of other settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    if cache is not None:
        kept["NUMBA_CACHE_DIR"] = str(cache)
    return kept | {"PYTHONDONTWRITEBYTECODE": "1"} | variables


def start(
    script: str, cache: Path | None, packages: Path = PACKAGE.parent, **variables: str
) -> "subprocess.Popen[str]":
    """Start a script that imports from the directory `packages` before all others."""
    return subprocess.Popen(
        [sys.executable, "-P", "-W", "error", "-c", textwrap.dedent(script)],
        env=environment(cache, **variables) | {"PYTHONPATH": str(packages)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(child: "subprocess.Popen[str]") -> Any:
    """Return what a child printed, read as JSON, once it has ended well; kill it and its children if it hangs."""
    try:
        stdout, stderr = child.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, 9)
        stdout, stderr = child.communicate()
        raise AssertionError(f"the child hung\n{stdout}\n{stderr}") from None
    assert child.returncode == 0, f"exit status {child.returncode}\n{stdout}\n{stderr}"
    assert stderr == "", stderr
    return json.loads(stdout)


def run(script: str, cache: Path | None, packages: Path = PACKAGE.parent, **variables: str) -> Any:
    """Run a script to its end and return what it printed as JSON."""
    return finish(start(script, cache, packages, **variables))

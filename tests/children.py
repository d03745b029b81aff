"""Scripts run in Python processes of their own: for what one process can see only once, or would not survive."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba.core.caching import _CacheLocator

from softmaxjit import _jit

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


def copy_kernels(compiled: Path, cache: Path) -> None:
    """Copy compiled kernels to where children whose ``NUMBA_CACHE_DIR`` is `cache` look for them.

    Another process may do so at the same time while others read, so no file is ever there in part.
    """
    target = cache / _CacheLocator.get_suitable_cache_subpath(str(PACKAGE / "_kernels" / "softmax.py"))
    target.mkdir(mode=0o700, exist_ok=True)
    for file in compiled.glob(f"*{_jit.STAMP}*.nb[ci]"):
        if not (target / file.name).exists():
            shutil.copy(file, part := target / f"{file.name}.{os.getpid()}")
            part.replace(target / file.name)


def link_kernels(kernels: Path, cache: Path) -> None:
    """Let one cache begin with all that another one has: a file is replaced, never written to."""
    for file in kernels.rglob("*.nb[ci]"):
        place = cache / file.relative_to(kernels)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            place.hardlink_to(file)

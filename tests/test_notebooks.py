"""Every notebook runs in a fresh kernel, and the outputs kept in it are what it gives today."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from softmaxjit._commands.contenders import CONTENDERS

from .children import TIME_LIMIT
from .scripts import ROOT, script

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# As `make notebooks` runs them; in a child process, since Jupyter's packages warn about themselves and warnings are
# errors here.
EXECUTE = ROOT / "docs" / "execute_notebook.py"

# Python imports a module of this name at its start, so the kernel has no names of other machines.
NO_NETWORK = """
import socket

resolve = socket.getaddrinfo

def resolve_only_this_machine(host, *args, **kwargs):
    if host not in (None, "", "localhost", "127.0.0.1", "::1"):
        raise OSError(f"a notebook must not use the network, and asks for {host!r}")
    return resolve(host, *args, **kwargs)

socket.getaddrinfo = resolve_only_this_machine
"""


def executed(path: Path, scratch: Path, cache: Path) -> list[dict[str, Any]]:
    """Return the code cells of a notebook after a run in a directory of its own, all settings fresh.

    What notebooks read lies beside them.
    """
    for data in path.parent.glob("*.json"):
        shutil.copy(data, scratch)
    (scratch / "sitecustomize.py").write_text(NO_NETWORK)
    fresh = scratch / "fresh.ipynb"
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(cache),
        "PYTHONPATH": os.pathsep.join([str(scratch), str(ROOT)]),
        "IPYTHONDIR": str(scratch / "ipython"),
        "JUPYTER_CONFIG_DIR": str(scratch / "config"),
        "JUPYTER_DATA_DIR": str(scratch / "data"),
        "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
    }
    child = subprocess.run(
        [sys.executable, str(EXECUTE), str(path), str(fresh), str(scratch)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return code_cells(fresh)


def code_cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]


def kinds(cell: dict[str, Any]) -> list[list[str]]:
    """In which forms a cell's results are kept: pictures, sliders, text."""
    return [sorted(output["data"]) for output in cell["outputs"] if "data" in output]


def texts(cell: dict[str, Any]) -> dict[str, str]:
    """What a cell printed and returned as text; how a stream was cut into pieces is chance."""
    found: dict[str, str] = {}
    for output in cell["outputs"]:
        kind = output.get("name", output["output_type"])
        text = output["text"] if kind in ("stdout", "stderr") else output["data"]["text/plain"]
        found[kind] = found.get(kind, "") + "".join(text)
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_kept_outputs_are_those_of_a_fresh_run(path: Path, tmp_path: Path, warm_cache: Path) -> None:
    for kept, fresh in zip(code_cells(path), executed(path, tmp_path, warm_cache), strict=True):
        assert all(output["output_type"] != "error" for output in kept["outputs"])
        assert texts(kept) == texts(fresh), "".join(kept["source"])
        assert kinds(kept) == kinds(fresh), "".join(kept["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_says_nothing_about_the_machine_it_was_made_on(path: Path) -> None:
    notebook = json.loads(path.read_text("utf-8"))
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    # The state of sliders is kept, so that they are drawn where no kernel runs.
    widgets = notebook["metadata"].pop("widgets", {})
    assert bool(widgets) == ("ipywidgets" in json.dumps(notebook["cells"]))
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert all(cell["metadata"] == {} for cell in notebook["cells"])
    words = json.dumps([widgets, *({**cell, "outputs": [texts(cell)]} for cell in code_cells(path))])
    assert not re.search(r"/(home|root|tmp|Users|work)/|[A-Z]:\\\\", words)


def test_a_notebook_without_network_and_with_stale_outputs_is_noticed(tmp_path: Path, warm_cache: Path) -> None:
    """The checks above can fail."""
    source = (
        "import socket\ntry:\n    socket.getaddrinfo('example.org', 80)\nexcept OSError as error:\n    print(error)"
    )
    cell = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": source}
    path = tmp_path / "network.ipynb"
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    (fresh,) = executed(path, tmp_path, warm_cache)
    assert "a notebook must not use the network" in texts(fresh)["stdout"]
    assert texts(fresh) != texts(cell)


def test_the_errors_of_peers_are_of_the_logits_that_the_notebook_has_and_in_ulp() -> None:
    peers_errors = script("peers_errors", "docs")
    saved = json.loads((ROOT / "notebooks" / "03_numbers.json").read_text("utf-8"))
    uniform, confident = peers_errors.logits()
    assert saved["checksums"] == {"uniform": crc32(uniform.tobytes()), "confident": crc32(confident.tobytes())}
    assert list(saved["peers"]) == [CONTENDERS[peer].title for peer in peers_errors.PEERS]
    for peer in saved["peers"].values():
        assert len(peer["largest errors of softmax"]) == len(uniform)
        assert len(peer["log-probabilities of the leader"]) == len(confident)

    x = uniform[:2, :1]
    found, version = peers_errors.computed("numpy", "softmax", x)
    assert version == np.__version__
    right = peers_errors.largest_errors(found, x)
    assert max(right) < 8
    found[1, 0, 5] += 100 * np.spacing(found[1, 0, 5])
    wrong = peers_errors.largest_errors(found, x)
    assert wrong[0] == right[0]
    assert wrong[1] == pytest.approx(100, abs=8)


def test_saved_speeds_are_those_that_their_script_asks_for_and_name_no_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    speeds = script("speeds", "docs")
    saved = json.loads(speeds.TARGET.read_text("utf-8"))
    assert saved["options"]["shapes"] == list(speeds.SHAPES)

    def bench(options: Any) -> None:
        machine = {"machine": {"system": platform.platform()}, "options": {"json": str(options.json)}}
        options.json.write_text(json.dumps(machine), "utf-8")

    monkeypatch.setattr(speeds, "bench", bench)
    monkeypatch.setattr(speeds, "TARGET", tmp_path / "04_speed.json")
    assert speeds.main() == 0
    text = speeds.TARGET.read_text("utf-8")
    assert str(tmp_path) not in text
    assert platform.release() not in text


def test_there_are_notebooks() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]

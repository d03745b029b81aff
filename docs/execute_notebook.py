"""Run a notebook in a fresh kernel and keep its outputs: ``python docs/execute_notebook.py NOTEBOOK [TARGET FOLDER]``.

TARGET is where it goes, by default where it was; FOLDER where it runs, by default where it lies.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def execute(source: Path, target: Path, folder: Path) -> None:
    """Run all cells, and write the notebook without a trace of who ran it and when."""
    notebook = nbformat.read(source, as_version=4)
    NotebookClient(notebook, timeout=60, kernel_name="python3", record_timing=False).execute(cwd=str(folder))
    notebook.metadata["language_info"] = {"name": "python"}  # the kernel adds its version
    nbformat.write(notebook, target)


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:]]
    execute(*paths) if len(paths) == 3 else execute(paths[0], paths[0], paths[0].parent)

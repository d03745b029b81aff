"""Scripts of ``asv_bench`` and ``docs`` as modules: they are no packages, since asv and Sphinx read what lies there."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]


def script(name: str, folder: str = "asv_bench") -> ModuleType:
    """Import a script by its path."""
    spec = importlib.util.spec_from_file_location(f"{folder}_{name}", ROOT / folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

"""The package's structure: who imports whom, who spells Numba's options, what importing costs, what is public."""

import ast
import inspect
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softmaxjit
from softmaxjit import calibration

from .children import PACKAGE, run

OPTIONS = {"fastmath", "error_model", "parallel", "nogil", "cache", "boundscheck", "forceinline"}
COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "overload", "overload_method", "register_jitable", "stencil"}

# Each layer, from the door down, and the layers it may import besides itself.
ARROWS = {
    "_carriers": set(),
    "_inlined": set(),
    "_intrinsic": set(),
    "_cache": {"_trust"},
    "_deferred": set(),
    "_garbage": set(),
    "_jit": {"_carriers", "_inlined", "_deferred", "_garbage", "_cache"},
    "_trust": set(),
    "_threads": set(),
    "_pool": set(),
    "_recycled": set(),
    "_simd": {"_jit", "_intrinsic", "_carriers"},
    "_kernels": {"_jit", "_simd"},
    "_plain": set(),
    "_plan": {"_kernels", "_plain", "_plain_labelled", "_jit", "_carriers"},
    "_args": {"_recycled"},
    "_run": {"_args", "_plan", "_threads", "_pool", "_kernels", "_simd", "_jit", "_carriers"},
    "_plain_labelled": {"_plain"},
    "_run_labelled": {"_recycled", "_args", "_plan", "_plain_labelled", "_threads", "_kernels", "_carriers"},
    "_direct": {"_run", "_plan", "_kernels", "_simd", "_carriers", "_recycled"},
    "_direct_labelled": {"_direct", "_plan", "_kernels"},
    "_warmup": {"_plan", "_jit", "_cache", "_kernels", "_simd", "_carriers", "_threads"},
    "public": {"_warmup", "_args", "_direct", "_direct_labelled", "_run", "_run_labelled", "_simd", "_jit", "_plain"},
    "_overloads": {"public", "_args", "_jit", "_intrinsic", "_kernels", "_simd"},
    "__init__": {"public", "_overloads", "_garbage"},
    "_data": set(),
    # The last five to report on them, or to measure against the streaming copy.
    "_commands": {"__init__", "public", "_data", "_args", "_jit", "_cache", "_threads", "_kernels"},
    "cli": {"__init__", "public", "_commands", "_warmup"},
    "__main__": {"cli"},
}

# Layers of several modules, which may import each other.
INSIDE = {"_simd", "_kernels", "_commands", "_args", "_overloads", "_run_labelled", "public"}


def layer_of(module: str) -> str:
    """Return the layer of a module of the package, named without the package: "" is the package itself."""
    first = module.split(".", 1)[0] or "__init__"
    return first if first in ARROWS or first.startswith("_") else "public"


def modules(package: Path = PACKAGE) -> Iterator[tuple[str, ast.Module]]:
    for path in package.rglob("*.py"):
        name = ".".join(path.relative_to(package).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def imported(name: str, tree: ast.Module, package: Path = PACKAGE) -> set[str]:
    """Return the modules of the package that a module imports, whether at its top or in a function."""
    is_package = (package / Path(*name.split(".")) / "__init__.py").exists()
    here = [part for part in name.split(".") if part]
    found = set()
    for node in ast.walk(tree):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            up = node.level - is_package
            base = ["softmaxjit", *(here[: len(here) - up] if up else here), *(node.module or "").split(".")]
            targets = [".".join([*filter(None, base), alias.name]) for alias in node.names]
        for target in targets:
            if target.split(".")[0] == "softmaxjit":
                found.add(_module_in(target, package))
    return found


def _module_in(target: str, package: Path) -> str:
    """Return the module that a dotted name, perhaps of something in the module, belongs to."""
    parts = target.split(".")[1:]
    while parts:
        path = package.joinpath(*parts)
        if path.with_suffix(".py").exists() or path.is_dir():
            break
        parts.pop()
    return ".".join(parts)


def violations(package: Path = PACKAGE) -> list[str]:
    wrong = []
    for name, tree in modules(package):
        layer = layer_of(name)
        if layer not in ARROWS:
            wrong.append(f"{name} has no layer")
            continue
        for target in imported(name, tree, package):
            theirs = layer_of(target)
            same = theirs == layer and layer in INSIDE
            if not same and theirs not in ARROWS[layer]:
                wrong.append(f"{name or '__init__'} ({layer}) imports {target or '__init__'} ({theirs})")
    return sorted(wrong)


def test_imports_follow_the_arrows() -> None:
    assert violations() == []


def test_a_simd_module_that_knew_a_kernel_would_be_found(tmp_path: Path) -> None:
    for path, source in {
        "__init__.py": "",
        "_jit.py": "import softmaxjit.activations",
        "activations.py": "def f():\n    from . import _overloads",
        "_overloads.py": "from ._jit import kernel",
        "_kernels/__init__.py": "",
        "_kernels/shift.py": "from .._jit import kernel\nfrom . import sums",
        "_kernels/sums.py": "from ..activations import softmax",
        "_simd/__init__.py": "from .._kernels.shift import limits_of",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(source)
    assert violations(tmp_path) == [
        "_jit (_jit) imports activations (public)",
        "_kernels.sums (_kernels) imports activations (public)",
        "_simd (_simd) imports _kernels.shift (_kernels)",
        "activations (public) imports _overloads (_overloads)",
    ]


def test_a_private_module_without_a_layer_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "_new.py").write_text("from . import _jit")
    (tmp_path / "_jit.py").write_text("")
    (tmp_path / "activations.py").write_text("")
    assert violations(tmp_path) == ["_new has no layer"]


def options_spelt(tree: ast.Module) -> set[str]:
    """Return what only `_jit` may spell: Numba's compilers, and their options as keywords or keys."""
    spelt = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            compiles = name in COMPILERS | {"helper", "kernel", "elementwise", "compiled_as"}
            if getattr(getattr(node.func, "value", None), "id", "") != "jax":  # which has a jit of its own
                spelt |= {name} & COMPILERS
            spelt |= {f"{k.arg}=" for k in node.keywords if compiles and k.arg in OPTIONS}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("numba"):
            spelt |= {alias.name for alias in node.names} & COMPILERS
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "numba":
            spelt |= {node.attr} & COMPILERS
        elif isinstance(node, ast.Dict):
            spelt |= {k.value for k in node.keys if isinstance(k, ast.Constant) and k.value in OPTIONS}
    return spelt


def test_only_jit_spells_numba_options() -> None:
    spelt = {name: options_spelt(tree) for name, tree in modules()}
    assert {name for name, options in spelt.items() if options} == {"_jit"}


@pytest.mark.parametrize(
    "source",
    [
        "from numba import njit",
        "@numba.vectorize\ndef f(): pass",
        "numba.njit(f)",
        "o = {'nogil': True}",
    ],
)
def test_another_spelling_would_be_found(source: str) -> None:
    assert options_spelt(ast.parse(source)) != set()


def test_names_that_are_not_there_are_missed_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'softmaxjit' has no attribute 'sofmax'"):
        softmaxjit.sofmax  # noqa: B018


def test_importing_compiles_nothing_and_needs_nothing_but_numpy_and_numba(tmp_path: Path) -> None:
    script = """
    import gc
    import json
    import sys
    import numba
    from numba.core import event
    from numba.core.dispatcher import Dispatcher

    compiled = []

    class Listener(event.Listener):
        def on_start(self, event):
            compiled.append(str(event.data))

        def on_end(self, event):
            pass

    event.register("numba:compile", Listener())
    before = set(sys.modules)
    import softmaxjit
    after = sorted(set(sys.modules) - before)
    try:
        layer = numba.threading_layer()
    except ValueError:
        layer = None
    at_import = len(compiled)
    made = [str(each) for each in gc.get_objects() if isinstance(each, Dispatcher)]
    softmaxjit.sigmoid(0.0)
    print(json.dumps([at_import, made, layer, after, len(compiled) > 0]))
    """
    compiled, made, layer, loaded, listener_works = run(script, tmp_path / "cache")
    assert listener_works
    assert compiled == 0
    assert made == []
    assert layer is None
    assert not {"scipy", "click", "rich", "matplotlib", "dask"} & {name.split(".")[0] for name in loaded}
    # Of Numba's modules those that are for compiling would double what importing costs.
    assert not {"numba.np.arrayobj", "numba.np.npyimpl"} & set(loaded)
    assert list(tmp_path.rglob("*.nb?")) == []


def test_all_lists_what_the_package_exports() -> None:
    public = {name for name in dir(softmaxjit) if not name.startswith("_")}
    exported = {name for name in public if not isinstance(getattr(softmaxjit, name), types.ModuleType)}
    assert sorted(softmaxjit.__all__) == softmaxjit.__all__
    assert set(softmaxjit.__all__) == exported | {"__version__"}


PUBLIC = [getattr(softmaxjit, name) for name in softmaxjit.__all__ if name != "__version__"]
PUBLIC += [
    value for name, value in vars(calibration).items() if name in calibration.__all__ and inspect.isfunction(value)
]


@pytest.mark.parametrize("value", PUBLIC, ids=lambda value: value.__name__)
def test_public_names_are_documented_with_an_example(value: Any) -> None:
    documentation = inspect.getdoc(value) or ""
    assert documentation.splitlines()[0].endswith(".")
    for section in ("Parameters", "Returns", "Examples"):
        assert f"\n{section}\n{'-' * len(section)}\n" in documentation, section
    assert isinstance(value, np.ufunc) or callable(value)


def test_all_of_calibration_is_sorted_and_there() -> None:
    assert sorted(calibration.__all__) == calibration.__all__
    assert all(hasattr(calibration, name) for name in calibration.__all__)


def test_every_module_has_a_docstring() -> None:
    assert [name for name, tree in modules() if not ast.get_docstring(tree)] == []


def test_no_two_modules_of_kernels_give_one_name_to_two_things() -> None:
    found: dict[str, str] = {}
    for name, tree in modules(PACKAGE / "_kernels"):
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined = [node.name]
            else:
                defined = [target.id for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)]
            for one in defined:
                assert found.setdefault(one, name) == name, one
    assert found["softmax_rows"] == "softmax"
    assert "TILE_BYTES" in found

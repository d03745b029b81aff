"""The on-disk cache: right values whatever happens to its files, and a hit in the next process.

A miniature package with the real `_jit.py` and what it imports shows most of it: it compiles in a tenth of the time.
"""

import compileall
import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softmaxjit import _jit
from softmaxjit._kernels.softmax import softmax_rows
from softmaxjit._kernels.temperature import ONE_FOR_ALL

from .children import PACKAGE, TIME_LIMIT, copy_kernels, finish, run, start

MINIATURE = {
    "__init__.py": "",
    "constants.py": "FACTOR = 3.0\n",
    "helpers.py": """
from ._jit import compiled_as, helper
from .constants import FACTOR

@helper
def scaled(v):
    return v * FACTOR

def raised(v):
    return v + 1.0

@compiled_as(raised)
def _raised(v):
    return lambda v: v + 1.0
""",
    "kernels.py": """
import numba
import numpy as np
from numba import prange, types
from ._jit import kernel
from .helpers import raised, scaled

@kernel(lambda x, out: (x, types.intp, out))
def counting(x, n, out):
    for row in range(out.size):
        total = 0.0
        missing = 0.0
        for i in range(row * n, row * n + n):
            if x[i] != x[i]:
                missing += 1.0
            else:
                total += raised(scaled(x[i]))
        out[row] = total + 1000.0 * missing

@kernel(lambda x, out: (x, out))
def with_scratch(x, out):
    for row in prange(out.size):
        scratch = np.empty(1)
        scratch[0] = raised(x[row])
        out[row] = scratch[0]

def report(name="float64"):
    dispatcher = counting.compiled(np.dtype(name))
    out = np.empty(2, name)
    dispatcher(np.array([1, 2, 3, np.nan], name), 2, out)
    return {"values": out.tolist(), "hits": sum(dispatcher.stats.cache_hits.values())}
""",
}
# Without SciPy, which Numba imports if it can, a child starts in two thirds of the time.
REPORT = (
    "import json, sys; sys.modules['scipy'] = None; from miniature.kernels import report; print(json.dumps(report()))"
)
RIGHT = [11.0, 1010.0]


def miniature_in(directory: Path) -> Path:
    """Write the miniature package into a new directory, and return that."""
    package = directory / "packages" / "miniature"
    package.mkdir(parents=True)
    for name, source in MINIATURE.items():
        (package / name).write_text(source)
    for name in ("_jit.py", "_inlined.py", "_deferred.py", "_garbage.py", "_cache.py", "_carriers.py", "_trust.py"):
        shutil.copy(PACKAGE / name, package)
    return package.parent


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    return miniature_in(tmp_path)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a directory with the miniature package, not to be edited, and a cache that it has filled, to be copied."""
    directory = tmp_path_factory.mktemp("warm")
    packages = miniature_in(directory)
    run(REPORT, directory / "cache", packages)
    return packages, directory / "cache"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def replace(file: Path, old: str, new: str) -> None:
    source = file.read_text()
    assert source.count(old) == 1
    file.write_text(source.replace(old, new))


def only(cache: Path, ending: str) -> Path:
    """Return the one file with an ending."""
    (file,) = cache.rglob(f"*{ending}")
    return file


def files(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if path.suffix in {".nbi", ".nbc"}}


# ------------------------------------------------------------------------------------------------------ edited sources


def test_the_second_process_loads_what_the_first_compiled(packages: Path, cache: Path) -> None:
    assert run(REPORT, cache, packages) == {"values": RIGHT, "hits": 0}
    assert run(REPORT, cache, packages) == {"values": RIGHT, "hits": 1}


@pytest.mark.parametrize("parallel", [False, True])
def test_a_process_that_only_loads_imports_no_compiler(packages: Path, cache: Path, parallel: bool) -> None:
    """Nor scipy.linalg with it; what it loads may allocate and run in parallel, and it may compile later."""
    script = f"""
    import json
    import sys
    import numba
    import numpy as np
    from miniature.helpers import raised
    from miniature.kernels import with_scratch
    dispatcher = with_scratch.compiled(np.dtype("float64"), parallel={parallel})
    out = np.empty(3)
    dispatcher(np.arange(3.0), out)
    compiler = [name for name in ("numba.np.linalg", "scipy.linalg") if name in sys.modules]
    later = numba.njit(lambda x: raised(x[1]))(np.arange(3.0))
    print(json.dumps([out.tolist(), sum(dispatcher.stats.cache_hits.values()), compiler, later]))
    """
    right = [1.0, 2.0, 3.0]
    assert run(script, cache, packages) == [right, 0, ["numba.np.linalg", "scipy.linalg"], 2.0]
    assert run(script, cache, packages) == [right, 1, [], 2.0]


EDITS = {
    ("constants.py", "3.0", "5.0"): [17.0, 1016.0],
    ("helpers.py", "return v * FACTOR", "return v * FACTOR * 2.0"): [20.0, 1019.0],
    ("helpers.py", "lambda v: v + 1.0", "lambda v: v + 2.0"): [13.0, 1011.0],  # an overload
}


def test_an_edit_in_another_file_gives_the_new_result_and_is_then_cached(tmp_path: Path) -> None:
    def reports(edit: tuple[str, str, str]) -> list[Any]:
        directory = tmp_path / str(hash(edit))
        packages, cache = miniature_in(directory), directory / "cache"
        run(REPORT, cache, packages)
        file, old, new = edit
        replace(packages / "miniature" / file, old, new)
        return [run(REPORT, cache, packages) for _ in range(2)]

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(EDITS, pool.map(reports, EDITS), strict=True))
    assert found == {
        edit: [{"values": values, "hits": 0}, {"values": values, "hits": 1}] for edit, values in EDITS.items()
    }


SOFTMAX_OF_TWO = """
import json
import numpy as np
from softmaxjit import softmax
from softmaxjit._kernels.softmax import softmax_rows
from softmaxjit._kernels.temperature import ONE_FOR_ALL
x = np.array([[0.0, 1.0]], np.float32)
values = softmax(x).tolist()
hits = softmax_rows.compiled(x.dtype, ONE_FOR_ALL).stats.cache_hits
print(json.dumps({"values": values, "hits": sum(hits.values())}))
"""


def test_an_edit_of_the_exponential_reaches_softmax(tmp_path: Path, cache: Path) -> None:
    packages = tmp_path / "packages"
    shutil.copytree(PACKAGE, packages / "softmaxjit", ignore=shutil.ignore_patterns("__pycache__"))
    before = run(SOFTMAX_OF_TWO, cache, packages)
    (source,) = [path for path in (packages / "softmaxjit" / "_simd").glob("*.py") if "\nLN2 = 0." in path.read_text()]
    replace(source, "\nLN2 = 0.6931471805599453\n", "\nLN2 = 0.7\n")
    after = run(SOFTMAX_OF_TWO, cache, packages)
    assert after["hits"] == 0
    assert after["values"] != before["values"]
    assert run(SOFTMAX_OF_TWO, cache, packages) == after | {"hits": 1}


def test_a_copy_of_a_cache_is_one(cache: Path) -> None:
    """As tests pass what they have compiled on to their children."""
    softmax_rows.compiled(np.dtype(np.float32), ONE_FOR_ALL)
    cache.mkdir()
    copy_kernels(Path(_jit.cache_directory()), cache)
    assert run(SOFTMAX_OF_TWO, cache)["hits"] == 1


def test_an_edit_of_an_installation_without_sources_gives_the_new_result(
    packages: Path, cache: Path, tmp_path: Path
) -> None:
    """Such a one is cached where the sources that it was compiled from are still in their place."""
    installed = tmp_path / "installed"

    def install() -> Path:
        assert compileall.compile_dir(packages, legacy=True, force=True, quiet=1)
        shutil.copytree(packages, installed, ignore=shutil.ignore_patterns("*.py"), dirs_exist_ok=True)
        return installed

    assert run(REPORT, cache, install()) == {"values": RIGHT, "hits": 0}
    assert run(REPORT, cache, install()) == {"values": RIGHT, "hits": 1}
    replace(packages / "miniature" / "constants.py", "3.0", "5.0")
    assert run(REPORT, cache, install()) == {"values": [17.0, 1016.0], "hits": 0}


# ------------------------------------------------------------------------------------------------ callers and settings


def test_a_fast_math_caller_that_compiles_a_kernel_first_does_not_change_it(packages: Path, cache: Path) -> None:
    caller = """
    import json
    import numba
    import numpy as np
    from miniature.kernels import counting
    kernel = counting.compiled(np.dtype("float64"))

    @numba.njit(fastmath=True, error_model="python", boundscheck=True)
    def caller(x, out):
        kernel(x, 2, out)
        return out

    print(json.dumps(caller(np.array([1, 2, 3, np.nan]), np.empty(2)).tolist()))
    """
    assert run(caller, cache, packages) == RIGHT
    assert run(REPORT, cache, packages) == {"values": RIGHT, "hits": 1}


FAST_MATH_CALLER = """
import json
import numba
import numpy as np
from softmaxjit import log_softmax, logsumexp

def plain(x):
    return log_softmax(x)[:, 0], logsumexp(x)

fast = numba.njit(fastmath=True)(plain)
x = np.array([[np.nan, 1.0], [-np.inf, 1.0], [-np.inf, -np.inf]])
print(json.dumps([[str(v) for pair in function(x) for v in pair] for function in FUNCTIONS]))
"""


def test_a_fast_math_caller_keeps_nan_and_infinities_now_and_in_the_next_process(cache: Path) -> None:
    right = ["nan", "-inf", "nan", "nan", "1.0", "-inf"]
    assert run(FAST_MATH_CALLER.replace("FUNCTIONS", "[fast, plain]"), cache) == [right, right]
    assert run(FAST_MATH_CALLER.replace("FUNCTIONS", "[plain]"), cache) == [right]


def test_bounds_checks_have_files_of_their_own(packages: Path, cache: Path) -> None:
    beyond = """
    import json
    import numpy as np
    from miniature.kernels import counting, report
    first = report()
    try:
        counting.compiled(np.dtype("float64"))(np.zeros(4), 3, np.zeros(2))
        checked = False
    except IndexError:
        checked = True
    print(json.dumps(first | {"checked": checked}))
    """
    assert run(beyond, cache, packages) == {"values": RIGHT, "hits": 0, "checked": False}
    assert run(beyond, cache, packages, NUMBA_BOUNDSCHECK="1") == {"values": RIGHT, "hits": 0, "checked": True}
    assert run(beyond, cache, packages, NUMBA_BOUNDSCHECK="1") == {"values": RIGHT, "hits": 1, "checked": True}
    assert run(beyond, cache, packages) == {"values": RIGHT, "hits": 1, "checked": False}


def test_each_processor_has_files_of_its_own(packages: Path, cache: Path) -> None:
    """One index for two would let a writer that is killed, or beaten to it, leave one's code under the other's name."""
    for hits in (0, 1):
        for variables in ({}, {"NUMBA_CPU_NAME": "generic"}):
            assert run(REPORT, cache, packages, **variables) == {"values": RIGHT, "hits": hits}
    assert len(list(cache.rglob("*.nbi"))) == 2
    assert all(path.name.endswith(".1.nbc") for path in cache.rglob("*.nbc"))


def test_each_dtype_has_files_of_its_own(packages: Path, cache: Path) -> None:
    for name in ("float32", "float64"):
        assert run(REPORT.replace("report()", f"report({name!r})"), cache, packages)["values"] == RIGHT
    assert len(list(cache.rglob("*.nbi"))) == 2


def test_the_cache_can_be_turned_off(packages: Path, cache: Path) -> None:
    for _ in range(2):
        assert run(REPORT, cache, packages, SOFTMAXJIT_CACHE="0") == {"values": RIGHT, "hits": 0}
    assert files(cache.parent) == set()


# ------------------------------------------------------------------------------------------------ names that are alike

ALIKE = """
import numpy as np
from numba import types
from . import other
from ._jit import compiled_as, kernel

def make(factor):
    @kernel(lambda x, out: (x, types.intp, out))
    def body(x, n, out):
        for i in range(out.size):
            out[i] = x[i] * factor
    return body

two, five = make(2.0), make(5.0)

def times(x):
    raise NotImplementedError

def define(function, factor):
    @compiled_as(function)
    def _factory(x):
        return lambda x: x * factor

define(times, 2.0)
define(other.times, 5.0)
"""
OTHER = """
def times(x):
    raise NotImplementedError
"""


@pytest.fixture
def alike(packages: Path) -> Path:
    """Return the directory of the miniature package, with kernels and functions of one name added to it."""
    (packages / "miniature" / "alike.py").write_text(ALIKE)
    (packages / "miniature" / "other.py").write_text(OTHER)
    return packages


def test_kernels_of_one_name_are_not_mixed_up_when_different_processes_cached_them(alike: Path, cache: Path) -> None:
    call = """
    import json
    import numpy as np
    import numba
    from miniature import alike
    kernels = [kernel.compiled(np.dtype("float64")) for kernel in KERNELS]
    outs = [np.empty(1) for _ in kernels]
    for kernel, out in zip(kernels, outs):
        kernel(np.ones(1), 1, out)
    print(json.dumps([float(out[0]) for out in outs]))
    """
    assert run(call.replace("KERNELS", "[alike.two]"), cache, alike) == [2.0]
    assert run(call.replace("KERNELS", "[alike.five]"), cache, alike) == [5.0]
    assert run(call.replace("KERNELS", "[alike.two, alike.five]"), cache, alike) == [2.0, 5.0]
    assert len(files(cache)) == 4
    together = """
    import json
    import numpy as np
    import numba
    from miniature import alike
    two, five = [kernel.compiled(np.dtype("float64")) for kernel in (alike.two, alike.five)]

    @numba.njit
    def both(x, out):
        two(x, 1, out[:1])
        five(x, 1, out[1:])

    out = np.empty(2)
    both(np.ones(1), out)
    print(json.dumps(out.tolist()))
    """
    assert run(together, cache, alike) == [2.0, 5.0]


def test_implementations_of_one_factory_are_not_mixed_up_in_the_users_cached_functions(
    alike: Path, cache: Path
) -> None:
    (alike / "user.py").write_text(
        "import numba\n"
        "from miniature import alike, other\n"
        "@numba.njit(cache=True)\n"
        "def with_twice(x):\n"
        "    return alike.times(x)\n"
        "@numba.njit(cache=True)\n"
        "def with_fivefold(x):\n"
        "    return other.times(x)\n"
        "@numba.njit\n"
        "def with_both(x):\n"
        "    return with_twice(x), with_fivefold(x)\n"
    )
    call = "import json, user; print(json.dumps(user.CALL(1.0)))"
    assert run(call.replace("CALL", "with_twice"), cache, alike) == 2.0
    assert run(call.replace("CALL", "with_fivefold"), cache, alike) == 5.0
    assert run(call.replace("CALL", "with_both"), cache, alike) == [2.0, 5.0]


# ---------------------------------------------------------------------------------------------- users' cached functions


def test_a_users_cached_function_keeps_a_copy_of_our_code_until_its_cache_is_deleted(
    packages: Path, cache: Path
) -> None:
    """Nothing in this package can mend that, so the README says it."""
    (packages / "user.py").write_text(
        "import numba\n"
        "from miniature.helpers import raised\n"
        "@numba.njit(cache=True)\n"
        "def users(x):\n"
        "    return raised(x)\n"
    )
    call = "import json, user; print(json.dumps(user.users(1.0)))"
    assert run(call, cache, packages) == 2.0
    replace(packages / "miniature" / "helpers.py", "lambda v: v + 1.0", "lambda v: v + 2.0")
    assert run(call, cache, packages) == 2.0
    shutil.rmtree(cache)
    assert run(call, cache, packages) == 3.0


# ------------------------------------------------------------------------------------------------------ several writers


def test_twenty_processes_that_compile_at_once_all_get_the_right_values(packages: Path, cache: Path) -> None:
    children = [
        start(REPORT.replace("report()", f"report({name!r})"), cache, packages) for name in ("float32", "float64") * 10
    ]
    for child in children:
        assert finish(child)["values"] == RIGHT
    for name in ("float32", "float64"):
        assert run(REPORT.replace("report()", f"report({name!r})"), cache, packages) == {"values": RIGHT, "hits": 1}


KILLED_WRITER = """
import os
import signal
from numba.core.caching import IndexDataCacheFile

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

IndexDataCacheFile.METHOD = die
from miniature.kernels import report
report()
"""


@pytest.mark.parametrize("method", ["_save_index", "_save_data"])
def test_a_writer_that_is_killed_does_no_harm(packages: Path, cache: Path, method: str) -> None:
    """In the worst case its new index stands beside the data of an older source."""
    run(REPORT, cache, packages)
    replace(packages / "miniature" / "constants.py", "3.0", "5.0")
    child = start(KILLED_WRITER.replace("METHOD", method), cache, packages)
    child.communicate(timeout=TIME_LIMIT)
    assert child.returncode == -signal.SIGKILL
    for hits in (0, 1):
        assert run(REPORT, cache, packages) == {"values": [17.0, 1016.0], "hits": hits}


def test_a_thread_that_compiles_does_not_lock_out_one_that_calls(packages: Path, cache: Path) -> None:
    """Numba holds its compiler lock while it asks for our kernel; another thread may ask for the kernel meanwhile."""
    script = """
    import json
    import threading
    from numba.core.compiler_lock import global_compiler_lock
    from miniature.kernels import report
    results = []
    with global_compiler_lock:
        other = threading.Thread(target=lambda: results.append(report()), daemon=True)
        other.start()
        other.join(0.5)
        results.append(report())
    other.join()
    print(json.dumps([result["values"] for result in results]))
    """
    assert run(script, cache, packages) == [RIGHT, RIGHT]


# --------------------------------------------------------------------------------------------------------- broken files


def remove_data(cache: Path) -> None:
    only(cache, ".nbc").unlink()


def truncate_data(cache: Path) -> None:
    data = only(cache, ".nbc")
    data.write_bytes(data.read_bytes()[:200])


def empty_index(cache: Path) -> None:
    only(cache, ".nbi").write_bytes(b"")


def truncate_index(cache: Path) -> None:
    index = only(cache, ".nbi")
    index.write_bytes(index.read_bytes()[:-10])


def garbage_in_data(cache: Path) -> None:
    only(cache, ".nbc").write_bytes(bytes(range(256)) * 10)


def garbage_in_index(cache: Path) -> None:
    only(cache, ".nbi").write_bytes(bytes(reversed(range(256))) * 10)


def something_else_in_data(cache: Path) -> None:
    only(cache, ".nbc").write_bytes(b"I1\n.")  # a pickled 1


def remove_index(cache: Path) -> None:
    only(cache, ".nbi").unlink()


def remove_everything(cache: Path) -> None:
    shutil.rmtree(cache)


DAMAGES = (
    remove_data,
    truncate_data,
    empty_index,
    truncate_index,
    garbage_in_data,
    garbage_in_index,
    something_else_in_data,
    remove_index,
    remove_everything,
)


def test_a_damaged_file_means_compiling_again_and_then_hitting(warm: tuple[Path, Path], tmp_path: Path) -> None:
    packages, filled = warm

    def reports(damage: Callable[[Path], None]) -> list[Any]:
        cache = tmp_path / damage.__name__
        shutil.copytree(filled, cache)
        damage(cache)
        return [run(REPORT, cache, packages) for _ in range(2)]

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(DAMAGES, pool.map(reports, DAMAGES), strict=True))
    assert found == {name: [{"values": RIGHT, "hits": 0}, {"values": RIGHT, "hits": 1}] for name in DAMAGES}


@pytest.mark.parametrize("kind", [".nbi", ".nbc"])
@pytest.mark.parametrize("beside", [False, True])
def test_a_pipe_in_place_of_a_file_means_compiling_again(
    kind: str, beside: bool, packages: Path, tmp_path: Path
) -> None:
    cache = None if beside else tmp_path / "cache"
    report = REPORT.replace("import json", "import warnings; warnings.simplefilter('ignore'); import json", 1)
    assert run(report, cache, packages) == {"values": RIGHT, "hits": 0}
    file = only(packages if beside else tmp_path / "cache", kind)
    file.unlink()
    os.mkfifo(file, 0o600)
    assert run(report, cache, packages) == {"values": RIGHT, "hits": 0}


def test_code_of_an_older_source_under_a_new_name_is_not_run(packages: Path, cache: Path) -> None:
    run(REPORT, cache, packages)
    old = only(cache, ".nbc").read_bytes()
    shutil.rmtree(cache)
    replace(packages / "miniature" / "constants.py", "3.0", "5.0")
    run(REPORT, cache, packages)
    only(cache, ".nbc").write_bytes(old)
    assert run(REPORT, cache, packages) == {"values": [17.0, 1016.0], "hits": 0}
    assert run(REPORT, cache, packages) == {"values": [17.0, 1016.0], "hits": 1}


# --------------------------------------------------------------------------------------------------- nowhere to write


@pytest.mark.parametrize("successor", ["nothing", "file"])
def test_a_directory_that_vanishes_after_import_does_no_harm(packages: Path, cache: Path, successor: str) -> None:
    script = f"""
    import json
    import pathlib
    import shutil
    import miniature._jit as jit
    from miniature.kernels import report
    cache = pathlib.Path({str(cache)!r})
    first = report("float32")
    enable = jit.enable_cache

    def enable_then_lose(dispatcher):
        enable(dispatcher)
        shutil.rmtree(cache)
        if {successor!r} == "file":
            cache.write_text("")

    jit.enable_cache = enable_then_lose
    print(json.dumps(first["values"] + report()["values"]))
    """
    assert run(script, cache, packages) == RIGHT + RIGHT
    if successor == "nothing":
        run(REPORT, cache, packages)
        assert run(REPORT, cache, packages) == {"values": RIGHT, "hits": 1}


def blocked(packages: Path) -> Path:
    """Leave no place beside the sources, even to a root user, whom permissions do not bind; return a regular file."""
    (packages / "miniature" / "__pycache__").write_text("not a directory")
    file = packages.parent / "file"
    file.write_text("")
    return file


def test_where_nothing_is_writable_each_process_compiles_for_itself(packages: Path) -> None:
    file = blocked(packages)
    nowhere = {"HOME": str(file / "home"), "XDG_CACHE_HOME": str(file / "cache")}
    for _ in range(2):
        assert run(REPORT, file / "cache", packages, **nowhere) == {"values": RIGHT, "hits": 0}
    assert files(packages.parent) == set()


WITHOUT_PRIVILEGES = """
import ctypes
capset = ctypes.CDLL(None, use_errno=True).capset  # a root user without them is bound by permissions as others are
if capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()) != 0:
    raise OSError(ctypes.get_errno(), "capset")
"""


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
def test_read_only_directories_do_no_harm(packages: Path, cache: Path, filled: bool) -> None:
    home = packages.parent / "home"
    home.mkdir()
    cache.mkdir()
    if filled:
        run(REPORT, cache, packages)
    before = files(packages.parent)
    directories = [home, packages / "miniature", *[path for path in (cache, *cache.rglob("*")) if path.is_dir()]]
    for directory in directories:
        directory.chmod(0o555)
    try:
        for _ in range(2):
            report = run(
                WITHOUT_PRIVILEGES + REPORT, cache, packages, HOME=str(home), XDG_CACHE_HOME=str(home / "cache")
            )
            assert report == {"values": RIGHT, "hits": int(filled)}
        assert files(packages.parent) == before
    finally:
        for directory in directories:
            directory.chmod(0o755)
    run(REPORT, cache, packages)
    assert run(REPORT, cache, packages) == {"values": RIGHT, "hits": 1}


@pytest.mark.parametrize("trusted", [True, False])
def test_a_read_only_directory_that_was_asked_for_comes_before_a_writable_home(
    packages: Path, cache: Path, tmp_path: Path, trusted: bool
) -> None:
    run(REPORT, cache, packages)
    blocked(packages)
    directories = [path for path in cache.rglob("*") if path.is_dir()]
    for directory in directories:
        directory.chmod(0o555 if trusted else 0o557)
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "home-cache")}
    try:
        for hits in (1, 1) if trusted else (0, 1):
            report = run(WITHOUT_PRIVILEGES + REPORT, cache, packages, **home)
            assert report == {"values": RIGHT, "hits": hits}
        assert bool(files(tmp_path / "home-cache")) == (not trusted)
    finally:
        for directory in directories:
            directory.chmod(0o755)


def test_a_home_serves_where_the_package_is_not_writable(packages: Path, tmp_path: Path) -> None:
    file = blocked(packages)
    home = {"HOME": str(file), "XDG_CACHE_HOME": str(tmp_path / "home-cache")}
    for hits in (0, 1):
        assert run(REPORT, None, packages, **home) == {"values": RIGHT, "hits": hits}
    assert files(tmp_path / "home-cache") != set()


def test_without_settings_the_cache_lies_beside_the_sources(packages: Path) -> None:
    for hits in (0, 1):
        assert run(REPORT, None, packages) == {"values": RIGHT, "hits": hits}
    assert files(packages / "miniature" / "__pycache__") != set()

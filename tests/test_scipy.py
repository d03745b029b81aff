"""SciPy's own tests pass on `softmaxjit.special`, and SciPy's functions compile where softmaxjit is installed."""

import inspect
import itertools
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
from numba import njit
from numba.core.errors import TypingError
from numpy.exceptions import AxisError

from softmaxjit import special

from .children import PACKAGE, finish, run, start

NAMES = ("softmax", "log_softmax", "logsumexp")


# ------------------------------------------------------------------------------------------------- SciPy's own tests

OURS_FOR_SCIPYS = """
import scipy.special
from scipy._lib._array_api import xp_capabilities_table
from softmaxjit import special
for name in ("softmax", "log_softmax", "logsumexp"):
    # SciPy looks up there which array libraries to test a function with.
    xp_capabilities_table[getattr(special, name)] = xp_capabilities_table[getattr(scipy.special, name)]
    setattr(scipy.special, name, getattr(special, name))
"""

SCIPYS_TESTS = """
import contextlib, io, json, os, sys
import pytest

os.environ.pop("SCIPY_ARRAY_API", None)  # it would bring other array libraries in

class Recorder:
    outcomes, failures = {{}}, []

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid] = "xfailed" if hasattr(report, "wasxfail") else report.outcome
        if report.failed:
            self.failures.append(f"{{report.nodeid}}\\n{{report.longreprtext}}")

module = "scipy.special.tests.test_logsumexp"
# What pytest has to say of SciPy's suite is no concern here; that results come without warnings is.
warnings = ["-W", "ignore", "-W", "error::RuntimeWarning"]
with contextlib.redirect_stdout(io.StringIO()) as output:
    pytest.main(["--pyargs", module, "-c", {ini!r}, "-p", "no:cacheprovider", *warnings], plugins=[Recorder()])
tested = {{name: getattr(sys.modules[module], name).__module__ for name in ("softmax", "log_softmax", "logsumexp")}}
print(json.dumps([Recorder.outcomes, Recorder.failures or output.getvalue()[-2000:], tested]))
"""


def test_scipys_own_tests_pass_with_ours_in_their_place(tmp_path: Path, warm_cache: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    script = SCIPYS_TESTS.format(ini=str(tmp_path / "pytest.ini"))
    children = [start(shim + script, warm_cache) for shim in (OURS_FOR_SCIPYS, "")]
    (ours, failures, tested), (theirs, _, untouched) = map(finish, children)
    assert set(ours.values()) == {"passed"}, failures
    assert ours == theirs
    assert len(ours) >= 407  # in SciPy 1.17.1
    assert set(tested.values()) == {"softmaxjit.special"}
    assert set(untouched.values()) == {"scipy.special._logsumexp"}


@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_scipys(name: str) -> None:
    def parameters(module: Any) -> list[tuple[str, Any, Any]]:
        signature = inspect.signature(getattr(module, name))
        return [(p.name, p.default, p.kind) for p in signature.parameters.values()]

    assert parameters(special) == parameters(scipy.special)


# -------------------------------------------------------------------------------- where we differ, as docstrings say


@pytest.mark.parametrize("x", [np.uint8([1, 2, 3]), np.int8([-128, 127]), np.array([True, False])])
def test_small_integers_do_not_wrap_around(x: Any) -> None:
    for name in NAMES[:2]:
        result, expected = getattr(special, name)(x), getattr(scipy.special, name)(x.astype(np.float64))
        assert result.dtype == np.float64
        np.testing.assert_allclose(result, expected, rtol=1e-14, atol=1e-100)  # SciPy's has lost what is next to 0


def test_many_equal_logits_do_not_overflow_in_float16() -> None:
    x = np.zeros(100_000, np.float16)
    assert special.softmax(x)[0] == np.float16(1e-5)
    assert special.log_softmax(x)[0] == -np.float16(np.log(100_000))
    assert special.logsumexp(x) == np.float16(np.log(100_000))


@pytest.mark.parametrize("function", [special.softmax, special.log_softmax])
def test_complex_numbers_have_no_softmax(function: Any) -> None:
    with pytest.raises(TypeError, match="complex128"):
        function(np.array([1.0, 1j]))


def test_infinity_makes_all_of_a_distribution_nan() -> None:
    assert np.isnan(special.log_softmax([np.inf, 0.0])).all()
    assert np.isnan(special.softmax([np.inf, 0.0])).all()


def test_a_mask_is_heeded() -> None:
    x = np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False])
    np.testing.assert_allclose(special.softmax(x), [0.11920292202211755, 0, 0.8807970779778824], rtol=1e-15)
    assert special.logsumexp(x) == special.logsumexp([1.0, 3.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_the_sum_of_nothing_has_no_sign(dtype: Any) -> None:
    result, sign = special.logsumexp(np.zeros(0, dtype), return_sign=True)
    assert (result, sign) == (-np.inf, 0)
    assert special.softmax([]).shape == (0,)


def test_finite_sums_do_not_overflow_on_the_way() -> None:
    result = special.logsumexp([0.0, 0.0], b=[1e308, 1e308])
    np.testing.assert_allclose(result, np.log(2) + 308 * np.log(10), rtol=1e-15)
    assert special.logsumexp([1000.0, 1000.0], b=[1, -1], return_sign=True) == (-np.inf, 0)
    assert special.logsumexp([1000.0], b=[0], return_sign=True) == (-np.inf, 0)


WEIGHTS = [-np.inf, -1.0, 0.0, 1.0, np.inf, np.nan]
EXPONENTS = [-np.inf, 0.0, 1.0, 700.0, np.inf, np.nan]  # exp(700) overflows in float32, not in float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_special_values_of_weighted_sums(dtype: Any) -> None:
    terms = list(itertools.product(EXPONENTS, WEIGHTS))
    a, b = np.moveaxis(np.array(list(itertools.product(terms, repeat=2)), dtype), -1, 0)
    with np.errstate(all="ignore"):
        total = np.where(b == 0, 0, b * np.exp(a.astype(np.float64))).sum(axis=1)
        expected, sign = np.log(np.abs(total)), np.sign(total)
    results, signs = special.logsumexp(a, axis=1, b=b, return_sign=True)
    np.testing.assert_allclose(results, expected.astype(dtype), rtol=1e-6)
    np.testing.assert_array_equal(signs, sign)
    np.testing.assert_array_equal(special.logsumexp(a, axis=1, b=b), np.where(signs < 0, np.nan, results))


def test_a_number_has_no_axis() -> None:
    assert special.softmax(1000) == 1
    assert special.logsumexp(3.0, keepdims=True) == 3
    assert np.shape(special.logsumexp(3.0, keepdims=True)) == ()
    for function in (special.softmax, special.log_softmax, special.logsumexp):
        with pytest.raises(AxisError, match="axis 0 is out of bounds"):
            function(1.0, axis=0)


# ------------------------------------------------------------------------------------------------- in compiled code


def softmaxes(x: Any) -> Any:
    return special.softmax(x), special.softmax(x, 1), special.log_softmax(x), special.log_softmax(x, axis=0)


def sums(a: Any, b: Any) -> Any:
    return special.logsumexp(a), special.logsumexp(a, 0, b, True), special.logsumexp(a, (1,), b=b, return_sign=True)


def flat(results: Any, dtype: Any) -> list[Any]:
    """Return arrays and tuples of them as arrays; what Numba returns as Python's float gets its dtype back."""
    parts = [part for result in results for part in (result if isinstance(result, tuple) else (result,))]
    return [np.asarray(part, dtype if isinstance(part, float) else None) for part in parts]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ours_compile_with_the_bits_of_python(dtype: Any) -> None:
    a = (np.random.default_rng(2).standard_normal((5, 33)) * 3).astype(dtype)
    for function, arguments in ((softmaxes, (a,)), (sums, (a, a[::-1].copy()))):
        results, expected = flat(njit(function)(*arguments), dtype), flat(function(*arguments), dtype)
        assert [(r.dtype, r.shape, r.tobytes()) for r in results] == [(e.dtype, e.shape, e.tobytes()) for e in expected]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        pytest.param(lambda x: special.softmax(x[0, 0]), "x has type float64; accepted is an array", id="number"),
        pytest.param(lambda x: special.softmax(x * 1j), "x has dtype complex128; accepted are", id="complex"),
        pytest.param(lambda x: special.softmax(x, 1.0), "axis has type float64; accepted are", id="axis"),
        pytest.param(lambda x: special.softmax(x, temperature=2.0), "unexpected keyword argument", id="temperature"),
        pytest.param(lambda x: special.logsumexp(x * 1j), "a has dtype complex128; accepted are", id="complex a"),
        pytest.param(lambda x: special.logsumexp(x, b=1j), "b has type complex128; accepted are", id="b"),
        pytest.param(
            lambda x: special.logsumexp(x, keepdims=x.size > 1), "the constants True and False", id="keepdims"
        ),
    ],
)
def test_what_the_types_decide_is_a_typing_error_that_says_so(call: Callable[..., Any], words: str) -> None:
    with pytest.raises(TypingError, match=words):
        njit(call)(np.ones((2, 3)))


def test_a_wrong_axis_is_an_error_when_it_runs() -> None:
    with pytest.raises(AxisError, match="axis 7 is out of bounds"):
        njit(lambda x, axis: special.logsumexp(x, axis=axis))(np.ones((2, 3)), 7)


# ---------------------------------------------------------------- SciPy's own in compiled code, by the entry point


@pytest.fixture
def installed(tmp_path: Path) -> str:
    """Return the start of a script in a process where softmaxjit counts as installed, with the entry points it has."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    information = tmp_path / "site" / "softmaxjit-0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: softmaxjit\nVersion: 0\n")
    points = "\n".join(f"{key} = {value}" for key, value in project["entry-points"]["numba_extensions"].items())
    (information / "entry_points.txt").write_text(f"[numba_extensions]\n{points}\n")
    # First on the path, it stands for any softmaxjit that is installed in fact.
    return f"import json, sys\nsys.path.insert(0, {str(information.parent)!r})\nimport numba, numpy as np\n"


USER = """
import scipy.special as named_otherwise
from scipy.special import logsumexp, log_softmax as log_probabilities

def user(x, b):
    return (
        named_otherwise.softmax(x),
        log_probabilities(x, axis=0),
        *logsumexp(a=x, axis=(1,), b=b, return_sign=True),
    )
"""

COMPILE_USER = """
assert "softmaxjit" not in sys.modules
x = np.random.default_rng(2).standard_normal((5, 33))
compiled, expected = numba.njit(user)(x, x + 1), user(x, x + 1)
assert "softmaxjit" in sys.modules
print(json.dumps([
    [np.shape(result) == np.shape(right) and np.allclose(result, right, rtol=1e-13, atol=0)]
    for result, right in zip(compiled, expected, strict=True)
]))
"""

COMPILE_ANOTHER = """
another = numba.njit(lambda x: x + 1)
another(1)
"""


@pytest.mark.parametrize("steps", [(USER, COMPILE_ANOTHER), (COMPILE_ANOTHER, USER)], ids=["before", "after"])
def test_scipys_compile_when_scipy_is_imported_before_or_after_numbas_first_compilation(
    installed: str, steps: tuple[str, str], warm_cache: Path
) -> None:
    assert run(installed + "".join(steps) + COMPILE_USER, warm_cache) == [[True]] * 4


def test_without_the_entry_point_they_do_not(tmp_path: Path) -> None:
    script = """
import json
import numba, numpy as np, scipy.special
from importlib import metadata
metadata.entry_points = lambda: metadata.EntryPoints()
try:
    numba.njit(lambda x: scipy.special.softmax(x))(np.ones(2))
except numba.TypingError as error:
    print(json.dumps("Unknown attribute 'softmax'" in str(error)))
"""
    assert run(script, tmp_path) is True


def test_other_functions_are_typed_as_before(installed: str, tmp_path: Path) -> None:
    script = """
from numba.extending import overload, typeof_impl
from types import FunctionType

def answer(): return 42

# Another extension that has a say in the type of functions.
typeof_impl.register(FunctionType)(lambda value, context: numba.types.int64 if value is answer else None)

def softmax(x): return x

@overload(softmax)
def _softmax(x): return lambda x: x + 1

def log_softmax(x): return x

@numba.njit
def right(x): return softmax(x)

@numba.njit
def wrong(x): return log_softmax(x)

import scipy.special
value = right(1)
kind = str(numba.typeof(answer))
try:
    wrong(1)
except numba.TypingError as error:
    print(json.dumps([value, kind, "log_softmax" in str(error), "softmaxjit" in sys.modules]))
"""
    assert run(installed + script, tmp_path) == [2, "int64", True, False]


def test_it_costs_others_next_to_nothing(installed: str, tmp_path: Path) -> None:
    script = """
import gc, time
from importlib import metadata
gc.disable()  # a collection falls due about here, and would take 30 ms wherever it falls
(point,) = metadata.entry_points(group="numba_extensions", name="init")
loaded, start = set(sys.modules), time.thread_time()
point.load()()
seconds = time.thread_time() - start
print(json.dumps([seconds, sorted(set(sys.modules) - loaded)]))
"""
    # 1.2 ms on a Zen 4 core; the least of three, as the machine may be busy with something else.
    results = [run(installed + script, tmp_path) for _ in range(3)]
    assert {json.dumps(modules) for _, modules in results} == {'["_softmaxjit_for_numba"]'}
    assert min(seconds for seconds, _ in results) < 0.005


def test_the_package_is_imported_without_numbas_lock(tmp_path: Path) -> None:
    # It is held where a function that names SciPy's is compiled, and then the package is imported: if another thread
    # were importing it and needed the lock, both would wait for ever.
    script = """
import json, threading
import numba
from numba.core.compiler_lock import global_compiler_lock

def import_it():
    import softmaxjit

numba.njit(lambda x: x)(1)
importing = threading.Thread(target=import_it, daemon=True)
with global_compiler_lock:
    importing.start()
    importing.join(60)
    print(json.dumps(importing.is_alive()))
"""
    assert run(script, tmp_path) is False


CACHED = """
import numba
import scipy.special

@numba.njit(cache=True)
def f(x):
    return scipy.special.logsumexp(x)
"""


def test_a_users_cached_function_hits_in_the_next_process(installed: str, warm_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "site" / "user.py").write_text(CACHED)
    script = """
import user
value = user.f(np.array([2.0]))
print(json.dumps([value, sum(user.f.stats.cache_hits.values())]))
"""
    for hits in (0, 1):
        assert run(installed + script, warm_cache) == [2.0, hits]

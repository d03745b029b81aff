"""Direct calls: which they are, and that they give what the full path gives, which every other call takes."""

import contextlib
import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from softmaxjit import _direct, log_softmax, log_softmax_vjp, logsumexp, softmax, softmax_vjp
from softmaxjit._jit import Kernel
from softmaxjit._kernels.temperature import LARGEST_TEMPERATURE, SMALLEST_TEMPERATURE
from softmaxjit._plan import FEWEST_ROWS, GROUPED_ROW, PARALLEL_ELEMENTS, SHARED_ROW, SHORT, SHORT_ROW, kernels_of_rows

from .children import run
from .test_activations import read_only, sample, unaligned

DOORS = ("same_shape", "reduced", "two_operands")

Call = tuple[tuple[Any, ...], dict[str, Any]]


def case(name: str, *, direct: bool, make: Callable[[], Call]) -> Any:
    """Return a call, made anew at each run as it may write to its arguments, and whether it is direct."""
    return pytest.param(make, direct, id=name)


def f32(*shape: int) -> np.ndarray:
    return sample(shape, np.float32)


def within(x: np.ndarray, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a copy of `x`, and as many elements that begin `shift` elements later in the same memory."""
    buffer = np.full(3 * x.size, 77, x.dtype)
    copy, other = (buffer[start : start + x.size].reshape(x.shape) for start in (x.size, x.size + shift))
    copy[...] = x
    return copy, other


def matrix(x: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.asmatrix(x)


def in_place(x: np.ndarray, **keywords: Any) -> Call:
    return (x,), {"out": x, **keywords}


def viewing(x: np.ndarray) -> Call:
    return (x.view(),), {"out": x}


def shifted(x: np.ndarray, shift: int) -> Call:
    x, out = within(x, shift)
    return (x,), {"out": out}


def out_within(x: np.ndarray) -> Call:
    return (x,), {"out": x[1, :3]}


def onto(k: int, *operands: np.ndarray) -> Call:
    return operands, {"out": operands[k]}


def near(k: int, *operands: np.ndarray) -> Call:
    moved, out = within(operands[k], 3)
    return (*operands[:k], moved, *operands[k + 1 :]), {"out": out}


# What any of the functions may be called with, as far as `x`, `axis` and `threads` go.
OPERANDS = [
    case("float32", direct=True, make=lambda: ((f32(10),), {})),
    case("float64", direct=True, make=lambda: ((sample((10,)),), {})),
    case("one element", direct=True, make=lambda: ((f32(1),), {})),
    case("2-D", direct=True, make=lambda: ((f32(3, 10),), {})),
    case("3-D", direct=True, make=lambda: ((f32(2, 3, 10),), {})),
    case("read-only", direct=True, make=lambda: ((read_only(f32(10)),), {})),
    case("Fortran order of one column", direct=True, make=lambda: ((np.asfortranarray(f32(5, 1)),), {})),
    case("axis -1", direct=True, make=lambda: ((f32(3, 10), -1), {})),
    case("the last axis by its number", direct=True, make=lambda: ((f32(3, 10), 1), {})),
    case("as large as a serial call can be", direct=True, make=lambda: ((f32(1, PARALLEL_ELEMENTS - 1),), {})),
    case("so large that it may be parallel", direct=True, make=lambda: ((f32(2, PARALLEL_ELEMENTS // 2),), {})),
    case("so large that it is shared out", direct=True, make=lambda: ((f32(SHARED_ROW[4]),), {})),
    case("large, of short rows", direct=True, make=lambda: ((f32(PARALLEL_ELEMENTS // 8, 8),), {})),
    case("large, big-endian", direct=False, make=lambda: ((f32(2, PARALLEL_ELEMENTS // 2).astype(">f4"),), {})),
    case("list", direct=False, make=lambda: ((f32(10).tolist(),), {})),
    case("scalar", direct=False, make=lambda: ((1.0,), {"axis": None})),
    case("NumPy scalar", direct=False, make=lambda: ((np.float32(1),), {"axis": None})),
    case("0-d", direct=False, make=lambda: ((np.array(1.0), None), {})),
    case("0-d along an axis", direct=False, make=lambda: ((np.array(1.0),), {})),
    case("0-d along axis 0", direct=False, make=lambda: ((np.array(1.0), 0), {})),
    case("empty", direct=False, make=lambda: ((f32(0),), {})),
    case("empty rows", direct=False, make=lambda: ((f32(3, 0),), {})),
    case("no rows", direct=False, make=lambda: ((f32(0, 3),), {})),
    case("integers", direct=False, make=lambda: ((np.arange(10),), {})),
    case("float16", direct=True, make=lambda: ((sample((10,), np.float16),), {})),
    case("bfloat16", direct=True, make=lambda: ((sample((3, 10), ml_dtypes.bfloat16),), {})),
    case("float16 big-endian", direct=False, make=lambda: ((sample((10,), ">f2"),), {})),
    case("longdouble", direct=False, make=lambda: ((sample((10,), np.longdouble),), {})),
    case("strings", direct=False, make=lambda: ((np.array(["a"]),), {})),
    case("big-endian", direct=False, make=lambda: ((f32(10).astype(">f4"),), {})),
    case("unaligned", direct=False, make=lambda: ((unaligned(f32(10)),), {})),
    case("every second", direct=False, make=lambda: ((f32(20)[::2],), {})),
    case("Fortran order", direct=False, make=lambda: ((np.asfortranarray(f32(3, 10)),), {})),
    case("matrix", direct=False, make=lambda: ((matrix(f32(3, 10)),), {})),
    case("axis 0 of 2-D", direct=False, make=lambda: ((f32(3, 10), 0), {})),
    case("axis -1 as np.int64", direct=False, make=lambda: ((f32(3, 10), np.int64(-1)), {})),
    case("axis in a tuple", direct=False, make=lambda: ((f32(3, 10), (-1,)), {})),
    case("axis in an array", direct=False, make=lambda: ((f32(3, 10), np.array([-1, 0])), {})),
    case("axis None", direct=False, make=lambda: ((f32(3, 10), None), {})),
    case("axis True", direct=False, make=lambda: ((f32(3, 10), True), {})),
    case("axis -1.0", direct=False, make=lambda: ((f32(3, 10), -1.0), {})),
    case("axis out of range", direct=False, make=lambda: ((f32(3, 10), 2), {})),
    case("threads=1", direct=True, make=lambda: ((f32(3, 10),), {"threads": 1})),
    case("threads=1, short rows", direct=True, make=lambda: ((f32(9, 10),), {"threads": 1})),
    case("threads=1, large", direct=True, make=lambda: ((f32(2, PARALLEL_ELEMENTS // 2),), {"threads": 1})),
    case("threads=2", direct=True, make=lambda: ((f32(3, 10),), {"threads": 2})),
    case("threads of NumPy", direct=False, make=lambda: ((f32(3, 10),), {"threads": np.int64(1)})),
    case("threads=-1", direct=False, make=lambda: ((f32(3, 10),), {"threads": -1})),
    case("threads=0", direct=False, make=lambda: ((f32(3, 10),), {"threads": 0})),
    case("threads=True", direct=False, make=lambda: ((f32(3, 10),), {"threads": True})),
    case("out=False", direct=False, make=lambda: ((f32(10),), {"out": False})),
]

MASKED = [
    case("masked", direct=False, make=lambda: ((np.ma.array(f32(10), mask=f32(10) > 0),), {})),
    case("mask of nothing", direct=False, make=lambda: ((np.ma.array(f32(10)),), {})),
    case("where", direct=False, make=lambda: ((f32(10),), {"where": f32(10) > 0})),
    case("where=True", direct=False, make=lambda: ((f32(10),), {"where": True})),
    case("where=1", direct=False, make=lambda: ((f32(10),), {"where": 1})),
]

TEMPERATURES = [
    case(f"temperature={tau!r}", direct=direct, make=lambda tau=tau: ((f32(10),), {"temperature": tau}))
    for taus, direct in (
        ((0.5, 1.0, 3.0, SMALLEST_TEMPERATURE, LARGEST_TEMPERATURE, 1, 7, 2**40), True),
        ((np.nextafter(SMALLEST_TEMPERATURE, 0).item(), np.nextafter(LARGEST_TEMPERATURE, np.inf).item()), False),
        ((0.0, -0.0, 0, np.inf, np.nan, -1.0, -1, 1e-30, 1e30, 10**400, -(10**400), True, False), False),
        ((np.float64(2), np.float32(2), np.array(2.0), np.array([2.0]), "1", None, 1j), False),
    )
    for tau in taus
]

OUTS = [
    case("out", direct=True, make=lambda: ((f32(3, 10),), {"out": np.full((3, 10), 77, np.float32)})),
    case("out of one dimension", direct=True, make=lambda: ((f32(10),), {"out": np.full(10, 77, np.float32)})),
    case("in place", direct=True, make=lambda: in_place(f32(3, 10))),
    case("in place in one dimension", direct=True, make=lambda: in_place(f32(10), temperature=0.5)),
    case("out after x in one memory", direct=True, make=lambda: shifted(f32(3, 10), 30)),
    case("out before x in one memory", direct=True, make=lambda: shifted(f32(3, 10), -30)),
    case("in place through two views", direct=False, make=lambda: shifted(f32(3, 10), 0)),
    case("x a view of out", direct=False, make=lambda: viewing(f32(3, 10))),
    case("out a little after x", direct=False, make=lambda: shifted(f32(3, 10), 3)),
    case("out a little before x", direct=False, make=lambda: shifted(f32(3, 10), -13)),
    case("read-only in place", direct=False, make=lambda: in_place(read_only(f32(10)))),
    case("out read-only", direct=False, make=lambda: ((f32(10),), {"out": read_only(f32(10))})),
    case("out of another dtype", direct=False, make=lambda: ((f32(10),), {"out": np.zeros(10)})),
    case("out big-endian", direct=False, make=lambda: ((f32(10),), {"out": np.zeros(10, ">f4")})),
    case("out unaligned", direct=False, make=lambda: ((f32(10),), {"out": unaligned(f32(10))})),
    case("out of every second", direct=False, make=lambda: ((f32(10),), {"out": f32(20)[::2]})),
    case("float16 in place", direct=True, make=lambda: in_place(sample((3, 10), np.float16))),
    case("float16 in place through two views", direct=False, make=lambda: shifted(sample((3, 10), np.float16), 0)),
    case("float16 a little after x", direct=False, make=lambda: shifted(sample((3, 10), np.float16), 3)),
    case(
        "float16 into its bits", direct=False, make=lambda: ((sample((10,), np.float16),), {"out": np.zeros(10, "u2")})
    ),
    case("out in Fortran order", direct=False, make=lambda: ((f32(3, 10),), {"out": np.asfortranarray(f32(3, 10))})),
    case("out of another shape", direct=False, make=lambda: ((f32(3, 10),), {"out": f32(10, 3)})),
    case("out of more dimensions", direct=False, make=lambda: ((f32(10),), {"out": f32(1, 10)})),
    case("out a matrix", direct=False, make=lambda: ((f32(3, 10),), {"out": matrix(f32(3, 10))})),
    case("out masked", direct=False, make=lambda: ((f32(10),), {"out": np.ma.array(f32(10))})),
    case("out a list", direct=False, make=lambda: ((f32(10),), {"out": [0.0] * 10})),
    case("an error after a good out", direct=False, make=lambda: in_place(f32(10), threads=0)),
]

SUMS = [
    case("keepdims", direct=True, make=lambda: ((f32(3, 10),), {"keepdims": True})),
    case("keepdims in one dimension", direct=True, make=lambda: ((f32(10),), {"keepdims": True})),
    case("out", direct=True, make=lambda: ((f32(3, 10),), {"out": np.full(3, 77, np.float32)})),
    case("out 0-d", direct=True, make=lambda: ((f32(10),), {"out": np.array(77, np.float32)})),
    case("out kept", direct=True, make=lambda: ((f32(3, 10),), {"out": f32(3, 1), "keepdims": True})),
    case("out 0-d, x a view", direct=True, make=lambda: ((f32(13)[:10],), {"out": np.array(77, np.float32)})),
    case("out within x", direct=False, make=lambda: out_within(f32(3, 10))),
    case("out of another shape", direct=False, make=lambda: ((f32(3, 10),), {"out": f32(3, 1)})),
    case("out read-only", direct=False, make=lambda: ((f32(3, 10),), {"out": read_only(f32(3))})),
    case("out a number", direct=False, make=lambda: ((f32(10),), {"out": np.float32(1)})),
    case("keepdims=np.True_", direct=False, make=lambda: ((f32(3, 10),), {"keepdims": np.True_})),
    case("keepdims=1", direct=False, make=lambda: ((f32(3, 10),), {"keepdims": 1})),
    case("return_sign", direct=False, make=lambda: ((f32(3, 10),), {"return_sign": True})),
    case("return_sign=0", direct=False, make=lambda: ((f32(3, 10),), {"return_sign": 0})),
    case("weights", direct=False, make=lambda: ((f32(3, 10),), {"b": f32(10)})),
    case("complex", direct=False, make=lambda: ((f32(10) * 1j,), {})),
]

COTANGENTS = [
    case("in place of the first", direct=True, make=lambda: onto(0, f32(10), f32(10))),
    case("in place of the cotangent", direct=True, make=lambda: onto(1, f32(10), f32(10))),
    case("one array for all", direct=True, make=lambda: onto(0, *[f32(10)] * 2)),
    case("read-only", direct=True, make=lambda: ((f32(10), read_only(f32(10))), {})),
    case("cotangent of another dtype", direct=False, make=lambda: ((f32(10), sample((10,))), {})),
    case("cotangent big-endian", direct=False, make=lambda: ((f32(10), f32(10).astype(">f4")), {})),
    case("cotangent unaligned", direct=False, make=lambda: ((f32(10), unaligned(f32(10))), {})),
    case("cotangent broadcast", direct=False, make=lambda: ((f32(3, 10), f32(10)), {})),
    case("cotangent of as many elements", direct=False, make=lambda: ((f32(2, 10), f32(10, 2)), {})),
    case("cotangent of every second", direct=False, make=lambda: ((f32(10), f32(20)[::2]), {})),
    case("cotangent masked", direct=False, make=lambda: ((f32(10), np.ma.array(f32(10))), {})),
    case("cotangent a list", direct=False, make=lambda: ((f32(10), [1.0] * 10), {})),
    case("out a little after the first", direct=False, make=lambda: near(0, f32(3, 10), f32(3, 10))),
    case("out a little after the cotangent", direct=False, make=lambda: near(1, f32(3, 10), f32(3, 10))),
]


@contextlib.contextmanager
def recorded(*, full: bool = False) -> Iterator[list[bool]]:
    """Record of each call whether it was direct; make none direct if all are to take the full path."""
    calls: list[bool] = []

    def recording(door: Callable[..., Any]) -> Callable[..., Any]:
        def record(*args: Any) -> Any:
            result = None if full else door(*args)
            calls.append(result is not None)
            return result

        return record

    with pytest.MonkeyPatch.context() as patch:
        for name in DOORS:
            patch.setattr(_direct, name, recording(getattr(_direct, name)))
        yield calls


def bits(value: Any) -> bytes:
    array = np.asarray(value)
    return (array.astype(np.float64) if array.dtype == np.longdouble else array).tobytes()  # which has idle bytes


def outcome(function: Any, call: Call) -> Any:
    """Return all that a call does: its result, what it leaves in `out` and in its operands, and its error."""
    args, keywords = call
    try:
        result = function(*args, **keywords)
        results = result if isinstance(result, tuple) else (result,)
        kinds = [type(one) for one in results]
        if keywords.get("out") is not None and keywords["out"] is results[0]:
            kinds[0] = "out"
        values = [(np.asarray(one).dtype, np.shape(one), bits(one)) for one in results]
        did: Any = [kinds, values, [np.asarray(one).flags.writeable for one in results]]
    except Exception as error:
        did = [type(error), str(error)]
    return [*did, [bits(value) for value in (*args, keywords.get("out")) if isinstance(value, np.ndarray)]]


def check(function: Any, make: Callable[[], Call], direct: bool) -> None:
    with recorded() as calls:
        did = outcome(function, make())
    assert calls == [direct]
    with recorded(full=True) as calls:
        assert did == outcome(function, make())
    assert calls == [False]


@pytest.mark.parametrize(("make", "direct"), [*OPERANDS, *MASKED, *TEMPERATURES, *OUTS])
@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_activations(function: Any, make: Callable[[], Call], direct: bool) -> None:
    check(function, make, direct)


@pytest.mark.parametrize(("make", "direct"), [*OPERANDS, *MASKED, *SUMS])
def test_logsumexp(make: Callable[[], Call], direct: bool) -> None:
    check(logsumexp, make, direct)


@pytest.mark.parametrize(("make", "direct"), [*OPERANDS, *TEMPERATURES, *OUTS, *MASKED[:2]])
@pytest.mark.parametrize("function", [softmax_vjp, log_softmax_vjp])
def test_gradients(function: Any, make: Callable[[], Call], direct: bool) -> None:
    def with_cotangent() -> Call:
        (x, *axis), keywords = make()
        shape = np.shape(x)
        is_float = isinstance(x, np.ndarray) and (x.dtype.kind == "f" or x.dtype.name == "bfloat16")
        dtype = x.dtype.type if is_float else np.float64
        return (x, np.linspace(-1, 1, math.prod(shape)).reshape(shape).astype(dtype), *axis), keywords

    check(function, with_cotangent, direct)


@pytest.mark.parametrize(("make", "direct"), COTANGENTS)
@pytest.mark.parametrize("function", [softmax_vjp, log_softmax_vjp])
def test_cotangents(function: Any, make: Callable[[], Call], direct: bool) -> None:
    check(function, make, direct)


@pytest.mark.parametrize("function", [softmax, log_softmax, logsumexp])
def test_big_endian_after_direct_calls_is_not_misread(function: Any) -> None:
    x = f32(3, 10)
    with recorded() as calls:
        results = [function(y) for y in (x, read_only(x), x.astype(">f4"), x.astype("<f4"))]
    assert calls == [True, True, False, True]
    assert len({result.tobytes() for result in results}) == 1


def test_a_dtype_that_equals_the_native_one_is_as_good() -> None:
    dtype = np.dtype(np.float32, metadata={"unit": "nat"})
    assert dtype is not np.dtype(np.float32)
    with recorded() as calls:
        result = softmax(f32(10).astype(dtype))
    assert calls == [True]
    assert result.tobytes() == softmax(f32(10)).tobytes()


def test_small_results_own_their_memory() -> None:
    for x in (f32(10), f32(3, 10)):
        for function in (softmax, log_softmax):
            assert function(x).base is None


def test_a_dtype_without_a_kernel_is_not_remembered() -> None:
    for dtype in (">f2", np.longdouble, ">f4", np.int64):
        softmax(np.ones(3, dtype))
    assert {*_direct.SOFTMAX} <= {np.dtype(dtype) for dtype in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)}


def test_without_the_jit_no_call_is_direct(tmp_path: Path) -> None:
    script = """
    import json
    import numpy as np
    from softmaxjit import _direct, logsumexp, softmax, softmax_vjp
    x = np.ones(4, np.float32)
    results = [softmax(x).tolist(), float(logsumexp(x - x, keepdims=True)[0] / np.log(4)), softmax_vjp(x, x).tolist()]
    print(json.dumps([results, len(_direct.SOFTMAX) + len(_direct.LOGSUMEXP) + len(_direct.SOFTMAX_VJP)]))
    """
    results, compiled = run(script, tmp_path, NUMBA_DISABLE_JIT="1")
    assert results[0] == [0.25] * 4
    assert results[1] == pytest.approx(1)
    assert results[2] == [-3.0] * 4
    assert compiled == 0


@pytest.mark.parametrize("shape", [(10,), (4, 10), (32, 10), (32, 100), (32, 1000), (PARALLEL_ELEMENTS // 10 + 1, 10)])
@pytest.mark.parametrize("function", [softmax, log_softmax, logsumexp])
def test_a_call_asks_for_one_kernel(
    function: Callable[..., Any], shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes seconds to compile."""
    asked_for = []
    compiled = Kernel.compiled

    def counting(self: Kernel, *variant: Any, **options: Any) -> Any:
        asked_for.append(self.body.__name__)
        return compiled(self, *variant, **options)

    monkeypatch.setattr(Kernel, "compiled", counting)
    operation = function.__name__
    monkeypatch.setattr(_direct, operation.upper(), fresh(getattr(_direct, operation.upper())))
    for several in (_direct.OF_SHORT_ROWS, _direct.OF_GROUPED_ROWS):
        monkeypatch.setitem(several, operation, fresh(several[operation]))
    function(f32(*shape), threads=1 if math.prod(shape) >= PARALLEL_ELEMENTS else None)
    rows, n = math.prod(shape[:-1]), shape[-1]
    assert {*asked_for} == {kernels_of_rows(operation, np.dtype(np.float32), rows, n)[operation].body.__name__}


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("operation", SHORT)
def test_direct_calls_go_to_the_kernel_of_the_plan(operation: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dtype = np.dtype(dtype)
    monkeypatch.setattr(Kernel, "entry", lambda self, *_: self)  # which `carrying` may wrap
    monkeypatch.setattr(_direct, "carrying", lambda entry, _: entry)
    one_by_one = fresh(getattr(_direct, operation.upper()))
    for several in (_direct.OF_SHORT_ROWS, _direct.OF_GROUPED_ROWS):
        monkeypatch.setitem(several, operation, fresh(several[operation]))
    size = max(4, dtype.itemsize)
    for boundary in (SHORT_ROW[operation][size], GROUPED_ROW[operation][size]):
        for rows, n in itertools.product((FEWEST_ROWS - 1, FEWEST_ROWS), (boundary, boundary + 1)):
            chosen = _direct.entry_for(one_by_one, dtype, rows, n, None)
            assert chosen is kernels_of_rows(operation, dtype, rows, n)[operation]


def fresh(entries: _direct.Entries) -> _direct.Entries:
    """Return entries that have not been asked for anything."""
    return _direct.Entries(entries.operation, *entries._variant, rows=entries._rows, n=entries._n)

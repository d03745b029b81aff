"""How the package compiles: the only module that spells Numba options.

Every option is set explicitly, because an unset one is inherited from whichever function compiles ours first and the
on-disk cache would keep the result.

* ``fastmath=False``: the order of sums and the handling of NaN and infinities are part of the contract.
* ``error_model="numpy"``: Python's adds a branch at every division (0.9 instead of 0.2 ns an element).
* ``nogil=True``: kernels touch no Python object.
* ``_nrt=True``: references to arrays are counted, but where `compiled_as` or `kernel` is told otherwise.
* ``boundscheck=None``: ``NUMBA_BOUNDSCHECK`` decides; it is part of the stamp below.

Every compiled function is renamed to carry a stamp of the package's source and of what it is compiled for.  Numba's
cache does not notice an edit in another file, its linker merges functions of equal name, and its index, written before
the data, can be left pointing at another processor's code; one name for one piece of machine code mends all three.
"""

import copy
import functools
import hashlib
import os
import re
import types as python_types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numba.extending
import numpy as np
from llvmlite import binding
from numba import types
from numba.core import codegen, config
from numba.core.compiler_lock import global_compiler_lock
from numba.core.imputils import lower_constant
from numba.np.ufunc.dufunc import DUFunc

from ._cache import directory_of, enable_cache
from ._carriers import carrier_of
from ._deferred import DeferredFunction
from ._garbage import collection_put_off
from ._inlined import InlinedCompiler, InlinedFunction, LinkedCompiler

_OPTIONS = {"fastmath": False, "error_model": "numpy", "nogil": True, "boundscheck": None, "_nrt": True}

# Of what only compiled code calls: entries for other callers would take as long to compile as the functions themselves.
_INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


if hasattr(os, "register_at_fork"):
    # A child forked while another thread compiles would wait for ever for a lock that nobody holds.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )


def _target() -> tuple[Any, ...]:
    """Return what decides the machine code besides the source."""
    cpu = (config.CPU_NAME or binding.get_host_cpu_name(), config.CPU_FEATURES, codegen.get_host_cpu_features())
    return (numba.__version__, np.__version__, config.BOUNDSCHECK, config.OPT, *cpu)


def _stamp() -> str:
    digest = hashlib.sha256(repr(_target()).encode())
    package = str(Path(__file__).parent)  # all in strings, since paths as objects would take most of the time
    # A compiled file outside __pycache__ stands for a source that was not installed.
    sources = [
        f"{directory}{os.sep}{name}"
        for directory, _, names in os.walk(package)
        if not directory.endswith("__pycache__")
        for name in names
        if name.endswith((".py", ".pyc"))
    ]
    for path in sorted(sources):
        digest.update(path.removeprefix(package).replace(os.sep, "/").encode())
        with open(path, "rb") as source:  # noqa: PTH123
            digest.update(source.read())
    return digest.hexdigest()[:12]


STAMP = _stamp()


def _renamed(function: Callable[..., Any], *parts: str) -> Callable[..., Any]:
    """Return a copy of `function` whose name says what it is compiled for and from which source."""
    name = "_".join([function.__name__, *parts, STAMP])
    code, closure = function.__code__, function.__closure__
    clone = python_types.FunctionType(code, function.__globals__, name, function.__defaults__, closure)
    clone.__qualname__ = name
    clone.__module__ = function.__module__
    clone.__doc__ = function.__doc__
    clone.__kwdefaults__ = copy.copy(function.__kwdefaults__)
    return clone


def helper(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a piece of a kernel, always inlined: vectors passed in memory would cost more than the arithmetic."""
    return function if config.DISABLE_JIT else DeferredFunction(function, _inlined)


def _inlined(function: Callable[..., Any]) -> InlinedFunction:
    options = {"nopython": True, "forceinline": True, **_OPTIONS, **_INNER}
    return InlinedFunction(_renamed(function), targetoptions=options, pipeline_class=InlinedCompiler)


def routine(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile what runs once a call, and is called rather than inlined: there the time to compile counts."""
    return function if config.DISABLE_JIT else DeferredFunction(function, _called)


def _called(function: Callable[..., Any]) -> Any:
    return _without_address(numba.njit(**_OPTIONS)(_renamed(function)))


def _without_address(dispatcher: Any) -> Any:
    """Let compiled code pass a compiled function on without its address in this process, which nobody reads.

    What is called is known by its type.  Numba does not cache a function in whose machine code an address is left, as
    happens where a routine that is passed a kernel is not inlined.
    """
    if not config.DISABLE_JIT:
        lower_constant(numba.typeof(dispatcher))(lambda context, *_: context.get_dummy_value())
    return dispatcher


def _after_compiling(name: str) -> Callable[..., Any]:
    """Return the method of NumPy's ufuncs of that name, which finds the loops compiled."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.compile_loops()
        return getattr(DUFunc, name)(self, *args, **kwargs)

    return method


class _TwoLoopUfunc(DUFunc):
    """A ufunc that compiles its float32 and float64 loops, and no others, when it is first needed.

    Numba's own would add a loop for each combination of types that comes along, and NumPy's choice among the loops, so
    the dtype of a result, would depend on what was called before.
    """

    accumulate, at, outer, reduce, reduceat = map(_after_compiling, ("accumulate", "at", "outer", "reduce", "reduceat"))

    def __call__(self, *args: Any, where: Any = True, **kwargs: Any) -> Any:
        """Call it as NumPy's ufuncs are called; Numba 0.68's own fail on any ``where``, so it is heeded here."""
        self.compile_loops()
        if where is True or (len(args) > self.nin and "out" in kwargs):  # the latter is an error, and NumPy's to raise
            return super().__call__(*args, **kwargs)
        operands, given = args[: self.nin], args[self.nin :] or kwargs.pop("out", None)
        with np.errstate(all="ignore"):  # which masked elements may deserve
            result = super().__call__(*operands, **kwargs)
        (out,) = given if isinstance(given, tuple) else (given,)
        if out is None:  # where masked, the result is unspecified
            return np.broadcast_to(result, np.broadcast_shapes(np.shape(result), np.shape(where)), subok=True).copy()
        np.copyto(out, result, where=where)
        return out

    def compile_loops(self) -> None:
        """Compile, unless it has been done."""
        if self._frozen:
            return
        with global_compiler_lock:
            if not self._frozen:
                for element in (types.float32, types.float64):
                    super()._compile_for_argtys((element,) * self.nin, element)
                self.disable_compile()

    def _compile_for_args(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self.compile_loops()

    def _compile_for_argtys(self, argtys: Any, return_type: Any = None) -> None:  # noqa: ARG002
        self.compile_loops()


def elementwise(plain: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function of floats into a NumPy ufunc, lazily; usable inside compiled code too.

    Where compiling is turned off it is `plain`, which passes what it is given besides operands on to a ufunc of NumPy.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if config.DISABLE_JIT:
            return functools.wraps(function)(functools.partial(plain))
        # Numba compiles ufuncs with the NumPy error model and takes no other.
        return _TwoLoopUfunc(function, targetoptions={"fastmath": False, "nopython": True})

    return decorate


def compiled_as(function: Callable[..., Any], *, inline: bool = False, counted: bool = True) -> Callable[..., Any]:
    """Register what compiled code runs where it calls `function`, chosen by the types of the arguments.

    The decorated factory has the signature of `function`, receives the types, and returns the implementation or None.
    With `counted` False the implementation counts no references to arrays: what it returns must have been retained
    once, by itself or by what it calls, whose results nobody lets go of.
    """
    compiler = InlinedCompiler if inline else LinkedCompiler
    options = {**_OPTIONS, **_INNER, "_nrt": counted, "forceinline": inline, "pipeline_class": compiler}
    # One factory may serve functions of the same name in several modules.
    name = (*function.__module__.split("."), function.__name__)

    def register(factory: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(factory)
        def named_factory(*args: Any, **kwargs: Any) -> Any:
            implementation = factory(*args, **kwargs)
            return None if implementation is None else _renamed(implementation, *name)

        numba.extending.overload(function, jit_options=options)(named_factory)
        return factory

    return register


MASK = types.Array(types.boolean, 1, "C", readonly=True)  # of kernels: False for masked elements

_kernels: list["Kernel"] = []  # in the order in which modules make them, the same in every process


class Kernel:
    """One body over flat arrays, compiled on demand for each dtype, serial or with ``prange`` in parallel.

    Parameters
    ----------
    body : function
        ``body(x, n, ..., out)``: reads flat `x`, writes flat `out`, returns nothing and never raises.
    signature : callable
        Maps the input's type, the result's, and the types of what may be of several to all argument types.  The input
        is an array or, if it is masked, a tuple of that and an array of bool.
    counted : bool
        Whether references to arrays are counted.  A body that makes none, and calls nothing that returns one, does
        without: serial, for elements that need no carrier, and for variants that are no arrays.
    """

    def __init__(
        self, body: Callable[..., Any], signature: Callable[..., tuple[types.Type, ...]], *, counted: bool
    ) -> None:
        self.body = body
        self._signature = signature
        self._counted = counted
        self._compiled: dict[tuple[Any, ...], Any] = {}
        # Several kernels may be made by one factory.
        name = (body.__module__, body.__name__)
        self._ordinal = str(sum(name == (made.body.__module__, made.body.__name__) for made in _kernels))
        _kernels.append(self)

    def compiled(
        self, dtype: "np.dtype[Any]", *variant: types.Type, parallel: bool = False, masked: bool = False
    ) -> Any:
        """Return the dispatcher for one dtype, with exactly one signature, from the cache or compiled now."""
        key = (dtype, parallel, masked, *map(id, variant))  # Numba's types are singletons, and slow to hash
        if key not in self._compiled:
            # Numba's own lock: it is held where compiled code asks for a kernel, and a second lock could deadlock.
            with global_compiler_lock:
                if key not in self._compiled:
                    self._compiled[key] = self._compile(dtype, variant, parallel, masked)
        return self._compiled[key]

    def entry(self, dtype: "np.dtype[Any]", *variant: types.Type) -> Callable[..., None]:
        """Return the serial machine code for one dtype, for arguments of which Python code knows the types already.

        It is what the dispatcher calls once it has found out the types (0.30 instead of 0.47 µs a call).  It finds out
        nothing: swapped bytes are misread, and an array that is not of one dimension overwrites foreign memory.
        """
        dispatcher = self.compiled(dtype, *variant)
        (signature,) = dispatcher.signatures
        entry: Callable[..., None] = dispatcher.get_overload(signature)
        return entry

    def _compile(self, dtype: "np.dtype[Any]", variant: tuple[types.Type, ...], parallel: bool, masked: bool) -> Any:
        element = numba.from_dtype(carrier_of(dtype))
        # Read-only, so that one signature takes writeable arrays too.
        source = types.Array(element, 1, "C", readonly=True)
        if masked:
            source = types.Tuple((source, MASK))
        result = types.Array(element, 1, "C")
        kinds = [re.sub(r"\W+", "", str(kind)) for kind in variant] + ["masked"] * masked
        name = (self._ordinal, dtype.name, *kinds, "parallel" if parallel else "serial")
        arrays = any(isinstance(kind, types.Array) for kind in variant)
        counted = self._counted or parallel or arrays or carrier_of(dtype) != dtype
        # C code calls no kernels, so no entry for it is compiled.
        options = {**_OPTIONS, "_nrt": counted, "parallel": parallel, "no_cfunc_wrapper": True}
        dispatcher = numba.njit(**options)(_renamed(self.body, *name))
        enable_cache(dispatcher)
        with collection_put_off():
            dispatcher.compile(types.void(*self._signature(source, result, *variant)))
        dispatcher.disable_compile()
        return _without_address(dispatcher)


def kernel(
    signature: Callable[..., tuple[types.Type, ...]], *, counted: bool = True
) -> Callable[[Callable[..., Any]], Kernel]:
    """Decorate a kernel body; see `Kernel`."""
    return lambda body: Kernel(body, signature, counted=counted)


def cache_directory() -> str:
    """Return where compiled kernels are kept, or raise `NoCache`."""
    return directory_of(_kernels[0].body)

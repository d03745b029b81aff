"""Where compiled kernels are kept: Numba's cache, in which trouble means "compile again", without strangers' code."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba.core import config
from numba.core.caching import FunctionCache, NullCache
from numba.core.runtime import rtsys

from ._trust import distrust, unfit

Function = Callable[..., Any]


class NoCache(Exception):  # noqa: N818
    """Says why compiled kernels are not kept."""


class _Untrusted(NoCache):
    pass


def directory_of(function: Function) -> str:
    """Return where what is compiled of a function is kept, or raise a `NoCache` that says why it is not."""
    _refuse_if_off()
    return str(_kept(function).cache_path)


def enable_cache(dispatcher: Any) -> None:
    """Turn the on-disk cache on where there can be one; elsewhere each process compiles for itself."""
    try:
        _refuse_if_off()
    except NoCache:
        return
    function = dispatcher.py_func
    try:
        dispatcher._cache = _GuardedCache(function, _kept(function))
    except _Untrusted as refusal:
        _warn_once(str(refusal))
    except NoCache:
        dispatcher._cache = _GuardedCache(function, NullCache())


def _refuse_if_off() -> None:
    for name, value in (("SOFTMAXJIT_CACHE", "0"), ("NUMBA_DISABLE_JIT", "1")):
        if os.environ.get(name) == value:
            raise NoCache(f"{name}={value}")
    if config.DISABLE_JIT:
        raise NoCache("compiling is turned off")


def _kept(function: Function) -> Any:
    """Return Numba's cache of a function, in the first directory that can be written to."""
    try:
        cache = FunctionCache(function)
    except Exception:
        raise NoCache("no directory to write to") from None
    objection = _objection(cache, function)
    if objection is not None:
        raise _Untrusted(objection)
    return cache


def _objection(cache: Any, function: Function) -> str | None:
    files = f"*.{function.__qualname__}-*"
    # Beside the sources lies what Python compiled of them, and whoever can write there needs no cache to plant code.
    if Path(cache.cache_path).parent == Path(function.__code__.co_filename).parent:
        return unfit(cache.cache_path, files)
    return distrust(cache.cache_path, files) or unfit(cache.cache_path, files)


_warned: set[str] = set()


def _warn_once(objection: str) -> None:
    if objection not in _warned:
        _warned.add(objection)
        warnings.warn(
            f"softmaxjit compiles without keeping the result: {objection}.  Set NUMBA_CACHE_DIR to a directory of your "
            "own that no other user may write to, or SOFTMAXJIT_CACHE=0 to do without.",
            RuntimeWarning,
            stacklevel=2,
        )


class _GuardedCache:
    """Numba's cache of one function, in which any trouble means "compile again"; `kept` is the one that is written."""

    def __init__(self, function: Function, kept: Any) -> None:
        self._function = function
        self._kept = kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kept, name)

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            result = self._load(self._kept, signature, context)
        except Exception:  # a file may hold anything
            self._forget()
            result = None
        caches = _passed_over(self._function, self._kept)
        while result is None and (cache := next(caches, None)) is not None:
            with suppress(Exception):
                result = self._load(cache, signature, context)
        return result

    def _load(self, cache: Any, signature: Any, context: Any) -> Any:
        """Load machine code into a process that may never compile.

        Numba's `load_overload` first imports all that its compiler may need, scipy.linalg among it: 0.23 of the 0.24 s
        that the first softmax of a process took.  Machine code needs the symbols of Numba's runtime alone; those of a
        threading layer come with the code that names them.  What is compiled later makes up for the rest by itself.
        """
        load = getattr(cache, "_load_overload", None)
        if load is None:
            result = cache.load_overload(signature, context)
        else:
            rtsys.initialize(context)
            result = load(signature, context)
        if result is not None and self._function.__qualname__ not in result.fndesc.qualname:
            raise ValueError(f"code of {result.fndesc.qualname}")
        return result

    def save_overload(self, signature: Any, result: Any) -> None:
        try:
            self._kept.save_overload(signature, result)
        except Exception:
            self._forget()
            try:
                self._kept.save_overload(signature, result)
            except Exception:
                self._kept.disable()

    def _forget(self) -> None:
        """Empty a broken index, so that the next save starts afresh."""
        try:
            self._kept.flush()
        except Exception:
            self._kept.disable()


# -------------------------------------------------------------------------------------------- directories only to read


def _passed_over(function: Function, kept: Any) -> Iterator[Any]:
    """Yield caches in the directories that Numba passes over, on its way to `kept`, because it cannot write there.

    An image filled by whoever built it is such a directory to whoever runs it.
    """
    for kind in _READABLE:
        try:
            cache = kind(function)
        except Exception:  # noqa: S112 - there is no such directory
            continue
        if cache.cache_path == kept.cache_path:
            return
        if _objection(cache, function) is None:
            yield cache


class _Readable:
    """Makes one of Numba's locators, mixed into it, content with a directory that can be read."""

    def ensure_cache_path(self) -> None:
        path = self.get_cache_path()  # type: ignore[attr-defined]
        if not os.access(path, os.R_OK | os.X_OK):
            raise PermissionError(path)


def _readable(locator: type) -> type:
    """Return Numba's class of caches, but in the directory of one locator."""
    located = {"_locator_classes": [type(locator.__name__, (_Readable, locator), {})]}
    return type("FunctionCache", (FunctionCache,), {"_impl_class": type("Impl", (FunctionCache._impl_class,), located)})


_READABLE = [_readable(locator) for locator in FunctionCache._impl_class._locator_classes]

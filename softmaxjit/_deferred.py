"""Compiled functions that Numba hears of when compiled code refers to them, and not before.

To make one takes Numba 0.1 ms, and an import would make 200, most of which its process never needs: of the 70 ms that
the import took, 20.
"""

from collections.abc import Callable
from typing import Any

from numba.core.compiler_lock import global_compiler_lock


class DeferredFunction:
    """A function, and how to make the compiled one.

    Parameters
    ----------
    function : function
        What is to be compiled; it is still there as `py_func`, as Numba calls it.
    make : callable
        Returns the compiled function of it.
    """

    def __init__(self, function: Callable[..., Any], make: Callable[[Callable[..., Any]], Any]) -> None:
        self.py_func = function
        self.__module__ = function.__module__
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self._make = make
        self._made: Any = None

    @property
    def compiled(self) -> Any:
        """The compiled function, the same for all threads."""
        if self._made is None:
            with global_compiler_lock:
                if self._made is None:
                    self._made = self._make(self.py_func)
        return self._made

    @property
    def _numba_type_(self) -> Any:
        """What Numba asks a global for when it compiles code that names it."""
        return self.compiled._numba_type_

    def __call__(self, *args: Any) -> Any:
        return self.compiled(*args)

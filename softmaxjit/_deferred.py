"""Compiled functions that Numba hears of when compiled code refers to them, and not before.

To make one takes Numba 0.1 ms, and an import would make 200, most of which its process never needs: of the 70 ms that
the import took, 20.
"""

import functools
from collections.abc import Callable
from typing import Any


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

    @functools.cached_property
    def compiled(self) -> Any:
        """The compiled function."""
        return self._make(self.py_func)

    @property
    def _numba_type_(self) -> Any:
        """What Numba asks a global for when it compiles code that names it."""
        return self.compiled._numba_type_

    def __call__(self, *args: Any) -> Any:
        return self.compiled(*args)

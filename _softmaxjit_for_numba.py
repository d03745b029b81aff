"""Makes SciPy's softmax, log_softmax and logsumexp compile, also for those who never import softmaxjit.

Numba calls `init` before it first compiles anything, in every process of an environment that softmaxjit is installed
in.  So this is a module outside the package, which would take over 0.1 s to import, and it loads neither the package
nor SciPy: the package is imported when a function to be compiled names one of the three.  This module costs 1.2 ms.
"""

import functools
import sys
from types import FunctionType, ModuleType
from typing import Any

from numba.core.registry import cpu_target
from numba.extending import typeof_impl

NAMES = frozenset({"softmax", "log_softmax", "logsumexp"})


def init() -> None:
    """Have Numba's typing of functions look out for SciPy's three."""
    otherwise = typeof_impl.dispatch(FunctionType)

    def typeof_function(value: Any, context: Any) -> Any:
        if value.__name__ in NAMES:
            scipy_special = sys.modules.get("scipy.special")
            if value is getattr(scipy_special, value.__name__, None):
                _register(scipy_special)
        return otherwise(value, context)

    typeof_impl.register(FunctionType, typeof_function)


@functools.cache
def _register(scipy_special: ModuleType) -> None:
    from softmaxjit._overloads.special import register  # noqa: PLC0415

    register(scipy_special)
    # The function that names one of the three is being compiled already, from what Numba knew when it started.
    cpu_target.typing_context.refresh()

"""Numba's `intrinsic`, for one target: it need not find out at each call that is typed which one is compiled for.

Numba's own looks for new implementations in all of its registries to find that out, which is 6 % of the time that a
first softmax takes.  Where it meets an implementation for the first time, it looks once more.
"""

from collections.abc import Callable
from typing import Any

import numba.extending
from numba.core.imputils import builtin_registry
from numba.core.typing import templates


def intrinsic(*function: Callable[..., Any], **options: Any) -> Any:
    """Decorate what types a call and generates its code; see `numba.extending.intrinsic`."""
    if options:
        return lambda function: _for_one_target(numba.extending.intrinsic(**options)(function))
    return _for_one_target(numba.extending.intrinsic(*function))


def _for_one_target(made: Any) -> Any:
    """Return an intrinsic, which has just been registered, told that its registry is that of all processors."""
    for name, kind in reversed(templates.builtin_registry.globals):
        if name is made:
            for template in kind.templates:
                template._get_target_registry = lambda *_: builtin_registry
            break
    return made

"""Softmax, log-softmax and log-sum-exp for NumPy and Numba: fast, accurate to a few ulp, the same bits everywhere."""

import importlib
import typing

from . import _overloads  # noqa: F401  makes the names below work in compiled code
from .activations import log_softmax, logsumexp, softmax
from .compilation import warmup
from .gradients import log_softmax_vjp, softmax_vjp

if typing.TYPE_CHECKING:
    from .elementwise import exp, log, log_sigmoid, sigmoid, softplus, temperature_scale

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "exp",
    "log",
    "log_sigmoid",
    "log_softmax",
    "log_softmax_vjp",
    "logsumexp",
    "sigmoid",
    "softmax",
    "softmax_vjp",
    "softplus",
    "temperature_scale",
    "warmup",
]


def __getattr__(name: str) -> typing.Any:
    """Return a ufunc, or their module, when it is first asked for: that Numba makes ufuncs costs an import 30 ms."""
    if name not in ("elementwise", *__all__):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(".elementwise", __name__)
    value = module if name == "elementwise" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "elementwise"})

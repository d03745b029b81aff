"""Softmax, log-softmax and log-sum-exp for NumPy and Numba: fast, accurate to a few ulp, the same bits everywhere."""

import importlib
import typing

from . import _garbage

with _garbage.collection_put_off():
    from . import _overloads  # noqa: F401  makes the names below work in compiled code
    from .activations import log_softmax, logsumexp, softmax
    from .gradients import log_softmax_vjp, softmax_vjp
    from .losses import cross_entropy, cross_entropy_and_grad

if typing.TYPE_CHECKING:
    from .compilation import warmup
    from .elementwise import exp, log, log_sigmoid, sigmoid, softplus, temperature_scale

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "cross_entropy",
    "cross_entropy_and_grad",
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


# Imported when one is first asked for: with what Numba needs to make ufuncs, these would cost an import 30 ms more.
_LATER = {
    "elementwise": ("exp", "log", "log_sigmoid", "sigmoid", "softplus", "temperature_scale"),
    "compilation": ("warmup",),
}


def __getattr__(name: str) -> typing.Any:
    for module_name, names in _LATER.items():
        if name in (module_name, *names):
            module = importlib.import_module(f".{module_name}", __name__)
            value = module if name == module_name else getattr(module, name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_LATER})

"""Softmax, log-softmax and log-sum-exp for NumPy and Numba: fast, accurate to a few ulp, the same bits everywhere."""

from . import _overloads  # noqa: F401  makes the names below work in compiled code
from .activations import log_softmax, logsumexp, softmax
from .elementwise import exp, log, log_sigmoid, sigmoid, softplus, temperature_scale
from .gradients import log_softmax_vjp, softmax_vjp

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
]

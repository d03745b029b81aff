"""Softmax, log-softmax and log-sum-exp for NumPy and Numba: fast, accurate to a few ulp, the same bits everywhere."""

from . import _overloads  # noqa: F401  makes the names below work in compiled code
from .activations import log_softmax, logsumexp, softmax
from .elementwise import sigmoid, temperature_scale

__version__ = "0.1.0"

__all__ = ["__version__", "log_softmax", "logsumexp", "sigmoid", "softmax", "temperature_scale"]

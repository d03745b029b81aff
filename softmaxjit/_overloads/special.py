"""softmax, log_softmax and logsumexp with SciPy's signatures inside compiled code."""

from typing import Any

from .. import activations, special
from .._jit import compiled_as
from .checks import checked_array, constant, number_of_axes, result_element


def register(module: Any) -> None:
    """Make three functions of a module compile: ours of `softmaxjit.special`, or those of ``scipy.special``."""
    _register_same_shape(module.softmax, activations.softmax)
    _register_same_shape(module.log_softmax, activations.log_softmax)
    _register_logsumexp(module.logsumexp)


def _register_same_shape(function: Any, ours: Any) -> None:
    @compiled_as(function)
    def _factory(x, axis=None):
        _check("x", x, axis)
        return lambda x, axis=None: ours(x, axis)


def _register_logsumexp(function: Any) -> None:
    logsumexp = activations.logsumexp

    @compiled_as(function)
    def _factory(a, axis=None, b=None, keepdims=False, return_sign=False):
        _check("a", a, axis)
        keeps, signed = constant("keepdims", keepdims), constant("return_sign", return_sign)

        def implementation(a, axis=None, b=None, keepdims=False, return_sign=False):
            return logsumexp(a, axis, b=b, keepdims=keeps, return_sign=signed)

        return implementation


def _check(name: str, array: Any, axis: Any) -> None:
    """Raise here what the functions called would raise, so that the user reads one error, not one inside another."""
    checked_array(name, array)
    result_element(name, array.dtype)
    number_of_axes(array, axis)


register(special)

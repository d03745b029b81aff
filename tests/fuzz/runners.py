"""Who makes a call: Python, compiled code, or a loop of compiled code that runs in parallel."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange, types

import softmaxjit
from softmaxjit import log_softmax, log_softmax_vjp, logsumexp, softmax, softmax_vjp

Body = Callable[..., Any]


class Form(NamedTuple):
    """The types for which a caller is compiled: few, since each takes seconds."""

    operation: str
    dtype: str
    ndim: int
    layout: str = "A"
    axis: str = "int"
    temperature: str = "scalar"
    where: bool = False
    out: bool = False
    weighted: bool = False
    signed: bool = False

    def array(self, dtype: Any, ndim: int, *, written: bool = False) -> Any:
        """Return the type of an array; one that is not written to may be read-only."""
        element = types.boolean if dtype == "?" else getattr(types, np.dtype(dtype).name)
        return types.Array(element, ndim, self.layout, readonly=not written and self.layout == "A")


FORMS = (
    Form("softmax", "f4", 2, layout="C", out=True),
    Form("softmax", "f8", 3, temperature="array", where=True, out=True),
    Form("softmax", "f4", 3, axis="tuple"),
    Form("log_softmax", "f8", 2, layout="C", out=True),
    Form("log_softmax", "f4", 2, temperature="array", out=True),
    Form("log_softmax", "i8", 1, axis="None"),
    Form("logsumexp", "f8", 2, layout="C", out=True),
    Form("logsumexp", "f4", 3, axis="tuple", where=True),
    Form("logsumexp", "f8", 2, weighted=True, where=True, signed=True),
    Form("softmax_vjp", "f4", 2, layout="C", out=True),
    Form("log_softmax_vjp", "f8", 3, temperature="array", out=True),
)
PARALLEL_FORMS = (
    Form("softmax", "f8", 3, out=True),
    Form("log_softmax", "f4", 2, layout="C", out=True),
)


class Runner(NamedTuple):
    """Makes calls of one form; of any in Python."""

    name: str
    form: Form | None
    raises: bool  # whether it can be given wrong calls

    def __call__(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Make a call."""
        if self.form is None:
            return getattr(softmaxjit, operation)(**arguments)
        return caller(self.form, self.name == "parallel")(*[arguments.get(name) for name in NAMES[operation]])


PYTHON = Runner("python", None, True)
COMPILED = [Runner("njit", form, True) for form in FORMS]
# A loop that runs in parallel cannot pass on what is raised in it.
PARALLEL = [Runner("parallel", form, False) for form in PARALLEL_FORMS]


def random_runner(rng: np.random.Generator) -> Runner:
    """Return a runner: mostly Python."""
    runners = [PYTHON] if rng.random() < 0.75 else COMPILED if rng.random() < 0.75 else PARALLEL
    return runners[rng.integers(len(runners))]


NAMES = {
    "softmax": ("x", "axis", "temperature", "where", "out"),
    "log_softmax": ("x", "axis", "temperature", "where", "out"),
    "logsumexp": ("x", "axis", "b", "where", "out"),
    "softmax_vjp": ("probs", "cotangent", "axis", "temperature", "out"),
    "log_softmax_vjp": ("log_probs", "cotangent", "axis", "temperature", "out"),
}

BODIES: dict[str, Body] = {
    "softmax": lambda x, axis, tau, where, out: softmax(x, axis, temperature=tau, where=where, out=out),
    "log_softmax": lambda x, axis, tau, where, out: log_softmax(x, axis, temperature=tau, where=where, out=out),
    "logsumexp": lambda x, axis, b, where, out: logsumexp(x, axis, b=b, where=where, out=out),
    "softmax_vjp": lambda p, g, axis, tau, out: softmax_vjp(p, g, axis, temperature=tau, out=out),
    "log_softmax_vjp": lambda p, g, axis, tau, out: log_softmax_vjp(p, g, axis, temperature=tau, out=out),
}


def signed_body(x, axis, b, where, out):
    return logsumexp(x, axis, b=b, where=where, keepdims=True, return_sign=True, out=out)


def parallel_body(function: Any) -> Body:
    """Return a body that calls a function on each part of an array, in parallel."""

    def body(x, axis, tau, _where, out):
        for k in prange(x.shape[0]):
            function(x[k], axis, temperature=tau, out=out[k])
        return out

    return body


def types_of(form: Form) -> list[Any]:
    """Return the types of the arguments."""
    temperature = types.float64 if form.temperature == "scalar" else form.array("f8", form.ndim)
    axis = {"int": types.int64, "tuple": types.UniTuple(types.int64, 2), "None": types.none}[form.axis]
    x = form.array(form.dtype, form.ndim)
    where = form.array("?", form.ndim) if form.where else types.none
    dtype = "f8" if np.dtype(form.dtype).kind == "i" else form.dtype
    dropped = form.operation == "logsumexp" and not form.signed
    out = form.array(dtype, form.ndim - dropped, written=True) if form.out else types.none
    if form.operation == "logsumexp":
        return [x, axis, x if form.weighted else types.none, where, out]
    if form.operation.endswith("vjp"):
        return [x, x, axis, temperature, out]
    return [x, axis, temperature, where, out]


@functools.cache
def caller(form: Form, parallel: bool) -> Any:
    """Return the compiled caller of a form."""
    body = signed_body if form.signed else BODIES[form.operation]
    if parallel:
        body = parallel_body(getattr(softmaxjit, form.operation))
    return njit(tuple(types_of(form)), parallel=parallel)(body)

"""Random calls, each made from a seed and a number."""

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.exceptions import AxisError

from . import runners
from .memory import Array, Placed, Random, placed, placed_over, values

ACTIVATIONS = ("softmax", "log_softmax")
GRADIENTS = ("softmax_vjp", "log_softmax_vjp")
OPERATIONS = (*ACTIVATIONS, "logsumexp", *GRADIENTS)

DTYPES = ("f4", "f8", "f2", ml_dtypes.bfloat16, "i8", "i2", "u4", "?", ">f4", ">f8", ">f2", ">i4", "g")
SHARES = (0.3, 0.28, 0.1, 0.07, 0.03, 0.02, 0.02, 0.02, 0.04, 0.04, 0.01, 0.02, 0.05)

LENGTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 255, 1000, 2049)
ELEMENTS = (60, 250, 1000, 3000), None, True, (0.45, 0.4, 0.1, 0.05)  # how many at most, and how often
LARGE = ((700, 100), (66000,), (99000,), (3, 30000), (9, 8000), (100, 1000), (40, 50, 40), (131100,), (20000, 5))


class Call(NamedTuple):
    """A call; what it may write to; and the memory in which it should change nothing else."""

    operation: str
    runner: Any
    arguments: dict[str, Any]
    error: type[Exception] | None
    out: Array | None
    memories: list[Array]

    def __str__(self) -> str:
        """Return the call in one line."""
        arguments = ", ".join(f"{name}={described(value)}" for name, value in self.arguments.items())
        failing = f" raises {self.error.__name__}" if self.error else ""
        return f"{self.runner.name}: {self.operation}({arguments}){failing}"


def described(value: Any) -> str:
    """Return an argument in few words."""
    if isinstance(value, np.ndarray):
        kind = "masked " if isinstance(value, np.ma.MaskedArray) else ""
        place = f"at {value.ctypes.data % 64}" if value.flags.writeable else f"at {value.ctypes.data % 64} read-only"
        return f"<{kind}{value.dtype} {value.shape} strides {value.strides} {place}>"
    return "<list>" if isinstance(value, list) else repr(value)


def random_call(seed: int, number: int) -> Call:
    """Return a call; the same for the same seed and number."""
    rng = np.random.default_rng([seed, number])
    runner = runners.random_runner(rng)
    return Maker(rng, runner).call()


class Maker:
    """Makes the arguments of one call, and keeps the memory that they lie in."""

    def __init__(self, rng: Random, runner: Any) -> None:
        self.rng = rng
        self.runner = runner
        self.form = runner.form
        self.operation = self.form.operation if self.form else str(rng.choice(OPERATIONS))
        self.plain = not self.form and rng.random() < 0.3  # what goes to a kernel without detours
        self.places: dict[str, Placed] = {}

    def chance(self, probability: float) -> bool:
        """Return True so often."""
        return bool(self.rng.random() < probability)

    def pick(self, *options: Any) -> Any:
        """Return one of some values."""
        return options[self.rng.integers(len(options))]

    # ----- shapes and axes

    def shape(self) -> tuple[int, ...]:
        """Return a shape, seldom a large one."""
        if not self.form and self.chance(0.004):
            return self.pick(*LARGE)
        ndim = self.form.ndim if self.form else int(self.rng.choice([0, 1, 2, 3, 4], p=[0.03, 0.27, 0.4, 0.2, 0.1]))
        lengths, left = [], int(self.rng.choice(*ELEMENTS))
        for _ in range(ndim):
            length = int(self.pick(self.rng.integers(1, 21), self.rng.integers(1, 131), self.pick(*LENGTHS)))
            lengths.append(0 if self.chance(0.02) else min(length, left))
            left = max(1, left // max(1, lengths[-1]))
        return tuple(lengths[k] for k in self.rng.permutation(ndim))

    def axis(self, ndim: int) -> Any:
        """Return an axis or axes; None, in a list, for none given."""
        kind = self.form.axis if self.form else self.pick("absent", "int", "int", "int", "tuple", "None")
        if kind == "tuple" or (kind in ("absent", "int") and ndim == 0):
            most = ndim if not self.form else 2
            count = 2 if self.form else int(self.rng.integers(most, endpoint=True))
            return tuple(int(k) - ndim * self.pick(0, 1) for k in self.rng.permutation(ndim)[:count])
        if kind == "None":
            return None
        if self.runner.name == "parallel":
            return -int(self.rng.integers(1, ndim))  # of each part of x
        one = int(self.rng.integers(ndim)) - self.pick(0, ndim)
        return -1 if kind == "absent" or self.plain else one if self.form else self.pick(one, np.int64(one))

    # ----- operands

    def put(self, name: str, array: Array, *, read: bool = True) -> Any:
        """Place an array in memory as an argument; one that is only read may be read-only."""
        if self.plain or (self.form and self.form.layout == "C"):
            place = placed(self.rng, array, any_layout=False)
        else:
            place = placed(self.rng, array, aligned=bool(self.form))
        self.places[name] = place
        view = place.array
        if read and not self.plain and self.chance(0.2):
            view = view.view()
            view.flags.writeable = bool(self.form and self.form.layout == "C")
        return view

    def operand(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return an array of such a shape, perhaps by broadcasting, perhaps a list, a masked array or a number."""
        plain = self.plain or (self.form and self.form.layout == "C")
        if plain or not shape or self.chance(0.9):
            x = self.put(name, values(self.rng, shape, dtype))
        else:
            x = np.broadcast_to(self.put(name, values(self.rng, self.broadcastable(shape), dtype)), shape)
        if self.plain or self.form:
            return x
        if self.operation not in GRADIENTS and x.dtype.kind != "c" and self.chance(0.03):
            return np.ma.array(x, mask=self.rng.random(shape) < 0.3)
        return x.tolist() if x.dtype in ("f8", "i8", "?") and x.size and self.chance(0.05) else x

    def broadcastable(self, shape: tuple[int, ...], drop: bool = False) -> tuple[int, ...]:
        """Return a shape that broadcasts to another."""
        lengths = tuple(1 if self.chance(0.3) else length for length in shape)
        return lengths[int(self.rng.integers(len(shape))) :] if drop and shape and self.chance(0.3) else lengths

    def temperature(self, shape: tuple[int, ...], axis: Any, *, positive: bool, mild: bool) -> Any:
        """Return a temperature or an array of them."""
        limits = () if positive else (0.0,)
        choices = (1.0, 1, 0.37, 2.9, 0.01, 50.0)
        extremes = () if mild else (np.inf, 1e-30, 1e30, 1e-300, 5e-324, *limits)
        kind = self.form.temperature if self.form else self.pick("scalar", "scalar", "array")
        if kind == "scalar" or self.plain:
            tau = self.pick(*choices, *(extremes if not self.plain else ()))
            return float(tau) if self.form else self.pick(tau, np.float32(tau) if 1e-3 < tau < 1e3 else tau)
        axes = axes_of(axis, len(shape))
        lengths = tuple(1 if k in axes else length for k, length in enumerate(shape))
        if self.chance(0.3):
            lengths = self.broadcastable(lengths, drop=not self.form)
        tau = self.rng.choice([*choices, *(extremes if self.chance(0.4) else ())], lengths)
        with np.errstate(over="ignore", under="ignore"):
            tau = np.where(tau == 1e-30, tau, tau.astype("f4")) if not self.form and self.chance(0.2) else tau
        return self.put("temperature", np.asarray(tau, "f8"))

    def mask(self, shape: tuple[int, ...]) -> Any:
        """Return a mask, None for none."""
        wanted = self.form.where if self.form else self.chance(0.3) and not self.plain
        if not wanted:
            return None
        if not self.form and self.chance(0.1):
            return self.pick(True, False)
        lengths = self.broadcastable(shape, drop=not self.form) if self.chance(0.5) else shape
        return self.put("where", self.rng.random(lengths) < self.pick(0.0, 0.3, 0.7, 1.0))

    def out(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return where the result goes: by itself, or in the memory of an argument; None for nowhere."""
        wanted = self.form.out if self.form else self.chance(0.4)
        if not wanted:
            return None
        if self.chance(0.4) and self.places:
            first = next(iter(self.places.values()))
            if first.array.shape == shape and first.array.dtype == dtype and self.chance(0.5):
                self.places["out"] = first
                return first.array
            if self.runner.name != "parallel":
                contiguous = bool(self.form and self.form.layout == "C")
                other = self.pick(*self.places.values())
                over = placed_over(self.rng, other, shape, dtype, any_layout=not contiguous, aligned=bool(self.form))
                if over is not None:
                    self.places["out"] = over
                    return over.array
        return self.put("out", values(self.rng, shape, dtype), read=False)

    # ----- whole calls

    def call(self) -> Call:
        """Return a call."""
        shape = self.shape()
        dtype = np.dtype(self.form.dtype if self.form else DTYPES[self.rng.choice(len(DTYPES), p=SHARES)])
        axis = self.axis(len(shape))
        make = self.gradient if self.operation in GRADIENTS else self.sum if self.operation == "logsumexp" else None
        arguments = make(shape, dtype, axis) if make else self.activation(shape, dtype, axis)
        if not self.form and self.chance(0.15 if not self.plain else 0):
            arguments["threads"] = self.pick(1, 2, 3)
        arguments = {name: value for name, value in arguments.items() if value is not None or name == "axis"}
        error = None
        if self.runner.raises and self.chance(0.08):
            error = self.spoil(arguments, len(shape))
        out = arguments.get("out")
        memories = list({id(place.memory): place.memory for place in self.places.values()}.values())
        return Call(self.operation, self.runner, arguments, error, out, memories)

    def activation(self, shape: tuple[int, ...], dtype: Any, axis: Any) -> dict[str, Any]:
        """Return the arguments of softmax and log_softmax."""
        x = self.operand("x", shape, dtype)
        given = result_dtype(x)
        tau = self.temperature(shape, axis, positive=False, mild=given == np.longdouble)
        where = self.mask(shape)
        return {"x": x, "axis": axis, "temperature": tau, "where": where, "out": self.out(shape, given)}

    def sum(self, shape: tuple[int, ...], dtype: Any, axis: Any) -> dict[str, Any]:
        """Return the arguments of logsumexp."""
        if not self.form and self.chance(0.02):
            dtype = np.dtype(self.pick("c8", "c16"))
        x = self.operand("x", shape, dtype)
        given, b = result_dtype(x), None
        if (self.form.weighted if self.form else self.chance(0.25)) and not self.plain:
            b = self.weights(shape, given)
            if isinstance(b, np.ndarray):
                given = np.result_type(given, result_dtype(b))
        keepdims = self.form.signed if self.form else self.chance(0.3)
        return_sign = self.form.signed if self.form else self.chance(0.2) and not self.plain
        axes = axes_of(axis, len(shape))
        left = tuple(1 if k in axes else length for k, length in enumerate(shape) if keepdims or k not in axes)
        logs = np.zeros(0, given).real.dtype if return_sign and given.kind == "c" else given
        flags = {} if self.form else {"keepdims": keepdims or None, "return_sign": return_sign or None}
        return {"x": x, "axis": axis, "b": b, "where": self.mask(shape), **flags, "out": self.out(left, logs)}

    def weights(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return weights, of either sign."""
        if not self.form and self.chance(0.2):
            return self.pick(2, 0.5, -1.0, 0, True)
        lengths = self.broadcastable(shape, drop=not self.form)
        b = self.rng.choice([0.5, 1.0, 3.0, 0.0], lengths) * self.pick(1.0, -1.0, self.rng.choice([1, -1, 1], lengths))
        kinds = (dtype,) if self.form or dtype.kind == "c" else (dtype, dtype, np.dtype("f8"), np.dtype("i4"))
        return self.put("b", np.asarray(b).astype(self.pick(*kinds)))

    def gradient(self, shape: tuple[int, ...], dtype: Any, axis: Any) -> dict[str, Any]:
        """Return the arguments of a vector-Jacobian product."""
        rng, name = self.rng, "probs" if self.operation == "softmax_vjp" else "log_probs"
        lengths = shape if self.plain or self.chance(0.7) else self.broadcastable(shape, drop=not self.form)
        if dtype.kind in "bui":
            first, cotangent = rng.integers(2, size=shape), rng.integers(50, size=lengths)
        else:
            random = rng.random(shape)
            first = random * rng.choice([1.0, 1e-9, 1e-3], shape) if name == "probs" else -20 * random
            cotangent = rng.choice([0.1, 1.0, 100.0]) * rng.standard_normal(lengths)
        first, cotangent = np.asarray(first).astype(dtype), np.asarray(cotangent).astype(dtype)
        first, cotangent = self.put(name, first), self.put("cotangent", cotangent)
        given = np.result_type(result_dtype(first), result_dtype(cotangent))
        tau = self.temperature(shape, axis, positive=True, mild=True)
        operands = {name: first, "cotangent": cotangent}
        return {**operands, "axis": axis, "temperature": tau, "out": self.out(shape, given)}

    # ----- wrong calls

    def spoil(self, arguments: dict[str, Any], ndim: int) -> type[Exception]:
        """Make one argument wrong, and return the error that says so."""
        wrong: list[tuple[str, Any, type[Exception]]] = [("axis", ndim, AxisError), ("axis", -ndim - 1, AxisError)]
        if self.form and self.form.axis != "int":
            wrong = [("axis", (0, -ndim), ValueError)] if self.form.axis == "tuple" else []
        if self.operation != "logsumexp" and not (self.form and self.form.temperature == "array"):
            wrong += [("temperature", -1.0, ValueError), ("temperature", np.nan, ValueError)]
        if self.form:
            return self.spoilt(arguments, *self.pick(*wrong))
        shape = (2,) * (ndim + 1)
        wrong += [("axis", 0.5, TypeError), ("axis", "0", TypeError)]
        wrong += [("threads", 0, ValueError), ("threads", 1.5, TypeError)]
        wrong += [("out", [0.0], TypeError), ("out", np.zeros((7,) * (ndim + 1)), ValueError)]
        if ndim:
            wrong.append(("axis", (0, -ndim), ValueError))
        if self.operation == "logsumexp":
            wrong += [("keepdims", 1, TypeError), ("return_sign", None, TypeError), ("b", "1", TypeError)]
        else:
            wrong += [("temperature", "1", TypeError), ("temperature", np.ones(shape), ValueError)]
        if self.operation in GRADIENTS:
            wrong += [("cotangent", np.ones(shape), ValueError), ("cotangent", np.array("a"), TypeError)]
        else:
            wrong += [("where", 1, TypeError), ("where", np.ones(shape, bool), ValueError)]
            wrong += [("x", np.array("a"), TypeError), ("x", [[1.0], [1.0, 2.0]], ValueError)]
        if isinstance(arguments.get("out"), np.ndarray):
            read_only = arguments["out"].view()
            read_only.flags.writeable = False
            wrong += [("out", read_only, ValueError), ("out", np.zeros(arguments["out"].shape, "i4"), ValueError)]
        return self.spoilt(arguments, *self.pick(*wrong))

    def spoilt(self, arguments: dict[str, Any], name: str, value: Any, error: type[Exception]) -> type[Exception]:
        """Put a wrong value in place of an argument."""
        arguments[name] = value
        return error


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return the numbers of axes, which are in range, counted from the first."""
    return tuple(range(ndim)) if axis is None else tuple(k % ndim for k in np.atleast_1d(np.array(axis, int)).tolist())


def result_dtype(x: Any) -> Any:
    """Return the dtype of the result for an operand."""
    dtype = np.asarray(x).dtype
    return np.dtype("f8") if dtype.kind in "bui" else dtype.newbyteorder("=")

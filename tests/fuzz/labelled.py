"""Random calls of what takes labels, from Python: cross-entropy, calibration errors, a temperature that is fitted."""

import warnings
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from softmaxjit import cross_entropy
from softmaxjit.calibration import expected_calibration_error, fit_temperature

from ..oracles import longdouble_parts
from .calls import described
from .memory import Array, Random, numbers, placed

OPERATIONS = ("cross_entropy", "expected_calibration_error", "fit_temperature")
FUNCTIONS: dict[str, Any] = {
    function.__name__: function for function in (cross_entropy, expected_calibration_error, fit_temperature)
}

DTYPES = ("f4", "f8", "f2", ml_dtypes.bfloat16, ">f4", "i8")
KINDS = (0, 1, 3, 5, 6)  # of numbers, those that 16 bits hold too


class LabelledCall(NamedTuple):
    """A call, and the memory in which it should change nothing."""

    operation: str
    arguments: dict[str, Any]
    memories: list[Array]

    def __str__(self) -> str:
        """Return the call in one line."""
        return f"{self.operation}({', '.join(f'{name}={described(value)}' for name, value in self.arguments.items())})"


def random_call(seed: int, number: int) -> LabelledCall:
    """Return a call; the same for the same seed and number."""
    rng = np.random.default_rng([seed, number, 1])
    operation = str(rng.choice(OPERATIONS, p=[0.6, 0.25, 0.15]))
    rows, n = (int(rng.choice([1, 3, 9, 40, 200])), int(rng.choice([1, 2, 7, 16, 17, 65, 130])))
    if rng.random() < 0.03:
        rows, n = 9000, 8  # on several threads
    make = {"cross_entropy": losses, "fit_temperature": fit, "expected_calibration_error": error}[operation]
    memories: list[Array] = []
    arguments = make(rng, rows, n, memories)
    return LabelledCall(operation, {**arguments, "threads": (None, 1, 2)[rng.integers(3)]}, memories)


def put(rng: Random, array: Array, memories: list[Array]) -> Array:
    """Place an array in memory that is watched."""
    place = placed(rng, array)
    memories.append(place.memory)
    return place.array


def losses(rng: Random, rows: int, n: int, memories: list[Array]) -> dict[str, Any]:
    """Return the arguments of cross_entropy, with the axis of classes first or last."""
    x = numbers(rng, (rows, n), int(rng.choice(KINDS))).astype(
        DTYPES[rng.choice(len(DTYPES), p=[0.35, 0.35, *[0.075] * 4])]
    )
    soft, first = rng.random() < 0.3 and x.dtype != "i8", rng.random() < 0.3
    labels: Array = rng.random((rows, n)).astype(x.dtype) if soft else rng.integers(n, size=rows)
    arguments: dict[str, Any] = {
        "axis": 0 if first else -1,
        "reduction": str(rng.choice(["none", "sum", "mean"])),
        "label_smoothing": float(rng.choice([0.0, 0.0, 0.1, 1.0])),
    }
    if not soft and rng.random() < 0.4:
        labels = np.where(rng.random(rows) < 0.3, -7, labels)
        arguments["ignore_index"] = -7
    if rng.random() < 0.4:
        arguments["weight"] = rng.choice([0.0, 0.5, 2.0], n)
    tau = rng.choice([1.0, 0.37, 50.0], (1, rows) if first else (rows, 1))
    arguments["temperature"] = tau if rng.random() < 0.3 else float(tau.flat[0])
    logits = put(rng, x.T if first else x, memories)
    return {"logits": logits, "labels": put(rng, labels.T if first else labels, memories), **arguments}


def error(rng: Random, rows: int, n: int, memories: list[Array]) -> dict[str, Any]:
    """Return the arguments of expected_calibration_error, with n classes and one more."""
    p = rng.dirichlet(np.full(n + 1, rng.choice([0.1, 1.0, 10.0])), rows).astype(rng.choice(["f4", "f8"]))
    labels = rng.integers(n + 1, size=rows)
    options = {"n_bins": int(rng.choice([1, 7, 15])), "norm": float(rng.choice([1, 2, np.inf]))}
    return {"probs": put(rng, p, memories), "labels": put(rng, labels, memories), **options}


def fit(rng: Random, rows: int, n: int, memories: list[Array]) -> dict[str, Any]:
    """Return the arguments of fit_temperature."""
    x = (rng.choice([0.3, 1, 5]) * rng.standard_normal((rows, n))).astype(rng.choice(["f4", "f8"]))
    labels = np.where(rng.random(rows) < 0.5, x.argmax(axis=1), rng.integers(n, size=rows))
    weight = rng.choice([0.5, 1.0, 2.0], rows) if rng.random() < 0.3 else None
    return {"logits": put(rng, x, memories), "labels": put(rng, labels, memories), "sample_weight": weight}


# ------------------------------------------------------------------------------------------------------ what is right


def judge(call: LabelledCall) -> None:
    """Make a call; raise where anything is wrong about it."""
    before = [memory.copy() for memory in call.memories]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = FUNCTIONS[call.operation](**call.arguments)
    for memory, original in zip(call.memories, before, strict=True):
        assert (memory == original).all(), "an operand was changed"
    with np.errstate(all="ignore"):
        {"cross_entropy": right_losses, "fit_temperature": right_fit, "expected_calibration_error": right_error}[
            call.operation
        ](result, **call.arguments)


def right_losses(
    result: Any,
    logits: Array,
    labels: Array,
    axis: int,
    temperature: Any,
    reduction: str,
    label_smoothing: float,
    ignore_index: int | None = None,
    weight: Array | None = None,
    threads: int | None = None,  # noqa: ARG001
) -> None:
    """Raise where losses are not those of extended precision."""
    x = logits.T if axis == 0 else logits
    soft = labels.ndim == 2
    rows, n = x.shape
    z, _, _ = longdouble_parts(x, 1.0)
    z = z / np.broadcast_to(np.asarray(temperature).reshape(-1, 1), (rows, 1)).astype(np.longdouble)
    e = np.exp(z)
    np.put_along_axis(e, z.argmax(axis=-1, keepdims=True), 0, axis=-1)
    minus = np.log1p(e.sum(axis=-1, keepdims=True)) - z
    counts = np.ones(rows, bool) if soft or ignore_index is None else labels != ignore_index
    q = (labels.T if axis == 0 else labels).astype(np.longdouble) if soft else np.eye(n)[np.where(counts, labels, 0)]
    w = np.ones(n) if weight is None else weight
    each = ((q * (1 - np.longdouble(label_smoothing)) + np.longdouble(label_smoothing) / n) * w * minus).sum(axis=-1)
    each = np.where(counts, each, 0)
    divisor = rows if soft else w[labels[counts]].sum()
    mean = each.sum() / divisor if divisor else np.nan  # as PyTorch has it, though smoothing adds to the losses
    wanted = np.asarray({"none": each, "sum": each.sum(), "mean": mean}[reduction])
    found = np.asarray(result)
    dtype = np.dtype("f8") if logits.dtype == "i8" else logits.dtype.newbyteorder("=")
    assert (found.dtype, found.shape) == (dtype, wanted.shape)
    info = ml_dtypes.finfo(dtype)
    allowed = (0.51 if dtype.itemsize == 2 else 4) * info.eps * np.abs(wanted) + 4 * float(info.tiny)
    wrong = ~(np.abs(found.astype(np.longdouble) - wanted) <= allowed) & (found != wanted.astype(dtype))
    assert not (wrong & ~(np.isnan(found.astype("f8")) & np.isnan(wanted))).any(), f"{found} instead of {wanted}"
    if reduction == "none" and rows < 50:
        keywords = {"label_smoothing": label_smoothing, "ignore_index": ignore_index, "weight": weight}
        tau = np.broadcast_to(np.asarray(temperature).reshape(-1), rows)
        truth = labels.T if soft and axis == 0 else labels
        alone = [
            cross_entropy(x[k], truth[k], temperature=float(tau[k]), **keywords, reduction="sum") for k in range(rows)
        ]
        assert np.array_equal(found, np.array(alone, dtype)), "other bits than in a row alone"


def right_error(
    result: float,
    probs: Array,
    labels: Array,
    n_bins: int,
    norm: float,
    threads: int | None,  # noqa: ARG001
) -> None:
    """Raise where a calibration error is not that of its definition."""
    confidence = probs.max(axis=1).astype(np.longdouble)
    right = probs.argmax(axis=1) == labels
    places = np.clip(np.searchsorted(np.arange(n_bins + 1) / n_bins, np.minimum(confidence, 1)) - 1, 0, None)
    count = np.bincount(places, minlength=n_bins)
    held = count > 0
    gaps = np.abs(np.bincount(places, right - confidence.astype("f8"), n_bins)[held]) / count[held]
    share = count[held] / len(labels)
    wanted = gaps.max() if norm == np.inf else (share * gaps**norm).sum() ** (1 / norm)
    assert abs(result - wanted) <= 1e-12, f"{result} instead of {wanted}"


def right_fit(
    result: Any,
    logits: Array,
    labels: Array,
    sample_weight: Array | None,
    threads: int | None,  # noqa: ARG001
) -> None:
    """Raise where another temperature is better."""
    w = np.ones(len(labels)) if sample_weight is None else sample_weight
    z, _, _ = longdouble_parts(logits, 1.0)

    def likelihood(beta: Any) -> Any:
        logs = beta * z - np.log(np.exp(beta * z).sum(axis=1, keepdims=True))
        return (w * logs[np.arange(len(labels)), labels]).sum()

    assert result.converged
    beta = 1 / np.longdouble(result.temperature) if result.temperature > 0 else np.longdouble(1e6)
    others = [beta * (1 - 1e-3), beta * (1 + 1e-3)] if 0 < result.temperature < np.inf else [beta + 1e-3, 1.0]
    best = likelihood(beta)
    assert all(likelihood(other) <= best + 1e-12 * abs(best) for other in others), "another temperature is better"

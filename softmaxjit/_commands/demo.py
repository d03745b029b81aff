"""``softmaxjit demo``: what the library does, on the logits of a small classifier of handwritten digits."""

import statistics
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from rich.console import Console
from rich.table import Table

from .. import cross_entropy, softmax
from ..calibration import expected_calibration_error, fit_temperature
from .figure import save_figure

Array = np.ndarray[Any, Any]

TEMPERATURES = (0.5, 1.0, 2.0)
GRID = np.geomspace(0.25, 16.0, 61)  # temperatures
BATCH = (16384, 1000)
ROUNDS = 9

console = Console(highlight=False, soft_wrap=True)


class Digits(NamedTuple):
    """What the classifier said about images that it had not seen."""

    logits: Array  # float32, (images, 10)
    labels: Array  # the digits that they show, (images,)


class Curve(NamedTuple):
    """Negative log-likelihood over temperature."""

    temperatures: Array
    losses: Array
    best_temperature: float
    best_loss: float


def demo(figure: Path) -> None:
    """Print the demonstration and save its figure.

    Parameters
    ----------
    figure : Path
        Where the figure goes, if matplotlib is installed.
    """
    digits = load_digits()
    show_classifier(digits)
    image = doubtful_image(digits)
    show_temperatures(digits, image)
    show_large_logits()
    curve = loss_curve(digits)
    show_curve(curve, digits)
    show_speed()
    probabilities = [softmax(digits.logits[image], temperature=temperature) for temperature in TEMPERATURES]
    console.print()
    print(save_figure(figure, TEMPERATURES, probabilities, int(digits.labels[image]), curve))


def load_digits() -> Digits:
    """Return the logits and labels that come with the package."""
    with (resources.files("softmaxjit") / "_data" / "digits_logits.npz").open("rb") as file, np.load(file) as data:
        return Digits(data["logits"], data["labels"])


def show_classifier(digits: Digits) -> None:
    """Say what the data are, and how right and how sure the classifier is."""
    right = np.mean(digits.logits.argmax(axis=-1) == digits.labels)
    sure = softmax(digits.logits).max(axis=-1).mean()
    heading(f"{len(digits.labels)} handwritten digits")
    console.print(f"A small classifier, trained on 200 other images, is right about {right:.1%} of them.")
    console.print(f"Its softmax is {sure:.1%} sure on average: it is overconfident.")


def doubtful_image(digits: Digits) -> int:
    """Return the image on which the classifier is most nearly 75 % sure, and wrong, the truth being second."""
    probabilities = softmax(digits.logits)
    first, second = np.argsort(-probabilities, axis=-1)[:, :2].T
    distance = np.abs(probabilities[np.arange(len(first)), first] - 0.75)
    return int(np.argmin(np.where(second == digits.labels, distance, np.inf)))


def show_temperatures(digits: Digits, image: int) -> None:
    """Print the probabilities of one image at several temperatures."""
    label = digits.labels[image]
    heading(f"Temperature: what a handwritten {label} is taken for")
    table = Table("Digit", *(f"T = {temperature:g}" for temperature in TEMPERATURES), "")
    columns = [softmax(digits.logits[image], temperature=temperature) for temperature in TEMPERATURES]
    for digit, row in enumerate(zip(*columns, strict=True)):
        table.add_row(str(digit), *(f"{p:7.2%}" for p in row), "the truth" if digit == label else "")
    console.print(table)
    console.print("A low temperature T sharpens, a high one flattens; the order stays.")


def show_large_logits() -> None:
    """Print what becomes of exp/sum where exp overflows or all of it underflows."""
    heading("Large logits: exp(x) / sum(exp(x)) as in the textbook, and softmaxjit")
    table = Table("Logits (float32)", "Textbook", "softmaxjit")
    for top in (10.0, 100.0, 1000.0, -1000.0):
        x = np.array([top, top - 1.0, top - 2.0], np.float32)
        with np.errstate(all="ignore"):
            textbook = np.exp(x) / np.sum(np.exp(x))
        table.add_row(" ".join(f"{logit:g}" for logit in x), four_digits(textbook), four_digits(softmax(x)))
    console.print(table)
    console.print("exp(100) is infinite in float32, and inf / inf is nan;")
    console.print("exp(-1000) is 0, and so is the sum, and 0 / 0 is nan.")


def four_digits(row: Array) -> str:
    """Return probabilities as text."""
    return " ".join(f"{p:.4f}" for p in row)


def loss(digits: Digits, temperature: float) -> float:
    """Return the mean negative log-likelihood of the labels."""
    return float(cross_entropy(digits.logits, digits.labels, temperature=temperature))


def loss_curve(digits: Digits) -> Curve:
    """Return the loss on a grid of temperatures, and its minimum."""
    fit = fit_temperature(digits.logits, digits.labels)
    return Curve(GRID, np.array([loss(digits, temperature) for temperature in GRID]), fit.temperature, fit.nll_after)


def show_curve(curve: Curve, digits: Digits) -> None:
    """Print the loss at a few temperatures, the best among them."""
    heading("Calibration: negative log-likelihood over temperature (lower is better)")
    table = Table("Temperature", "Nats per digit", "")
    shown = {0.5: "", 1.0: "as trained", curve.best_temperature: "best", 4.0: "", 8.0: ""}
    for temperature, remark in sorted(shown.items()):
        style = "bold" if remark == "best" else ""
        table.add_row(f"{temperature:.2f}", f"{loss(digits, temperature):.4f}", remark, style=style)
    console.print(table)
    calibrated = softmax(digits.logits, temperature=curve.best_temperature)
    console.print(
        f"At T = {curve.best_temperature:.2f} the classifier is {calibrated.max(axis=-1).mean():.1%} sure on average."
    )
    before = expected_calibration_error(digits.logits, digits.labels, from_logits=True)
    after = expected_calibration_error(calibrated, digits.labels)
    console.print(f"Its calibration error falls from {before:.1%} to {after:.1%}.")


def show_speed() -> None:
    """Print times against a softmax written with NumPy."""
    x = np.random.default_rng(0).normal(size=BATCH).astype(np.float32)
    threads = numba.get_num_threads()
    contenders: dict[str, Callable[[], Any]] = {
        "NumPy, 1 thread": lambda: numpy_softmax(x),
        "softmaxjit, 1 thread": lambda: softmax(x, threads=1),
    }
    if threads > 1:
        contenders[f"softmaxjit, {threads} threads"] = lambda: softmax(x)
    heading(f"Speed: softmax of {BATCH[0]} rows of {BATCH[1]}, float32, on this machine")
    medians = interleaved_medians(list(contenders.values()))
    table = Table("", "Milliseconds", "Times as fast as NumPy")
    for name, seconds in zip(contenders, medians, strict=True):
        table.add_row(name, f"{seconds * 1e3:.1f}", f"{medians[0] / seconds:.1f}")
    console.print(table)
    console.print(f"Medians of {ROUNDS} rounds in which they take turns, after one to warm up.")


def numpy_softmax(x: Array) -> Array:
    """Return the softmax over the last axis, as people write it."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def interleaved_medians(functions: list[Callable[[], Any]]) -> list[float]:
    """Return the median seconds of each function, called in turn."""
    times: list[list[float]] = [[] for _ in functions]
    for round_ in range(ROUNDS + 1):
        for function, seconds in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            if round_ > 0:
                seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in times]


def heading(text: str) -> None:
    """Print the heading of a part."""
    console.print(f"\n[bold]{text}[/bold]")

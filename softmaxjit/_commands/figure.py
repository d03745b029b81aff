"""The figure of the demonstration."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .demo import Curve

# Blue, orange and black of Okabe and Ito: apart for colour-blind readers, and from dark to light in grey.
BARS = (("#000000", ""), ("#0072B2", ""), ("#E69F00", "///"))
LINE, MARK = "#0072B2", "#D55E00"


def save_figure(
    path: Path,
    temperatures: Sequence[float],
    probabilities: Sequence["np.ndarray[Any, Any]"],
    label: int,
    curve: "Curve",
) -> str:
    """Save the figure; return one line that says where it is, or why it is not there."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  an extra
    except ImportError:
        return "No figure: matplotlib is not installed (pip install 'softmaxjit[plot]')."
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_probabilities(left, temperatures, probabilities, label)
    draw_curve(right, curve)
    try:
        # Without a format matplotlib would add a suffix to a name that has none.
        figure.savefig(path, dpi=150, format=path.suffix[1:] or "png")
    except (OSError, ValueError) as error:  # ValueError: not a format that matplotlib writes
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        return f"No figure: cannot write {path}: {reason}"
    return f"Figure: {path}"


def draw_probabilities(
    axes: "Axes", temperatures: Sequence[float], probabilities: Sequence["np.ndarray[Any, Any]"], label: int
) -> None:
    """Draw one image's probabilities as groups of bars, a group for each digit."""
    width = 0.8 / len(temperatures)
    for k, (temperature, row, (colour, hatch)) in enumerate(zip(temperatures, probabilities, BARS, strict=True)):
        places = np.arange(len(row)) + (k - (len(temperatures) - 1) / 2) * width
        axes.bar(
            places, row, width, label=f"T = {temperature:g}", color=colour, hatch=hatch, edgecolor="white", linewidth=0
        )
    axes.set_title(f"What a handwritten {label} is taken for")
    axes.set_xlabel("Digit")
    axes.set_ylabel("Probability at temperature T")
    axes.set_xticks(range(len(probabilities[0])))
    axes.set_ylim(0, 1)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def draw_curve(axes: "Axes", curve: "Curve") -> None:
    """Draw the loss over temperature, its minimum and its value at temperature 1."""
    axes.plot(curve.temperatures, curve.losses, color=LINE, linewidth=2)
    unscaled = float(np.interp(0.0, np.log(curve.temperatures), curve.losses))
    for temperature, loss, marker, name in (
        (1.0, unscaled, "s", "as trained"),
        (curve.best_temperature, curve.best_loss, "o", "best"),
    ):
        text = f"{name}: {loss:.3f} at T = {temperature:.2f}"
        axes.plot(temperature, loss, marker, label=text, color=MARK, markersize=9, markeredgecolor="black")
    axes.set_xscale("log", base=2)
    axes.set_xticks([0.25, 0.5, 1, 2, 4, 8, 16], ["0.25", "0.5", "1", "2", "4", "8", "16"])
    axes.set_ylim(0, None)
    axes.set_title("Calibration by temperature")
    axes.set_xlabel("Temperature (log scale)")
    axes.set_ylabel("Negative log-likelihood (nats per digit)")
    axes.legend(loc="upper center")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)

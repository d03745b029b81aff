"""Make the README's figures: ``make figures``, or ``python docs/figures.py FOLDER``."""

import sys
from pathlib import Path

import numpy as np

from softmaxjit import softmax
from softmaxjit._commands.demo import TEMPERATURES, doubtful_image, load_digits, loss_curve
from softmaxjit._commands.figure import save_figure
from softmaxjit.calibration import fit_temperature, reliability_curve, reliability_diagram

FOLDER = Path(__file__).parents[1] / "notebooks" / "images"


def demo(path: Path) -> None:
    """Draw what ``softmaxjit demo`` draws."""
    digits = load_digits()
    image = doubtful_image(digits)
    probabilities = [softmax(digits.logits[image], temperature=temperature) for temperature in TEMPERATURES]
    print(save_figure(path, TEMPERATURES, probabilities, int(digits.labels[image]), loss_curve(digits)))


def reliability(path: Path) -> None:
    """Draw the reliability of the digits' classifier on one half, with a temperature from the other."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.labels))
    fitting, judging = order[::2], order[1::2]
    fit = fit_temperature(digits.logits[fitting], digits.labels[fitting])
    curves = [
        reliability_curve(softmax(digits.logits[judging], temperature=temperature), digits.labels[judging], n_bins=10)
        for temperature in (1.0, fit.temperature)
    ]
    titles = ("as trained", f"temperature {fit.temperature:.2f}")
    reliability_diagram(*curves, titles=titles).savefig(path, dpi=80)
    print(f"Figure: {path}")


FIGURES = {"demo.png": demo, "reliability.png": reliability}


def main() -> None:
    """Make all."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    for name, make in FIGURES.items():
        make(folder / name)


if __name__ == "__main__":
    main()

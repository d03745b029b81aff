"""The reliability diagram as a figure; its numbers are those of `reliability_curve`."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .metrics import ReliabilityCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Of Okabe and Ito: apart for colour-blind readers, and dark and light in grey.
ACCURACY, GAP, DIAGONAL = "#0072B2", "#D55E00", "#000000"


def reliability_diagram(*curves: ReliabilityCurve, titles: Sequence[str] | None = None) -> "Figure":
    """Return a figure of reliability curves side by side, as before and after a calibration.

    In each panel bars show how often predictions were right, and hatched ones how far that is from how sure they were;
    below is how many there are in each bin.  Perfect bars end on the diagonal.

    Parameters
    ----------
    *curves : ReliabilityCurve
        At least one.
    titles : sequence of str, optional
        One for each curve; by default "before" and "after" for two, else none.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown and of no window: save it with ``savefig``, or leave it as the last value of a notebook's cell.

    Raises
    ------
    ImportError
        matplotlib is not installed: it comes with ``pip install 'softmaxjit[plot]'``.
    TypeError
        A curve is not what `reliability_curve` returns.
    ValueError
        There is no curve, or not one title for each.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxjit.calibration import reliability_curve, reliability_diagram
    >>> curve = reliability_curve(np.array([0.1, 0.3, 0.9, 0.8]), [0, 1, 1, 1], n_bins=5)
    >>> figure = reliability_diagram(curve)
    >>> len(figure.axes)
    2
    """
    for curve in curves:
        if not isinstance(curve, ReliabilityCurve):
            raise TypeError(f"a curve is of type {type(curve).__name__}; accepted is what reliability_curve returns")
    names = list(titles) if titles is not None else ["before", "after"] if len(curves) == 2 else [""] * len(curves)
    if not curves or len(names) != len(curves):
        raise ValueError(f"there are {len(curves)} curves and {len(names)} titles; accepted is one title for each")
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  an extra
    except ImportError:
        raise ImportError("reliability_diagram needs matplotlib: pip install 'softmaxjit[plot]'") from None
    figure = Figure(figsize=(0.8 + 4.2 * len(curves), 5.2), layout="constrained")
    panels = figure.subplots(2, len(curves), sharex=True, squeeze=False, height_ratios=(3, 1))
    largest = max(int(curve.counts.max()) for curve in curves)
    for k, (curve, name) in enumerate(zip(curves, names, strict=True)):
        _draw_bars(panels[0, k], curve, name)
        _draw_counts(panels[1, k], curve, largest)
    panels[0, 0].set_ylabel("Accuracy")
    panels[1, 0].set_ylabel("Predictions")
    return figure


def mean_gap(curve: ReliabilityCurve) -> float:
    """Return the expected calibration error of a curve."""
    held = curve.counts > 0
    gaps = np.abs(curve.accuracy - curve.confidence)[held] * curve.counts[held]
    return math.fsum(gaps) / int(curve.counts.sum())


def _draw_bars(axes: "Axes", curve: ReliabilityCurve, title: str) -> None:
    """Draw accuracy and gap of each bin."""
    held = curve.counts > 0
    left, width = curve.edges[:-1][held], np.diff(curve.edges)[held]
    accuracy, confidence = curve.accuracy[held], curve.confidence[held]
    bars: dict[str, Any] = {"align": "edge", "linewidth": 0.8}
    axes.bar(left, accuracy, width, color=ACCURACY, edgecolor="white", label="accuracy", **bars)
    axes.bar(
        left,
        confidence - accuracy,
        width,
        accuracy,
        facecolor="none",
        edgecolor=GAP,
        hatch="////",
        label="gap to confidence",
        **bars,
    )
    axes.plot([0, 1], [0, 1], "--", color=DIAGONAL, linewidth=1, label="perfect")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    text = f"calibration error {mean_gap(curve):.2%}"
    axes.set_title(f"{title}: {text}" if title else text)
    axes.legend(loc="upper left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_counts(axes: "Axes", curve: ReliabilityCurve, largest: int) -> None:
    """Draw how many predictions each bin holds."""
    width = np.diff(curve.edges)
    axes.bar(curve.edges[:-1], curve.counts, width, align="edge", color="#999999", edgecolor="white", linewidth=0.8)
    axes.set_yscale("log")  # most predictions of most classifiers are in the last bin
    axes.set_ylim(0.7, 2 * largest)
    axes.set_xlabel("Confidence")
    axes.spines[["top", "right"]].set_visible(False)

"""What other libraries make of the inputs of the calibration tests: `calibration_peers.json`, and how it was made.

The tests compare ours with the recorded numbers, since PyTorch is too large for them.  To record anew, with the
versions that are then written down:

    python -m venv peers
    peers/bin/pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
    peers/bin/pip install torchmetrics uncertainty-calibration calibstats netcal
    peers/bin/python tests/calibration_peers.py

Inputs come from a formula, the same on every machine and in every version of NumPy.
"""

import json
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

RECORD = Path(__file__).with_suffix(".json")
LIBRARIES = ("torchmetrics", "torch", "uncertainty-calibration", "calibstats", "netcal", "numpy")
BINS = (1, 10, 15)


def inputs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return probabilities with what is true of them, by name."""
    rows = np.arange(600)
    logits = 4 * np.sin(0.37 * rows[:, np.newaxis] * (np.arange(5) + 1) + np.arange(5))
    labels = np.where(rows % 3 == 0, rows // 3 % 5, logits.argmax(axis=1))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rare = 9 * np.sin(1.7 * rows[:, np.newaxis] * (np.arange(20) + 1) ** 0.5) + 0.1 * np.arange(20)
    often = np.where(rows % 4 == 0, rows // 4 % 20, rare.argmax(axis=1))
    return {
        "classes": (probs, labels),
        "confident": (np.exp(rare) / np.exp(rare).sum(axis=1, keepdims=True), often),
        "yes": (probs[:, 0].copy(), (labels == 0).astype(np.int64)),
        # On the edges of ten bins, 0 and 1 among them.
        "edges": (np.repeat([0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0], 5), np.arange(35) * 7 // 5 % 3 % 2),
    }


def torchmetrics_errors(p: np.ndarray, y: np.ndarray, bins: int) -> dict[str, float]:
    """Return calibration errors of torchmetrics, in float64."""
    torch, metrics = import_module("torch"), import_module("torchmetrics.functional.classification")
    given = torch.from_numpy(p), torch.from_numpy(y)
    of = {norm: {"norm": norm, "n_bins": bins} for norm in ("l1", "l2", "max")}
    if p.ndim == 1:
        return {norm: float(metrics.binary_calibration_error(*given, **options)) for norm, options in of.items()}
    return {
        norm: float(metrics.multiclass_calibration_error(*given, p.shape[1], **options)) for norm, options in of.items()
    }


def calibstats_errors(p: np.ndarray, y: np.ndarray, bins: int) -> dict[str, float]:
    """Return what calibstats measures."""
    calibstats = import_module("calibstats")
    result = {
        f"{strategy} {norm}": calibstats.calibration_error(p, y, n_bins=bins, strategy=strategy, norm=norm)
        for strategy in ("uniform", "quantile")
        for norm in ("l1", "l2", "max")
    }
    result["debiased"] = calibstats.debiased_ece(p, y, n_bins=bins)
    result["brier"], result["nll"] = calibstats.brier_score(p, y), calibstats.nll(p, y)
    return result


def netcal_errors(p: np.ndarray, y: np.ndarray, bins: int) -> dict[str, float]:
    """Return calibration errors of netcal."""
    metrics = import_module("netcal.metrics")
    return {"ece": float(metrics.ECE(bins).measure(p, y)), "mce": float(metrics.MCE(bins).measure(p, y))}


def uncertainty_calibration_errors(p: np.ndarray, y: np.ndarray, bins: int) -> dict[str, float]:
    """Return calibration errors of uncertainty-calibration, whose bins of equal mass are 15."""
    calibration = import_module("calibration")
    result = {"ece": calibration.get_ece(p, y, num_bins=bins)}
    if bins == 15:
        for mode in ("top-label", "marginal"):
            for power, debias in ((1, False), (2, False), (2, True)):
                error = calibration.get_calibration_error(p, y, p=power, debias=debias, mode=mode)
                result[f"{mode} {power} {debias}"] = error
    return {name: float(value) for name, value in result.items()}


PEERS = {
    "torchmetrics": torchmetrics_errors,
    "calibstats": calibstats_errors,
    "netcal": netcal_errors,
    "uncertainty-calibration": uncertainty_calibration_errors,
}


def recorded() -> dict[str, Any]:
    """Return what all libraries make of all inputs, by library, input and number of bins."""
    values = {
        peer: {name: {str(bins): measure(p, y, bins) for bins in BINS} for name, (p, y) in inputs().items()}
        for peer, measure in PEERS.items()
    }
    return {"versions": {name: version(name) for name in LIBRARIES}, "values": values}


if __name__ == "__main__":
    RECORD.write_text(json.dumps(recorded(), indent=1) + "\n")

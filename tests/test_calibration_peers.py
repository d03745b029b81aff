"""Metrics of calibration against what other libraries made of the same inputs; see `calibration_peers`."""

import json
import math
from typing import Any

import numpy as np
import pytest

from softmaxjit.calibration import brier_score, expected_calibration_error, nll, reliability_curve

from .calibration_peers import BINS, LIBRARIES, PEERS, RECORD, inputs

INPUTS = inputs()
RECORDED = json.loads(RECORD.read_text())
NORMS = {"l1": 1, "l2": 2, "max": np.inf}
OFF_EDGES = ("classes", "confident", "yes")
EVERY = [(name, bins) for name in OFF_EDGES for bins in BINS]


def values(peer: str, name: str, bins: int) -> dict[str, float]:
    """Return what was recorded."""
    recorded: dict[str, float] = RECORDED["values"][peer][name][str(bins)]
    return recorded


def error(name: str, bins: int, **options: Any) -> float:
    """Return our calibration error of an input."""
    return expected_calibration_error(*INPUTS[name], n_bins=bins, **options)


def test_every_library_is_recorded_with_its_version() -> None:
    assert set(RECORDED["versions"]) == set(LIBRARIES)
    assert set(RECORDED["values"]) == set(PEERS)


@pytest.mark.parametrize(("name", "bins"), EVERY)
def test_agrees_with_torchmetrics(name: str, bins: int) -> None:
    for norm, expected in values("torchmetrics", name, bins).items():
        # Of several classes it computes in float32.
        tolerance = 1e-13 if name == "yes" else 2e-6
        assert error(name, bins, norm=NORMS[norm]) == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize(("name", "bins"), EVERY)
def test_agrees_with_calibstats(name: str, bins: int) -> None:
    expected = values("calibstats", name, bins)
    for strategy, binning in (("uniform", "width"), ("quantile", "mass")):
        for norm, q in NORMS.items():
            assert error(name, bins, norm=q, binning=binning) == pytest.approx(
                expected[f"{strategy} {norm}"], rel=1e-11
            )
    # Of the square of the gap in a bin with one row chance leaves nothing: calibstats adds it, we do not.
    curve = reliability_curve(*INPUTS[name], n_bins=bins)
    alone = (((curve.accuracy - curve.confidence)[curve.counts == 1]) ** 2).sum() / curve.counts.sum()
    assert (alone > 0) == ((name, bins) == ("confident", 15))
    debiased = error(name, bins, norm=2, debias=True) ** 2
    assert debiased + alone == pytest.approx(expected["debiased"] ** 2, rel=1e-11)
    assert brier_score(*INPUTS[name]) == pytest.approx(expected["brier"], rel=1e-12)
    assert nll(*INPUTS[name]) == pytest.approx(expected["nll"], rel=1e-12)


@pytest.mark.parametrize(("name", "bins"), EVERY)
def test_agrees_with_netcal(name: str, bins: int) -> None:
    expected = values("netcal", name, bins)
    assert error(name, bins) == pytest.approx(expected["ece"], rel=1e-12)
    assert error(name, bins, norm=np.inf) == pytest.approx(expected["mce"], rel=1e-12)


@pytest.mark.parametrize(("name", "bins"), EVERY)
def test_agrees_with_uncertainty_calibration(name: str, bins: int) -> None:
    expected = values("uncertainty-calibration", name, bins)
    assert error(name, bins) == pytest.approx(expected["ece"], rel=1e-12)
    for key, value in expected.items():
        if key != "ece":
            mode, power, debias = key.split()
            ours = error(
                name, bins, norm=int(power), debias=debias == "True", classwise=mode == "marginal", binning="mass"
            )
            assert ours == pytest.approx(value, rel=1e-10)


@pytest.mark.parametrize("bins", BINS)
def test_where_probabilities_are_edges_the_definitions_differ(bins: int) -> None:
    p, y = INPUTS["edges"]

    def by_hand(places: np.ndarray) -> float:
        return math.fsum(abs((p - y)[places == k].sum()) for k in np.unique(places)) / len(p)

    closed_above = np.maximum(np.ceil(np.round(p * bins, 9)) - 1, 0)
    closed_below = np.floor(np.round(p * bins, 9))
    # Ours: (a, b], the first with 0; and so does uncertainty-calibration.
    assert error("edges", bins) == pytest.approx(by_hand(closed_above), rel=1e-12)
    assert values("uncertainty-calibration", "edges", bins)["ece"] == pytest.approx(by_hand(closed_above), rel=1e-12)
    # calibstats and netcal: [a, b), the last with 1.
    expected = by_hand(np.minimum(closed_below, bins - 1))
    assert values("calibstats", "edges", bins)["uniform l1"] == pytest.approx(expected, rel=1e-12)
    assert values("netcal", "edges", bins)["ece"] == pytest.approx(expected, rel=1e-12)
    # torchmetrics: [a, b), and 1 in a bin of its own beyond the last (its issue 3510).
    assert values("torchmetrics", "edges", bins)["l1"] == pytest.approx(by_hand(closed_below), rel=1e-12)
    assert values("torchmetrics", "edges", bins)["l2"] > 1.0001 * values("calibstats", "edges", bins)["uniform l2"]

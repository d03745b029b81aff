"""Calibration: whether a classifier is as often right as it is sure, and what to do where it is not.

Functions take logits or probabilities as NumPy arrays, and work under the same names inside ``@njit``.
"""

from .fitting import TemperatureFit, fit_temperature
from .metrics import (
    BrierDecomposition,
    ReliabilityCurve,
    accuracy,
    brier_decomposition,
    brier_score,
    expected_calibration_error,
    nll,
    reliability_curve,
)
from .resampling import BootstrapInterval, bootstrap

__all__ = [
    "BootstrapInterval",
    "BrierDecomposition",
    "ReliabilityCurve",
    "TemperatureFit",
    "accuracy",
    "bootstrap",
    "brier_decomposition",
    "brier_score",
    "expected_calibration_error",
    "fit_temperature",
    "nll",
    "reliability_curve",
]

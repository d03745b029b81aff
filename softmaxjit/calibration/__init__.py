"""Calibration: whether a classifier is as often right as it is sure, and what to do where it is not.

Functions take logits or probabilities as NumPy arrays, and work under the same names inside ``@njit``,
all but `fit_vector_scaling`, `calibration_report` and `reliability_diagram`.
"""

from .diagram import reliability_diagram
from .estimators import TemperatureScaling, VectorScaling
from .fitting import TemperatureFit, VectorScalingFit, fit_temperature, fit_vector_scaling
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
from .reporting import CalibrationReport, calibration_report
from .resampling import BootstrapInterval, bootstrap

__all__ = [
    "BootstrapInterval",
    "BrierDecomposition",
    "CalibrationReport",
    "ReliabilityCurve",
    "TemperatureFit",
    "TemperatureScaling",
    "VectorScaling",
    "VectorScalingFit",
    "accuracy",
    "bootstrap",
    "brier_decomposition",
    "brier_score",
    "calibration_report",
    "expected_calibration_error",
    "fit_temperature",
    "fit_vector_scaling",
    "nll",
    "reliability_curve",
    "reliability_diagram",
]

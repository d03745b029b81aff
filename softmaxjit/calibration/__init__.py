"""Calibration: whether a classifier is as often right as it is sure, and what to do where it is not.

Functions take logits or probabilities as NumPy arrays, and work under the same names inside ``@njit``, all but
`reliability_diagram`; `bootstrap` and `calibration_report` take a seed as ``rng`` there.

What they need beside the input: metrics with bins of equal width one batch of rows, 1 to 3 MB; fits 8 bytes a row; what
needs all rows at once, bins of equal mass and resamples, 32 to 48.  To that come 640 bytes for each bin of each class
in ``classwise`` and `brier_decomposition`, 1.2 kB for each class in `fit_vector_scaling`.  Labels of another dtype than
int64, and logits that are integers or in another order than C's, are copied: by fits, ``classwise``,
`brier_decomposition` and what needs all rows as a whole, by the other metrics batch by batch, up to 64 MB.  Inside
``@njit`` all are.
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

"""Calibration: whether a classifier is as often right as it is sure, and what to do where it is not.

Functions take logits or probabilities as NumPy arrays, and work under the same names inside ``@njit``, all but
`reliability_diagram`; `bootstrap` and `calibration_report` take a seed as ``rng`` there.

What they need beside the input: fits, and metrics with bins of equal width, one batch of rows, 1 to 3 MB; what needs
all rows at once, bins of equal mass and resamples, 16 to 48 bytes a row.  In ``classwise`` and `brier_decomposition` a
batch takes 4 to 13 MB, and each bin of each class 40 bytes; in `fit_vector_scaling` each class 1.2 kB; in
`fit_temperature` labels that are probabilities 8 bytes a row.  Labels of another dtype than int64, and logits that are
integers or in another order than C's, are copied: batch by batch, up to 64 MB, by metrics, as a whole by fits and, but
in ``classwise``, for bins of equal mass and resamples.  Inside ``@njit`` fits copy all as a whole, and all else copies
batch by batch.
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

"""Calibration: whether a classifier is as often right as it is sure, and what to do where it is not.

Functions take logits or probabilities as NumPy arrays, and work under the same names inside ``@njit``.
"""

from .fitting import TemperatureFit, fit_temperature

__all__ = [
    "TemperatureFit",
    "fit_temperature",
]

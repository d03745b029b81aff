"""Losses and what calibration needs in plain NumPy: for longdouble, and where compiling is turned off."""

import numpy as np

from ._plain import Array, Temperature, _column, log_softmax


def cross_entropy(
    x: Array, temperature: Temperature, labels: Array, weight: Array, smoothing: float
) -> tuple[Array, Array]:
    """Return the cross-entropy of each row of a two-dimensional array, and its gradient."""
    log_p = log_softmax(x, temperature, None)
    target = np.zeros_like(log_p)
    if labels.dtype == np.int64:
        counts = labels >= 0
        target[np.flatnonzero(counts), labels[counts]] = weight[labels[counts]] * (1 - smoothing)
    else:
        counts = np.ones(len(x), bool)
        target[...] = labels.reshape(x.shape) * (1 - smoothing) * weight
    target += counts[:, np.newaxis] * (smoothing / x.shape[1]) * weight
    losses = -np.where(target == 0, 0, target * log_p).sum(axis=-1)
    losses = np.where(counts, np.where(np.isnan(log_p).any(axis=-1), np.nan, losses), 0)
    mass = target.sum(axis=-1, keepdims=True)
    grad = (np.exp(log_p) * mass - target) / _column(temperature, x)
    return losses, np.where(counts[:, np.newaxis], grad, 0)

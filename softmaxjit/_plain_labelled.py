"""Losses and what calibration needs in plain NumPy: for longdouble, and where compiling is turned off."""

import numpy as np

from ._plain import Array, Temperature, _column, log_softmax, softmax


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


def distances(x: Array, labels: Array, weight: Array) -> tuple[Array, Array]:
    """Return the sums of the kernel `labelled_distances`, and the mass of each row times its weight."""
    largest = x.max(axis=-1, keepdims=True)
    d = largest - x
    target = np.eye(x.shape[1])[labels] if labels.dtype == np.int64 else labels.reshape(x.shape)
    of_labels = np.where(target == 0, 0, target * d).sum(axis=-1)
    of_labels = weight * of_labels
    mass = weight * target.sum(axis=-1)
    finite = x != -np.inf
    mean = np.where(finite, d, 0).sum(axis=-1) / finite.sum(axis=-1)
    counts = np.log(finite.sum(axis=-1)), np.log((d == 0).sum(axis=-1))
    sums = [np.where(mass == 0, 0, each).sum() for each in (of_labels, mass * mean, mass * counts[0], mass * counts[1])]
    return np.array(sums, np.float64), np.asarray(mass, np.float64)


def moments(x: Array, beta: float, mass: Array) -> Array:
    """Return the sums of the kernel `likelihood_rows`."""
    d = x.max(axis=-1, keepdims=True) - x
    e = np.exp(-beta * d)
    d = np.where(e == 0, 0, d)
    total = e.sum(axis=-1)
    mean = (e * d).sum(axis=-1) / total
    variance = (e * d * d).sum(axis=-1) / total - mean * mean
    return np.array([np.where(mass == 0, 0, mass * each).sum() for each in (np.log(total), mean, variance)], np.float64)


def judgement(
    x: Array, labels: Array, from_logits: bool, temperature: Temperature
) -> tuple[Array, Array, Array, Array]:
    """Return confidence, whether right, loss and Brier score of each row of probabilities or logits."""
    p = softmax(x, temperature, None) if from_logits else x
    log_p = log_softmax(x, temperature, None) if from_logits else np.log(x)
    of_label = np.take_along_axis(log_p, labels[:, np.newaxis], axis=-1)[:, 0]
    possible = np.isfinite(p).all(axis=-1) & (p >= 0).all(axis=-1) & (p <= 1 + 1e-5).all(axis=-1)
    confidence = np.where(possible, np.minimum(p.max(axis=-1), 1), np.nan)
    brier = ((p - np.eye(p.shape[1])[labels]) ** 2).sum(axis=-1)
    numbers = confidence, p.argmax(axis=-1) == labels, np.maximum(-of_label, 0), brier
    confidence, right, loss, brier = (np.asarray(each, np.float64) for each in numbers)
    return confidence, right, loss, brier


def judged_answers(x: Array, answers: Array, from_logits: bool) -> tuple[Array, Array, Array, Array]:
    """Return what `judgement` does, of answers to a yes-or-no question."""
    if from_logits:
        # A difference from infinity has no probability; elsewhere the smaller exponential is the exact one.
        p = np.where(x > 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))
        p = np.where(np.isinf(x), np.nan, p)
        loss = np.logaddexp(0, np.where(answers == 1, -x, x))
    else:
        p = np.where((x >= 0) & (x <= 1), x, np.nan)
        loss = -np.log(np.where(answers == 1, p, 1 - p)) + 0.0
    return p, ((p > 0.5) == (answers == 1)).astype(np.float64), loss, (p - answers) ** 2


def sums_of_bins(p: Array, truth: Array, edges: Array) -> Array:
    """Return the five sums of the kernel `bin_classes` for each bin."""
    place = np.searchsorted(edges[1:-1], p, side="left")
    terms = (np.ones(len(p)), p, truth, p * p, p * truth)
    return np.stack([np.bincount(place, each, len(edges) - 1) for each in terms], axis=-1)


def class_bins(p: Array, labels: Array, edges: Array) -> Array:
    """Return the sums of the kernel `bin_classes`, of shape (classes, bins, 5)."""
    columns = [
        sums_of_bins(np.minimum(p[:, k], 1), (labels == k) * 1.0, edges[min(k, len(edges) - 1)])
        for k in range(p.shape[1])
    ]
    return np.stack(columns)


def vector_scaling(x: Array, scale: Array, bias: Array, labels: Array, weight: Array) -> Array:
    """Return the sums of the kernel `vector_scaling_rows`."""
    wide, column = x.astype(np.float64), weight[:, np.newaxis]
    losses, slope = cross_entropy(wide * scale + bias, 1.0, labels, np.ones(x.shape[1]), 0.0)
    curved = column * abs(slope) * (1 - abs(slope))
    terms = (column * slope * wide, column * slope, curved * wide * wide, curved * wide, curved)
    return np.concatenate([[(weight * losses).sum()], *(each.sum(axis=0) for each in terms)])

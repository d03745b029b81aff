"""Where a smooth function of many variables is lowest: L-BFGS."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

MEMORY = 12  # steps that are remembered
HALVINGS = 30  # of a step that does not lead downwards
SUFFICIENT = 1e-4  # part of the decrease that the slope promises


class Minimum(NamedTuple):
    """What was found."""

    place: Numbers
    value: float
    evaluations: int
    converged: bool


def minimised(
    function: Callable[[Numbers], tuple[float, Numbers]], start: Numbers, tolerance: float, limit: int
) -> Minimum:
    """Return where a function, which is given with its gradient, is lowest.

    It has converged where no component of the gradient exceeds `tolerance`, or no step leads lower.  Where the gradient
    at the start is not finite there is nothing to be found, and the value is NaN.

    References
    ----------
    J. Nocedal, S. J. Wright, "Numerical optimization", 2nd edition, algorithm 7.5, Springer, 2006.
    """
    place = start
    value, gradient = function(place)
    if not np.isfinite(gradient).all():
        return Minimum(place, math.nan, 1, False)
    evaluations = 1
    pairs: list[tuple[Numbers, Numbers]] = []
    while evaluations < limit:
        if np.abs(gradient).max() <= tolerance:
            return Minimum(place, value, evaluations, True)
        direction = -_inverse_curvature(pairs, gradient)
        slope = float(direction @ gradient)
        length = 1.0 if pairs else min(1.0, 1.0 / float(np.abs(gradient).max()))
        for _ in range(HALVINGS):
            target = place + length * direction
            there, gradient_there = function(target)
            evaluations += 1
            if there <= value + SUFFICIENT * length * slope:
                break
            length /= 2
        else:
            # As low as rounding lets it be, unless remembered steps mislead.
            if not pairs:
                return Minimum(place, value, evaluations, True)
            pairs = []
            continue
        step, change = target - place, gradient_there - gradient
        if float(step @ change) > 0:
            pairs = [*pairs[-MEMORY + 1 :], (step, change)]
        stalled = value - there <= 1e-15 * abs(value) and len(pairs) > 1
        place, value, gradient = target, there, gradient_there
        if stalled:
            return Minimum(place, value, evaluations, True)
    return Minimum(place, value, evaluations, False)


def _inverse_curvature(pairs: list[tuple[Numbers, Numbers]], gradient: Numbers) -> Any:
    """Return the gradient times an estimate of the inverse of the second derivatives."""
    result = gradient.copy()
    factors = []
    for step, change in reversed(pairs):
        factor = (step @ result) / (step @ change)
        factors.append(factor)
        result -= factor * change
    if pairs:
        step, change = pairs[-1]
        result *= (step @ change) / (change @ change)
    for (step, change), factor in zip(pairs, reversed(factors), strict=True):
        result += (factor - (change @ result) / (step @ change)) * step
    return result

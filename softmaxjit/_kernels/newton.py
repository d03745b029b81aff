"""Where a convex function of beta > 0 is lowest: Newton's method inside a bracket.

Plain numbers, so that the same lines serve Python and compiled code.
"""

import math
from typing import NamedTuple

from .._jit import routine
from .temperature import LARGEST_TEMPERATURE, SMALLEST_TEMPERATURE

LOWEST_BETA, HIGHEST_BETA = 1.0 / LARGEST_TEMPERATURE, 1.0 / SMALLEST_TEMPERATURE
LEAP = 16.0  # where there is no other bound


class Search(NamedTuple):
    """Where to evaluate next, and between which values the lowest place is."""

    beta: float
    lower: float
    upper: float
    slope: float  # at the value before
    found: bool  # beta, which has been evaluated, is the place, or the bound next to it


@routine
def search_from(beta):
    """Return the start of a search."""
    return Search(beta, 0.0, math.inf, math.inf, False)


@routine
def next_search(search, slope, curvature, tolerance):
    """Return where to evaluate next, given the derivatives at `search.beta`.

    Newton's step is taken where it stays inside the bracket and the slope has halved since the last one, else the
    bracket is halved in the logarithm, or left behind by a leap where it has no end yet.
    """
    beta, lower, upper = search.beta, search.lower, search.upper
    if slope > 0.0:
        upper = beta
    else:
        lower = beta
    step = slope / curvature if curvature > 0.0 else math.inf
    target = beta - step
    ended = lower > 0.0 and upper < math.inf
    if abs(step) <= tolerance * beta or (ended and upper - lower <= tolerance * beta):
        return Search(beta, lower, upper, slope, True)
    if not lower < target < upper or (ended and abs(slope) > 0.5 * abs(search.slope)):
        target = math.sqrt(lower * upper) if ended else beta * LEAP if slope < 0.0 else beta / LEAP
    target = min(max(target, LOWEST_BETA), HIGHEST_BETA)
    return Search(target, lower, upper, slope, target == beta)

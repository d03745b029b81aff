"""Where a smooth convex function of a scale and a bias for each class is lowest: L-BFGS, one evaluation at a time.

Whoever evaluates the function calls `descend` after each evaluation and is told where to evaluate next, so that the
same search serves Python and compiled code.  Parameters are the scales of all classes and then their biases.  To begin
with, the inverse curvature is taken to be that of each class by itself, blocks of 2 x 2: scale and bias are correlated
wherever a class's logits are not about 0, which a search without blocks takes 800 passes to find out on the digits of
`softmaxjit demo`, and one with them 20.
"""

import numpy as np
from numba import types

from .._jit import helper, kernel
from .targets import NUMBERS, READ_NUMBERS

TOLERANCE = 1e-16  # of a value, in nats
MEMORY = 12  # steps that are remembered
HALVINGS = 30  # of a step that does not lead downwards
SUFFICIENT = 1e-4  # part of the decrease that the slope promises
ROUNDING = 4e-16  # of a value, which may hide the decrease
NEGLIGIBLE = 1e-9  # part of a value: a larger decrease that is promised is no rounding error
RIDGE = 1e-8  # makes blocks invertible where logits of a class are all the same
LONGEST = 16.0  # step of a bias, in nats, where the curvature has vanished

# Numbers of a search.
STATUS, VALUE, FALL, SLOPE, LENGTH, TRIES, PAIRS = range(7)
SEARCH = 7 + MEMORY  # and a factor for each remembered step
STARTED, SEARCHING, FOUND, STUCK, FAILED = range(5)

# Vectors of a search: the lowest place so far, its gradient, its curvature (three numbers for each class), where to go
# from there, and as many steps and changes of the gradient as are remembered.
_PLACE, _GRADIENT, _DIRECTION, _CURVATURE = range(4)
_STEPS = 6
_CHANGES = _STEPS + MEMORY
VECTORS = _CHANGES + MEMORY


@helper
def product(vectors, a, b, size):
    """Return the scalar product of two vectors."""
    total = 0.0
    for k in range(size):
        total += vectors[a * size + k] * vectors[b * size + k]
    return total


@helper
def apply_blocks(vectors, size):
    """Multiply the direction by the inverse of each class's own curvature, made invertible."""
    n = size // 2
    scale, bias, curvature = _DIRECTION * size, _DIRECTION * size + n, _CURVATURE * size
    for c in range(n):
        a, b, d = vectors[curvature + c], vectors[curvature + n + c], vectors[curvature + 2 * n + c]
        of_scale, of_bias = abs(vectors[_GRADIENT * size + c]), abs(vectors[_GRADIENT * size + n + c])
        if d * LONGEST < of_bias or not d > 0.0:
            a, b, d = max(a, of_scale / LONGEST), 0.0, of_bias / LONGEST
        a = a * (1.0 + RIDGE) if a > 0.0 else 1.0
        d = d * (1.0 + RIDGE) if d > 0.0 else 1.0
        s, t = vectors[scale + c], vectors[bias + c]
        determinant = a * d - b * b
        vectors[scale + c] = (d * s - b * t) / determinant
        vectors[bias + c] = (a * t - b * s) / determinant


@helper
def direct(numbers, vectors, size):
    """Write where to go: minus the gradient times an estimate of the inverse curvature, from remembered steps."""
    count = np.int64(numbers[PAIRS])
    for k in range(size):
        vectors[_DIRECTION * size + k] = -vectors[_GRADIENT * size + k]
    for back in range(min(count, MEMORY)):
        slot = (count - 1 - back) % MEMORY
        curved = product(vectors, _STEPS + slot, _CHANGES + slot, size)
        factor = product(vectors, _STEPS + slot, _DIRECTION, size) / curved
        numbers[SEARCH - MEMORY + slot] = factor
        for k in range(size):
            vectors[_DIRECTION * size + k] -= factor * vectors[(_CHANGES + slot) * size + k]
    apply_blocks(vectors, size)
    for back in range(min(count, MEMORY) - 1, -1, -1):
        slot = (count - 1 - back) % MEMORY
        curved = product(vectors, _STEPS + slot, _CHANGES + slot, size)
        factor = numbers[SEARCH - MEMORY + slot] - product(vectors, _CHANGES + slot, _DIRECTION, size) / curved
        for k in range(size):
            vectors[_DIRECTION * size + k] += factor * vectors[(_STEPS + slot) * size + k]
    numbers[SLOPE] = product(vectors, _GRADIENT, _DIRECTION, size)
    numbers[LENGTH], numbers[TRIES] = 1.0, 0.0


@helper
def remember(target, gradient, numbers, vectors, size):
    """Remember the step from the lowest place so far to `target`, if the function curves upwards along it."""
    slot = np.int64(numbers[PAIRS]) % MEMORY
    curved = 0.0
    for k in range(size):
        curved += (target[k] - vectors[_PLACE * size + k]) * (gradient[k] - vectors[_GRADIENT * size + k])
    if curved > 0.0:
        for k in range(size):
            vectors[(_STEPS + slot) * size + k] = target[k] - vectors[_PLACE * size + k]
            vectors[(_CHANGES + slot) * size + k] = gradient[k] - vectors[_GRADIENT * size + k]
        numbers[PAIRS] += 1.0


@helper
def move(target, value, gradient, curvature, numbers, vectors, size):
    """Make `target` the lowest place so far."""
    numbers[FALL] = numbers[VALUE] - value
    numbers[VALUE] = value
    for k in range(size):
        vectors[_PLACE * size + k] = target[k]
        vectors[_GRADIENT * size + k] = gradient[k]
    for k in range(curvature.size):
        vectors[_CURVATURE * size + k] = curvature[k]


@helper
def is_unusable(value, gradient):
    """Whether a value or part of a gradient is not finite."""
    total = value
    for each in gradient:
        total += abs(each)
    return not abs(total) < np.inf


@kernel(lambda x, out: (types.float64, READ_NUMBERS, READ_NUMBERS, NUMBERS, NUMBERS, NUMBERS))
def descend(value, gradient, curvature, numbers, vectors, target):
    """Take note of an evaluation at `target`, and write there where the next one is to be.

    `numbers` and `vectors` hold the search: SEARCH zeros and VECTORS times as many as there are parameters, to begin
    with.  Where the status is FOUND, `target` is where the function is lowest; STUCK, the lowest place that was tried,
    as second derivatives are beyond float64 or vanish; FAILED, where the function has no value.  It is found where the
    function can fall by TOLERANCE at most, as far as slope and curvature say, or fell by no more than rounding errors.

    References
    ----------
    J. Nocedal, S. J. Wright, "Numerical optimization", 2nd edition, algorithm 7.5, Springer, 2006.
    """
    size = target.size
    begun = numbers[STATUS] == STARTED
    if begun and is_unusable(value, gradient):
        numbers[STATUS] = FAILED
        return
    numbers[STATUS] = SEARCHING
    slack = ROUNDING * abs(numbers[VALUE])
    if begun or value <= numbers[VALUE] + SUFFICIENT * numbers[LENGTH] * numbers[SLOPE] + slack:
        if not begun:
            remember(target, gradient, numbers, vectors, size)
        move(target, value, gradient, curvature, numbers, vectors, size)
        direct(numbers, vectors, size)
        if -0.5 * numbers[SLOPE] <= TOLERANCE or not (begun or numbers[FALL] > slack):
            numbers[STATUS] = FOUND
    else:
        numbers[LENGTH] *= 0.5
        numbers[TRIES] += 1.0
        if numbers[TRIES] == HALVINGS:  # as low as rounding lets it be, unless remembered steps mislead
            if numbers[PAIRS] == 0.0:
                numbers[STATUS] = FOUND if -numbers[SLOPE] <= NEGLIGIBLE * abs(numbers[VALUE]) else STUCK
            numbers[PAIRS] = 0.0
            direct(numbers, vectors, size)
    length = numbers[LENGTH] if numbers[STATUS] == SEARCHING else 0.0
    for k in range(size):
        target[k] = vectors[_PLACE * size + k]
        if length > 0.0:
            target[k] += length * vectors[_DIRECTION * size + k]

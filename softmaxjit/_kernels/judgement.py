"""What the probabilities of a row tell beside the class that is true: how sure, whether right, and two losses.

One pass over probabilities, or over logits, of which no probability is stored.  A row that has none, for a NaN or an
infinity, gets a confidence of NaN.  Kernels leave out the losses, half of the work on short rows, where the arrays for
them are empty.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, types

from .._jit import helper, kernel
from .._simd.arithmetic import fma
from .._simd.exp import exp
from .._simd.exp_scaled import exp_steps
from .._simd.lanes import any_lane, sum_tree, widen
from .._simd.log import log, log1p
from .._simd.memory import data_of, keep_part, lanes, load, load_element, load_part, splat
from .ahead import ahead_of, are_far, ask
from .logsumexp import log1p_of_ratio
from .shift import largest_exp, limits_of, row_extremes, shift_of_row
from .sums import scaled
from .targets import CLASSES, NUMBERS, READ_NUMBERS

# What probabilities may be above 1 by: sums of those of other libraries are rounded.
SLACK = 1e-5


class Judgement(NamedTuple):
    """What is found out about a row."""

    confidence: Any  # the largest probability
    right: Any  # 1 where it is that of the true class, the first among equals, else 0
    loss: Any  # minus the logarithm of the true class's probability
    brier: Any  # the squared distance of the probabilities from the truth


@helper
def first_place(x, start, n, value):
    """Return the index in a row of the first element that is `value`, n if there is none."""
    width = lanes(x)
    i = 0
    while i + width <= n and not any_lane(load(x, start + i) == value):
        i += width
    while i < n and load_element(x, start + i) != value:
        i += 1
    return i


@helper
def judge_row_of_logits(x, start, n, temperature, label, steps, reached, shift, ahead, scored):
    """Judge ``x[start : start + n]`` at a temperature; `reached` is a constant of the compiled code.

    There are losses only if it is to be `scored`.
    """
    width = lanes(x)
    unscale = 1.0 / limits_of(x).headroom
    largest_term, _, _ = scaled(splat(x, shift.largest), steps, shift, reached)
    unit = widen(keep_part(largest_term, 1))
    rest = -unit  # the same bits as the maximum's own: they cancel
    squares = -((unit * unscale) * (unit * unscale))
    i, end = start, start + n
    while i + width <= end:
        ask(x, i, ahead)
        e, _, _ = scaled(load(x, i), steps, shift, reached)
        rest, squares = rest + widen(e), add_square(squares, widen(e) * unscale)
        i += width
    if i < end:
        e, _, _ = scaled(load_part(x, i, end - i, shift.largest), steps, shift, reached)
        e = keep_part(e, end - i)
        rest, squares = rest + widen(e), add_square(squares, widen(e) * unscale)
    unit, _ = largest_exp(x, shift, temperature)
    rest = sum_tree(rest)
    total = unit + rest
    below = 0.5 * np.float64(shift.largest) - 0.5 * np.float64(load_element(x, start + label))
    highest = unit / total
    # A NaN among the logits is one of the sum; of infinities there is no difference.
    confidence = highest if abs(shift.largest) < np.inf else np.nan
    right = below == 0.0 and first_place(x, start, label, shift.largest) == label
    if not scored:
        return Judgement(confidence, 1.0 if right else 0.0, 0.0, 0.0)
    ratio, ratio_low = log1p_of_ratio(x, rest, 0.0, unit, 0.0)
    loss = fma(below / temperature, 2.0, ratio + ratio_low)
    others = sum_tree(squares) / (total * unscale) / (total * unscale)
    if below == 0.0:
        brier = (rest / total) * (rest / total) + others
    else:
        p = exp(-loss)
        brier = (1.0 - p) * (1.0 - p) + (highest * highest + (others - p * p))
    return Judgement(confidence, 1.0 if right else 0.0, loss, max(brier, 0.0))


@helper
def add_square(total, e):
    """Return a sum with the square of a term added."""
    return fma(e, e, total)


@kernel(lambda x, out: (x, types.intp, types.float64, CLASSES, NUMBERS, NUMBERS, NUMBERS, NUMBERS))
def judge_logits(x, n, temperature, labels, confidence, right, losses, brier):
    """Judge every n consecutive logits at a temperature that `is_direct`."""
    far, scored = are_far(x.size, x), losses.size > 0
    for row in prange(labels.size):
        source = data_of(x)
        start = row * n
        ahead = ahead_of(source, n, far, None)
        steps = exp_steps(source, temperature)
        shift = shift_of_row(source, start, n, temperature, limits_of(source).reach, None)
        if shift.reached:
            judged = judge_row_of_logits(source, start, n, temperature, labels[row], steps, True, shift, ahead, scored)
        else:
            judged = judge_row_of_logits(source, start, n, temperature, labels[row], steps, False, shift, ahead, scored)
        confidence[row], right[row] = judged.confidence, judged.right
        if scored:
            losses[row], brier[row] = judged.loss, judged.brier


@helper
def judge_row_of_probabilities(p, start, n, label, scored):
    """Judge ``p[start : start + n]``; there are losses only if it is to be `scored`."""
    width = lanes(p)
    largest, smallest = row_extremes(p, start, n, None)
    squares = widen(splat(p, 0))
    i, end = start, start + n
    while i + width <= end:
        squares = add_square(squares, widen(load(p, i)))
        i += width
    if i < end:
        squares = add_square(squares, widen(load_part(p, i, end - i, 0)))
    total = sum_tree(squares)  # NaN where there is one
    of_label = np.float64(load_element(p, start + label))
    right = load_element(p, start + label) == largest and first_place(p, start, label, largest) == label
    possible = total == total and smallest >= 0.0 and largest <= 1.0 + SLACK
    confidence = min(np.float64(largest), 1.0) if possible else np.nan
    if not scored:
        return Judgement(confidence, 1.0 if right else 0.0, 0.0, 0.0)
    brier = (1.0 - of_label) * (1.0 - of_label) + max(total - of_label * of_label, 0.0)
    return Judgement(confidence, 1.0 if right else 0.0, max(-log(of_label), 0.0), brier)


@kernel(lambda x, out: (x, types.intp, CLASSES, NUMBERS, NUMBERS, NUMBERS, NUMBERS))
def judge_probabilities(x, n, labels, confidence, right, losses, brier):
    """Judge every n consecutive probabilities."""
    scored = losses.size > 0
    for row in prange(labels.size):
        judged = judge_row_of_probabilities(data_of(x), row * n, n, labels[row], scored)
        confidence[row], right[row] = judged.confidence, judged.right
        if scored:
            losses[row], brier[row] = judged.loss, judged.brier


@helper
def judge_log_odds(x, yes):
    """Return the probability of a yes, and the loss of the answer."""
    if not abs(x) < np.inf:
        return np.nan, np.nan
    small = exp(-abs(x))
    p = 1.0 / (1.0 + small) if x > 0.0 else small / (1.0 + small)
    loss = log1p(small)[0] if small < 1.0 else log(2.0)
    return p, loss if (x > 0.0) == yes else loss + abs(x)


@kernel(lambda x, out: (READ_NUMBERS, types.boolean, READ_NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS))
def judge_answers(x, from_logits, answers, confidence, right, losses, brier):
    """Judge probabilities of a yes, or their log-odds, beside the answers: 1 for yes, 0 for no."""
    scored = losses.size > 0
    for i in range(x.size):
        yes = answers[i] == 1.0
        if from_logits:
            p, loss = judge_log_odds(x[i], yes)
        else:
            p = x[i] if 0.0 <= x[i] <= 1.0 else np.nan
            loss = max(-log(p if yes else 1.0 - p), 0.0)
        confidence[i], right[i] = p, 1.0 if (p > 0.5) == yes else 0.0
        if scored:
            losses[i], brier[i] = loss, (p - answers[i]) * (p - answers[i])

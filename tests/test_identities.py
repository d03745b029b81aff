"""What holds of any logits: identities between the functions, searched by hypothesis."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from softmaxjit import log_softmax, logsumexp, softmax

from .exact import assert_same_bits

DTYPES = st.sampled_from([np.float32, np.float64])
few = settings(max_examples=60, deadline=None, derandomize=True)


def logits(bound: float = 1e4, **keywords: Any) -> Any:
    """Return a strategy for matrices of finite numbers, with ties and long rows now and then."""
    elements = st.floats(-bound, bound, width=32) | st.integers(-3, 3).map(float)
    shapes = array_shapes(min_dims=2, max_dims=2, max_side=40)
    return DTYPES.flatmap(lambda dtype: arrays(dtype, shapes, elements=elements, **keywords))


@st.composite
def masked_logits(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return logits, and where they count: somewhere in each row."""
    x = draw(logits(50))
    where = draw(arrays(bool, x.shape))
    where[:, draw(st.integers(0, x.shape[1] - 1))] = True
    return x, where


def epsilon(x: np.ndarray) -> float:
    return float(np.finfo(x.dtype).eps)


def assert_close(result: np.ndarray, expected: np.ndarray, ulp: float, floor: float = 0.0) -> None:
    """Raise where the difference is more than some ulp, and more than some times the smallest normal number."""
    info = np.finfo(result.dtype)
    np.testing.assert_allclose(result, expected, rtol=ulp * float(info.eps), atol=floor + 4 * float(info.tiny))


@few
@given(logits(), st.sampled_from([0.0, 0.1, 1.0, 3.0, np.inf]))
def test_probabilities_are_from_0_to_1_and_sum_to_1(x: np.ndarray, temperature: float) -> None:
    p = softmax(x, temperature=temperature)
    assert ((p >= 0) & (p <= 1 + 4 * epsilon(x))).all()
    np.testing.assert_allclose(p.sum(axis=-1, dtype=np.float64), 1, rtol=0, atol=5 * epsilon(x))


@few
@given(logits(500), st.integers(-500, 500))
def test_a_shift_changes_nothing_but_the_sum(x: np.ndarray, shift: int) -> None:
    x = np.round(x * 64) / 64  # so that the shift is exact
    shifted = x + x.dtype.type(shift)
    assert_close(softmax(shifted), softmax(x), 8)
    # Both are within 2 ulp of the same number.
    assert_close(log_softmax(shifted), log_softmax(x), 4)
    size = np.maximum(np.abs(x).max(), abs(shift)) + 10
    assert_close(logsumexp(shifted), logsumexp(x) + x.dtype.type(shift), 2, floor=4 * epsilon(x) * float(size))


@few
@given(logits(), st.sampled_from([0.0, 0.3, 1.0, 20.0, np.inf]))
def test_the_order_is_preserved(x: np.ndarray, temperature: float) -> None:
    order = np.argsort(x, axis=-1)
    equal = np.diff(np.take_along_axis(x, order, -1), axis=-1) == 0
    for result in (softmax(x, temperature=temperature), log_softmax(x, temperature=temperature)):
        steps = np.take_along_axis(result, order, -1)
        later, earlier = steps[:, 1:], steps[:, :-1]
        # The exponential is rounded: of two logits an ulp apart the larger may get an ulp less.
        assert (later >= earlier - 4 * np.spacing(np.abs(np.where(np.isinf(earlier), 0, earlier)))).all()
        assert (later == earlier)[equal].all()


@few
@given(logits(), st.randoms(use_true_random=False))
def test_a_permutation_permutes_the_result(x: np.ndarray, random: Any) -> None:
    order = np.array(random.sample(range(x.shape[1]), x.shape[1]))
    # Not to the bit: an element's place decides to which partial sum it goes.
    assert_close(softmax(x[:, order]), softmax(x)[:, order], 8)
    assert_close(log_softmax(x[:, order]), log_softmax(x)[:, order], 4)
    assert_close(logsumexp(x[:, order]), logsumexp(x), 2, floor=2 * epsilon(x))
    rows = np.array(random.sample(range(len(x)), len(x)))
    assert_same_bits(softmax(x[rows]), softmax(x)[rows])


@few
@given(logits(80), st.sampled_from([0.5, 1.0, 7.0]))
def test_the_exponential_of_log_softmax_is_softmax(x: np.ndarray, temperature: float) -> None:
    logs = log_softmax(x, temperature=temperature)
    # An ulp of the logarithm is as many of its exponential as the logarithm is large.
    ulp = 8 + 2 * float(np.abs(logs).max())
    assert_close(np.exp(logs.astype(np.float64)).astype(x.dtype), softmax(x, temperature=temperature), ulp)
    if temperature == 1:
        size = float(np.abs(x).max()) + 5
        np.testing.assert_allclose(x - logsumexp(x, keepdims=True), logs, rtol=0, atol=4 * size * epsilon(x))


@few
@given(logits(50))
def test_temperatures_go_to_their_limits(x: np.ndarray) -> None:
    x = np.round(x)
    for function in (softmax, log_softmax):
        cold, hot = function(x, temperature=1e-4), function(x, temperature=1e12)
        coldest, hottest = function(x, temperature=0.0), function(x, temperature=np.inf)
        attained = np.isfinite(coldest) & (coldest != 0)
        assert_close(cold[attained], coldest[attained], 8)
        assert (cold[~attained] < (1e-30 if function is softmax else 0) + np.exp(-700)).all()
        np.testing.assert_allclose(hot, hottest, rtol=1e-6)
        assert_close(function(x, temperature=1e300), hottest, 8)
        each = np.where(np.arange(len(x)) % 2, 0.0, np.inf)[:, None]
        assert_same_bits(function(x, temperature=each), np.where(each == 0, coldest, hottest))


@few
@given(masked_logits(), st.sampled_from([0.0, 0.7, 1.0, np.inf]))
def test_masking_is_deleting(masked: tuple[np.ndarray, np.ndarray], temperature: float) -> None:
    x, where = masked
    p, logs = (function(x, where=where, temperature=temperature) for function in (softmax, log_softmax))
    sums = logsumexp(x, where=where)
    assert (p[~where] == 0).all()
    assert (logs[~where] == -np.inf).all()
    # Not to the bit: deletion moves the elements behind to other partial sums.
    for k, (row, kept) in enumerate(zip(x, where, strict=True)):
        assert_close(p[k, kept], softmax(row[kept], temperature=temperature), 8)
        assert_close(logs[k, kept], log_softmax(row[kept], temperature=temperature), 4)
        assert_close(sums[k], logsumexp(row[kept]), 2, floor=epsilon(x) * float(np.abs(row[kept]).max() + 1))


@few
@given(logits(), st.integers(-20, 20))
def test_weights_move_the_sum_by_their_logarithm(x: np.ndarray, octaves: int) -> None:
    weight = np.ldexp(x.dtype.type(1), octaves)
    floor = 2 * epsilon(x) * float(np.abs(x).max() + abs(octaves) + 1)
    assert_close(logsumexp(x, b=np.ones_like(x)), logsumexp(x), 2, floor=floor)
    moved = logsumexp(x) + x.dtype.type(octaves * np.log(2))
    assert_close(logsumexp(x, b=np.full_like(x, weight)), moved, 2, floor=floor)
    log, sign = logsumexp(x, b=-weight, return_sign=True)
    assert (sign == -1).all()
    assert_same_bits(log, logsumexp(x, b=weight))


@few
@given(masked_logits())
def test_weights_of_zero_and_one_are_a_mask(masked: tuple[np.ndarray, np.ndarray]) -> None:
    x, where = masked
    weighted = logsumexp(x, b=where.astype(x.dtype))
    assert_close(weighted, logsumexp(x, where=where), 2, floor=2 * epsilon(x) * float(np.abs(x).max() + 1))
    assert_same_bits(weighted, logsumexp(x, b=x.dtype.type(1), where=where))


@few
@given(logits(), st.data())
def test_a_row_has_its_own_temperature(x: np.ndarray, data: Any) -> None:
    choice = st.sampled_from([0.0, 1e-30, 0.2, 1.0, 5.0, 1e20, np.inf])
    each = np.array([data.draw(choice) for _ in x])
    for function in (softmax, log_softmax):
        whole = function(x, temperature=each[:, None])
        for row, tau, result in zip(x, each, whole, strict=True):
            assert_same_bits(result, function(row, temperature=tau))

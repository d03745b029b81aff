"""Direct calls with labels: which they are, and that they give what the full path gives."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from softmaxjit import _direct_labelled, cross_entropy, cross_entropy_and_grad
from softmaxjit._plan import PARALLEL_ELEMENTS

from .exact import assert_same_bits
from .test_activations import read_only, sample, unaligned

REDUCTIONS = ("mean", "sum", "none")
LABELS = np.array([3, 0, 9, 9, 2])


def f32(*shape: int) -> np.ndarray:
    return sample(shape, np.float32)


def case(name: str, *, direct: bool, **changes: Any) -> Any:
    """Return how a call differs from a plain one, and whether it is direct."""
    return pytest.param(changes, direct, id=name)


CASES = [
    case("plain", direct=True),
    case("float64", direct=True, logits=sample((5, 10), np.float64)),
    case("the last axis by number", direct=True, axis=1),
    case("a temperature", direct=True, temperature=0.5),
    case("a temperature that is an integer", direct=True, temperature=2),
    case("threads", direct=True, threads=2),
    case("more dimensions", direct=True, logits=f32(5, 2, 10), labels=np.stack([LABELS, LABELS[::-1]], 1)),
    case("read-only", direct=True, logits=read_only(f32(5, 10)), labels=read_only(LABELS.copy())),
    case("one row", direct=True, logits=f32(10), labels=np.array(3)),
    case("many classes", direct=True, logits=f32(8, 300), labels=np.arange(8) * 37),
    case("a list", direct=False, logits=f32(5, 10).tolist()),
    case("labels in a list", direct=False, labels=LABELS.tolist()),
    case("labels of 32 bits", direct=False, labels=LABELS.astype(np.int32)),
    case("unsigned labels", direct=False, labels=LABELS.astype(np.uint64)),
    case("labels with gaps", direct=False, labels=np.repeat(LABELS, 2)[::2]),
    case("probabilities", direct=False, labels=np.full((5, 10), 0.1, np.float32)),
    case("float16", direct=False, logits=f32(5, 10).astype(np.float16)),
    case("bfloat16", direct=False, logits=f32(5, 10).astype(ml_dtypes.bfloat16)),
    case("swapped bytes", direct=False, logits=f32(5, 10).astype(">f4")),
    case("integers", direct=False, logits=np.arange(50).reshape(5, 10)),
    case("another axis", direct=False, logits=f32(10, 5), axis=0),
    case("Fortran's order", direct=False, logits=np.asfortranarray(f32(5, 10))),
    case("unaligned", direct=False, logits=unaligned(f32(5, 10))),
    case("temperatures", direct=False, temperature=np.full((5, 1), 0.5)),
    case("a temperature out of range", direct=False, temperature=1e-20),
    case("weights", direct=False, weight=np.ones(10)),
    case("an ignored label", direct=False, ignore_index=9),
    case("smoothing", direct=False, label_smoothing=0.1),
    case("smoothing by an integer", direct=False, label_smoothing=0),
    case("as many elements as go to several threads", direct=False, logits=f32(PARALLEL_ELEMENTS // 10 + 1, 10)),
]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return the list of what is said of calls from now on, whether they are plain."""
    found: list[bool] = []
    are_plain = _direct_labelled.are_plain

    def noting(*given: Any) -> bool:
        found.append(are_plain(*given))
        return found[-1]

    monkeypatch.setattr(_direct_labelled, "are_plain", noting)
    return found


def both_ways(call: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Return the result of a call, and that of the full path."""
    result = call()
    with monkeypatch.context() as context:
        context.setattr(_direct_labelled, "are_plain", lambda *_: False)
        return result, call()


def assert_same(result: Any, expected: Any) -> None:
    assert type(result) is type(expected)
    assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
    assert_same_bits(np.asarray(result, np.float64), np.asarray(expected, np.float64))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("changes", "direct"), CASES)
def test_direct_calls_give_what_the_full_path_gives(
    changes: dict[str, Any], direct: bool, reduction: str, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"logits": f32(5, 10), "labels": LABELS, "reduction": reduction, **changes}
    if len(given["logits"]) > 100:
        given["labels"] = np.arange(len(given["logits"])) % 10
    assert_same(*both_ways(lambda: cross_entropy(**given), monkeypatch))
    for result, expected in zip(*both_ways(lambda: cross_entropy_and_grad(**given), monkeypatch), strict=True):
        assert_same(result, expected)
    assert taken == [direct, direct]


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_gradient_goes_where_it_is_wanted(reduction: str, taken: list[bool]) -> None:
    x = f32(5, 10)
    _, expected = cross_entropy_and_grad(x, LABELS, reduction=reduction)
    whole = np.empty((5, 20), np.float32)
    for out in (np.empty_like(x), whole[:, ::2], x.copy()):
        _, grad = cross_entropy_and_grad(x, LABELS, reduction=reduction, out=out)
        assert grad is out
        assert_same_bits(grad, expected)
    _, grad = cross_entropy_and_grad(x, LABELS, reduction=reduction, out=x)
    assert grad is x
    assert_same_bits(x, expected)
    assert all(taken)


@pytest.mark.parametrize("function", [cross_entropy, cross_entropy_and_grad])
@pytest.mark.parametrize("label", [-1, 10, -(2**63), 2**63 - 1])
def test_a_label_that_is_no_class_is_refused(function: Any, label: int, taken: list[bool]) -> None:
    labels = LABELS.copy()
    labels[3] = label
    with pytest.raises(ValueError, match=f"labels holds {label} at 3; accepted are classes from 0 to 9"):
        function(f32(5, 10), labels)
    assert taken == [False]


def test_labels_in_the_memory_of_the_gradient_are_read_before_it_is_written() -> None:
    memory = np.zeros(100, np.float64)
    out = memory[:50].reshape(5, 10)
    labels = memory[:5].view(np.int64)
    labels[...] = LABELS
    x = sample((5, 10), np.float64)
    expected = cross_entropy_and_grad(x, LABELS)[1]
    assert_same_bits(cross_entropy_and_grad(x, labels, out=out)[1], expected)


def test_a_sum_beyond_the_dtype_is_infinite_without_a_warning() -> None:
    x = np.zeros((5, 10), np.float32)
    x[:, 0] = np.finfo(np.float32).max
    assert cross_entropy(x, np.full(5, 1), reduction="sum") == np.inf
    assert cross_entropy(x, np.full(5, 1)) == np.finfo(np.float32).max


def test_weights_that_are_kept_cannot_be_written() -> None:
    assert not _direct_labelled.equal_weights(10, np.dtype(np.float32)).flags.writeable

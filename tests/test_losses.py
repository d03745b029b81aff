"""cross_entropy and cross_entropy_and_grad: against extended precision, PyTorch's results, and on wrong arguments."""

import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from softmaxjit import cross_entropy, cross_entropy_and_grad, log_softmax

from .children import run
from .oracles import DTYPES, families, longdouble_parts
from .test_activations import LAYOUTS, assert_same_bits

LENGTHS = (1, 2, 9, 16, 17, 65, 130, 1000, 5000)


def targets_of(labels: np.ndarray, n: int, weight: Any, smoothing: float) -> np.ndarray:
    """Return w_c q_c in extended precision."""
    q = np.eye(n, dtype=np.longdouble)[labels] if labels.dtype.kind == "i" else labels.astype(np.longdouble)
    q = q * (1 - np.longdouble(smoothing)) + np.longdouble(smoothing) / n
    return q if weight is None else q * weight.astype(np.longdouble)


def exact(
    x: np.ndarray, labels: np.ndarray, weight: Any = None, smoothing: float = 0.0, temperature: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the loss of each row, its gradient, and the magnitude of the gradient's terms."""
    z, e, log = longdouble_parts(x, temperature)
    a = targets_of(labels, x.shape[1], weight, smoothing)
    mass = a.sum(axis=1, keepdims=True)
    loss = (np.where(a == 0, 0, -a * z)).sum(axis=1) + (mass * log)[:, 0]
    p = e / e.sum(axis=1, keepdims=True)
    others = e.copy()
    np.put_along_axis(others, z.argmax(axis=1, keepdims=True), 0, axis=1)
    minus_others = -(others.sum(axis=1, keepdims=True) / e.sum(axis=1, keepdims=True))
    grad = p * mass - a
    if labels.dtype.kind == "i" and not smoothing:
        # 1 - p of a confident row has lost in extended precision what ours keeps.
        sure = (z == 0) & (a != 0) & (minus_others > -0.5)
        grad = np.where(sure, minus_others * a, grad)
        scale = np.where(sure, np.abs(grad), p * mass + a)
    else:
        scale = p * mass + a
    return loss, grad / temperature, scale / temperature


def cases(n: int, dtype: Any) -> Any:
    rng = np.random.default_rng(n)
    for name, x in families(n, dtype, 6):
        top = x.argmax(axis=1)
        labels = np.where(np.arange(6) % 2, top, rng.integers(n, size=6))
        yield name, x, labels


def ulp(value: np.ndarray, dtype: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.spacing(np.maximum(np.abs(value), np.finfo(dtype).tiny).astype(dtype)).astype(np.longdouble)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_of_classes_are_within_2_ulp_and_gradients_within_4_of_their_terms(dtype: Any, n: int) -> None:
    for name, x, labels in cases(n, dtype):
        for temperature in (1.0, 0.37):
            with np.errstate(over="ignore"):
                loss, grad, scale = exact(x, labels, temperature=temperature)
                inside = np.abs(loss) < np.finfo(dtype).max
            result = cross_entropy(x, labels, reduction="none", temperature=temperature)
            assert result.dtype == dtype
            assert (np.abs(result - loss)[inside] <= 2 * ulp(loss[inside], dtype)).all(), (name, temperature)
            fused, ours = cross_entropy_and_grad(x, labels, reduction="none", temperature=temperature)
            slack = np.finfo(dtype).tiny  # below which there is no accuracy to be had
            assert (np.abs(fused - loss)[inside] <= 2.5 * ulp(loss[inside], dtype) + slack).all(), (name, temperature)
            assert (np.abs(ours - grad) <= 4 * ulp(scale, dtype) + 4 * np.finfo(dtype).tiny).all(), (name, temperature)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_smoothing_and_probabilities_stay_within_4_ulp(dtype: Any, soft: bool) -> None:
    for n in (1, 9, 17, 65, 1000):
        rng = np.random.default_rng(n)
        weight = rng.uniform(0, 2, n).astype(dtype)
        weight[rng.integers(n)] = 0.5
        for name, x, classes in cases(n, dtype):
            labels = rng.dirichlet(np.ones(n), len(x)).astype(dtype) if soft else classes
            for smoothing in (0.0, 0.125):
                with np.errstate(over="ignore"):
                    loss, grad, scale = exact(x, labels, weight, smoothing)
                inside = np.abs(loss) < np.finfo(dtype).max
                arguments = {"weight": weight, "label_smoothing": smoothing, "reduction": "none"}
                result = cross_entropy(x, labels, **arguments)
                assert (np.abs(result - loss)[inside] <= 4 * ulp(loss[inside], dtype)).all(), (name, smoothing)
                _, ours = cross_entropy_and_grad(x, labels, **arguments)
                slack = 4 * np.finfo(dtype).tiny
                assert (np.abs(ours - grad) <= 6 * ulp(scale, dtype) + slack).all(), (name, smoothing)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_confident_row_keeps_what_the_usual_way_loses(dtype: Any) -> None:
    gap = 25 if dtype == np.float32 else 50
    x = np.array([[gap, 0, 0.5, -1]], dtype)
    loss, grad, _ = exact(x, np.array([0]))
    result, ours = cross_entropy_and_grad(x, [0])
    assert abs(result - loss[0]) <= 2 * ulp(loss, dtype)[0]
    assert (np.abs(ours - grad) <= 4 * ulp(grad, dtype)).all()
    shifted = x - x.max()
    usual = np.log(np.exp(shifted).sum()) - shifted[0, 0]
    assert usual == 0  # a textbook cross-entropy


# PyTorch 2.13.0 (CPU), torch.nn.functional.cross_entropy in float64: the mean, the sum, the mean's gradient in row 1.
X = np.array([[1.5, -0.25, 0.75, 2.0], [0.0, 3.0, -1.0, 0.5], [-2.0, 0.25, 0.25, 1.0], [4.0, -4.0, 0.0, 1.0]])
Y = np.array([3, 0, 2, 0])
W = np.array([1.0, 0.5, 2.0, 0.25])
Q = np.array([[0.1, 0.2, 0.3, 0.4], [1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.0, 0.5, 0.5, 0.0]])
TORCH = [
    (Y, {}, 1.3347227002824678, 5.338890801129871, (-0.2391784905817284, 0.00398101083742525)),
    (Y, {"weight": W}, 1.4729461522742127, 6.2600211471654035, (-0.22510916760633262, 0.0037468337293414117)),
    (Y, {"ignore_index": 0}, 1.0663838608710738, 2.1327677217421477, (0.0, 0.0)),
    (
        Y,
        {"weight": W, "label_smoothing": 0.1},
        1.5570241282481856,
        6.617352545054789,
        (-0.20752576472055775, -0.008041289863819913),
    ),
    (
        Y,
        {"weight": W, "label_smoothing": 0.1, "ignore_index": 3},
        1.573384112905628,
        6.293536451622512,
        (-0.22049612501559263, -0.008543870480308658),
    ),
    (Q, {}, 3.1472227002824673, 12.58889080112987, (-0.2391784905817284, 0.00398101083742525)),
    (
        Q,
        {"weight": W, "label_smoothing": 0.2},
        3.039027484788345,
        12.15610993915338,
        (-0.20181375944945684, -0.021068751798042566),
    ),
]


@pytest.mark.parametrize(("labels", "arguments", "mean", "total", "row"), TORCH)
def test_agrees_with_pytorch(labels: Any, arguments: Any, mean: float, total: float, row: tuple[float, float]) -> None:
    assert cross_entropy(X, labels, **arguments) == pytest.approx(mean, rel=1e-14)
    assert cross_entropy(X, labels, reduction="sum", **arguments) == pytest.approx(total, rel=1e-14)
    loss, grad = cross_entropy_and_grad(X, labels, **arguments)
    assert loss == pytest.approx(mean, rel=1e-14)
    assert grad[1, [0, 2]] == pytest.approx(row, rel=1e-12)
    assert cross_entropy_and_grad(X, labels, reduction="sum", **arguments)[0] == pytest.approx(total, rel=1e-14)


def test_any_axis_and_any_integer_dtype() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5, 3))
    labels = rng.integers(5, size=(2, 3))
    each = -np.take_along_axis(log_softmax(x, 1), labels[:, np.newaxis], 1)[:, 0]
    for dtype in "bBhHiIlLqQ":
        result = cross_entropy(x, labels.astype(dtype), 1, reduction="none")
        np.testing.assert_allclose(result, each, rtol=1e-13)
    assert cross_entropy(x, labels.tolist(), -2) == pytest.approx(each.mean(), rel=1e-13)
    _, grad = cross_entropy_and_grad(x, labels, 1, reduction="none")
    moved, expected = np.moveaxis(x, 1, -1), np.moveaxis(grad, 1, -1)
    np.testing.assert_array_equal(cross_entropy_and_grad(moved, labels, reduction="none")[1], expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_do_not_change_a_bit(layout: str) -> None:
    x = np.random.default_rng(1).standard_normal((4, 5, 19)).astype(np.float32)
    labels = np.random.default_rng(2).integers(5, size=(4, 19))
    loss, grad = cross_entropy_and_grad(x, labels, 1)
    again, gradient = cross_entropy_and_grad(LAYOUTS[layout](x), labels, 1)
    assert_same_bits(again, loss)
    assert_same_bits(gradient, grad)
    if layout not in {"read-only", "byte-swapped"}:
        out = LAYOUTS[layout](x)
        _, gradient = cross_entropy_and_grad(out, labels, 1, out=out)
        assert gradient is out
        assert_same_bits(out, grad)


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_number_of_threads_gives_the_same_bits(dtype: Any) -> None:
    x = np.random.default_rng(0).standard_normal((700, 333)).astype(dtype) * 5
    labels = np.random.default_rng(1).integers(333, size=700)
    serial, grad = cross_entropy_and_grad(x, labels, threads=1)
    assert_same_bits(cross_entropy(x, labels, threads=2), cross_entropy(x, labels, threads=1))
    for threads in (None, 2):
        again, gradient = cross_entropy_and_grad(x, labels, threads=threads)
        assert_same_bits(again, serial)
        assert_same_bits(gradient, grad)


def test_float16_is_the_float32_result_rounded_once() -> None:
    x = np.random.default_rng(3).standard_normal((20, 19)).astype(np.float16)
    labels = np.random.default_rng(4).integers(19, size=20)
    for reduction in ("mean", "none"):
        wide = cross_entropy(x.astype(np.float32), labels, reduction=reduction)
        assert_same_bits(cross_entropy(x, labels, reduction=reduction), wide.astype(np.float16))
    loss, grad = cross_entropy_and_grad(x, labels)
    _, wide = cross_entropy_and_grad(x.astype(np.float32), labels)
    assert_same_bits(grad, wide.astype(np.float16))
    assert loss.dtype == np.float16


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=str)
def test_gradients_of_16_bits_are_those_of_float32_rounded_also_where_that_is_subnormal(
    dtype: Any, threads: int
) -> None:
    x = (6 * np.random.default_rng(5).standard_normal((300, 257))).astype(dtype)
    labels = np.random.default_rng(6).integers(257, size=300)
    _, wide = cross_entropy_and_grad(x.astype(np.float32), labels, threads=threads)
    expected = wide.astype(dtype)
    tiny = float(ml_dtypes.finfo(dtype).tiny)
    assert dtype != np.float16 or ((np.abs(wide) < tiny) & (expected != 0)).any()
    outs = [None, np.empty((300, 257), dtype), np.empty((257, 300), dtype).T, np.empty((600, 257), dtype)[::2]]
    for out in outs:
        _, grad = cross_entropy_and_grad(x, labels, out=out, threads=threads)
        assert out is None or grad is out
        assert_same_bits(grad.astype(np.float32), expected.astype(np.float32))
    in_place = x.copy()
    cross_entropy_and_grad(in_place, labels, out=in_place, threads=threads)
    assert_same_bits(in_place.astype(np.float32), expected.astype(np.float32))


def test_extended_precision_and_integers_go_through_the_plain_and_the_float64_path() -> None:
    loss, grad = cross_entropy_and_grad(X.astype(np.longdouble), Y, weight=W, label_smoothing=0.1)
    expected, gradient = cross_entropy_and_grad(X, Y, weight=W, label_smoothing=0.1)
    assert loss.dtype == grad.dtype == np.longdouble
    assert float(loss) == pytest.approx(float(expected), rel=1e-15)
    np.testing.assert_allclose(grad.astype(float), gradient, atol=1e-15)
    assert cross_entropy([[1, 2], [3, 4]], [0, 1]).dtype == np.float64


@pytest.mark.parametrize("temperature", [1e-20, 1e20, np.inf, [[1e-20], [0.5], [3.0], [np.inf]]])
def test_extreme_temperatures(temperature: Any) -> None:
    tau = np.broadcast_to(np.asarray(temperature, float), (4, 1))
    result, grad = cross_entropy_and_grad(X, Y, temperature=temperature, reduction="none")
    log_p = log_softmax(X, temperature=temperature)
    np.testing.assert_allclose(result, -log_p[np.arange(4), Y], rtol=1e-14)
    np.testing.assert_allclose(grad, (np.exp(log_p) - np.eye(4)[Y]) / tau, rtol=1e-12, atol=1e-300)


def test_nan_infinite_and_ignored_rows() -> None:
    x = np.array([[np.nan, 1.0], [np.inf, 0.0], [-np.inf, 0.0], [-np.inf, -np.inf], [0.0, -np.inf]])
    losses = cross_entropy(x, [0, 0, 0, 0, 0], reduction="none")
    assert np.isnan(losses[[0, 1, 3]]).all()
    assert losses[2] == np.inf
    assert losses[4] == 0
    assert cross_entropy(x, [7, 7, 1, 7, 0], ignore_index=7) == 0
    _, grad = cross_entropy_and_grad(x, [-100, -100, 1, -100, 0], ignore_index=-100)
    assert (grad == 0).all()
    assert np.isnan(cross_entropy_and_grad(x, [0, 0, 1, 0, 0], reduction="sum")[1][[0, 1, 3]]).all()
    probabilities = np.array([[0.5, 0.5], [0.0, 1.0]])
    assert cross_entropy([[0.0, -np.inf], [-np.inf, 1.0]], probabilities, reduction="none").tolist() == [np.inf, 0]


def test_nothing_to_average_is_nan_and_nothing_to_sum_is_0() -> None:
    empty, none = np.empty((0, 3), np.float32), np.empty(0, int)
    assert np.isnan(cross_entropy(empty, none))
    assert cross_entropy(empty, [], reduction="sum") == 0
    assert cross_entropy(empty, none, reduction="none").shape == (0,)
    assert np.isnan(cross_entropy(X, [9, 9, 9, 9], ignore_index=9))
    loss, grad = cross_entropy_and_grad(empty, none)
    assert np.isnan(loss)
    assert grad.shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nothing_is_raised_where_numpy_is_told_to_raise(dtype: Any) -> None:
    small, large = np.array([[0, -16], [0, -120], [0, -800]], dtype), np.array([[0, np.finfo(dtype).max]], dtype)
    with np.errstate(all="raise"):
        for reduction in ("mean", "sum", "none"):
            cross_entropy(small[1:], np.array([0, 0]), reduction=reduction)
            for x in (*small[:, np.newaxis], large):
                cross_entropy(x, np.array([0]), reduction=reduction)
                cross_entropy(x, [0], reduction=reduction)
                cross_entropy_and_grad(x, np.array([0]), reduction=reduction)
                cross_entropy_and_grad(x, [0], reduction=reduction, weight=[1e-3, 1.0], label_smoothing=0.9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 40])
@pytest.mark.parametrize("n", [2, 10, 40, 300])
def test_what_lies_in_the_memory_of_the_gradient_is_read_before_it_is_written(n: int, rows: int, dtype: Any) -> None:
    rng = np.random.default_rng(n)
    x = rng.standard_normal((rows, n)).astype(dtype)
    classes, probabilities = rng.integers(n, size=rows), rng.dirichlet(np.ones(n), rows).astype(dtype)
    weight, temperature = rng.uniform(0.5, 2, n).astype(dtype), rng.uniform(0.5, 2, (rows, 1))
    for name, given, labels in (
        ("labels", probabilities, probabilities),
        ("weight", weight, classes),
        ("temperature", temperature, classes),
    ):
        arguments = {"labels": labels, "weight": weight, "temperature": temperature, "label_smoothing": 0.1}
        expected = cross_entropy_and_grad(x, **arguments)
        memory = np.zeros(x.size * 8, np.uint8)
        inside = memory[: given.nbytes].view(given.dtype).reshape(given.shape)
        inside[...] = given
        out = memory[: x.nbytes].view(dtype).reshape(x.shape)
        loss, grad = cross_entropy_and_grad(x, **{**arguments, name: inside}, out=out)
        assert grad is out
        assert_same_bits(np.asarray(loss), np.asarray(expected[0]))
        assert_same_bits(grad, expected[1])


def test_a_mean_is_nan_where_no_label_has_weight() -> None:
    """As PyTorch has it, though with smoothing other classes add to the losses."""
    weight = [0.0, 1.0, 1.0, 0.0]
    for arguments in ({}, {"label_smoothing": 0.5}, {"ignore_index": 9}):
        labels = [0, 3, 0, 9 if "ignore_index" in arguments else 0]
        assert np.isnan(cross_entropy(X, labels, weight=weight, **arguments))
        loss, grad = cross_entropy_and_grad(X, labels, weight=weight, **arguments)
        assert np.isnan(loss)
        assert np.isnan(grad[:3]).all()


def test_a_mean_counts_rows_that_are_not_ignored() -> None:
    labels = np.array([9, 0, 2, 9])
    alone = cross_entropy(X[1:3], labels[1:3])
    assert cross_entropy(X, labels, ignore_index=9) == alone
    assert cross_entropy(X, labels, ignore_index=9, weight=np.ones(4)) == alone


def test_out_is_filled_and_returned() -> None:
    out = np.empty((), np.float64)
    assert cross_entropy(X, Y, out=out) is out
    assert out == cross_entropy(X, Y)
    each = np.empty(4)
    assert cross_entropy(X, Y, reduction="none", out=each) is each


WRONG = [
    ({"labels": [3, 0, 4, 0]}, ValueError, "labels holds 4 at 2; accepted are classes from 0 to 3"),
    ({"labels": [3, -1, 4, 0]}, ValueError, "labels holds -1 at 1; accepted are classes from 0 to 3"),
    ({"labels": np.array([2**64 - 1] * 4, np.uint64)}, ValueError, "labels holds 18446744073709551615 at 0"),
    ({"labels": [True] * 4}, TypeError, "labels has dtype bool; accepted are integers (classes) and floats"),
    ({"labels": ["a"] * 4}, TypeError, "labels has dtype <U1; accepted are integers"),
    (
        {"labels": [1, 2]},
        ValueError,
        "labels has shape (2,); accepted for logits of shape (4, 4) are integers",
    ),
    ({"labels": [0.5, 0.5]}, ValueError, "labels has dtype float64 and shape (2,); accepted are probabilities"),
    ({"labels": Q - 1}, ValueError, "labels holds -0.9 at (0, 0); accepted are probabilities, which are not negative"),
    (
        {"labels": Q, "ignore_index": 1},
        ValueError,
        "ignore_index is 1; accepted is None where labels",
    ),
    ({"ignore_index": 0.5}, TypeError, "ignore_index is 0.5; accepted are None and integers"),
    ({"weight": [1, 2]}, ValueError, "weight has shape (2,); accepted is (4,), one for each class"),
    ({"weight": [1, 2, -1, 0]}, ValueError, "weight holds -1 at 2; accepted are finite numbers from 0"),
    ({"logits": X[0], "labels": np.array(4)}, ValueError, "labels is 4; accepted are classes from 0 to 3"),
    (
        {"logits": np.array(1.0), "labels": np.array(0)},
        ValueError,
        "logits has shape (); accepted are arrays with an axis",
    ),
    (
        {"logits": X.astype(np.float32), "weight": [1, 2, 1e300, 0]},
        ValueError,
        "weight holds 1e+300 at 2; accepted are finite numbers of float32 from 0",
    ),
    ({"weight": [1, 2, np.nan, 0]}, ValueError, "weight holds nan at 2; accepted are finite numbers from 0"),
    ({"label_smoothing": 1.5}, ValueError, "label_smoothing is 1.5; accepted are numbers from 0 to 1"),
    ({"label_smoothing": "x"}, TypeError, "label_smoothing is 'x'; accepted are numbers from 0 to 1"),
    ({"reduction": "batch"}, ValueError, "reduction is 'batch'; accepted are 'mean', 'sum' and 'none'"),
    ({"temperature": 0}, ValueError, "temperature is 0; accepted are real numbers above 0, up to infinity"),
    ({"axis": (0, 1)}, TypeError, "axis is (0, 1); accepted is an integer, the axis of the classes"),
    ({"axis": 2}, np.exceptions.AxisError, "axis"),
    ({"threads": 0}, ValueError, "threads is 0; accepted are None and integers from 1"),
    ({"logits": np.float64(1)}, ValueError, "logits has shape (); accepted are arrays with an axis of the classes"),
    ({"logits": X.astype(complex)}, TypeError, "logits has dtype complex128; accepted are float16"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), WRONG)
def test_wrong_arguments_are_named_and_leave_out_alone(arguments: Any, error: Any, words: str) -> None:
    for function, out in ((cross_entropy, np.full((), 77.0)), (cross_entropy_and_grad, np.full((4, 4), 77.0))):
        with pytest.raises(error, match=re.escape(words)):
            function(**{"logits": X, "labels": Y, "out": out} | arguments)
        assert (out == 77).all()
    with pytest.raises(ValueError, match=re.escape("out has shape (3,) and dtype float64; the result has shape ()")):
        cross_entropy(X, Y, out=np.empty(3))


def test_without_compiling_the_values_are_the_same(tmp_path: Any) -> None:
    script = """
    import json
    import numpy as np
    from softmaxjit import cross_entropy_and_grad
    x = np.array([[1.5, -0.25, 0.75, 2.0], [0.0, 3.0, -1.0, 0.5]])
    loss, grad = cross_entropy_and_grad(x, [3, 0], label_smoothing=0.1, temperature=[[2.0], [0.5]])
    print(json.dumps([float(loss), grad.tolist()]))
    """
    loss, grad = run(script, tmp_path / "cache", NUMBA_DISABLE_JIT="1")
    expected, gradient = cross_entropy_and_grad(X[:2], Y[:2], label_smoothing=0.1, temperature=[[2.0], [0.5]])
    assert loss == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(grad, gradient, rtol=1e-12)

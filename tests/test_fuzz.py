"""Random calls against the oracle: a short run of ``python -m tests.fuzz``, and that it finds what is wrong."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import softmaxjit

from .fuzz import labelled, runners
from .fuzz.__main__ import LABELLED, State, failure_of, run
from .fuzz.calls import OPERATIONS, random_call

CALLS = 400

# Callers of these forms alone, as each takes seconds to compile.
FORMS = (runners.FORMS[1], runners.FORMS[7])
PARALLEL_FORMS = (runners.PARALLEL_FORMS[1],)


@pytest.fixture(autouse=True)
def _few_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "COMPILED", [runner for runner in runners.COMPILED if runner.form in FORMS])
    monkeypatch.setattr(runners, "PARALLEL", [runner for runner in runners.PARALLEL if runner.form in PARALLEL_FORMS])


def python_calls(seed: int, operation: str) -> list[int]:
    """Return the numbers of some calls from Python."""
    calls = {number: random_call(seed, number) for number in range(CALLS)}
    return [n for n, call in calls.items() if call.runner is runners.PYTHON and call.operation == operation]


def test_no_random_call_fails() -> None:
    assert run(0, CALLS, State(None, 0)) == []


def test_random_calls_are_of_every_kind() -> None:
    calls = [random_call(0, number) for number in range(CALLS)]
    kinds = Counter(f"{call.runner.name} {call.operation}" for call in calls)
    assert {f"python {operation}" for operation in OPERATIONS} <= set(kinds)
    assert {"njit softmax", "njit logsumexp", "parallel log_softmax"} <= set(kinds)
    x = [call.arguments["x"] for call in calls if isinstance(call.arguments.get("x"), np.ndarray)]
    assert {"float16", "bfloat16", "float32", "float64", "int64", np.dtype("g").name} <= {a.dtype.name for a in x}
    assert any(not a.dtype.isnative for a in x)
    assert any(not a.flags.aligned for a in x)
    assert any(stride < 0 for a in x for stride in a.strides)
    assert any(isinstance(a, np.ma.MaskedArray) for a in x)
    with_out = [call for call in calls if call.out is not None and isinstance(call.arguments.get("x"), np.ndarray)]
    assert any(np.shares_memory(call.out, call.arguments["x"]) for call in with_out)
    assert any(not np.shares_memory(call.out, call.arguments["x"]) for call in with_out)
    assert {error.__name__ for call in calls if (error := call.error)} == {"TypeError", "ValueError", "AxisError"}


def test_a_call_is_made_from_its_seed_and_number_alone() -> None:
    first, second = random_call(1, 5), random_call(1, 5)
    assert [memory.tobytes() for memory in first.memories] == [memory.tobytes() for memory in second.memories]
    assert re.sub("at [0-9]+", "", str(first)) == re.sub("at [0-9]+", "", str(second))
    assert str(first) != str(random_call(2, 5))


def times_too_much(function: Any, *args: Any, **keywords: Any) -> Any:
    result = function(*args, **keywords)
    return result * (1 + 16 * np.finfo(result.dtype).eps) if result.dtype in ("f4", "f8") else result


def beside_out(function: Any, *args: Any, **keywords: Any) -> Any:
    result = function(*args, **keywords)
    if keywords.get("out") is not None and keywords["out"].base is not None and keywords["out"].size:
        keywords["out"].base[-1] ^= 1
    return result


def into_x(function: Any, *args: Any, **keywords: Any) -> Any:
    x = keywords.get("x")
    result = function(*args, **keywords)
    if isinstance(x, np.ndarray) and x.flags.writeable and x.size and x.dtype == np.float64:
        x.flat[0] += 1
    return result


def of_neighbours(function: Any, *args: Any, **keywords: Any) -> Any:
    result = np.asarray(function(*args, **keywords))
    if result.ndim > 1 and result.dtype == np.float64:
        result = np.nextafter(result, np.inf)  # within the bounds, but not what a row has alone
    return result


def never_raising(function: Any, *args: Any, **keywords: Any) -> Any:
    try:
        return function(*args, **keywords)
    except ValueError:
        return None


@pytest.mark.parametrize("fault", [times_too_much, beside_out, into_x, of_neighbours, never_raising])
def test_what_is_wrong_is_found_and_reported_in_a_line_that_repeats_it(fault: Any, monkeypatch: Any) -> None:
    softmax = softmaxjit.softmax
    monkeypatch.setattr(softmaxjit, "softmax", lambda *args, **keywords: fault(softmax, *args, **keywords))
    failures = [failure for number in python_calls(3, "softmax") if (failure := failure_of(3, number))]
    assert failures
    for failure in failures:
        assert re.match(r"python -m tests\.fuzz --seed 3 --only \d+  # python: softmax\(", failure)
        assert "\n" not in failure


@pytest.mark.parametrize("operation", labelled.OPERATIONS)
def test_what_is_wrong_with_labels_is_found(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = labelled.FUNCTIONS[operation]

    def wrong(*args: Any, **keywords: Any) -> Any:
        result = right(*args, **keywords)
        if operation == "fit_temperature":
            return result._replace(temperature=result.temperature * 1.01 if 0 < result.temperature < np.inf else 1.0)
        with np.errstate(all="ignore"):
            return np.asarray(result * (1 + 16 * ml_dtypes.finfo(np.asarray(result).dtype).eps))[()] + 1e-11

    calls = {number: labelled.random_call(0, number) for number in range(LABELLED - 1, CALLS, LABELLED)}
    chosen = [number for number, call in calls.items() if call.operation == operation]
    assert chosen
    monkeypatch.setitem(labelled.FUNCTIONS, operation, wrong)
    failures = [failure for number in chosen if (failure := failure_of(0, number))]
    assert failures
    assert all(f"# {operation}(" in failure for failure in failures)


def test_a_run_goes_on_where_the_last_one_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(
        "tests.fuzz.__main__.failure_of", lambda _, number: made.append(number) or ("wrong" if number == 3 else None)
    )
    path = tmp_path / "state"
    run(7, 5, State(path, 7))
    run(7, 8, State(path, 7))
    assert made == list(range(8))
    assert json.loads(path.read_text()) == {"seed": 7, "next": 8, "failures": ["wrong"]}
    with pytest.raises(SystemExit, match="is of seed 7, not 8"):
        State(path, 8)


def test_a_call_that_ended_the_process_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "state"
    State(path, 0).begin(4)
    state = State(path, 0)
    assert state.content["next"] == 5
    assert state.content["failures"] == ["python -m tests.fuzz --seed 0 --only 4  # ended the process"]


def test_a_run_that_is_interrupted_makes_the_call_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_seed: int, _number: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tests.fuzz.__main__.failure_of", interrupted)
    path = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        run(0, 5, State(path, 0))
    assert json.loads(path.read_text()) == {"seed": 0, "next": 0, "failures": []}

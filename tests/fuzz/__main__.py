"""Make random calls, from where the last run stopped, and say of each that fails how to repeat it."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import calls, judge, labelled

CALLS = 200_000
LABELLED = 20  # one in so many calls is of what takes labels


def call_of(seed: int, number: int) -> tuple[Any, Callable[[Any], None]]:
    """Return a call, and what judges it."""
    if number % LABELLED == LABELLED - 1:
        return labelled.random_call(seed, number), labelled.judge
    return calls.random_call(seed, number), judge.judge


def failure_of(seed: int, number: int) -> str | None:
    """Return what is wrong with a call, None if nothing is."""
    call, judged = call_of(seed, number)
    described = str(call)
    try:
        judged(call)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        return f"python -m tests.fuzz --seed {seed} --only {number}  # {described}: {type(error).__name__}: {reason}"
    return None


class State:
    """How far the calls of a seed have come, in a file that says so whenever the process ends."""

    def __init__(self, path: Path | None, seed: int) -> None:
        self.path = path
        self.content: dict[str, Any] = {"seed": seed, "next": 0, "failures": []}
        if path is not None and path.exists():
            self.content = json.loads(path.read_text())
            if self.content["seed"] != seed:
                raise SystemExit(f"{path} is of seed {self.content['seed']}, not {seed}")
        if "running" in self.content:  # the last process did not outlive this call
            number = self.content["running"]
            self.finish(number, f"python -m tests.fuzz --seed {seed} --only {number}  # ended the process")

    def begin(self, number: int) -> None:
        """Note that a call is made."""
        self.content["running"] = number
        self._write()

    def finish(self, number: int, failure: str | None) -> None:
        """Note how a call went."""
        self.content.pop("running", None)
        self.content["next"] = number + 1
        if failure is not None:
            self.content["failures"].append(failure)
            print(failure, flush=True)

    def stop(self) -> None:
        """Note that the process ends, and not for a call's sake."""
        self.content.pop("running", None)
        self._write()

    def _write(self) -> None:
        if self.path is not None:
            beside = self.path.with_suffix(".new")
            beside.write_text(json.dumps(self.content, indent=1))
            beside.replace(self.path)


def run(seed: int, count: int, state: State) -> list[str]:
    """Make all calls that are left, and return the failures of these and of those before."""
    began, first = time.monotonic(), state.content["next"]
    try:
        for number in range(first, count):
            state.begin(number)
            state.finish(number, failure_of(seed, number))
            if (number + 1) % 5000 == 0:
                rate = (number + 1 - first) / (time.monotonic() - began)
                print(f"{number + 1} calls, {len(state.content['failures'])} failures, {rate:.0f} calls/s", flush=True)
    finally:
        state.stop()
    failures: list[str] = state.content["failures"]
    return failures


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS, help="how many in all, those of earlier runs included")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, help="a file to continue from, and to note progress and failures in")
    parser.add_argument("--only", type=int, help="make the call of this number alone")
    options = parser.parse_args()
    if options.only is not None:
        call, judged = call_of(options.seed, options.only)
        print(call)
        judged(call)
        return
    failures = run(options.seed, options.calls, State(options.state, options.seed))
    print(f"{options.calls} calls, {len(failures)} failures")
    raise SystemExit(bool(failures))


if __name__ == "__main__":
    main()

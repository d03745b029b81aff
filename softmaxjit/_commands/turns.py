"""Contenders in processes of their own, which take turns.

In one process the spinning thread pools of several runtimes would starve each other.  A ratio is taken within a round,
where both had the same machine.  All are started several times, since a process keeps a speed of its own: the medians
of eight starts of unchanged code lay 4 % apart, and one 10 % (float32, 1024 x 1000, one thread).

This module is also what a worker runs: ``python -m softmaxjit._commands.turns NAME SETTING``.
"""

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from .contenders import CONTENDERS, ROOF, check_copy, thread_environment
from .problem import Setting, check, problem_of
from .signals import interrupted_after

MODES = {"into": "with out=", "allocating": "allocating"}

# A sample is long against the clock's resolution and a turn is long against a time slice of the system.
SAMPLE_SECONDS = 0.5e-3
WARM_SECONDS = 0.02  # spinning threads of the previous contender fall asleep meanwhile
TURN_SECONDS = 0.06
SAMPLES = 5  # at least

START_LIMIT = 120.0  # seconds until a contender is imported, compiled and checked
TURN_LIMIT = 60.0

Turn = dict[str, float]  # "seconds" of a call, and how many "cores" were busy
Turns = dict[tuple[str, str], list[Turn]]  # of a contender and a mode


# One contender in its process.


def one_turn(call: Callable[[], Any]) -> Turn:
    """Return the median time of a call, and how many cores the process kept busy."""
    calls, start = 0, time.perf_counter()
    while (warm := time.perf_counter() - start) < WARM_SECONDS:
        call()
        calls += 1
    repeat = range(max(1, round(SAMPLE_SECONDS * calls / warm)))

    samples: list[float] = []
    start, cpu_start = time.perf_counter(), time.process_time()
    while len(samples) < SAMPLES or time.perf_counter() - start < TURN_SECONDS:
        sample_start = time.perf_counter()
        for _ in repeat:
            call()
        samples.append((time.perf_counter() - sample_start) / len(repeat))
    cores = (time.process_time() - cpu_start) / (time.perf_counter() - start)
    return {"seconds": statistics.median(samples), "cores": cores}


def checked_calls(name: str, setting: Setting) -> tuple[dict[str, Callable[[], Any]], float]:
    """Return the calls of a contender by mode, each of which has given a right result, and how far off these were."""
    problem = problem_of(setting)
    prepared = CONTENDERS[name].prepare(problem)
    calls = {mode: getattr(prepared, mode) for mode in MODES if getattr(prepared, mode) is not None}
    error = 0.0
    for call in calls.values():
        result = prepared.read(call())
        if name == ROOF:
            check_copy(result)
        else:
            error = max(error, check(problem, result))
    return calls, error


def work(name: str, setting: Setting) -> None:
    """Answer each line on stdin, the name of a mode, by a line on stdout; the end of the parent ends the loop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends its workers
    with os.fdopen(os.dup(1), "w", buffering=1) as replies, contextlib.suppress(BrokenPipeError):
        os.dup2(2, 1)  # whatever a library prints must not be taken for a reply
        try:
            calls, error = checked_calls(name, setting)
        except Exception as refusal:  # a library may refuse in any way
            reason = f"{type(refusal).__name__}: {refusal}".splitlines()[0]
            replies.write(json.dumps({"error": reason}) + "\n")
            return
        versions = {module: import_module(module).__version__ for module in CONTENDERS[name].modules}
        replies.write(json.dumps({"modes": list(calls), "versions": versions, "off": error}) + "\n")
        for line in sys.stdin:
            replies.write(json.dumps(one_turn(calls[line.strip()])) + "\n")


# The parent, which calls them up in turn.


class Worker:
    """A contender's process."""

    def __init__(self, name: str, setting: Setting) -> None:
        command = [sys.executable, "-P", "-m", __name__, name, json.dumps(setting)]
        environment = {**os.environ, **thread_environment(setting.threads)}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)  # it must import what this process would
        pipe = subprocess.PIPE
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  closed by close()
        self._process = subprocess.Popen(  # noqa: S603  this very interpreter
            command, stdin=pipe, stdout=pipe, stderr=self._complaints, text=True, env=environment
        )

    def description(self) -> dict[str, Any]:
        """Wait until it is ready; return its "modes", "versions" and how far it is "off", or what "error" it had."""
        return self._reply(START_LIMIT)

    def turn(self, mode: str) -> dict[str, Any]:
        """Let it measure a mode once; "error" in what is returned says why it did not."""
        with contextlib.suppress(BrokenPipeError):  # it has ended, as the missing reply will tell
            assert self._process.stdin is not None  # noqa: S101  for mypy
            self._process.stdin.write(mode + "\n")
            self._process.stdin.flush()
        return self._reply(TURN_LIMIT)

    def _reply(self, limit: float) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101  for mypy
        overdue = threading.Event()

        def end() -> None:
            overdue.set()
            self._process.kill()  # then the pipe ends and so does the waiting

        timer = threading.Timer(limit, end)
        timer.daemon = True
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if line.endswith("\n"):
            reply: dict[str, Any] = json.loads(line)
            return reply
        if overdue.is_set():
            return {"error": f"no answer within {limit:.0f} s"}
        self._complaints.seek(0)
        last = self._complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
        return {"error": f"its process ended with status {self._process.wait()}" + (f", {last}" if last else "")}

    def close(self) -> None:
        """End the process."""
        with interrupted_after():
            self._process.kill()
            with contextlib.suppress(BrokenPipeError):  # what it was last told may never have left
                self._process.communicate()
            self._complaints.close()


class Match:
    """The turns of several contenders in one setting.

    Attributes
    ----------
    turns : dict
        What was measured, in equally many rounds for all who are there.
    versions : dict
        Of the modules that took part.
    left_out : dict
        Why a contender is not there.
    off : dict
        How wrong a contender's results are, relative to what they should be, if it is more than usual.
    """

    def __init__(self, names: list[str], setting: Setting) -> None:
        self._names = list(names)
        self._setting = setting
        self.turns: Turns = {}
        self.versions: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self.off: dict[str, float] = {}

    def play(self, rounds: int) -> None:
        """Start the contenders, let them take turns, note what they measured, and end them.

        The order changes from round to round, so that nobody always comes after the same one.
        """
        with contextlib.ExitStack() as stack:
            workers: dict[str, Worker] = {}
            entrants: list[tuple[str, str]] = []
            for name in list(self._names):  # one after the other, so that none is disturbed while it warms up
                with interrupted_after():  # else a worker could be there that nobody ends
                    worker = workers[name] = Worker(name, self._setting)
                    stack.callback(worker.close)
                description = worker.description()
                if "error" in description:
                    self._leave_out(name, description["error"])
                else:
                    self.versions |= description["versions"]
                    if description["off"]:
                        self.off[name] = description["off"]
                    entrants += [(name, mode) for mode in description["modes"]]
            for _ in range(rounds):
                for k in np.random.default_rng().permutation(len(entrants)):
                    name, mode = entrants[k]
                    if name in self.left_out:
                        continue
                    turn = workers[name].turn(mode)
                    if "error" in turn:
                        self._leave_out(name, turn["error"])
                    else:
                        self.turns.setdefault((name, mode), []).append(turn)

    def _leave_out(self, name: str, reason: str) -> None:
        """Forget a contender, whose rounds would no longer be those of the others."""
        self._names.remove(name)
        self.left_out[name] = reason
        for mode in MODES:
            self.turns.pop((name, mode), None)


if __name__ == "__main__":
    operation, shape, axis, dtype, threads = json.loads(sys.argv[2])
    work(sys.argv[1], Setting(operation, tuple(shape), axis, dtype, threads))

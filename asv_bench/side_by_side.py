"""Throughput of softmaxjit and its peers on one shape, side by side.

    python asv_bench/side_by_side.py --shape 1024 1000 --threads 1

Each contender lives in a process of its own, and the processes take turns: in one process the spinning thread pools of
several runtimes would starve each other.  A ratio is taken within a round, where both had the same machine.  All are
started several times, since a process keeps a speed of its own: the medians of eight starts of unchanged code lay 4 %
apart, and one 10 % (float32, 1024 x 1000, one thread).
"""

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from contenders import CONTENDERS, OPERATIONS, Problem, check, thread_environment

OURS = "softmaxjit"
MODES = {"into": "with out=", "allocating": "allocating"}

# A sample is long against the clock's resolution and a turn is long against a time slice of the system.
SAMPLE_SECONDS = 0.5e-3
WARM_SECONDS = 0.02  # spinning threads of the previous contender fall asleep meanwhile
TURN_SECONDS = 0.06
SAMPLES = 5  # at least

START_LIMIT = 120.0  # seconds until a contender is imported, compiled and checked
TURN_LIMIT = 60.0


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Compare softmaxjit with its peers on one shape.")
    parser.add_argument("--op", choices=OPERATIONS, default="softmax", help="operation (default: %(default)s)")
    parser.add_argument("--shape", type=int, nargs="+", default=[1024, 1000], help="shape (default: 1024 1000)")
    parser.add_argument("--axis", type=int, default=-1, help="axis of one distribution (default: %(default)s)")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each contender (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=3, help="starts of each contender (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns after each start (default: %(default)s)")
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    return parser.parse_args()


# One contender in its process.


def one_turn(call: Callable[[], Any]) -> dict[str, float]:
    """Return the median time of a call, and how many cores the process kept busy."""
    calls, start = 0, time.perf_counter()
    while (warm := time.perf_counter() - start) < WARM_SECONDS:
        call()
        calls += 1
    repeat = range(max(1, round(SAMPLE_SECONDS * calls / warm)))

    samples = []
    start, cpu_start = time.perf_counter(), time.process_time()
    while len(samples) < SAMPLES or time.perf_counter() - start < TURN_SECONDS:
        sample_start = time.perf_counter()
        for _ in repeat:
            call()
        samples.append((time.perf_counter() - sample_start) / len(repeat))
    cores = (time.process_time() - cpu_start) / (time.perf_counter() - start)
    return {"seconds": statistics.median(samples), "cores": cores}


def work(options: argparse.Namespace) -> None:
    """Answer each line on stdin, the name of a mode, by a line on stdout; the end of the parent ends the loop."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not be taken for a reply
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends its workers
    contender = CONTENDERS[options.worker]
    x = np.random.default_rng(0).standard_normal(options.shape).astype(options.dtype) * 3
    problem = Problem(options.op, x, options.axis, options.threads)
    try:
        calls = contender.prepare(problem)._asdict()
        calls = {mode: call for mode, call in calls.items() if call is not None}
        for call in calls.values():
            check(problem, call())
    except Exception as error:
        replies.write(json.dumps({"error": f"{type(error).__name__}: {error}".splitlines()[0]}) + "\n")
        return
    versions = {module: import_module(module).__version__ for module in contender.modules}
    replies.write(json.dumps({"modes": list(calls), "versions": versions}) + "\n")
    with contextlib.suppress(BrokenPipeError):  # the parent was killed in the middle of a turn
        for line in sys.stdin:
            replies.write(json.dumps(one_turn(calls[line.strip()])) + "\n")


# The parent, which calls them up in turn.


class Worker:
    """A contender's process."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        command = [sys.executable, __file__, "--worker", name, "--op", options.op, "--dtype", options.dtype]
        command += ["--axis", str(options.axis), "--threads", str(options.threads), "--shape", *map(str, options.shape)]
        environment = {**os.environ, **thread_environment(options.threads)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        self.description = self._reply(START_LIMIT)

    def turn(self, mode: str) -> dict[str, float]:
        self.process.stdin.write(mode + "\n")
        self.process.stdin.flush()
        return self._reply(TURN_LIMIT)

    def _reply(self, limit: float) -> dict[str, Any]:
        timer = threading.Timer(limit, self.process.kill)  # then the pipe ends and so does the waiting
        timer.daemon = True
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        return json.loads(line) if line else {"error": f"ended, or gave no answer within {limit:.0f} s"}

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


Turns = dict[tuple[str, str], list[dict[str, float]]]  # of a contender and a mode


def installed() -> list[str]:
    """Return the contenders that can be imported, and say which cannot."""
    names = []
    for name, contender in CONTENDERS.items():
        missing = [module for module in contender.modules if importlib.util.find_spec(module) is None]
        if missing:
            print(f"  {contender.title}: not installed ({', '.join(missing)})")
        else:
            names.append(name)
    return names


def run_rounds(names: list[str], options: argparse.Namespace, turns: Turns) -> None:
    """Start the contenders, let them take turns, add what they measured to `turns`, and end them.

    The order changes from round to round, so that nobody always comes after the same one.
    """
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in list(names):  # one after the other, so that none is disturbed while it warms up
            worker = workers[name] = Worker(name, options)
            stack.callback(worker.close)
            if "error" in worker.description:
                print(f"  {CONTENDERS[name].title}: left out, {worker.description['error']}")
                names.remove(name)
            elif not any(turns.get((name, mode)) for mode in MODES):
                versions = ", ".join(" ".join(pair) for pair in worker.description["versions"].items())
                print(f"  {CONTENDERS[name].title}: {versions}")
        entrants = [(name, mode) for name in names for mode in workers[name].description["modes"]]
        for _ in range(options.rounds):
            for k in np.random.default_rng().permutation(len(entrants)):
                name, mode = entrants[k]
                turn = workers[name].turn(mode)
                if "error" in turn:
                    raise SystemExit(f"{CONTENDERS[name].title} {MODES[mode]}: {turn['error']}")
                turns.setdefault((name, mode), []).append(turn)


def print_table(mode: str, turns: Turns, size: int) -> None:
    """Print the speed of everyone who has a mode, and the ratio of softmaxjit to it."""
    print(
        f"\n{MODES[mode]:<16}{'µs a call':>12}{'1e9 elements/s':>18}{'min .. max':>22}{'cores':>8}{'softmaxjit is':>16}"
    )
    ours = turns.get((OURS, mode))
    for name, contender in CONTENDERS.items():
        theirs = turns.get((name, mode))
        if theirs is None:
            continue
        speeds = [size / turn["seconds"] / 1e9 for turn in theirs]
        seconds = statistics.median(turn["seconds"] for turn in theirs)
        cores = statistics.median(turn["cores"] for turn in theirs)
        ratio = ""
        if ours and len(ours) == len(theirs) and name != OURS:
            ratios = [their["seconds"] / our["seconds"] for our, their in zip(ours, theirs, strict=True)]
            ratio = f"{statistics.median(ratios):.2f} x"
        spread = f"{min(speeds):.3g} .. {max(speeds):.3g}"
        print(
            f"{contender.title:<16}{seconds * 1e6:>12.4g}{statistics.median(speeds):>18.3g}"
            f"{spread:>22}{cores:>8.1f}{ratio:>16}"
        )


def processor_name() -> str:
    """Return the model of the processor as the system names it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Be the parent or one of its workers."""
    options = arguments()
    if options.worker:
        work(options)
        return
    shape = tuple(options.shape)
    print(f"{options.op} of {shape} {options.dtype} along axis {options.axis}, {options.threads} thread(s)")
    print(f"{processor_name()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}")
    if hasattr(os, "getloadavg"):
        print(f"load before the start: {os.getloadavg()[0]:.1f} (others at work disturb most where all cores are used)")
    names, turns = installed(), Turns()
    for _ in range(options.starts):
        run_rounds(names, options, turns)
    for mode in MODES:
        print_table(mode, turns, int(np.prod(options.shape)))


if __name__ == "__main__":
    main()

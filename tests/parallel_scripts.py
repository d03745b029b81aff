"""What the scripts of tests of threads and forks begin with, and the threading layers under which these run."""

import sys
from pathlib import Path

# The package tbb has its library where the loader looks only if it is told to.
_TBB = Path(sys.prefix) / "lib" / "libtbb.so.12"

LAYERS = {
    "workqueue": {"NUMBA_THREADING_LAYER": "workqueue"},
    "omp": {"NUMBA_THREADING_LAYER": "omp"},
}
if _TBB.exists():
    LAYERS["tbb"] = {"NUMBA_THREADING_LAYER": "tbb", "LD_LIBRARY_PATH": str(_TBB.parent)}

# `x` is large enough for the layer and for the pool; `small` for neither.
HEADER = """
import asyncio, atexit, hashlib, json, os, sys, threading, time
import numba
import numpy as np
from numba import prange
from softmaxjit import log_softmax, logsumexp, softmax
x = np.random.default_rng(0).standard_normal((700, 400)).astype(np.float32) * 5
small = x[:3]

def launched():
    try:
        return numba.threading_layer()
    except ValueError:
        return None

def workers():
    return [thread for thread in threading.enumerate() if thread.name == "softmaxjit"]

def at_once(functions):
    # Return what functions called at the same time, in a thread each, returned.
    together, results = threading.Barrier(len(functions)), [None] * len(functions)

    def call(k):
        together.wait()
        results[k] = functions[k]()

    callers = [threading.Thread(target=call, args=(k,)) for k in range(len(functions))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return results

@numba.njit(parallel=True)
def users_own(x):
    total = 0.0
    for i in prange(x.size):
        total += x[i]
    return total
"""

# What a child says of its own result, in its exit status: 0 where it is right.
FORK = """
expected = softmax(x, threads=1)

def in_child(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def call():
    return int(not np.array_equal(softmax(x), expected))
"""


def dedented(script: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in script.splitlines())

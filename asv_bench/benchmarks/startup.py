"""What a process pays before its first result, each sample in an interpreter of its own."""

import numpy as np

import softmaxjit

FIRST_CALL = "softmaxjit.softmax(numpy.ones(10, numpy.float32))"
NEEDED_ANYWAY = "import numba, numpy"
EMPTY_CACHE = """
import os, tempfile
directory = tempfile.TemporaryDirectory()
os.environ["NUMBA_CACHE_DIR"] = directory.name
"""


class StartUp:
    number = 1  # a process imports and compiles once
    rounds = 1
    repeat = (3, 5, 5.0)  # at least, at most, seconds
    timeout = 300  # five cold starts on a busy machine

    def setup_cache(self) -> None:
        """Fill Numba's cache for the first call from a warm one."""
        softmaxjit.softmax(np.ones(10, np.float32))

    def timeraw_import(self) -> tuple[str, str]:
        """Time what importing costs over Numba and NumPy."""
        return "import softmaxjit", NEEDED_ANYWAY

    def timeraw_first_call_warm(self) -> str:
        """Time imports and the first result, its kernel in the cache; the interpreter itself takes 10 ms more."""
        return f"{NEEDED_ANYWAY}, softmaxjit; {FIRST_CALL}"

    def timeraw_first_call_cold(self) -> tuple[str, str]:
        """Time the same with an empty cache."""
        return f"{NEEDED_ANYWAY}, softmaxjit; {FIRST_CALL}", EMPTY_CACHE

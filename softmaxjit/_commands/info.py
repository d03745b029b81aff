"""``softmaxjit info``: what a bug report needs to say about where the library runs."""

import platform

import llvmlite
import numba
import numpy as np
from numba.core import config
from numba.core.registry import cpu_target

from .. import __version__, _jit, _threads
from .._cache import NoCache

VECTOR_FEATURES = ("sse4.2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512vl", "neon", "sve", "sve2")


def info() -> None:
    """Print one fact a line."""
    _, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    present = [feature for feature in VECTOR_FEATURES if f"+{feature}" in features.split(",")]
    facts = {
        "softmaxjit": __version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "Numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "CPU target": cpu,
        "Vector features": " ".join(present) or "none",
        "Vector width": f"{hardware_bits(present)} bits; the library counts in 512: 16 float32 or 8 float64 lanes",
        "Threads": str(config.NUMBA_NUM_THREADS),
        "Threading layer": threading_layer(),
        "Cache directory": cache_directory(),
    }
    for name, value in facts.items():
        print(f"{name + ':':<17}{value}")


def hardware_bits(features: list[str]) -> int:
    """Return the width of a vector register of the target."""
    if "avx512f" in features:
        return 512
    return 256 if "avx" in features else 128


def threading_layer() -> str:
    """Return the layer that Numba launched, or would, and what that means here."""
    layer = _threads.layer_name()
    if layer is None:
        return "none (large calls use threads of their own)"
    if _threads.layer_is_safe():
        return layer
    return f"{layer} (large calls use threads of their own: it allows one caller at a time)"


def cache_directory() -> str:
    """Return where compiled kernels are kept, or why they are not."""
    try:
        return _jit.cache_directory()
    except NoCache as reason:
        return f"off ({reason})"

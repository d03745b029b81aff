"""What Numba compiles for, which need not be this machine."""

import functools
from typing import Any

from numba.core.registry import cpu_target


def target_has(context: Any, feature: str) -> bool:
    """Whether the target has an x86 feature."""
    features = context.codegen().magic_tuple()[2].split(",")
    return f"+{feature}" in features


def target_is_x86(context: Any) -> bool:
    """Whether the target is x86."""
    return str(context.codegen().magic_tuple()[0]).startswith(("x86", "i386", "i686"))


@functools.cache
def vector_bytes() -> int:
    """Return how many bytes the target's vectors have: 64 with AVX-512, else 32, shorter ones going in pairs."""
    return 64 if target_has(cpu_target.target_context, "avx512f") else 32

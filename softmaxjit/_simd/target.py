"""What Numba compiles for, which need not be this machine."""

from typing import Any


def target_has(context: Any, feature: str) -> bool:
    """Whether the target has an x86 feature."""
    features = context.codegen().magic_tuple()[2].split(",")
    return f"+{feature}" in features


def target_is_x86(context: Any) -> bool:
    """Whether the target is x86."""
    return str(context.codegen().magic_tuple()[0]).startswith(("x86", "i386", "i686"))

"""What is compared and benchmarked, named once: operations, dtypes, shapes and peers.

It imports nothing of the package: ``asv_bench`` loads this file by its path, so that all commits are measured alike.
"""

import re
from typing import NamedTuple

OPERATIONS = ("softmax", "log_softmax", "logsumexp")
DTYPES = ("float32", "float64", "float16", "bfloat16")

# What users have, by what limits it; a shape with the axis of one distribution, as the command line takes it.
SHAPES = {
    "rows that caches hold": ("1024x1000", "8192x512", "32x128256", "1x1000", "1x128256"),
    "short rows": ("100000x10", "1000000x2", "300000x3", "65536x32"),
    "other axes": ("512x65536@0", "64x1000x49@1", "4x1000x1000@1"),
    "beyond the caches": ("65536x512", "4096x32000", "30000000"),
}


class Peer(NamedTuple):
    """A library that softmaxjit is compared with: what is printed, and what must be installed."""

    title: str
    modules: tuple[str, ...]


PEERS = {
    "onnxruntime": Peer("ONNX Runtime", ("onnxruntime", "onnx")),
    "torch": Peer("PyTorch", ("torch",)),
    "jax": Peer("JAX", ("jax",)),
    "scipy": Peer("SciPy", ("scipy",)),
    "numpy": Peer("NumPy textbook", ("numpy",)),
}


def shape_and_axis(text: str) -> tuple[tuple[int, ...], int]:
    """Return the shape and the axis that a text like 1024x1000 or 512x65536@0 names, or raise ValueError."""
    match = re.fullmatch(r"([0-9]{1,12}(?:x[0-9]{1,12}){0,31})(?:@(-?[0-9]{1,2}))?", text)
    shape = tuple(map(int, match[1].split("x"))) if match else ()
    axis = int(match[2] or -1) if match else -1
    if 0 in shape or not -len(shape) <= axis < len(shape):
        raise ValueError(f"{text!r}; accepted are positive lengths and an axis of theirs, as 512x65536@0")
    return shape, axis

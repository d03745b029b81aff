"""From what a user passes to what a kernel takes, and back; the only raiser of user errors.

A kernel sees rows: a flat, contiguous, native array of shape (outer, n, inner), where inner is 1 for most kernels.
"""

from .rows import Rows, reduced_rows, reordered, restored, restored_sign, same_shape_rows, two_operand_rows, widened
from .values import Axis, checked_threads, result_array

__all__ = [
    "Axis",
    "Rows",
    "checked_threads",
    "reduced_rows",
    "reordered",
    "restored",
    "restored_sign",
    "result_array",
    "same_shape_rows",
    "two_operand_rows",
    "widened",
]

"""From what a user passes to what a kernel takes, and back; the only raiser of user errors.

A kernel sees rows: a flat, contiguous, native array whose every n consecutive elements are one row.
"""

from .rows import Rows, reduced_rows, restored, restored_sign, same_shape_rows, two_operand_rows, widened
from .values import Axis, checked_threads

__all__ = [
    "Axis",
    "Rows",
    "checked_threads",
    "reduced_rows",
    "restored",
    "restored_sign",
    "same_shape_rows",
    "two_operand_rows",
    "widened",
]

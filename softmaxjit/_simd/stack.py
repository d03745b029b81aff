"""Memory on the stack, for what is better converted from memory than in registers: no allocation, no counted object.

It lasts as long as the call of the compiled function into which the one that asks for it is inlined, and there is as
much of it as there are copies of that one there: to be asked for once, and handed on.
"""

from typing import Any

from llvmlite import ir
from numba.core import types

from .._intrinsic import intrinsic
from .vector import VECTOR_BYTES, computed


@intrinsic(prefer_literal=True)
def stack_memory(typingctx, array, count):
    """Return the address of memory for so many numbers, a constant, as the elements of `array` are computed."""
    element = computed(array.dtype)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        size = ir.Constant(ir.IntType(64), count.literal_value)
        with builder.goto_entry_block():
            memory = builder.alloca(context.get_value_type(element), size)
        memory.align = VECTOR_BYTES
        return memory

    return types.CPointer(element)(array, count), generate

"""Asking for lines of memory before they are needed.  The address may be any: nothing is read or written."""

from typing import Any

from llvmlite import ir
from numba.core import types

from .._intrinsic import intrinsic
from .masked import parts_of
from .vector import INT32

_BYTES = ir.IntType(8).as_pointer()
_PREFETCH = ir.FunctionType(ir.VoidType(), [_BYTES, INT32, INT32, INT32])
_EVERY_LEVEL, _DATA = 3, 1


def _ask(context: Any, builder: Any, data_type: types.Type, args: Any, to_store: int) -> Any:
    elements, _ = parts_of(context, builder, data_type, args[0])
    address = builder.bitcast(builder.gep(elements, [args[1]]), _BYTES)
    function = builder.module.declare_intrinsic("llvm.prefetch.p0", fnty=_PREFETCH)
    builder.call(function, [address, INT32(to_store), INT32(_EVERY_LEVEL), INT32(_DATA)])
    return context.get_dummy_value()


@intrinsic
def prefetch(typingctx, data, index):
    """Ask for the line of the element at an index, to load it."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _ask(context, builder, data, args, 0)

    return types.void(data, types.intp), generate


@intrinsic
def prefetch_to_store(typingctx, data, index):
    """Ask for the line of the element at an index, to store it."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _ask(context, builder, data, args, 1)

    return types.void(data, types.intp), generate

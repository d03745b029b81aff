"""Elements with a mask: what kernels load is -inf where a byte of the mask is 0.  LLVM code for `memory`."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import models, register_model

from .vector import constant


class MaskedData(types.Type):
    """Type of the addresses of elements of type `dtype` and of their mask."""

    def __init__(self, dtype: types.Type) -> None:
        self.dtype = dtype
        super().__init__(name=f"MaskedData({dtype})")


@register_model(MaskedData)
class _MaskedDataModel(models.StructModel):
    def __init__(self, manager: Any, masked: MaskedData) -> None:
        members = [("data", types.CPointer(masked.dtype)), ("where", types.CPointer(types.boolean))]  # type: ignore[attr-defined]
        super().__init__(manager, masked, members)


def joined_parts(context: Any, builder: Any, masked: MaskedData, data: Any, where: Any) -> Any:
    """Return both addresses as one value."""
    parts = cgutils.create_struct_proxy(masked)(context, builder)
    parts.data, parts.where = data, where
    return parts._getvalue()


def parts_of(context: Any, builder: Any, data_type: types.Type, data: Any) -> tuple[Any, Any]:
    """Return the addresses of elements and of their mask, None where they have none."""
    if not isinstance(data_type, MaskedData):
        return data, None
    parts = cgutils.create_struct_proxy(data_type)(context, builder, value=data)
    return parts.data, parts.where


def mask_address(builder: Any, where: Any, index: Any, count: int) -> Any:
    """Return the address of so many bytes of a mask, as a vector."""
    address = builder.gep(where, [index])
    return builder.bitcast(address, ir.VectorType(address.type.pointee, count).as_pointer())


def unless_masked(builder: Any, kept: Any, value: Any) -> Any:
    """Return an element or a vector of them, -inf where the bytes `kept` are 0."""
    masked = builder.icmp_unsigned("==", kept, constant(kept.type, 0))
    return builder.select(masked, constant(value.type, float("-inf")), value)

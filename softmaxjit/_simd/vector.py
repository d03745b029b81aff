"""The vector type: 64 bytes of float32 or float64 lanes that behave like a small NumPy array inside compiled code.

The width is logical: 16 float32 or 8 float64 lanes on every target, which LLVM maps to one AVX-512 register, two
AVX2 registers or four NEON registers.  A result therefore never depends on the width of the hardware.

``+ - * /`` and comparisons work lane by lane; a float operand is broadcast.  A comparison gives a `Mask`.
"""

import operator
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typeconv import Conversion
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, lower_cast, models, register_model

from .._carriers import CARRIERS

VECTOR_BYTES = 64
INT32 = ir.IntType(32)


class Vector(types.Type):
    """Type of a vector of `lanes` floats, or integers that hold the bits of floats, of type `element`."""

    def __init__(self, element: types.Number, lanes: int) -> None:
        self.element = element
        self.lanes = lanes
        super().__init__(name=f"Vector({element}, {lanes})")

    def can_convert_from(self, typingctx: Any, other: types.Type) -> Any:
        """Let a number stand wherever a vector is expected."""
        return Conversion.safe if isinstance(other, types.Number) else None


class Mask(types.Type):
    """Type of a vector of `lanes` truth values."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"Mask({lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        element = manager.lookup(vector.element).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, mask: Mask) -> None:
        super().__init__(manager, mask, ir.VectorType(ir.IntType(1), mask.lanes))


_COMPUTED = {types.float32: types.float32, types.float64: types.float64}
_COMPUTED |= {numba.from_dtype(carrier): types.float32 for carrier in CARRIERS.values()}


def computed(element: types.Type) -> Any:
    """Return the float type in which elements of an array of Numba type `element` are computed."""
    return _COMPUTED[element]


def vector_of(element: types.Type) -> Vector:
    """Return the vector type in which elements of an array of Numba type `element` are computed."""
    lane = computed(element)
    return Vector(lane, VECTOR_BYTES * 8 // lane.bitwidth)


def widest(*operands: types.Type) -> types.Type:
    """Return the vector type among the operands, or the type of the first float."""
    return next((operand for operand in operands if isinstance(operand, Vector)), operands[0])


def element_of(operand: types.Type) -> Any:
    """Return the float type of a vector's lanes, or of a float itself."""
    return operand.element if isinstance(operand, Vector) else operand


def mask_of(operand: types.Type) -> types.Type:
    """Return the type of a comparison: a mask for vectors, a boolean for floats."""
    return Mask(operand.lanes) if isinstance(operand, Vector) else types.boolean


def constant(llvm_type: ir.Type, value: Any) -> ir.Constant:
    """Return an LLVM constant, the same in every lane where `llvm_type` is a vector."""
    if isinstance(llvm_type, ir.VectorType):
        return ir.Constant(llvm_type, [value] * llvm_type.count)
    return ir.Constant(llvm_type, value)


def broadcast(builder: Any, vector_type: ir.VectorType, value: Any) -> Any:
    """Return the LLVM vector with `value` in every lane."""
    undefined = ir.Constant(vector_type, ir.Undefined)
    first = builder.insert_element(undefined, value, INT32(0))
    return builder.shuffle_vector(first, undefined, constant(ir.VectorType(INT32, vector_type.count), 0))


def split(builder: Any, value: Any) -> tuple[Any, Any]:
    """Return the lower and the upper half of a vector's lanes."""
    count = value.type.count // 2
    order = ir.VectorType(INT32, count)
    low = builder.shuffle_vector(value, value, ir.Constant(order, list(range(count))))
    high = builder.shuffle_vector(value, value, ir.Constant(order, list(range(count, 2 * count))))
    return low, high


def concatenated(builder: Any, low: Any, high: Any) -> Any:
    """Return one vector with the lanes of two."""
    count = 2 * low.type.count
    return builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(INT32, count), list(range(count))))


def bits_type(llvm_type: ir.Type) -> ir.Type:
    """Return the integer type as wide as a float type, lane by lane."""
    if isinstance(llvm_type, ir.VectorType):
        return ir.VectorType(bits_type(llvm_type.element), llvm_type.count)
    return ir.IntType(32 if isinstance(llvm_type, ir.FloatType) else 64)


def suffix(llvm_type: ir.Type) -> str:
    """Return how LLVM spells the type in the name of an intrinsic: f64, v16f32, v16i32."""
    if isinstance(llvm_type, ir.VectorType):
        return f"v{llvm_type.count}{suffix(llvm_type.element)}"
    if isinstance(llvm_type, ir.IntType):
        return f"i{llvm_type.width}"
    return "f32" if isinstance(llvm_type, ir.FloatType) else "f64"


def call_llvm(builder: Any, name: str, result: ir.Type, args: Any) -> Any:
    """Call the LLVM intrinsic `name`, spelled out: llvmlite cannot derive names for vector types."""
    function_type = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), args)


@lower_cast(types.Number, Vector)
def _number_to_vector(context: Any, builder: Any, fromty: Any, toty: Any, value: Any) -> Any:
    value = context.cast(builder, value, fromty, toty.element)
    return broadcast(builder, context.get_value_type(toty), value)


def _define_operator(function: Callable[..., Any], result: Callable[[Vector], types.Type], emit: Any) -> None:
    @infer_global(function)
    class _Operator(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            vector = next((operand for operand in args if isinstance(operand, Vector)), None)
            if vector is None or len(args) != 2:
                return None
            return signature(result(vector), vector, vector)

    @lower_builtin(function, Vector, Vector)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit(builder, *args)


@infer_global(operator.neg)
class _Negation(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(*args, *args) if isinstance(args[0], Vector) else None


@lower_builtin(operator.neg, Vector)
def _lower_negation(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.fneg(args[0])


def _same(vector: Vector) -> Vector:
    return vector


_define_operator(operator.add, _same, lambda builder, x, y: builder.fadd(x, y))
_define_operator(operator.sub, _same, lambda builder, x, y: builder.fsub(x, y))
_define_operator(operator.mul, _same, lambda builder, x, y: builder.fmul(x, y))
_define_operator(operator.truediv, _same, lambda builder, x, y: builder.fdiv(x, y))
_define_operator(operator.lt, mask_of, lambda builder, x, y: builder.fcmp_ordered("<", x, y))
_define_operator(operator.le, mask_of, lambda builder, x, y: builder.fcmp_ordered("<=", x, y))
_define_operator(operator.gt, mask_of, lambda builder, x, y: builder.fcmp_ordered(">", x, y))
_define_operator(operator.ge, mask_of, lambda builder, x, y: builder.fcmp_ordered(">=", x, y))
_define_operator(operator.eq, mask_of, lambda builder, x, y: builder.fcmp_ordered("==", x, y))
_define_operator(operator.ne, mask_of, lambda builder, x, y: builder.fcmp_unordered("!=", x, y))

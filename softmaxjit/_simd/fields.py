"""Tuples whose fields are vectors, kept in memory with a field in each line."""

from typing import Any

from numba import types

from .._intrinsic import intrinsic
from .memory import indices, loaded, stored
from .vector import Vector


def _mapped(
    context: Any, builder: Any, kind: types.Type, value: Any, of_vector: Any, type_of_vector: Any = lambda kind: kind
) -> Any:
    """Return the value of a type with each vector in it, in order, replaced by what `of_vector` returns for it."""
    if isinstance(kind, Vector):
        return of_vector(value)
    if not isinstance(kind, types.BaseTuple):
        return value
    fields = [
        _mapped(context, builder, field, builder.extract_value(value, k), of_vector, type_of_vector)
        for k, field in enumerate(kind)
    ]
    return context.make_tuple(builder, _mapped_type(kind, type_of_vector), fields)


def _mapped_type(kind: types.Type, type_of_vector: Any) -> types.Type:
    """Return a type with each vector type in it replaced by what `type_of_vector` returns for it."""
    if isinstance(kind, Vector):
        return type_of_vector(kind)
    if not isinstance(kind, types.BaseTuple):
        return kind
    fields = [_mapped_type(field, type_of_vector) for field in kind]
    return types.BaseTuple.from_types(fields, getattr(kind, "instance_class", None))


@intrinsic
def store_fields(typingctx, array, index, stride, value):
    """Store the vectors in a tuple, and in tuples in it, `stride` elements apart; None has none."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, index, stride, fields = args
        lines = indices(builder, index, stride)

        def store(vector: Any) -> Any:
            stored(context, builder, array, data, next(lines), vector)
            return vector

        _mapped(context, builder, value, fields, store)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, value), generate


@intrinsic
def load_fields(typingctx, array, index, stride, like):
    """Return a tuple as it was stored, what is no vector as it is in `like`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, index, stride, fields = args
        lines = indices(builder, index, stride)
        return _mapped(
            context, builder, like, fields, lambda vector: loaded(context, builder, array, data, next(lines))
        )

    return like(array, types.intp, types.intp, like), generate


def _lane_type(vector: Vector) -> types.Type:
    return vector.element


@intrinsic
def load_lane(typingctx, array, index, stride, like, lane):
    """Return a tuple as it was stored, of each vector but one lane, what is no vector as it is in `like`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, index, stride, fields, lane = args
        places = indices(builder, builder.add(index, lane), stride)

        def load(vector: Any) -> Any:
            return builder.load(builder.gep(data, [next(places)]))

        return _mapped(context, builder, like, fields, load, _lane_type)

    return _mapped_type(like, _lane_type)(array, types.intp, types.intp, like, types.intp), generate

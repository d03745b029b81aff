"""Tuples whose fields are vectors, kept in memory with a field in each line."""

from collections.abc import Callable
from typing import Any

from numba import types

from .._intrinsic import intrinsic
from .memory import indices, loaded, stored
from .vector import Vector


def _vector(kind: Vector) -> types.Type:
    return kind


def _lane(kind: Vector) -> types.Type:
    return kind.element


def _mapped_type(kind: types.Type, replaced: Callable[[Vector], types.Type]) -> types.Type:
    """Return a type with each vector type in it replaced."""
    if isinstance(kind, Vector):
        return replaced(kind)
    if not isinstance(kind, types.BaseTuple):
        return kind
    fields = [_mapped_type(field, replaced) for field in kind]
    return types.BaseTuple.from_types(fields, getattr(kind, "instance_class", None))


def _mapped(context: Any, builder: Any, kind: types.Type, value: Any, of_vector: Any, replaced: Any = _vector) -> Any:
    """Return the value of a type with each vector in it, in order, replaced by what `of_vector` returns for it."""
    if isinstance(kind, Vector):
        return of_vector(value)
    if not isinstance(kind, types.BaseTuple):
        return value
    fields = [
        _mapped(context, builder, field, builder.extract_value(value, k), of_vector, replaced)
        for k, field in enumerate(kind)
    ]
    return context.make_tuple(builder, _mapped_type(kind, replaced), fields)


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


@intrinsic
def load_lane(typingctx, array, index, stride, like, lane):
    """Return a tuple as it was stored, of each vector but one lane, what is no vector as it is in `like`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, first, stride, fields, number = args
        places = indices(builder, builder.add(first, number), stride)

        def loaded_lane(vector: Any) -> Any:
            return builder.load(builder.gep(data, [next(places)]))

        return _mapped(context, builder, like, fields, loaded_lane, _lane)

    return _mapped_type(like, _lane)(array, types.intp, types.intp, like, types.intp), generate

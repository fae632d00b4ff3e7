"""What a handler takes: whether it is a coroutine, and which data it declares.

A handler with a parameter `data` gets the data of the request. If that has a type hint (a dataclass, a `TypedDict`, a
`msgspec.Struct`, `list[int]`, ...), the data is checked and converted; a mismatch is an error of the client's.
"""

import inspect
from functools import lru_cache
from typing import Any, NamedTuple, get_type_hints

import msgspec

from fairway.consumers.calls import is_coroutine_function
from fairway.rohrpost.registry import Handler

_MISSING: Any = object()


class WrongData(ValueError):
    """The data of a request has not the shape that its handler declares."""


class Shape(NamedTuple):
    """What is to be known of a handler before it is called."""

    is_coroutine: bool
    takes_data: bool = False
    has_default: bool = False
    type: Any = Any


def shape_of(handler: Handler) -> Shape:
    """Return the shape of a handler; each is looked at once."""
    try:
        return _shape_of(handler)
    except TypeError:  # it cannot be hashed
        return _shape_of.__wrapped__(handler)


def arguments_for(shape: Shape, request: dict[str, Any]) -> dict[str, Any]:
    """Return what a handler is called with beside `consumer`.

    Raises:
        WrongData: the data is not of the type that the handler declares; the text says where, and what it expected.
    """
    if not shape.takes_data:
        return {"request": request}
    data = request.get("data", _MISSING)
    if data is _MISSING:
        if shape.has_default:
            return {"request": request}
        data = None
    if shape.type is not Any:
        try:
            data = msgspec.convert(data, shape.type)
        except (msgspec.ValidationError, RecursionError) as error:
            raise WrongData(f"Invalid data: {error}") from None
    return {"request": request, "data": data}


@lru_cache(maxsize=1024)
def _shape_of(handler: Handler) -> Shape:
    is_coroutine = is_coroutine_function(handler)
    try:
        parameter = inspect.signature(handler).parameters.get("data")
    except ValueError:  # a callable that is not Python's
        parameter = None
    if parameter is None:
        return Shape(is_coroutine)
    hint = Any
    if parameter.annotation is not parameter.empty:
        described = handler if inspect.isroutine(handler) else type(handler).__call__
        hint = get_type_hints(described, include_extras=True)["data"]
    return Shape(is_coroutine, takes_data=True, has_default=parameter.default is not parameter.empty, type=hint)

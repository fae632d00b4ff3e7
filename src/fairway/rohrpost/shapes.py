"""Which data a handler takes.

A handler with a parameter `data` gets the data of the request. If that has a type hint (a dataclass, a `TypedDict`, a
`msgspec.Struct`, `list[int]`, ...), the data is checked and converted; a mismatch is an error of the client's.
"""

import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple, get_type_hints

import msgspec

_MISSING: Any = object()

TOLD = 300
"""Characters of a mismatch that are told: its description may repeat what the client sent."""


class WrongData(ValueError):
    """The data of a request has not the shape that its handler declares."""


class Shape(NamedTuple):
    """The parameter `data` of a handler."""

    has_default: bool
    type: Any


def arguments_for(handler: Callable[..., Any], request: dict[str, Any]) -> dict[str, Any]:
    """Return what a handler is called with beside `consumer`.

    Raises:
        WrongData: the data is not of the type that the handler declares; the text says where, and what it expected.
        NameError, TypeError: the handler's type hint cannot be understood.
    """
    shape = _shape_of(handler)
    if shape is None:
        return {"request": request}
    data = request.get("data", _MISSING)
    if data is _MISSING:
        if shape.has_default:
            return {"request": request}
        data = None
    return {"request": request, "data": _converted(data, shape)}


def checked(handler: Callable[..., Any], data: Any) -> Any:
    """Return data as the parameter `data` of a function declares it; as it is where that declares nothing.

    Raises: as `arguments_for`.
    """
    shape = _shape_of(handler)
    return data if shape is None else _converted(data, shape)


def _converted(data: Any, shape: Shape) -> Any:
    if shape.type is Any:
        return data
    try:
        return msgspec.convert(data, shape.type)
    except msgspec.ValidationError as error:
        raise WrongData(f"Invalid data: {error}"[:TOLD]) from None


def _shape_of(handler: Callable[..., Any]) -> Shape | None:
    try:
        return _known_shape_of(handler)
    except TypeError:  # it cannot be hashed
        return _known_shape_of.__wrapped__(handler)


@lru_cache(maxsize=1024)
def _known_shape_of(handler: Callable[..., Any]) -> Shape | None:
    try:
        parameter = inspect.signature(handler).parameters.get("data")
    except ValueError:  # a callable that is not Python's
        return None
    if parameter is None:
        return None
    hint = Any if parameter.annotation is parameter.empty else _resolved(parameter.annotation, handler)
    return Shape(parameter.default is not parameter.empty, hint)


def _resolved(annotation: Any, handler: Callable[..., Any]) -> Any:
    """Return what an annotation stands for, where it may be a text.

    It is looked at alone: those of the other parameters may name what is imported for type checkers only.
    """

    def stub() -> None: ...

    stub.__annotations__ = {"data": annotation}
    return get_type_hints(stub, _names_around(handler), include_extras=True)["data"]


def _names_around(handler: Callable[..., Any]) -> dict[str, Any]:
    """Return the global names of the module where a handler was written."""
    function: Any = handler
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__
    names: dict[str, Any] = getattr(inspect.unwrap(function), "__globals__", {})
    return names

"""Which handler takes which type of message."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Handler = Callable[..., Any]
Function = TypeVar("Function", bound=Handler)

HANDLERS: dict[str, Handler] = {}
"""Type of message -> what handles it; called with `consumer`, `request` and, where it has such a parameter, `data`."""


def rohrpost_handler(name: str | Sequence[str] = "") -> Callable[[Function], Function]:
    """Register a function, or a coroutine function, as the handler of a type of message.

    Parameters:
        name: the type, or several of them; the function's own name when there is none.

    Raises:
        TypeError: it stands above a function without its parentheses.
        ValueError: a type has a handler already. Then none of the names is registered.
    """
    if callable(name):
        msg = f"rohrpost_handler needs parentheses: write @rohrpost_handler() above {_place(name)}"
        raise TypeError(msg)

    def register(function: Function) -> Function:
        names = [name] if isinstance(name, str) else list(name)
        names = [one or function.__name__ for one in names] or [function.__name__]
        for one in names:
            if one in HANDLERS:
                msg = f'Handler for "{one}" is already defined: {_place(HANDLERS[one])}'
                raise ValueError(msg)
        HANDLERS.update(dict.fromkeys(names, function))
        return function

    return register


def _place(handler: Handler) -> str:
    return f"{getattr(handler, '__module__', '?')}.{getattr(handler, '__qualname__', handler)}"

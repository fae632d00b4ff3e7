"""Whether a consumer runs on a thread or on the event loop, asked before it is called."""

import inspect
from collections.abc import Awaitable, Callable
from functools import lru_cache, wraps
from types import MethodType
from typing import Any

from asgiref.sync import iscoroutinefunction

from fairway.message import Message

Consumer = Callable[..., Any]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def is_coroutine_consumer(consumer: Consumer, message: Message) -> bool:
    """Say whether calling a consumer with a message gives something to await.

    A class-based consumer is asked: each of its methods may be one or the other.
    """
    if isinstance(consumer, type):
        asks = getattr(consumer, "runs_as_coroutine", None)
        if asks is None:
            return False
        message.asked = consumer, bool(asks(message))
        return message.asked[1]
    return is_coroutine_function(consumer)


def is_coroutine_function(function: object) -> bool:
    """Say whether calling a function, or a callable object, gives something to await; each is looked at once."""
    try:
        return _looks_like_coroutine(function)
    except TypeError:  # it cannot be hashed
        return _looks_like_coroutine.__wrapped__(function)


def any_coroutine_function(functions: tuple[object, ...]) -> bool:
    """Say whether one of several functions is a coroutine function; each combination is looked at once."""
    try:
        return _one_looks_like_coroutine(functions)
    except TypeError:
        return _one_looks_like_coroutine.__wrapped__(functions)


async def resolve(result: Any) -> Any:
    """Return a value, or what comes of it when it is something to await."""
    return await result if inspect.isawaitable(result) else result


def as_coroutine_function(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Return a coroutine function for one that returns a value or something to await.

    Decorators look at the function they are given; a method of ours that hands on to an `async def` of the
    application's does not look like one.
    """

    @wraps(function)
    async def handler(*args: Any, **kwargs: Any) -> Any:
        return await resolve(function(*args, **kwargs))

    return handler


def decorated(
    method: Callable[..., Any], decorators: tuple[Decorator, ...], *, is_coroutine: bool
) -> Callable[..., Any]:
    """Return a method with decorators around it, innermost first.

    Parameters:
        is_coroutine: make a coroutine function of it where it is none.
    """
    if is_coroutine and not is_coroutine_function(getattr(method, "__func__", method)):
        method = as_coroutine_function(method)
    for decorator in decorators:
        method = decorator(method)
    return method


def decorated_once(
    method: Callable[..., Any], decorators: tuple[Decorator, ...], *, is_coroutine: bool
) -> Callable[..., Any]:
    """Do as `decorated` with decorators that may stand on a function with `self`: each function is decorated once.

    For the decorators of this project, which look for the message among the first two arguments.
    """
    if not (decorators or is_coroutine):
        return method
    if type(method) is not MethodType:  # somebody has put another callable there
        return decorated(method, decorators, is_coroutine=is_coroutine)
    return MethodType(_decorated_function(method.__func__, decorators, is_coroutine), method.__self__)


@lru_cache(maxsize=1024)
def _decorated_function(
    function: Callable[..., Any],
    decorators: tuple[Decorator, ...],
    is_coroutine: bool,  # noqa: FBT001  a keyword would make a dearer key
) -> Callable[..., Any]:
    return decorated(function, decorators, is_coroutine=is_coroutine)


@lru_cache(maxsize=1024)
def _looks_like_coroutine(function: object) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


@lru_cache(maxsize=1024)
def _one_looks_like_coroutine(functions: tuple[object, ...]) -> bool:
    return any(is_coroutine_function(function) for function in functions)

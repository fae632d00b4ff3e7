"""Whether a consumer runs on a thread or on the event loop, asked before it is called."""

import inspect
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from asgiref.sync import iscoroutinefunction

from fairway.channel import Message

Consumer = Callable[..., Any]


def is_coroutine_consumer(consumer: Consumer, message: Message) -> bool:
    """Say whether calling a consumer with a message gives something to await.

    A class-based consumer is asked: each of its methods may be one or the other.
    """
    if isinstance(consumer, type):
        asks = getattr(consumer, "runs_as_coroutine", None)
        return asks is not None and bool(asks(message))
    try:
        return _is_coroutine_function(consumer)
    except TypeError:  # it cannot be hashed
        return _is_coroutine_function.__wrapped__(consumer)


def as_coroutine_function(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Return a coroutine function for one that returns a value or something to await.

    Decorators look at the function they are given; a method of ours that hands on to an `async def` of the
    application's does not look like one.
    """

    async def handler(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    return handler


@lru_cache(maxsize=1024)
def _is_coroutine_function(consumer: Consumer) -> bool:
    return iscoroutinefunction(consumer) or iscoroutinefunction(getattr(consumer, "__call__", None))  # noqa: B004

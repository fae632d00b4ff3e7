"""How a decorator of consumers is made: steps before and after, once for functions and once for coroutines.

A decorator may consist of several steps, as `channel_session_user` does of a session and a user. They make one
wrapper, because a class-based consumer decorates its method anew for each message.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

from fairway.consumers.calls import is_coroutine_consumer, is_coroutine_function
from fairway.message import Message

Consumer = TypeVar("Consumer", bound=Callable[..., Any])


class Step:
    """One thing that a decorator does around a consumer. The four methods do nothing unless a subclass has its own.

    Steps hold nothing of a message: one instance serves all of them.
    """

    def enter(self, message: Message) -> None:
        """Before the consumer."""

    async def aenter(self, message: Message) -> None:
        """Do as `enter`."""

    def leave(self, message: Message, *, failed: bool) -> None:
        """After the consumer, in opposite order; `failed` says that it raised, or that another step did."""

    async def aleave(self, message: Message, *, failed: bool) -> None:
        """Do as `leave`."""


def around(consumer: Consumer, name: str, *steps: Step) -> Consumer:
    """Return the consumer with steps around it, entered in this order.

    Parameters:
        consumer: a function or method, `async def` or not; the message is among its first two positional arguments. A
            class-based consumer whose methods are functions will do.
        name: of the decorator, for the error when there is no message.

    Raises (the wrapped consumer):
        ValueError: it was called without a message.
        TypeError: it is a class, and the message is for an `async def` method of it.
    """
    if is_coroutine_function(consumer):
        return cast("Consumer", _coroutine_around(consumer, name, steps))
    inward, outward = [step.enter for step in steps], [step.leave for step in reversed(steps)]
    is_class = isinstance(consumer, type)

    @wraps(consumer, updated=() if is_class else ("__dict__",))
    def inner(*args: Any, **kwargs: Any) -> Any:
        message = message_in(args, name)
        if is_class and is_coroutine_consumer(consumer, message):
            # It would have to be awaited, and whoever calls it takes it for a function.
            msg = f"{name} around {consumer.__name__}, whose method for this message is async def: decorate the method"
            raise TypeError(msg)
        try:
            for enter in inward:
                enter(message)
            result = consumer(*args, **kwargs)
        except BaseException:
            for leave in outward:
                leave(message, failed=True)
            raise
        for leave in outward:
            leave(message, failed=False)
        return result

    return cast("Consumer", inner)


def _coroutine_around(
    consumer: Callable[..., Awaitable[Any]], name: str, steps: tuple[Step, ...]
) -> Callable[..., Awaitable[Any]]:
    inward, outward = [step.aenter for step in steps], [step.aleave for step in reversed(steps)]

    @wraps(consumer)
    async def inner(*args: Any, **kwargs: Any) -> Any:
        message = message_in(args, name)
        try:
            for enter in inward:
                await enter(message)
            result = await consumer(*args, **kwargs)
        except BaseException:
            for leave in outward:
                await leave(message, failed=True)
            raise
        for leave in outward:
            await leave(message, failed=False)
        return result

    return inner


def find_message(args: Sequence[Any]) -> Message | None:
    """Return the message among the first two positional arguments: of a function, or of a method with its `self`."""
    for argument in args[:2]:
        if isinstance(argument, Message):
            return argument
    return None


def message_in(args: tuple[Any, ...], name: str) -> Message:
    """Return what `find_message` finds.

    Raises:
        ValueError: there is none.
    """
    message = find_message(args)
    if message is not None:
        return message
    msg = f"{name} called without Message instance: a consumer takes the message as its first positional argument"
    raise ValueError(msg)

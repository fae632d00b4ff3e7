"""What the decorators of this room can stand on: a function, a method, and a class-based consumer."""

from collections.abc import Callable, Sequence
from typing import Any

from fairway.consumers import BaseConsumer
from fairway.message import Message
from fairway.sessions.around import find_message

Guard = Callable[[Callable[..., Any]], Callable[..., Any]]
"""A decorator for what handles a message."""


def message_of(args: Sequence[Any], decorator: str) -> Message:
    """Return the message that a call is about: a function's first argument, a method's second, or its consumer's.

    Raises:
        TypeError: there is none, so `decorator` stands on something that is no consumer.
    """
    message = find_message(args) or (getattr(args[0], "message", None) if args else None)
    if isinstance(message, Message):
        return message
    what = ", ".join(type(argument).__name__ for argument in args) or "nothing"
    msg = f"{decorator} stands on a consumer, or on a method of one, and was called without a message: with {what}"
    raise TypeError(msg)


def guard_class(cls: type[Any], guard: Guard, decorator: str) -> None:
    """Put a guard before all methods of a class-based consumer, and of its subclasses.

    Raises:
        TypeError: it is none.
    """
    if not issubclass(cls, BaseConsumer):
        msg = f"{decorator} on a class guards class-based consumers, and {cls.__qualname__} is no BaseConsumer"
        raise TypeError(msg)
    cls.guards = (*cls.guards, guard)

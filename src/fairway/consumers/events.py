"""Typed group messages: from `{"type": "chat.message", ...}` to the method `chat_message`.

A type may come from anywhere, even from a client, where an application hands on what it was sent. So it reaches only
methods that the application wrote for it: nothing private, and nothing that the consumers of this room have themselves.
"""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from fairway.message import Message

logger = logging.getLogger("fairway.consumers")

Class = TypeVar("Class", bound=type[Any])

_reserved = set(dir(object))


def reserve_names(cls: Class) -> Class:
    """Keep events from everything that `cls` has itself: a class decorator for the base classes of consumers."""
    _reserved.update(dir(cls))
    return cls


def handler_of(cls: type[Any], message: Message) -> Callable[..., Any] | None:
    """Return the function of a consumer class that handles the event in `message`, or None.

    It is looked up on the class, so that no property runs and no attribute of the moment is taken for a handler.
    """
    name = _method_name(message.content.get("event"))
    if name is None:
        return None
    found = getattr(cls, name, None)
    return found if callable(found) and not isinstance(found, type) else None


def bound_handler(consumer: Any, message: Message) -> Callable[..., Any] | None:
    """Return the method of a consumer that handles the event in `message`; warn and return None where there is none."""
    if handler_of(type(consumer), message) is not None:
        method: Callable[..., Any] = getattr(consumer, _method_name(message["event"]) or "")
        return method
    warn_unhandled(consumer, message)
    return None


def warn_unhandled(consumer: Any, message: Message) -> None:
    """Log that nobody handles the event in `message`."""
    event = message.content.get("event")
    kind = event.get("type") if isinstance(event, dict) else event
    name = _method_name(event)
    remedy = f"it has no method {name:.100}" if name else "no handler may have the name that this type stands for"
    logger.warning(
        "%s ignores the event %.100r on path %.200r: %s",
        type(consumer).__qualname__,
        kind,
        message.content.get("path"),
        remedy,
    )


def _method_name(event: object) -> str | None:
    """Return the name of the method for an event, or None where there may be none."""
    kind = event.get("type") if isinstance(event, dict) else None
    if not isinstance(kind, str) or kind.startswith("_") or "._" in kind:
        return None
    name = kind.replace(".", "_")
    return None if name.startswith("_") or name in _reserved else name

"""Answers to one client, and messages to a group of them."""

import secrets
from typing import Any, Protocol

from fairway.channel import Group
from fairway.rohrpost.encoder import TolerantJSONEncoder
from fairway.transactions import waits_for_commit

__all__ = [
    "MessageID",
    "TolerantJSONEncoder",
    "asend_to_group",
    "build_message",
    "send_error",
    "send_message",
    "send_success",
    "send_to_group",
]

MessageID = int | float | str | bytes

GENERATED_IDS = 1000
"""Ids that are made up are numbers from 1 to this."""

_encode = TolerantJSONEncoder().encode


class Sender(Protocol):
    """What a message can be sent by: a consumer, or anything with such a `send`."""

    def send(self, text: str, /) -> object:
        """Send a frame."""


def build_message(
    *,
    handler: str | None,
    message_id: MessageID | None = None,
    error: Any = None,
    generate_id: bool = False,
    data: Any = None,
) -> dict[str, Any]:
    """Return a message: `id`, `type`, `error` and `data`, each if there is one.

    Parameters:
        handler: the type.
        message_id: the id of the request that this answers. One that is 0 or "" is one, too.
        error: what went wrong.
        generate_id: make an id up where none is given.
        data: the payload; an empty one is left out.
    """
    message: dict[str, Any] = {}
    if message_id is not None:
        message["id"] = message_id
    elif generate_id:
        message["id"] = secrets.randbelow(GENERATED_IDS) + 1
    if handler:
        message["type"] = handler
    if error:
        message["error"] = error
    if data:
        message["data"] = data
    return message


def send_message(
    *, consumer: Sender, handler: str | None, message_id: MessageID | None = None, error: Any = None, data: Any = None
) -> None:
    """Send a message to the client of a consumer.

    Parameters: as for `build_message`.

    Raises:
        ValueError: there is nothing to send, or the data holds a number that JSON does not know.
        TypeError: the data holds something else that JSON does not know.
        MessageTooLarge: it is too large to be sent.
    """
    message = build_message(handler=handler, message_id=message_id, error=error, data=data)
    if not message:
        msg = "Cannot send an empty message: give it a handler, an id, an error or data"
        raise ValueError(msg)
    _send_message(consumer=consumer, content=message)


def send_success(*, consumer: Sender, handler: str, message_id: MessageID, data: Any = None) -> None:
    """Answer a request.

    Raises:
        ValueError: the id or the handler is None.
        ValueError, TypeError, MessageTooLarge: as `send_message`.
    """
    if message_id is None or handler is None:
        msg = "A successful answer needs an ID and handler"
        raise ValueError(msg)
    send_message(consumer=consumer, handler=handler, message_id=message_id, data=data)


def send_error(
    *, consumer: Sender, handler: str | None, message_id: MessageID | None, error: Any, data: Any = None
) -> None:
    """Answer a request that failed. Parameters and errors as for `send_message`."""
    send_message(consumer=consumer, handler=handler, message_id=message_id, error=error, data=data)


def send_to_group(group_name: str, message: str | dict[str, Any]) -> None:
    """Send a message to the client of each member of a group of the default layer.

    It leaves at once, also in a consumer; in a transaction of the default database, when that is committed, and never
    when it is rolled back.

    Parameters:
        group_name: the group.
        message: a text that is JSON already, or what is to be JSON.

    Raises:
        InvalidName, MessageTooLarge, LayerUnavailable: as `Group.send`.
        ValueError, TypeError: as `send_message`.
    """
    if waits_for_commit(on_commit=True, immediately=False):
        Group(group_name).send(_frame(message), on_commit=True)
    else:
        Group(group_name).send(_frame(message), immediately=True)


async def asend_to_group(group_name: str, message: str | dict[str, Any]) -> None:
    """Do as `send_to_group`, always at once: coroutines have no transactions."""
    await Group(group_name).asend(_frame(message), immediately=True)


def _frame(message: str | dict[str, Any]) -> dict[str, str]:
    return {"text": message if isinstance(message, str) else _encode(message)}


def _send_message(*, consumer: Sender, content: dict[str, Any]) -> None:
    consumer.send(_encode(content))

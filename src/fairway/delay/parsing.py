"""Requests to a delay server: the messages on `asgi.delay`, read and checked.

A request says what to send, where and when, or, with `cancel`, what not to send any more::

    {"channel": str, "content": dict, "delay": milliseconds}
    {"channel": str, "content": dict, "due": milliseconds since the epoch, "key": str, "sent": nanoseconds since it}
    {"channel": str, "key": str, "sent": nanoseconds since the epoch, "cancel": True}

Anybody may send one by hand, so each key is checked here, and a refusal names the key and its value. Keys that are not
known are let be. Time is a number that is passed in.
"""

from collections.abc import Mapping
from datetime import timedelta
from hashlib import blake2b
from typing import Any

from msgspec import Struct

from fairway.broker.effects import Delivery
from fairway.errors import InvalidMessage, InvalidName, MessageTooLarge, UsageError
from fairway.layers.codec import DEFAULT_LIMITS, decode_message, encode_message
from fairway.limits import MessageLimits
from fairway.names import check_channel, check_not_reserved
from fairway.scheduling import LONGEST_DELAY, check_key

_LONGEST = (LONGEST_DELAY + timedelta(days=1)) // timedelta(milliseconds=1)
"""A day more than whoever sends may say: their clock may be ahead of ours."""

_MOST = 2**63 - 1


class Request(Struct, frozen=True, kw_only=True):
    """What one message asks for. `body` is None where it takes back what was asked for under its key."""

    name: str
    """Names the request for good: 32 hexadecimal digits."""
    channel: str
    due: int = 0
    """Milliseconds since the epoch."""
    body: bytes | None = None
    reply_channel: str = ""
    key: str | None = None
    sent: int = 0
    """When it was sent, in nanoseconds since the epoch; 0 without a key."""


def name_of(message_id: str) -> str:
    """Return the name under which the message with that id is stored."""
    return blake2b(message_id.encode(), digest_size=16).hexdigest()


def parse_request(delivery: Delivery, now: int, limits: MessageLimits = DEFAULT_LIMITS) -> Request:
    """Return what a message asks for.

    Parameters:
        delivery: the message.
        now: milliseconds since the epoch.
        limits: what a message may be on its layer.

    Raises:
        InvalidMessage: it cannot be done; the text names the key, the value and what is wanted.
    """
    message = decode_message(delivery.body)
    name = name_of(delivery.envelope.id)
    channel = _channel(message)
    key = _key(message)
    sent = 0 if key is None else _whole(message, "sent", 1)
    if message.get("cancel"):
        if key is None:
            raise InvalidMessage("'cancel' needs the 'key' of what is to be cancelled", "key")
        return Request(name=name, channel=channel, key=key, sent=sent)
    due = _due(message, now)
    body, reply_channel = _content(message, limits)
    return Request(name=name, channel=channel, due=due, body=body, reply_channel=reply_channel, key=key, sent=sent)


def _channel(message: Mapping[str, Any]) -> str:
    try:
        return check_not_reserved(check_channel(_required(message, "channel")), "channel")
    except InvalidName as error:
        raise InvalidMessage(f"'channel': {error}", "channel") from None


def _key(message: Mapping[str, Any]) -> str | None:
    key = message.get("key")
    if key is None:
        return None
    try:
        return check_key(key)
    except UsageError as error:
        raise InvalidMessage(f"'key': {error}", "key") from None


def _due(message: Mapping[str, Any], now: int) -> int:
    """Return when a message is due: as it says, or its delay from now."""
    if message.get("due") is not None:
        due, key = _whole(message, "due", 1), "due"
    else:
        due, key = now + _whole(message, "delay", 1), "delay"
    if due > now + _LONGEST:
        raise _wrong(key, message[key], "less than ten years away; it is in milliseconds")
    return due


def _content(message: Mapping[str, Any], limits: MessageLimits) -> tuple[bytes, str]:
    """Return the message to be sent, encoded, and the connection that it is about."""
    content = _required(message, "content")
    if not isinstance(content, dict):
        raise _wrong("content", content, "a dict, the message to be sent")
    try:
        body = encode_message(content, limits)
    except (InvalidMessage, MessageTooLarge) as error:
        raise InvalidMessage(f"'content': {error}", "content") from None
    return body, reply_channel_of(content)


def reply_channel_of(content: Mapping[str, Any]) -> str:
    """Return the connection that a message names as its own; "" when it names none."""
    name = content.get("reply_channel")
    try:
        return check_channel(name) if name else ""
    except InvalidName:  # a key of the sender's own that happens to have this name
        return ""


def _required(message: Mapping[str, Any], key: str) -> Any:
    if key not in message:
        raise InvalidMessage(f"the key {key!r} is missing", key)
    return message[key]


def _whole(message: Mapping[str, Any], key: str, least: int) -> int:
    value = _required(message, key)
    if type(value) is not int or not least <= value <= _MOST:
        unit = "nanoseconds" if key == "sent" else "milliseconds"
        raise _wrong(key, value, f"a whole number of {unit}, {least} or more")
    return value


def _wrong(key: str, value: object, wanted: str) -> InvalidMessage:
    return InvalidMessage(f"{key!r} is {value!r:.80}; it must be {wanted}", key)

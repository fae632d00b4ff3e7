"""What is in a frame: requests and payloads become JSON, and what the server sends is told apart.

Pure: text goes in, values come out. Examples of both directions stand in `vectors/client.json`, which the tests of
each client read.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

from fairway.errors import BadFrame, InvalidMessage, MessageTooLarge, RequestFailed

ID_PREFIX = "#"
"""Ids are texts that no handler makes up by itself, so that nothing that comes unasked is taken for an answer."""

Kind = Literal["answer", "error", "push", "stream", "message"]


@dataclass(frozen=True, slots=True)
class Push:
    """A change that a group is told of."""

    type: str
    """`create`, `update` or `delete`."""

    group: str
    """The name by which the server knows the group."""

    object: Any


class Frame(NamedTuple):
    """What the server sent.

    `content` is the frame of an answer or a message; the `Push`; the payload of a stream's frame, with its `stream`;
    or the exception that an error becomes.
    """

    kind: Kind
    content: Any
    stream: str = ""


def read_frame(received: str | bytes) -> Frame:
    """Tell what the server has sent. Nonsense is an `error`, and nothing raises."""
    try:
        frame = msgspec.json.decode(received) if isinstance(received, str) else None
    except (ValueError, RecursionError):
        frame = None
    if not isinstance(frame, dict):
        return Frame("error", BadFrame(received))
    message_id = frame.get("id")
    if isinstance(message_id, str) and message_id.startswith(ID_PREFIX):
        return Frame("answer", frame)
    return _unasked(frame)


def _unasked(frame: dict[str, Any]) -> Frame:
    if frame.get("error") is not None:
        return Frame("error", RequestFailed(frame))
    if frame.get("type") == "subscription-update":
        data = frame.get("data")
        if not isinstance(data, dict) or not isinstance(data.get("group"), str):
            return Frame("error", BadFrame(frame))
        return Frame("push", Push(str(data.get("type", "")), data["group"], data.get("object")))
    stream = frame.get("stream")
    if isinstance(stream, str) and "payload" in frame:
        return Frame("stream", frame["payload"], stream)
    return Frame("message", frame)


def encode(value: Any, what: str, limit: int) -> bytes:
    """Make JSON of what is to be sent. It may hold what `msgspec` knows: dates, UUIDs, dataclasses and so on.

    Parameters:
        value: the data of a request, or a frame.
        what: what messages call it.
        limit: the most bytes.

    Raises:
        InvalidMessage: there is no JSON for it.
        MessageTooLarge: it has more bytes.
    """
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        msg = f"{what} cannot be sent as JSON: {error}"
        raise InvalidMessage(msg) from error
    if len(encoded) > limit:
        raise MessageTooLarge(f"{what} (the limit is max_message of ClientLimits)", len(encoded), limit)
    return encoded

"""What the server tells the workers, as it is encoded: one record a message, with defaults left out."""

from typing import Any

from msgspec import Raw, Struct, field
from msgspec.msgpack import Encoder

from fairway.server.gate import Kind

encode = Encoder().encode


class Scope(Struct, gc=False, omit_defaults=True):
    """What `websocket.connect` and `http.request` tell about a request, as it is encoded."""

    reply_channel: str
    path: str
    query_string: bytes
    headers: list[tuple[bytes, bytes]]
    scheme: str
    http_version: str
    client: tuple[str, int] | None = None
    server: tuple[str, int] | None = None
    root_path: str = ""
    order: int | None = None
    subprotocols: list[str] | None = None
    method: str | None = None
    body: bytes = b""
    body_channel: str | None = None


class Incoming(Struct, gc=False, omit_defaults=True):
    """What the other messages of a connection hold, as it is encoded."""

    reply_channel: str
    path: str
    order: int | None = None
    text: str | None = None
    data: bytes | None = field(default=None, name="bytes")
    code: int | None = None
    event: Any = None


class BodyChunk(Struct, gc=False, omit_defaults=True):
    """A part of a request body, as it is encoded."""

    content: bytes = b""
    more_content: bool = False
    closed: bool = False


CHANNELS = {
    Kind.TEXT: "websocket.receive",
    Kind.BYTES: "websocket.receive",
    Kind.EVENT: "websocket.event",
    Kind.DISCONNECT: "websocket.disconnect",
}
"""Where each kind of message of a WebSocket goes."""


def encode_will(channel: str, path: str) -> bytes:
    """Return the `websocket.disconnect` of a connection whose server dies, without the value of its last key, `order`.

    The broker appends it (`Inbox.will`). 1006: there was no closing handshake (RFC 6455, 7.1.5).
    """
    return encode({"reply_channel": channel, "path": path, "code": 1006, "order": 0})[:-1]


def encode_socket(message: Incoming, kind: Kind, payload: Any) -> bytes:
    """Return a message of a WebSocket: a text, bytes, an encoded event, or the close code of its disconnect."""
    if kind is Kind.TEXT:
        message.text = payload
    elif kind is Kind.BYTES:
        message.data = payload
    elif kind is Kind.EVENT:
        message.event = Raw(payload)
    else:
        message.code = payload
    return encode(message)

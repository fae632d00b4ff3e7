"""What workers send to connections, decoded: one typed record a protocol. A body that does not fit is an error."""

from typing import Any

import msgspec
from msgspec import Struct, field

Pairs = list[tuple[bytes, bytes]]


class Rejection(Struct, gc=False):
    """The HTTP response that refuses a handshake."""

    status: int = 403
    headers: Pairs = field(default_factory=list)
    content: bytes = b""


class SocketReply(Struct, gc=False):
    """A message for a WebSocket (message standard, 6.4 and the additions)."""

    text: str | None = None
    data: bytes | None = field(default=None, name="bytes")
    accept: bool | None = None
    subprotocol: str | None = None
    headers: Pairs | None = None
    receive_channel: str | None = None
    reject: Rejection | None = None
    close: bool | int | None = None
    reason: str | None = None

    @property
    def close_code(self) -> int:
        """The close code, or 0 for none."""
        return 1000 if self.close is True else int(self.close or 0)


class HttpReply(Struct, gc=False):
    """A response, or a chunk of one (message standard, 5.3). Server push is read and ignored, as HTTP/1.1 must."""

    status: int | None = None
    headers: Pairs | None = None
    content: bytes | None = None
    more_content: bool | None = None
    status_text: bytes | None = None
    request: Any = None


class GroupReply(Struct, gc=False):
    """A group message for whoever is a member: sockets read the first part, open HTTP responses the second."""

    text: str | None = None
    data: bytes | None = field(default=None, name="bytes")
    close: bool | int | None = None
    reason: str | None = None
    content: bytes | None = None
    more_content: bool | None = None


decode_socket_reply = msgspec.msgpack.Decoder(SocketReply).decode
decode_http_reply = msgspec.msgpack.Decoder(HttpReply).decode
decode_group_reply = msgspec.msgpack.Decoder(GroupReply).decode

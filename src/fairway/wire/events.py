"""One alphabet for every HTTP version and for WebSocket: what a parser says has arrived.

A parser takes bytes and returns these; it never raises for what a peer sent. A broken rule is an event too
(`PeerFailed`), and the last one of its connection.
"""

from msgspec import Struct

from fairway.errors import PeerError

Headers = list[tuple[bytes, bytes]]
"""Header lines in order; names in lower case, values without outer white space, duplicates kept."""


class RequestReceived(Struct, gc=False, frozen=True):
    """A request head. `target` is as the peer sent it; `path` is its raw part before `?`."""

    method: str
    target: bytes
    path: bytes
    query: bytes
    http_version: str
    headers: Headers
    keep_alive: bool
    """The peer will take another response on this connection."""
    upgrade: bool
    """The peer asks for `Upgrade: websocket`; no body follows, and other bytes than HTTP may."""
    content_length: int | None
    """What the head promises; None for a chunked body, 0 for none."""
    expects_continue: bool


class BodyReceived(Struct, gc=False, frozen=True):
    """Some bytes of the request body."""

    data: bytes


class RequestEnded(Struct, gc=False, frozen=True):
    """The request is complete. Trailers are checked and dropped."""


class TextReceived(Struct, gc=False, frozen=True):
    """A whole text message."""

    text: str


class BytesReceived(Struct, gc=False, frozen=True):
    """A whole binary message."""

    data: bytes


class PingReceived(Struct, gc=False, frozen=True):
    """A ping; its payload goes back in a pong."""

    data: bytes


class PongReceived(Struct, gc=False, frozen=True):
    """A pong."""

    data: bytes


class CloseReceived(Struct, gc=False, frozen=True):
    """The peer's close frame. `code` is 1005 when it carried none."""

    code: int
    reason: str


class PeerFailed(Struct, frozen=True):
    """The peer broke a rule; nothing more is parsed.

    The one event that the garbage collector must see: an error's context leads, by its traceback, to the frame that
    holds the event.
    """

    error: PeerError


HttpEvent = RequestReceived | BodyReceived | RequestEnded | PeerFailed
FrameEvent = TextReceived | BytesReceived | PingReceived | PongReceived | CloseReceived | PeerFailed

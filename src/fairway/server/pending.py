"""A WebSocket whose handshake is open: what is kept until it is decided, and how a message decides it."""

from enum import IntEnum

from fairway.limits import WebSocketLimits
from fairway.server.gate import Gate
from fairway.server.intake import Intake
from fairway.server.replies import SocketReply
from fairway.wire import handshake
from fairway.wire.handshake import Handshake

EARLY = 64 * 1024
"""Bytes a client may send before it is accepted. It should send none (RFC 6455, 4.1)."""


class Decision(IntEnum):
    """What a message says about an open handshake (message standard, 6.4)."""

    NOTHING = 0
    ACCEPT = 1
    REJECT = 2


def decide(reply: SocketReply) -> Decision:
    """Say what a message decides. A frame accepts, an empty one does not; a close without a frame rejects."""
    has_data = bool(reply.text) or bool(reply.data)
    if reply.reject is not None or reply.accept is False:
        return Decision.REJECT
    if reply.accept or has_data:
        return Decision.ACCEPT
    return Decision.REJECT if reply.close_code else Decision.NOTHING


class Pending:
    """What a connection keeps until its handshake is decided."""

    __slots__ = ("_early", "_request")

    def __init__(self, request: Handshake) -> None:
        self._request = request
        self._early = b""

    @property
    def takes_deflate(self) -> bool:
        """Whether messages will be compressed."""
        return self._request.deflate is not None

    def receive(self, data: bytes) -> bool:
        """Keep what the client sends too early; False when it is too much."""
        if len(self._early) + len(data) > EARLY:
            self._early = b""
            return False
        self._early += data
        return True

    def accept(self, reply: SocketReply) -> bytes:
        """Return the response that completes the handshake.

        Raises:
            InvalidMessage: a subprotocol that was not offered, or a header that may not be set.
        """
        return handshake.accept(
            self._request, subprotocol=reply.subprotocol, headers=reply.headers or (), compress=True
        )

    def open(self, limits: WebSocketLimits, gate: Gate) -> Intake:
        """Return what reads the client from now on, beginning with what it sent too early."""
        return Intake(limits, gate, self._early, deflate=self.takes_deflate)

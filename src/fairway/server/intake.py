"""What a WebSocket's client sends, parsed as far as it may be read ahead; the rest is set aside as bytes."""

from collections.abc import Iterable, Iterator

from fairway.limits import WebSocketLimits
from fairway.server.gate import Gate
from fairway.wire.events import FrameEvent
from fairway.wire.websocket import FrameParser

SLICE = 4096
"""Bytes parsed before looking whether enough messages wait: a full read of tiny frames would be thousands."""


class Intake:
    """The parser of one WebSocket, and the bytes it has not been given yet."""

    __slots__ = ("_gate", "_limits", "_parser", "_unread")

    def __init__(self, limits: WebSocketLimits, gate: Gate, early: bytes, *, deflate: bool) -> None:
        self._limits = limits
        self._gate = gate
        self._parser = FrameParser(limits, deflate=deflate)
        self._unread = early

    @property
    def is_ahead(self) -> bool:
        """Whether enough waits at the gate, so that the socket is to be read no further."""
        limits = self._limits
        return len(self._gate) >= limits.read_ahead or self._gate.size >= limits.read_ahead_bytes

    @property
    def is_calm(self) -> bool:
        """Whether nothing is under way: no bytes set aside, no message begun, none that waits at the gate."""
        return not (self._unread or self._gate.waiting or self._parser.message_started)

    @property
    def is_unfinished(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._parser.message_started

    def take(self, data: bytes) -> Iterable[FrameEvent]:
        """Return what bytes of the client complete. What may not be read ahead is set aside."""
        if len(data) <= SLICE and not self._unread:
            return self._parser.receive(data)
        self._unread += data
        return self.read_on()

    def read_on(self) -> Iterator[FrameEvent]:
        """Yield what was set aside, while more may be read ahead. The caller lets each wait at the gate meanwhile."""
        while self._unread and not self.is_ahead:
            yield from self._slice()

    def read_rest(self) -> Iterator[FrameEvent]:
        """Yield all that was set aside: the client sent it before its end."""
        while self._unread:
            yield from self._slice()

    def _slice(self) -> list[FrameEvent]:
        piece, self._unread = self._unread[:SLICE], self._unread[SLICE:]
        return self._parser.receive(piece)

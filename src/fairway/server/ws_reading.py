"""The half of a WebSocket that reads: bytes of its client become events, and messages that go to a worker or wait.

The other half (`ws_stream`) writes, and decides when which phase begins.
"""

import logging
from enum import IntEnum
from typing import Any

from fairway.errors import PeerError
from fairway.server.gate import Gate, Kind
from fairway.server.gateway import NO_STATE, Gateway
from fairway.server.intake import Intake
from fairway.server.outgoing import CHANNELS, Incoming, encode_socket
from fairway.server.pending import Pending
from fairway.server.port import Port
from fairway.server.pulse import Pulse
from fairway.server.rates import Bucket
from fairway.wire import frames
from fairway.wire.events import BytesReceived, CloseReceived, FrameEvent, PeerFailed, PingReceived, TextReceived

logger = logging.getLogger("fairway.server.websocket")


class Phase(IntEnum):
    """Where a WebSocket is in its life."""

    PENDING = 0
    OPEN = 1
    CLOSING = 2
    ENDED = 3


# Micro-optimization: looking a member up on its class costs more than all else that is done for a group's member.
PENDING, OPEN, CLOSING, ENDED = Phase
TEXT, BYTES, EVENT, _ = Kind


class Reading:
    """A WebSocket as far as it is read. Never made alone."""

    __slots__ = (
        "_bucket",
        "_code",
        "_gate",
        "_gateway",
        "_intake",
        "_path",
        "_pending",
        "_phase",
        "_port",
        "_pulse",
        "channel",
        "receive_channel",
        "state",
        "tick",
    )

    def __init__(self, gateway: Gateway, port: Port, pending: Pending, path: str) -> None:
        rates = gateway.limits.rates
        self._gateway = gateway
        self._port = port
        self._path = path
        self._phase = PENDING
        self._gate = Gate()
        self._pending: Pending | None = pending
        """Until the handshake is decided."""
        self._intake: Intake | None = None
        """From then on, until the end."""
        self._code = 1006
        self._pulse = Pulse(gateway.deadlines.now)
        self._bucket = Bucket.of(rates.messages, rates.messages_burst)
        self.tick = 0
        self.state = NO_STATE
        self.channel = ""
        self.receive_channel: str | None = None

    def close(self, code: int, reason: str = "") -> None:
        """Begin the end; see `WebSocketStream.close`."""
        raise NotImplementedError

    def _write(self, frame: bytes) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        raise NotImplementedError

    # --- from the socket ---------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Take bytes of the client. Bytes beyond what may be read ahead are set aside, and reading stops."""
        intake = self._intake
        if intake is None:
            if self._pending and not self._pending.receive(data):
                self._port.abort()
            return
        self._pulse.seen = self._gateway.deadlines.now
        for event in intake.take(data):
            self._on_event(event)
        if self._phase is OPEN:
            if self._pulse.unfinished_since or not intake.is_calm:
                self._note_intake(intake)
        else:
            self._read_on()  # nothing is set aside for later any more: the client's close frame is looked for

    def _read_on(self) -> None:
        """Parse what was set aside: as far as may be, or all of it once nothing more is delivered."""
        intake = self._intake
        if intake is None:
            return
        for event in intake.read_on() if self._phase is OPEN else intake.read_rest():
            self._on_event(event)
        self._note_intake(intake)

    def _note_intake(self, intake: Intake) -> None:
        self._pulse.note_message(self._gateway.deadlines.now, is_unfinished=intake.is_unfinished)
        if self._phase is OPEN:
            if intake.is_ahead:
                self._port.pause_reading()
            else:
                self._port.resume_reading()

    def _on_event(self, event: FrameEvent) -> None:
        kind = type(event)
        if kind is TextReceived:
            self._take(TEXT, event.text)  # type: ignore[union-attr]
        elif kind is BytesReceived:
            self._take(BYTES, event.data)  # type: ignore[union-attr]
        elif isinstance(event, PingReceived):
            if self._phase is OPEN:
                self._write(frames.encode_pong(event.data))
        elif isinstance(event, CloseReceived):
            self._close_received(event)
        elif isinstance(event, PeerFailed):
            self._fail(event.error)

    def _take(self, kind: Kind, payload: str | bytes) -> None:
        if self._phase is not OPEN:
            return  # RFC 6455, 1.4: what comes after our close frame is discarded
        self._pulse.note_finished()
        if self._bucket and not self._bucket.take(self._gateway.loop.time()):
            self.close(1008, "too many messages")
            return
        if self._gate.open:
            self._submit(kind, payload)
        else:
            self._gate.wait(kind, payload)

    def _close_received(self, event: CloseReceived) -> None:
        if self._phase is OPEN:
            self._code = event.code
            self._port.write(frames.encode_close(event.code))
        self._port.close()
        self._end()

    def _fail(self, error: PeerError) -> None:
        logger.debug("%s: %s", self.channel, error.reason)
        self.close(error.close_code, error.reason)
        # RFC 6455, 7.1.7: nothing more is read of a peer that broke the protocol, so its close frame is not waited for.
        self._port.end_writing()

    # --- to the workers ----------------------------------------------------------------------------------------------

    def _submit(self, kind: Kind, payload: Any) -> None:
        order = self._gate.number()
        body = encode_socket(Incoming(self.channel, self._path, order), kind, payload)
        channel = self.receive_channel or CHANNELS[kind]
        self._gateway.submit(channel, self, order, body)  # type: ignore[arg-type]  # with its other half it is a Stream

    def _next(self) -> None:
        """Send what may go out now, and read on."""
        while waiting := self._gate.next():
            self._submit(*waiting)
        if self._port.reading_paused or (self._intake and not self._intake.is_calm):
            self._read_on()

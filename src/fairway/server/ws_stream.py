"""One WebSocket: its handshake, its gate, its frames, its end.

Its phase says what may still happen::

    PENDING ──accept──▶ OPEN ──close──▶ CLOSING ──▶ ENDED
       └──────────reject, client gone, timeout──────▶┘

PENDING waits for the consumer of `websocket.connect`. In CLOSING a close frame of ours is on its way. ENDED is a
record: what was read before is still delivered, then `websocket.disconnect`; when that is done nothing is left.
"""

import logging
from enum import IntEnum
from typing import Any

from msgspec import DecodeError, Raw

from fairway.broker.effects import Abandoned, Refused
from fairway.errors import InvalidMessage, PeerError
from fairway.limits import UNLIMITED
from fairway.server.fanout import GroupMessage, pack
from fairway.server.gate import Gate, Kind
from fairway.server.gateway import NO_STATE, Gateway, Incoming, Scope, encode
from fairway.server.port import Port
from fairway.server.rates import Bucket
from fairway.server.replies import Rejection, SocketReply, decode_socket_reply
from fairway.wire import frames, handshake
from fairway.wire.events import BytesReceived, CloseReceived, FrameEvent, PeerFailed, PingReceived, TextReceived
from fairway.wire.handshake import Handshake
from fairway.wire.websocket import FrameParser

logger = logging.getLogger("fairway.server.websocket")

SLICE = 4096
"""Bytes parsed before looking whether enough messages wait: a full read of tiny frames would be thousands."""

EARLY = 64 * 1024
"""Bytes a client may send before it is accepted. It should send none (RFC 6455, 4.1)."""

RETRY_DISCONNECT = 1.0
"""A `websocket.disconnect` that found no room is sent again after this; it is never dropped."""

_CHANNELS = {
    Kind.TEXT: "websocket.receive",
    Kind.BYTES: "websocket.receive",
    Kind.EVENT: "websocket.event",
    Kind.DISCONNECT: "websocket.disconnect",
}


class Phase(IntEnum):
    """Where a WebSocket is in its life."""

    PENDING = 0
    OPEN = 1
    CLOSING = 2
    ENDED = 3


class WebSocketStream:
    """A WebSocket, from its handshake to the end of its disconnect message."""

    __slots__ = (
        "_backlog",
        "_bucket",
        "_code",
        "_gate",
        "_gateway",
        "_handshake",
        "_held",
        "_parser",
        "_path",
        "_pending_disconnect",
        "_phase",
        "_pinged",
        "_port",
        "_seen",
        "_since",
        "_stalled",
        "_unfinished",
        "_unread",
        "channel",
        "groups",
        "receive_channel",
        "state",
        "tick",
    )

    def __init__(self, gateway: Gateway, port: Port, request: Handshake, scope: Scope) -> None:
        limits = gateway.limits
        self._gateway = gateway
        self._port = port
        self._handshake: Handshake | None = request
        self._path = scope.path
        self._phase = Phase.PENDING
        self._gate = Gate()
        self._held: list[GroupMessage] | None = []
        self._parser: FrameParser | None = None
        self._unread = b""
        self._code = 1006
        self._pinged = 0.0
        self._stalled = 0.0
        """When the client last took something, while more than the high mark waits for it; else 0."""
        self._backlog = 0
        """What waited then."""
        self._unfinished = 0.0
        """When the message began of which only a part has come; 0 when there is none."""
        self._since = self._seen = gateway.deadlines.now
        self._pending_disconnect: bytes | None = None
        self._bucket = Bucket.of(limits.rates.messages, limits.rates.messages_burst)
        self.tick = 0
        self.groups: set[str] | None = None
        self.state = NO_STATE
        self.receive_channel: str | None = None
        self.channel = scope.reply_channel = gateway.open_socket(self)
        scope.order = self._gate.number()
        scope.subprotocols = request.subprotocols
        gateway.submit("websocket.connect", self, scope.order, encode(scope))
        gateway.deadlines.put(self, limits.websocket.connect_timeout)
        port.log("connecting", 0)

    # --- from the socket ---------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Take bytes of the client. Bytes beyond what may be read ahead are set aside, and reading stops."""
        if self._phase is not Phase.OPEN:
            self._received_apart(data)
            return
        self._seen = self._gateway.deadlines.now
        if len(data) <= SLICE and not self._unread:
            self._parse(data)
        else:
            self._unread += data
            self._read_on()
        if self._is_ahead() and self._phase is Phase.OPEN:
            self._port.pause_reading()

    def _received_apart(self, data: bytes) -> None:
        """Take bytes outside the open phase: too early, or too late for anything but the client's close frame."""
        if self._phase is Phase.PENDING:
            self._unread += data
            if len(self._unread) > EARLY:
                self._unread = b""
                self._port.abort()
        elif self._phase is Phase.CLOSING:
            self._parse(data)

    def _read_on(self) -> None:
        """Parse what was set aside, while more may be read ahead; all of it, once nothing more is delivered."""
        while self._unread and (self._phase is not Phase.OPEN or not self._is_ahead()):
            piece, self._unread = self._unread[:SLICE], self._unread[SLICE:]
            self._parse(piece)

    def _is_ahead(self) -> bool:
        limits = self._gateway.limits.websocket
        return len(self._gate) >= limits.read_ahead or self._gate.size >= limits.read_ahead_bytes

    def _parse(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            return
        for event in parser.receive(data):
            self._on_event(event)
        if not parser.message_started:
            self._unfinished = 0.0
        elif not self._unfinished:
            self._unfinished = self._gateway.deadlines.now

    def _on_event(self, event: FrameEvent) -> None:
        kind = type(event)
        if kind is TextReceived:
            self._take(Kind.TEXT, event.text)  # type: ignore[union-attr]
        elif kind is BytesReceived:
            self._take(Kind.BYTES, event.data)  # type: ignore[union-attr]
        elif isinstance(event, PingReceived):
            if self._phase is Phase.OPEN:
                self._write(frames.encode_pong(event.data))
        elif isinstance(event, CloseReceived):
            self._close_received(event)
        elif isinstance(event, PeerFailed):
            self._fail(event.error)

    def _take(self, kind: Kind, payload: str | bytes) -> None:
        if self._phase is not Phase.OPEN:
            return  # RFC 6455, 1.4: what comes after our close frame is discarded
        self._unfinished = 0.0
        if self._bucket and not self._bucket.take(self._gateway.loop.time()):
            self.close(1008, "too many messages")
            return
        if self._gate.open:
            self._submit(kind, payload)
        else:
            self._gate.wait(kind, payload)

    def _close_received(self, event: CloseReceived) -> None:
        if self._phase is Phase.OPEN:
            self._code = event.code
            self._port.write(frames.encode_close(event.code))
        self._port.close()
        self._end()

    def _fail(self, error: PeerError) -> None:
        logger.debug("%s: %s", self.channel, error.reason)
        self.close(error.close_code, error.reason)
        # RFC 6455, 7.1.7: nothing more is read of a peer that broke the protocol, so its close frame is not waited for.
        self._port.end_writing()

    def lost(self) -> None:
        """Learn that the transport is gone."""
        self._end()

    def paused_writing(self) -> None:
        """Learn that the client reads slowly: direct sends wait from now on."""
        if self._phase is not Phase.OPEN:
            return
        self._stalled = self._gateway.deadlines.now
        self._backlog = self._port.unsent()
        self._gateway.inbox.congest(self.channel)
        if self._gateway.limits.websocket.stall >= 0:
            self._gateway.deadlines.put(self, self._gateway.limits.websocket.stall)

    def resumed_writing(self) -> None:
        """Learn that the client has read on."""
        if not self._stalled:
            return
        self._stalled = 0.0
        self._gateway.inbox.relieve(self.channel)

    # --- to the workers ----------------------------------------------------------------------------------------------

    def _submit(self, kind: Kind, payload: Any) -> None:
        order = self._gate.number()
        message = Incoming(self.channel, self._path, order)
        if kind is Kind.TEXT:
            message.text = payload
        elif kind is Kind.BYTES:
            message.data = payload
        elif kind is Kind.EVENT:
            message.event = Raw(payload)
        else:
            message.code = payload
        body = encode(message)
        if kind is Kind.DISCONNECT:
            self._pending_disconnect = body
        self._gateway.submit(self.receive_channel or _CHANNELS[kind], self, order, body)

    def _next(self) -> None:
        """Send what may go out now, read on, and end when everything is told."""
        gate = self._gate
        while waiting := gate.next():
            self._submit(*waiting)
        if self._unread and self._phase is not Phase.PENDING:
            self._read_on()
        if self._phase is Phase.OPEN:
            if not self._is_ahead():
                self._port.resume_reading()
        elif self._phase is Phase.ENDED and self._pending_disconnect is not None and gate.done == gate.sent:
            self._gateway.forget(self)

    # --- from the workers --------------------------------------------------------------------------------------------

    def on_frame(self, body: bytes) -> None:
        """Act on a message for this connection (message standard, 6.4)."""
        try:
            reply = decode_socket_reply(body)
        except DecodeError as error:
            logger.error("a message for %s was dropped: %s", self.channel, error)  # noqa: TRY400
            return
        was_pending = self._phase is Phase.PENDING
        if was_pending and not self._decide(reply):
            return
        if self._phase is Phase.OPEN:
            if reply.reject is not None:  # too late to reject: the consumer of the connect failed after an answer
                self.close(1011 if reply.reject.status >= 500 else 1008)
                return
            self._send(reply.text, reply.data)
            if reply.close_code:
                self.close(reply.close_code, reply.reason or "")
        if was_pending:
            self._read_early()

    def _read_early(self) -> None:
        """Parse what came before the acceptance: what is no control frame waits at the gate."""
        self._read_on()
        if self._phase is Phase.OPEN and self._is_ahead():
            self._port.pause_reading()

    def _decide(self, reply: SocketReply) -> bool:
        """Accept or reject, if the message says so; return whether the connection is open now."""
        has_data = bool(reply.text) or bool(reply.data)
        if reply.reject is not None:
            self._reject(reply.reject)
        elif reply.accept is False or (reply.close_code and not has_data and not reply.accept):
            self._reject(Rejection())
        elif reply.accept or has_data:
            return self._accept(reply)
        return False

    def _accept(self, reply: SocketReply) -> bool:
        request = self._handshake
        if request is None:
            return False
        limits = self._gateway.limits.websocket
        try:
            answer = handshake.accept(
                request, subprotocol=reply.subprotocol, headers=reply.headers or (), compress=True
            )
        except InvalidMessage as error:
            logger.error("the acceptance of %s was refused: %s", self.channel, error)  # noqa: TRY400
            self._reject(Rejection(500))
            return False
        self._parser = FrameParser(limits, deflate=request.deflate is not None)
        self.receive_channel = reply.receive_channel
        self._phase = Phase.OPEN
        self._since = self._gateway.deadlines.now
        self._port.write(answer)
        self._port.log("connected", 101)
        self._gateway.deadlines.put(self, self._patience(self._since) or UNLIMITED)
        return True

    def _reject(self, rejection: Rejection) -> None:
        self._gate.drop()  # events of its groups; no frame of the client was read
        self._port.respond(rejection.status, rejection.headers, rejection.content)
        self._port.log("rejected", rejection.status)
        self._end()

    def _send(self, text: str | None, data: bytes | None) -> None:
        payload = text if text is not None else data
        if payload is None:
            return
        if self._handshake and self._handshake.deflate and len(payload) >= self._gateway.limits.websocket.compress_from:
            self._write(pack(text, data))
        else:
            self._write(frames.encode_text(text) if text is not None else frames.encode_bytes(data or b""))

    def _write(self, frame: bytes) -> None:
        port = self._port
        unsent = port.unsent()
        if unsent > self._gateway.limits.websocket.unsent:
            self.close(1013, "slow reader")
            return
        port.write(frame)
        if self._stalled:
            if unsent < self._backlog:
                self._stalled = self._gateway.deadlines.now
            self._backlog = port.unsent()

    def on_group(self, message: GroupMessage) -> None:
        """Take a group message. Until the connect consumer is done it is held, so that its own frames come first."""
        if self._held is not None:
            if len(self._held) >= self._gateway.limits.websocket.held:
                self.close(1013, "too many group messages during the handshake")
            else:
                self._held.append(message)
            return
        if self._phase is Phase.PENDING and message.has_frame and self._accept(SocketReply()):
            self._read_early()
        if self._phase is not Phase.OPEN:
            return
        if message.has_frame:
            packed = message.compressible and self._handshake and self._handshake.deflate
            self._write(message.packed if packed else message.plain)
        if message.close_code:
            self.close(message.close_code, message.reply.reason or "")

    def on_event(self, body: bytes) -> None:
        """Take a typed group message: it goes to the consumer, through the gate."""
        if self._phase > Phase.OPEN:
            return
        if self._gate.open and self._held is None:
            self._submit(Kind.EVENT, body)
        elif self._gate.events >= self._gateway.limits.websocket.events:
            self.close(1013, "too many events")
        else:
            self._gate.wait(Kind.EVENT, body)

    def on_done(self, order: int) -> None:
        """Open the gate."""
        self._gate.finish(order)
        if self._held is not None:
            self._connect_done(self._held)
        self._next()

    def _connect_done(self, held: list[GroupMessage]) -> None:
        self._held = None
        for message in held:
            self.on_group(message)
        if self.receive_channel:
            self._gate.window = self._gateway.limits.websocket.pinned_window

    def on_abandoned(self, item: Abandoned) -> None:
        """Close: a message of this connection will never be consumed. Its disconnect is still told."""
        is_expired = item.reason == "expired"
        if is_expired and self._phase in (Phase.PENDING, Phase.ENDED):
            self._forget_untold()
        if self._phase is Phase.PENDING:
            self._reject(Rejection(504 if is_expired else 500))
        elif self._phase is Phase.OPEN and self.receive_channel and item.reason == "lost":
            self.close(1012, "service restart")
        elif self._phase is Phase.OPEN:
            self.close(1011, "the application failed")
        self.on_done(item.order)

    def _forget_untold(self) -> None:
        """No consumer saw the connect, so none is told of the end."""
        self._pending_disconnect = b""
        self._gate.drop()

    def on_refused(self, item: Refused) -> None:
        """Answer for a message that found no room."""
        is_gone = item.reason == "gone"
        if self._pending_disconnect and item.order == self._gate.sent and not is_gone:
            self._gateway.deadlines.put(self, RETRY_DISCONNECT)
            return
        if item.order == 0 and self._phase in (Phase.PENDING, Phase.ENDED):
            self._forget_untold()
        if self._phase is Phase.PENDING:
            self._reject(Rejection(503, [(b"retry-after", b"5")]))
        elif self._phase is Phase.OPEN:
            self.close(1012 if is_gone else 1013, "service restart" if is_gone else "full")
        self._gate.finish(item.order)
        self._next()

    def on_owner_gone(self) -> None:
        """Close: the process that reads this connection is gone. Nothing more can be told to it."""
        self.close(1012, "service restart")
        self._gate.finish(self._gate.sent)
        self._next()

    def on_credit(self, size: int) -> None:
        """Nothing: a WebSocket has no body."""

    # --- the end -----------------------------------------------------------------------------------------------------

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame and wait a little for the client's."""
        if self._phase is Phase.PENDING:
            self._reject(Rejection(503 if code in (1012, 1013) else 403))
        if self._phase is not Phase.OPEN:
            return
        frame = frames.encode_close(code, _short(reason))
        self._phase = Phase.CLOSING
        self._code = code
        self._port.write(frame)
        self._port.resume_reading()
        self._since = self._gateway.deadlines.now
        self._gateway.deadlines.put(self, self._gateway.limits.websocket.close_timeout)
        self._gateway.fanout.forget(self)
        self._read_on()  # the client's close frame may be among it

    def _end(self) -> None:
        """Let everything go but the record, and tell the application."""
        if self._phase is Phase.ENDED:
            return
        if self._phase is not Phase.PENDING:
            self._read_rest()
            if self._parser is None:
                return  # ended meanwhile: its close frame was among the rest
            self._port.log("disconnected", self._code)
        self._phase = Phase.ENDED
        self._parser = None
        self._handshake = None
        self._held = None
        self._bucket = None
        self._unread = b""
        self.resumed_writing()
        self._gateway.deadlines.drop(self)
        self._gateway.fanout.forget(self)
        if self._pending_disconnect is not None:
            self._gateway.forget(self)
        elif self._gate.open:
            self._submit(Kind.DISCONNECT, self._code)
        else:
            self._gate.wait(Kind.DISCONNECT, self._code)

    def _read_rest(self) -> None:
        """Parse what had arrived before the end: the client sent it, so its consumer gets it."""
        while self._unread and self._phase is Phase.OPEN:
            piece, self._unread = self._unread[:SLICE], self._unread[SLICE:]
            self._parse(piece)

    def on_due(self, now: float) -> float | None:
        """Look which time is over: see `WebSocketLimits`."""
        if self._phase is Phase.OPEN:
            return self._check_alive(now)
        limits = self._gateway.limits.websocket
        if self._phase is Phase.PENDING:
            if now - self._since < limits.connect_timeout:
                return limits.connect_timeout - (now - self._since)
            self._reject(Rejection(504))
        elif self._phase is Phase.CLOSING:
            if now - self._since < limits.close_timeout:
                return limits.close_timeout - (now - self._since)
            self._port.abort()
            self._end()
        elif self._pending_disconnect and self._gate.done < self._gate.sent:
            channel = self.receive_channel or "websocket.disconnect"
            self._gateway.submit(channel, self, self._gate.sent, self._pending_disconnect)
        return None

    def _check_alive(self, now: float) -> float | None:
        """Close what has outlived one of its times, ping what is idle; return when to look again."""
        limits = self._gateway.limits.websocket
        if self._stalled and self._port.unsent() < self._backlog:
            self._stalled, self._backlog = now, self._port.unsent()
        if self._port.reading_paused:
            # Nothing of the client is read, so nothing it does or leaves undone counts.
            self._pinged = 0.0
            self._seen = now
            self._unfinished = now if self._unfinished else 0.0
        if self._stalled and _is_over(limits.stall, self._stalled, now):
            self.close(1013, "slow reader")
        elif _is_over(limits.lifetime, self._since, now):
            self.close(1001, "end of life")
        elif self._unfinished and _is_over(limits.message_time, self._unfinished, now):
            self.close(1008, "unfinished message")
        elif self._pinged and self._seen < self._pinged and _is_over(limits.ping_timeout, self._pinged, now):
            self._port.abort()
            self._end()
        else:
            self._ping_idle(now)
        return self._patience(now) if self._phase is Phase.OPEN else None

    def _ping_idle(self, now: float) -> None:
        if self._seen >= self._pinged:
            self._pinged = 0.0
        if not self._pinged and _is_over(self._gateway.limits.websocket.ping_interval, self._seen, now):
            self._pinged = now
            self._write(frames.encode_ping())

    def _patience(self, now: float) -> float | None:
        """Return the seconds until the first of the times that run now is over."""
        limits = self._gateway.limits.websocket
        times = [(limits.lifetime, self._since)]
        if self._pinged:
            times.append((limits.ping_timeout, self._pinged))
        else:
            times.append((limits.ping_interval, self._seen))
        if self._stalled:
            times.append((limits.stall, self._stalled))
        # A message may begin at any moment, and sets no deadline of its own: it is looked for from time to time.
        times.append((limits.message_time, self._unfinished or now))
        left = [limit - (now - since) for limit, since in times if limit >= 0]
        return max(0.0, min(left)) if left else None


def _is_over(limit: float, since: float, now: float) -> bool:
    """Whether a time that began at `since` is over; one below 0 has no end."""
    return 0 <= limit <= now - since


def _short(reason: str) -> str:
    """Cut a reason to the 123 bytes that a close frame holds (RFC 6455, 5.5)."""
    return reason.encode()[:123].decode(errors="ignore")

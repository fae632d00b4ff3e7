"""One WebSocket: its handshake, its gate, its frames, its end.

Its phase says what may still happen::

    PENDING ──accept──▶ OPEN ──close──▶ CLOSING ──▶ ENDED
       └──────────reject, client gone, timeout──────▶┘

PENDING waits for the consumer of `websocket.connect`. In CLOSING a close frame of ours is on its way. When it has ENDED
a `Record` takes its place, which tells the application.
"""

import logging

from msgspec import DecodeError

from fairway.broker.effects import Abandoned, Refused
from fairway.errors import InvalidMessage
from fairway.server.exchange import Step
from fairway.server.fanout import GroupMessage, pack
from fairway.server.gateway import Gateway
from fairway.server.holding import Holding
from fairway.server.outgoing import Scope, encode, encode_will
from fairway.server.pending import Decision, Pending, decide
from fairway.server.port import Port
from fairway.server.pulse import Pulse, Verdict
from fairway.server.replies import Rejection, SocketReply, decode_socket_reply
from fairway.server.ws_reading import CLOSING, ENDED, EVENT, OPEN, PENDING, Reading
from fairway.server.ws_record import Record
from fairway.wire import frames
from fairway.wire.handshake import Handshake

logger = logging.getLogger("fairway.server.websocket")

_CLOSES = {
    Verdict.OLD: (1001, "end of life"),
    Verdict.SLOW: (1013, "slow reader"),
    Verdict.UNFINISHED: (1008, "unfinished message"),
}


class WebSocketStream(Reading):
    """A WebSocket, from its handshake to its end."""

    __slots__ = ("_deflates", "_holding", "_record", "_since", "groups")

    def __init__(self, gateway: Gateway, port: Port, request: Handshake, scope: Scope) -> None:
        super().__init__(gateway, port, Pending(request), scope.path)
        self._deflates = request.deflate is not None
        self._holding: Holding | None = Holding(0, None, gateway.limits.websocket.held)
        """What groups sent before the consumer of the connect was done, or the one that joined them."""
        self._since = gateway.deadlines.now
        """When this phase began."""
        self._record: Record | None = None
        self.groups: set[str] | None = None
        self.channel = scope.reply_channel = gateway.open_socket(self)
        scope.order = self._gate.number()
        scope.subprotocols = request.subprotocols
        self.file_will()
        gateway.submit("websocket.connect", self, scope.order, encode(scope))
        gateway.deadlines.put(self, gateway.limits.websocket.connect_timeout)
        port.log(Step("connecting", 0, 0, self.channel))

    is_answering = False
    """A message of a WebSocket has no answer of its own."""

    @property
    def is_pending(self) -> bool:
        """Whether the handshake is undecided."""
        return self._phase is PENDING

    # --- from the socket ---------------------------------------------------------------------------------------------

    def lost(self) -> None:
        """Learn that the transport is gone."""
        self._end()

    def paused_writing(self) -> None:
        """Learn that the client reads slowly: direct sends wait from now on."""
        if self._phase is not OPEN:
            return
        self._pulse.stall(self._gateway.deadlines.now, self._port.unsent())
        self._gateway.congest(self.channel)
        if self._gateway.limits.websocket.stall >= 0:
            self._gateway.deadlines.put(self, self._gateway.limits.websocket.stall)

    def resumed_writing(self) -> None:
        """Learn that the client has read on."""
        if self._pulse.is_stalled:
            self._pulse.recover()
            self._gateway.relieve(self.channel)

    # --- from the workers --------------------------------------------------------------------------------------------

    def on_frame(self, body: bytes) -> None:
        """Act on a message for this connection (message standard, 6.4)."""
        try:
            reply = decode_socket_reply(body)
        except DecodeError as error:
            logger.error("a message for %s was dropped: %s", self.channel, error)  # noqa: TRY400
            return
        was_pending = self._phase is PENDING
        if was_pending and not self._decide(reply):
            return
        if reply.receive_channel and self.receive_channel is None:  # also where a frame has accepted before
            self._pin(reply.receive_channel)
        if self._phase is OPEN:
            if reply.reject is not None:  # too late to reject: the consumer of the connect failed after an answer
                self.close(1011 if reply.reject.status >= 500 else 1008)
                return
            self._send(reply.text, reply.data)
            if reply.close_code:
                self.close(reply.close_code, reply.reason or "")
        if was_pending:
            self._read_on()  # what came before the acceptance; what is no control frame waits at the gate

    def _decide(self, reply: SocketReply) -> bool:
        """Accept or reject, if the message says so; return whether the connection is open now."""
        decision = decide(reply)
        if decision is Decision.ACCEPT:
            return self._accept(reply)
        if decision is Decision.REJECT:
            self._reject(reply.reject or Rejection())
        return False

    def _accept(self, reply: SocketReply) -> bool:
        pending = self._pending
        if pending is None:
            return False
        try:
            answer = pending.accept(reply)
        except InvalidMessage as error:
            logger.error("the acceptance of %s was refused: %s", self.channel, error)  # noqa: TRY400
            self._reject(Rejection(500))
            return False
        limits, now = self._gateway.limits.websocket, self._gateway.deadlines.now
        self._intake = pending.open(limits, self._gate)
        self._pending = None
        self._phase = OPEN
        self._pulse = Pulse(now)
        self._port.write(answer)
        self._port.log(Step("connected", 101, 0, self.channel))
        self._gateway.deadlines.put(self, self._pulse.patience(limits, now))
        return True

    def _pin(self, channel: str) -> None:
        """Let one process read this connection from now on. What is in flight stays where it is, and is done first."""
        self.receive_channel = channel
        self.file_will()  # with the state, which says who reads this connection
        gate = self._gate
        self._holding = self._holding or Holding(gate.sent, set(), 0)  # its release widens the window
        if gate.done == gate.sent:
            self._release(self._holding)

    def _reject(self, rejection: Rejection, *, was_seen: bool = True) -> None:
        """Refuse the handshake. If no consumer saw its connect, none is told of the end."""
        self._gate.drop()  # events of its groups; no frame of the client was read
        self._port.respond(rejection.status, rejection.headers, rejection.content)
        self._port.log(Step("rejected", rejection.status, 0, self.channel))
        self._end(is_told=was_seen)

    def _send(self, text: str | None, data: bytes | None) -> None:
        payload = text if text is not None else data
        if payload is None:
            return
        if self._deflates and len(payload) >= self._gateway.limits.websocket.compress_from:
            self._write(pack(text, data))
        else:
            self._write(frames.encode_text(text) if text is not None else frames.encode_bytes(data or b""))

    def _write(self, frame: bytes) -> None:
        sink = self._port.sink
        unsent = sink.get_write_buffer_size()
        if unsent > self._gateway.limits.websocket.unsent:
            self.close(1013, "slow reader")
        elif not sink.is_closing():
            sink.write(frame)
            if unsent and self._pulse.is_stalled:
                self._pulse.note_backlog(self._gateway.deadlines.now, unsent, sink.get_write_buffer_size())

    def on_group(self, message: GroupMessage) -> None:
        """Take a group message, or hold it while a consumer runs that is to come first."""
        holding = self._holding
        if holding is not None and holding.holds(message.group):
            if holding.is_full:
                self.close(1013, "too many group messages while a consumer runs")
            else:
                holding.messages.append(message)
            return
        if self._phase is not OPEN and not self._is_accepted_by(message):
            return
        if message.has_frame:
            self._write(message.packed if message.compressible and self._deflates else message.plain)
        if message.close_code:
            self.close(message.close_code, message.reply.reason or "")

    def on_join(self, group: str) -> None:
        """Learn that the connection is in a group. While a consumer runs, the group's messages wait for its end.

        What is unread of a pinned connection is not being consumed: the process that it is pinned to has joined it.
        """
        gate = self._gate
        if gate.done == gate.sent or self.receive_channel:
            return
        if self._holding is None:
            self._holding = Holding(gate.sent, {group}, self._gateway.limits.websocket.held_for_joined)
        else:
            self._holding.join(group, gate.sent)

    def _is_accepted_by(self, message: GroupMessage) -> bool:
        """Whether a group's frame decides what the consumer of the connect has left open."""
        if self._phase is not PENDING or not message.has_frame or not self._accept(SocketReply()):
            return False
        self._read_on()
        return self._phase is OPEN

    def on_event(self, body: bytes) -> None:
        """Take a typed group message: it goes to the consumer, through the gate."""
        if self._phase > OPEN:
            return
        if self._gate.open and self._holding is None:
            self._submit(EVENT, body)
        elif self._gate.events >= self._gateway.limits.websocket.events:
            self.close(1013, "too many events")
        else:
            self._gate.wait(EVENT, body)

    def on_done(self, order: int) -> None:
        """Open the gate."""
        if self._phase is ENDED:  # by what was done just before
            if self._record:
                self._record.on_done(order)
            return
        self._gate.finish(order)
        if self._holding is not None and self._gate.done >= self._holding.until:
            self._release(self._holding)
        self._next()

    def _release(self, holding: Holding) -> None:
        self._holding = None
        for message in holding.messages:
            self.on_group(message)
        if self.receive_channel:
            self._gate.window = self._gateway.limits.websocket.pinned_window

    def on_abandoned(self, item: Abandoned) -> None:
        """Close: a message of this connection will never be consumed. Its disconnect is still told."""
        is_expired = item.reason == "expired"
        if self._phase is PENDING:
            self._reject(Rejection(504 if is_expired else 500), was_seen=not is_expired)
        elif self.receive_channel and item.reason == "lost":
            self.close(1012, "service restart")
        else:
            self.close(1011, "the application failed")
        self.on_done(item.order)

    def on_refused(self, item: Refused) -> None:
        """Answer for a message that found no room."""
        if self._phase is PENDING:
            self._reject(Rejection(503, [(b"retry-after", b"5")]), was_seen=item.order != 0)
        elif item.reason == "gone":
            self.close(1012, "service restart")
        else:
            self.close(1013, "full")
        self.on_done(item.order)

    def file_will(self) -> None:
        """See `Stream.file_will`."""
        self._gateway.inbox.will(self.channel, encode_will(self.channel, self._path), self._gate.sent, self.state)

    def on_owner_gone(self) -> None:
        """Close: the process that reads this connection is gone. Nothing more can be told to it."""
        self.close(1012, "service restart")
        self.on_done(self._gate.sent)

    def on_credit(self, size: int) -> None:
        """Nothing: a WebSocket has no body."""

    # --- the end -----------------------------------------------------------------------------------------------------

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame and wait a little for the client's."""
        if self._phase is PENDING:
            self._reject(Rejection(503 if code in (1012, 1013) else 403))
        if self._phase is not OPEN:
            return
        frame = frames.encode_close(code, _short(reason))
        self._phase = CLOSING
        self._code = code
        self._port.write(frame)
        self._port.resume_reading()
        self._since = self._gateway.deadlines.now
        self._gateway.deadlines.put(self, self._gateway.limits.websocket.close_timeout)
        self._gateway.fanout.forget(self)
        self._read_on()  # the client's close frame may be among it

    def _end(self, *, is_told: bool = True) -> None:
        """Let everything go, and leave a record, which tells the application."""
        if self._phase is ENDED:
            return
        if self._phase is not PENDING:
            self._read_rest()
            if self._intake is None:
                return  # ended meanwhile: its close frame was among the rest
            self._port.log(Step("disconnected", self._code, 0, self.channel))
        self._phase = ENDED
        self._intake = None
        self._pending = None
        self._holding = None
        self._bucket = None
        self.resumed_writing()
        self._gateway.deadlines.drop(self)
        self._gateway.fanout.forget(self)
        if is_told:
            self._record = Record(self._gateway, self, self._gate, self._path, self._code)
        else:
            self._gateway.forget(self)

    def _read_rest(self) -> None:
        """Parse what had arrived before the end: the client sent it, so its consumer gets it."""
        if self._intake and self._phase is OPEN:
            for event in self._intake.read_rest():
                self._on_event(event)

    def on_due(self, now: float) -> float | None:
        """Look which time is over: see `WebSocketLimits`."""
        if self._phase is OPEN:
            return self._check_alive(now)
        limits = self._gateway.limits.websocket
        if self._phase is PENDING:
            if now - self._since < limits.connect_timeout:
                return limits.connect_timeout - (now - self._since)
            self._reject(Rejection(504))
        elif self._phase is CLOSING:
            if now - self._since < limits.close_timeout:
                return limits.close_timeout - (now - self._since)
            self._port.abort()
            self._end()
        return None

    def _check_alive(self, now: float) -> float | None:
        """Act on whichever time is over; return when to look again."""
        limits = self._gateway.limits.websocket
        port, pulse = self._port, self._pulse
        verdict = pulse.look(limits, now, port.unsent(), is_read=not port.reading_paused)
        if verdict is Verdict.IDLE:
            pulse.note_ping(now)
            self._write(frames.encode_ping())
        elif verdict is Verdict.DEAD:
            port.abort()
            self._end()
        elif verdict is not Verdict.ALIVE:
            self.close(*_CLOSES[verdict])
        return pulse.patience(limits, now) if self._phase is OPEN else None


def _short(reason: str) -> str:
    """Cut a reason to the 123 bytes that a close frame holds (RFC 6455, 5.5)."""
    return reason.encode()[:123].decode(errors="ignore")

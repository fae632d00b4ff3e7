"""One connection: the only reader and writer of its transport.

It parses HTTP/1.1, makes a stream for each request, one after the other, and hands the socket over to a WebSocket when
a request is upgraded. Requests that arrive ahead of their turn wait as parsed events, bounded; then the socket is read
no further.
"""

import asyncio
import logging
from collections import deque
from typing import Literal, cast

from fairway.errors import InvalidMessage, PeerError
from fairway.server.exchange import Exchange, Step, access_of, address_of, new_exchange
from fairway.server.forwarding import Address
from fairway.server.http_stream import HttpStream
from fairway.server.outgoing import Scope
from fairway.server.port import Pairs
from fairway.server.roster import Roster
from fairway.server.ws_stream import WebSocketStream
from fairway.wire import handshake
from fairway.wire.events import BodyReceived, HttpEvent, PeerFailed, RequestReceived
from fairway.wire.http1 import Http1Parser
from fairway.wire.http1_response import ResponseEncoder, error_response

logger = logging.getLogger("fairway.server")

LINGER = 1.0
"""After an error the rest of a request is read away for so long: closing at once would reset the answer unread."""


class Connection(asyncio.Protocol):
    """An accepted connection."""

    __slots__ = (
        "_address",
        "_events",
        "_exchange",
        "_lingering",
        "_parser",
        "_roster",
        "_stream",
        "_transport",
        "_unsent",
        "_writing_paused",
        "reading_paused",
        "sink",
        "stopping",
        "tick",
    )

    def __init__(self, roster: "Roster[Connection]") -> None:
        self._roster = roster
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.sink = self._transport
        self._address: Address | None = None
        """For whom the connection counts: its peer, or the client whose WebSocket a proxy carries on it."""
        self._parser: Http1Parser | None = None
        self._stream: HttpStream | WebSocketStream | None = None
        self._events: deque[HttpEvent] | None = None
        self._exchange: Exchange | None = None
        self._lingering = False
        self._unsent = 0
        """How much of what is to be sent before the next step was left when somebody last looked."""
        self._writing_paused = False
        self.reading_paused = False
        self.stopping = False
        """No further request will be taken on this connection."""
        self.tick = 0

    # --- asyncio.Protocol --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless the doorman says no."""
        self.sink = self._transport = cast("asyncio.Transport", transport)
        self._address = address_of(transport.get_extra_info("peername"))
        if not self._roster.opened(self, self._address):
            self._transport.abort()
            return
        limits = self._roster.gateway.limits.http
        self._parser = Http1Parser(limits)
        self._transport.set_write_buffer_limits(high=limits.high_water)
        self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        """Give bytes to whoever owns the socket now."""
        stream = self._stream
        if type(stream) is WebSocketStream:
            stream.received(data)
        elif self._parser and not self._lingering:
            parser, was_started = self._parser, self._parser.started
            self._take(parser.receive(data))
            if self._stream is None and not was_started and parser.started and not self._lingering:
                self._roster.gateway.deadlines.put(self, self._roster.gateway.limits.http.head_timeout)

    def eof_received(self) -> bool:
        """Close: a peer that has sent everything and still reads is taken for one that has gone."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Tell the stream."""
        self._roster.gateway.deadlines.drop(self)
        stream, self._stream, self._parser = self._stream, None, None
        self._events = None
        if stream:
            stream.lost()
        self._roster.closed(self, self._address)

    def pause_writing(self) -> None:
        """Pass it on."""
        self._writing_paused = True
        if self._stream:
            self._stream.paused_writing()

    def resume_writing(self) -> None:
        """Pass it on; or go on with the next request, if it was kept waiting until the last response was taken."""
        self._writing_paused = False
        if self._stream:
            self._stream.resumed_writing()
        elif self._parser and not self._lingering:
            self._go_on()

    # --- requests, one after the other -------------------------------------------------------------------------------

    def _take(self, events: list[HttpEvent]) -> None:
        if self._events:
            self._events.extend(events)
        else:
            self._events = deque(events)
        self._advance()

    def _advance(self) -> None:
        """Act on events until a response has to be waited for."""
        events = self._events
        while events:
            event = events[0]
            stream: HttpStream | None = self._stream  # type: ignore[assignment]  # a WebSocket has no such events
            kind = type(event)
            if (kind is RequestReceived or kind is PeerFailed) and not self._is_turn(event, stream):
                break
            events.popleft()
            if type(event) is RequestReceived:
                self._begin(event)
            elif type(event) is PeerFailed:
                if stream and not stream.ended:
                    stream.body_failed(event.error)
                else:
                    self._refuse(event.error)
            elif stream and not stream.ended:
                stream.body_received(event.data) if type(event) is BodyReceived else stream.request_ended()
            if self._parser is None or self._lingering:
                return
        if not events:
            self._events = None
        self._pace()

    def _is_turn(self, event: HttpEvent, stream: HttpStream | None) -> bool:
        """Whether a request may begin, or a failure be answered: not before all earlier responses are on their way.

        What breaks the body of the request that is being answered is told at once.
        """
        if stream is None:
            return not self._writing_paused
        return stream.ended or (type(event) is PeerFailed and not stream.body_ended)

    def _pace(self) -> None:
        """Read no further while too many requests wait, or one of which only a part has come."""
        events = self._events
        # Two events are the least a request has. One read may bring thousands: they are not counted again and again.
        most = 2 * self._roster.gateway.limits.http.pipelined
        if events and (len(events) >= most or isinstance(events[-1], BodyReceived)):
            self.pause_reading()

    def _begin(self, request: RequestReceived) -> None:
        roster, gateway = self._roster, self._roster.gateway
        self._exchange = exchange = new_exchange(request, self._address, roster.proxies, gateway.loop.time())
        try:
            server = address_of(self._transport.get_extra_info("sockname"))
            scope = exchange.scope(server, gateway.config.root_path)
            if request.upgrade:
                roster.handshakes += 1
                self._upgrade(exchange, scope)
            else:
                roster.requests += 1
                self._stream = HttpStream(gateway, self, request, scope)
        except PeerError as error:
            self._refuse(error)

    def _upgrade(self, exchange: Exchange, scope: Scope) -> None:
        roster, gateway = self._roster, self._roster.gateway
        limits = gateway.limits.websocket
        shaken = handshake.parse(exchange.request, limits.window_bits)
        if not exchange.is_origin_allowed(gateway.config.trusted_origins):
            self._reject(403, (), b"origin not allowed\n")
            return
        if roster.proxies.trusts(self._address):
            if not roster.hand_over(exchange.client):
                self._reject(429, ((b"retry-after", b"5"),), b"too many connections\n")
                return
            self._address = exchange.client
        parser, self._parser = self._parser, None
        gateway.deadlines.drop(self)
        self._transport.set_write_buffer_limits(high=limits.high_water)
        self._events = None
        self._stream = WebSocketStream(gateway, self, shaken, scope)
        exchange.shed()
        if parser and parser.leftover:
            self._stream.received(parser.leftover)

    def _reject(self, status: int, headers: Pairs, content: bytes) -> None:
        """Refuse a handshake that no worker hears of."""
        self.respond(status, headers, content)
        self.log(Step("rejected", status))

    def _refuse(self, error: PeerError) -> None:
        """Answer what is no request, or not one for us; nothing of it reaches a worker."""
        logger.debug("%s: %s", self._address, error.reason)
        self._write_error(error.status, error.reason, getattr(error, "headers", ()))
        self.log(Step("http", error.status))

    def finished(self) -> None:
        """Go on with the next request, or close: the response is complete."""
        stream = cast("HttpStream", self._stream)
        if not stream.keep_alive or self.stopping:
            self._linger()
            return
        self._stream = None
        self._exchange = None
        if self._writing_paused:
            # A client that asks on and on and takes no answer would have them all kept here.
            self.pause_reading()
            self._wait_until_sent(self._roster.gateway.limits.http.stall)
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Take the next request."""
        self.resume_reading()
        if self._events:
            self._roster.gateway.loop.call_soon(self._advance)
        else:
            self._wait_for_request()

    def _wait_for_request(self) -> None:
        limits = self._roster.gateway.limits.http
        began = self._parser is not None and self._parser.started
        self._wait_until_sent(limits.head_timeout if began else limits.keep_alive)

    def _wait_until_sent(self, timeout: float) -> None:
        self._unsent = self.unsent()
        self._roster.gateway.deadlines.put(self, timeout)

    def on_due(self, now: float) -> float | None:  # noqa: ARG002
        """Close a connection that sent no request, or no complete one, in time; or that does not take its answer."""
        stream = self._stream
        if type(stream) is HttpStream and not (stream.ended or self._lingering or self._transport.is_closing()):
            # A deadline from before the request. To look again costs less than to take it back for each request.
            return self._roster.gateway.limits.http.keep_alive
        unsent, before, self._unsent = self.unsent(), self._unsent, self.unsent()
        if 0 < unsent < before:
            return self._roster.gateway.limits.http.stall
        if self._lingering and before > unsent:
            return LINGER
        if self._lingering or unsent or self._transport.is_closing():
            self._transport.abort()
        elif self._stream is None and self._parser:
            if self._parser.started:
                self._write_error(408, "the request head took too long")
            else:
                self._transport.close()
        return None

    def stop(self) -> None:
        """Take no further request; close now if none is under way. A WebSocket is closed by its server."""
        self.stopping = True
        if self._stream is None:
            self.close()

    @property
    def socket(self) -> WebSocketStream | None:
        """The WebSocket on this connection, if it was upgraded."""
        return self._stream if type(self._stream) is WebSocketStream else None

    @property
    def kind(self) -> Literal["http", "websocket", "pending"]:
        """What this connection carries; a WebSocket is pending until its handshake is decided."""
        stream = self._stream
        if type(stream) is not WebSocketStream:
            return "http"
        return "pending" if stream.is_pending else "websocket"

    # --- the port of a stream ----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """See `Port.write`. What is written to a connection that is closing is dropped."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def unsent(self) -> int:
        """See `Port.unsent`."""
        return self._transport.get_write_buffer_size()

    def date(self) -> bytes:
        """Return the value of a Date header."""
        return self._roster.date()

    def pause_reading(self) -> None:
        """See `Port.pause_reading`."""
        if not self.reading_paused and not self._transport.is_closing():
            self.reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See `Port.resume_reading`."""
        if self.reading_paused and not self._transport.is_closing():
            self.reading_paused = False
            self._transport.resume_reading()

    def respond(self, status: int, headers: Pairs, content: bytes) -> None:
        """See `Port.respond`."""
        request = cast("Exchange", self._exchange).request
        self._roster.refusals[status] += 1
        try:
            data = ResponseEncoder(request).whole(status, headers, content, keep_alive=False, date=self._roster.date())
        except InvalidMessage as error:
            logger.error("a response of the application cannot be sent: %s", error)  # noqa: TRY400
            self._write_error(500, "")
            return
        self._write_last(data)

    def _write_error(self, status: int, text: str, headers: Pairs = ()) -> None:
        self._roster.refusals[status] += 1
        self._write_last(error_response(status, text, headers=headers, date=self._roster.date()))

    def _write_last(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)
            self._linger()

    def _linger(self) -> None:
        """Close when all is sent, after reading away what the peer still sends (RFC 9112, 9.6)."""
        if self._transport.is_closing():
            return
        self._lingering = True
        self._events = None
        if self._transport.can_write_eof():
            try:
                self._transport.write_eof()
            except OSError:  # the peer has cut the line, and it was not noticed while nothing was read
                self._transport.abort()
                return
            self.resume_reading()
            self._wait_until_sent(self._roster.gateway.limits.http.stall if self.unsent() else LINGER)
        else:
            self.close()

    def close(self) -> None:
        """See `Port.close`. A peer that takes nothing more is not waited for."""
        self._transport.close()
        if self.unsent():
            self._wait_until_sent(self._roster.gateway.limits.websocket.close_timeout)

    def end_writing(self) -> None:
        """See `Port.end_writing`."""
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def abort(self) -> None:
        """See `Port.abort`."""
        self._transport.abort()

    def log(self, step: Step) -> None:
        """See `Port.log`."""
        gateway = self._roster.gateway
        if step.action == "disconnected":
            self._roster.closes[step.status] += 1
        access_log = gateway.config.access_log
        if access_log is None:
            return
        try:
            access_log(access_of(step, self._exchange, self._address, gateway.loop.time()))
        except Exception:
            logger.exception("the access log failed")

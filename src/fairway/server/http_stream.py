"""One HTTP exchange: a request on its way to a worker, and the response on its way back.

The request waits here until its body is whole or above `body_chunk`, so that a slow client holds no worker. A larger
body follows on a channel of its own, as far as the reader's credit goes; then its socket is read no further.

The response begins with the first message that has a `status` and ends with the first that has no `more_content`.
Between them the exchange may sit in groups, which is how event streams and long polls cost no worker.
"""

import logging
from enum import IntEnum

from msgspec import DecodeError

from fairway.broker.effects import Abandoned, Envelope, Policy, Refused
from fairway.errors import InvalidMessage, PeerError
from fairway.names import new_channel
from fairway.server.exchange import Step
from fairway.server.fanout import GroupMessage
from fairway.server.gateway import NO_STATE, Gateway
from fairway.server.outgoing import BodyChunk, Incoming, Scope, encode
from fairway.server.port import Port
from fairway.server.replies import HttpReply, decode_http_reply
from fairway.wire.events import RequestReceived
from fairway.wire.http1_response import CONTINUE, ResponseEncoder

logger = logging.getLogger("fairway.server.http")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
BODY_PIECE = 64 * 1024
"""Smaller pieces of a large body are gathered, so that a client cannot make a message of every byte."""


class Phase(IntEnum):
    """Where an exchange is in its life."""

    READING = 0
    WAITING = 1
    RESPONDING = 2
    ENDED = 3


# Micro-optimization: looking a member up on its class costs as much as a call, and a request does it twenty times.
READING, WAITING, RESPONDING, ENDED = Phase
ONCE, AGAIN = Policy.ONCE, Policy.AGAIN


class HttpStream:
    """An HTTP request and its response."""

    __slots__ = (
        "_backlog",
        "_body",
        "_body_channel",
        "_consumed",
        "_credit",
        "_encoder",
        "_gateway",
        "_phase",
        "_port",
        "_request",
        "_scope",
        "_since",
        "_size",
        "_stalled",
        "_status",
        "body_ended",
        "channel",
        "groups",
        "keep_alive",
        "receive_channel",
        "state",
        "tick",
    )

    def __init__(self, gateway: Gateway, port: Port, request: RequestReceived, scope: Scope) -> None:
        self._gateway = gateway
        self._port = port
        self._request = request
        self._scope = scope
        self._encoder = ResponseEncoder(request)
        self._phase = READING
        self._body = bytearray()
        self._body_channel: str | None = None
        self.body_ended = False
        """The whole request has arrived."""
        self._consumed = False
        """No consumer runs for this request any more, or none has begun."""
        self._credit = gateway.limits.http.body_window
        self._since = gateway.deadlines.now
        self._stalled = 0.0
        """When the client last took something, while more than the high mark waits for it; else 0."""
        self._backlog = 0
        """What waited then."""
        self._status = 0
        self._size = 0
        self.keep_alive = False
        """After the end: the connection may take another request."""
        self.tick = 0
        self.groups: set[str] | None = None
        self.receive_channel: str | None = None
        self.state = NO_STATE
        self.channel = scope.reply_channel = gateway.open_http(self)
        if request.content_length != 0:
            gateway.deadlines.put(self, gateway.limits.http.body_timeout)
        if request.expects_continue:
            port.write(CONTINUE)

    @property
    def ended(self) -> bool:
        """Whether the response is complete, or never will be."""
        return self._phase is ENDED

    @property
    def is_answering(self) -> bool:
        """Whether the response has begun, and no longer depends on a request body that is under way."""
        return self._phase is RESPONDING and self._body_channel is None

    # --- the request -------------------------------------------------------------------------------------------------

    def body_received(self, data: bytes) -> None:
        """Take bytes of the request body."""
        if self._phase is ENDED:
            return
        self._body += data
        self._since = self._gateway.deadlines.now
        if self._phase is READING:
            if len(self._body) > self._gateway.limits.http.body_chunk:
                self._body_channel = self._scope.body_channel = new_channel("http.request.body?")
                self._submit()
        elif len(self._body) >= BODY_PIECE:
            self._send_body()

    def request_ended(self) -> None:
        """Learn that the body is whole."""
        self.body_ended = True
        if self._phase is READING:
            self._submit()
        elif self._body_channel and self._phase is not ENDED:
            self._send_body()

    def body_failed(self, error: PeerError) -> None:
        """Learn that the client broke the framing of the body: nobody can say where it ends."""
        self._answer_error(error.status)

    def _submit(self) -> None:
        self._phase = WAITING
        self._since = self._gateway.deadlines.now
        scope = self._scope
        scope.body = bytes(self._body)
        self._body.clear()
        once = scope.body_channel is not None or scope.method not in SAFE_METHODS
        policy = ONCE if once else AGAIN
        self._gateway.submit("http.request", self, 0, encode(scope), policy)
        scope.body = b""
        if not self.ended:
            self._gateway.deadlines.put(self, self._gateway.limits.http.answer_timeout)

    def _send_body(self) -> None:
        """Send on what the reader's credit covers; when there is none left, read no further."""
        limits = self._gateway.limits.http
        while self._credit > 0 and (self._body or self.body_ended):
            piece = bytes(self._body[: limits.body_chunk])
            del self._body[: limits.body_chunk]
            last = self.body_ended and not self._body
            self._credit -= len(piece)
            self._send_chunk(BodyChunk(content=piece, more_content=not last))
            if last:
                self._body_channel = None
                self._port.resume_reading()
                return
        if self._credit <= 0:
            self._port.pause_reading()

    def _send_chunk(self, chunk: BodyChunk) -> None:
        channel = self._body_channel
        if channel:
            number = f"{self.channel}.body.{self._gateway.deadlines.now}"
            self._gateway.submit_extra(Envelope(number, channel, self.channel), encode(chunk))

    def on_credit(self, size: int) -> None:
        """Send so many more body bytes."""
        self._credit += size
        if self._body_channel and not self.ended:
            self._send_body()
            if self._credit > 0:
                self._port.resume_reading()

    # --- the response ------------------------------------------------------------------------------------------------

    def on_frame(self, body: bytes) -> None:
        """Act on a message of the response (message standard, 5.3)."""
        if self._phase is ENDED:
            return
        try:
            reply = decode_http_reply(body)
        except DecodeError as error:
            logger.error("a message for %s was dropped: %s", self.channel, error)  # noqa: TRY400
            self._answer_error(500)
            return
        if reply.request is not None:
            return  # server push: HTTP/1.1 has none, and a server may ignore it
        self._since = self._gateway.deadlines.now
        if self._phase is RESPONDING:
            if reply.status is not None:
                what = "the response to %s %r is cut: its view failed, or began another response"
                logger.error(what, self._request.method, self._scope.path)
                self._cut()
                return
            self._chunk(reply.content or b"", more=bool(reply.more_content))
        elif reply.status is None:
            logger.error("the response to %s %r has no status", self._request.method, self._scope.path)
            self._answer_error(500)
        else:
            self._begin(reply)

    def _begin(self, reply: HttpReply) -> None:
        content = reply.content or b""
        more = bool(reply.more_content)
        # An early answer leaves body bytes on the wire that nobody will read: the connection ends with it.
        alive = self.body_ended and not self._port.stopping
        try:
            head = self._encoder.head(
                reply.status or 500,
                reply.headers or (),
                last_content=None if more else content,
                keep_alive=alive,
                date=self._port.date(),
                reason=reply.status_text or b"",
            )
        except InvalidMessage as error:
            logger.error("the response to %s %r was refused: %s", self._request.method, self._scope.path, error)  # noqa: TRY400
            self._answer_error(500)
            return
        self._phase = RESPONDING
        self._status = reply.status or 500
        self._size = len(content)
        self.keep_alive = self._encoder.keep_alive
        data = self._encoder.data(content)
        if more:
            self._port.write(head + data)
            return
        self._port.write(head + data + self._encoder.end())
        self._finish()

    def _chunk(self, content: bytes, *, more: bool) -> None:
        self._size += len(content)
        data = self._encoder.data(content)
        if not more:
            data += self._encoder.end()
        if data:
            self._port.write(data)
        if not more:
            self._finish()

    def on_join(self, group: str) -> None:
        """Nothing: a response in a group has begun, and its consumer is done with it."""

    def on_group(self, message: GroupMessage) -> None:
        """Take a chunk that a group sends to an open response; a client that does not read is cut."""
        reply = message.reply
        if self._phase is not RESPONDING or reply.content is None:
            return
        if self._port.unsent() > self._gateway.limits.websocket.unsent:
            self._cut()
            return
        self._since = self._gateway.deadlines.now
        self._chunk(reply.content, more=reply.more_content is not False)

    def on_event(self, body: bytes) -> None:
        """Nothing: an HTTP exchange has no consumer for events."""

    def _finish(self) -> None:
        if self._encoder.truncated or self._encoder.excess:
            logger.error(
                "%s %r sent another number of bytes than its Content-Length", self._request.method, self._scope.path
            )
            self.keep_alive = False
        self._end()
        self._port.finished()

    def _answer_error(self, status: int, retry_after: int | None = None) -> None:
        """Answer instead of the application, or cut what has begun so that the client sees it."""
        if self._phase is RESPONDING:
            self._cut()
        elif self._phase is not ENDED:
            self._status = status
            self._break_off()
            headers = [(b"retry-after", b"%d" % retry_after)] if retry_after is not None else []
            self._port.respond(status, headers, b"")

    def _cut(self) -> None:
        """End a response that has begun, visibly: no last chunk, no clean end of the connection."""
        self._break_off()
        self._port.abort()

    def _break_off(self) -> None:
        """End before the response is complete. Whoever makes it, or waits for the body, is told."""
        was_submitted = self._phase is not READING
        self._end()
        if was_submitted and not self._consumed:
            self._gateway.depart(self.channel)

    # --- news from the broker ----------------------------------------------------------------------------------------

    def on_done(self, order: int) -> None:  # noqa: ARG002
        """Note that the consumer is done. The response may still be open."""
        self._consumed = True

    def on_abandoned(self, item: Abandoned) -> None:
        """Answer for a request that nobody will answer."""
        self._consumed = True
        self._answer_error({"lost": 502, "expired": 504}.get(item.reason, 500))

    def on_refused(self, item: Refused) -> None:
        """Answer for a message that found no room: the request itself, or a part of its body."""
        if item.order == 0:
            self._consumed = True
        self._answer_error(503, retry_after=5)

    def file_will(self) -> None:
        """Nothing: a request that is cut is told to nobody."""

    def on_owner_gone(self) -> None:
        """Nothing: a request is pinned to nobody."""

    # --- the end -----------------------------------------------------------------------------------------------------

    def lost(self) -> None:
        """Learn that the client is gone."""
        if self._phase is not ENDED:
            self._break_off()

    def paused_writing(self) -> None:
        """Learn that the client reads slowly: direct sends wait from now on."""
        if self._phase is not RESPONDING:
            return
        self._stalled = self._gateway.deadlines.now
        self._backlog = self._port.unsent()
        self._gateway.congest(self.channel)
        self._gateway.deadlines.put(self, self._gateway.limits.http.stall)

    def resumed_writing(self) -> None:
        """Learn that the client has read on."""
        if not self._stalled:
            return
        self._stalled = 0.0
        self._since = self._gateway.deadlines.now
        self._gateway.relieve(self.channel)
        if self._phase is not ENDED:
            self._gateway.deadlines.put(self, self._gateway.limits.http.answer_timeout)

    def _end(self) -> None:
        read = self._phase is not READING
        self._phase = ENDED
        self._body.clear()
        self._gateway.deadlines.drop(self)
        self.resumed_writing()
        if self._body_channel:
            self._send_chunk(BodyChunk(closed=True))
            self._body_channel = None
        self._gateway.forget(self)
        self._port.log(Step("http", self._status, self._size, self.channel))
        if read and self._gateway.inbox.has_reader("http.disconnect"):
            message = encode(Incoming(self.channel, self._scope.path))
            self._gateway.submit_extra(Envelope(f"{self.channel}.end", "http.disconnect", self.channel), message)

    def on_due(self, now: float) -> float | None:
        """Look which time is over: see `HttpLimits`."""
        limits = self._gateway.limits.http
        if self._phase is ENDED:
            return None
        if self._stalled:
            unsent = self._port.unsent()
            if unsent < self._backlog:
                self._stalled, self._backlog = now, unsent
            if now - self._stalled < limits.stall:
                return limits.stall - (now - self._stalled)
            self._cut()
            return None
        limit = limits.body_timeout if self._phase is READING else limits.answer_timeout
        if limit < 0 or now - self._since < limit:
            return limit - (now - self._since)
        self._answer_error(408 if self._phase is READING else 504)
        return None

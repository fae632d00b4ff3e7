"""HTTP/1.x from the server's side: bytes in, events out.

The parser is in one of four places: before or in a request head, in a body, behind an upgrade, or at its end. It never
raises for what a peer sent: a broken rule is a `PeerFailed`, and the last event.
"""

from fairway.errors import BadRequest, HeadersTooLarge, PeerError
from fairway.limits import HttpLimits
from fairway.wire.events import BodyReceived, HttpEvent, PeerFailed, RequestEnded, RequestReceived
from fairway.wire.http1_body import ChunkedBody, LengthBody
from fairway.wire.http1_head import CRLF, RequestLine, parse_head, parse_line

_HEAD_END = b"\r\n\r\n"


class Http1Parser:
    """Reads the requests of one connection, pipelined or not."""

    __slots__ = (
        "_body",
        "_buffer",
        "_ended",
        "_forgiven",
        "_keep_alive",
        "_limits",
        "_line",
        "_line_size",
        "_searched",
        "leftover",
    )

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._buffer = b""
        self._body: LengthBody | ChunkedBody | None = None
        self._keep_alive = True
        self._ended = False
        self._expect_head()
        self.leftover = b""
        """After a `RequestReceived` with `upgrade`: the bytes that followed the head. They belong to the WebSocket."""

    @property
    def started(self) -> bool:
        """Some bytes of a request head have arrived, and the head is not complete."""
        return self._body is None and not self._ended and self._buffer not in (b"", b"\r")

    def receive(self, data: bytes) -> list[HttpEvent]:
        """Return what `data` completes; nothing after a failure, an upgrade, or the last request of the connection."""
        events: list[HttpEvent] = []
        if self._ended:
            return events
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        try:
            self._parse(data, events)
        except PeerError as error:
            self._ended = True
            events.append(PeerFailed(error.with_traceback(None)))  # the frames of a failure are of no use to anybody
        return events

    def _parse(self, data: bytes, events: list[HttpEvent]) -> None:
        pos, size = 0, len(data)
        while pos < size and not self._ended:
            body = self._body
            after = self._read_head(data, pos, events) if body is None else self._read_body(body, data, pos, events)
            if after == pos:
                self._buffer = data[pos:]
                return
            pos = after

    def _expect_head(self) -> None:
        self._line: RequestLine | None = None
        self._line_size = 0
        self._searched = 0
        self._forgiven = False

    def _read_head(self, data: bytes, pos: int, events: list[HttpEvent]) -> int:
        # RFC 9112, 2.2: an empty line before a request is forgiven, for clients that end a body with it. Once.
        if not self._forgiven and data.startswith(CRLF, pos):
            self._forgiven = True
            return pos + 2
        if self._line is None:
            self._line = self._read_line(data, pos)
            if self._line is None:
                return pos
        start = pos + self._line_size
        # The line end before the empty line counts, and what was searched before is not searched again.
        end = data.find(_HEAD_END, max(start - 2, pos + self._searched - 3))
        if (end + 2 if end >= 0 else len(data) - 1) - start > self._limits.header_bytes:
            raise HeadersTooLarge(f"request headers above the limit of {self._limits.header_bytes:,} bytes")
        if end < 0:
            self._searched = len(data) - pos
            return pos
        end += 4
        request = parse_head(self._line, data[pos:end], self._limits)
        events.append(request)
        self._begin_body(request, data, end, events)
        return end

    def _read_line(self, data: bytes, pos: int) -> RequestLine | None:
        """Read the request line as soon as it is there: what is not HTTP is told so at once."""
        most = self._limits.request_line
        end = data.find(b"\n", pos, pos + most + 2)
        if end < 0:
            if len(data) - pos > most + 1:
                raise HeadersTooLarge(f"the request line is above the limit of {most:,} bytes")
            return None
        if end == pos or data[end - 1] != 0x0D:
            raise BadRequest("a line that does not end in CRLF")
        self._line_size = end + 1 - pos
        return parse_line(data[pos : end - 1])

    def _begin_body(self, request: RequestReceived, data: bytes, end: int, events: list[HttpEvent]) -> None:
        self._keep_alive = request.keep_alive
        if request.upgrade:
            self._ended = True
            self.leftover = data[end:]
        elif request.content_length == 0:
            self._end_request(events)
        elif request.content_length is None:
            self._body = ChunkedBody(self._limits)
        else:
            self._body = LengthBody(request.content_length)

    def _read_body(self, body: LengthBody | ChunkedBody, data: bytes, pos: int, events: list[HttpEvent]) -> int:
        pieces: list[bytes] = []
        try:
            pos = body.read(data, pos, pieces)
        finally:
            # Also before a failure, so that what a view sees does not depend on how the bytes were cut.
            if pieces:
                events.append(BodyReceived(b"".join(pieces)))
        if body.ended:
            self._end_request(events)
        return pos

    def _end_request(self, events: list[HttpEvent]) -> None:
        events.append(RequestEnded())
        self._body = None
        self._ended = not self._keep_alive
        self._expect_head()

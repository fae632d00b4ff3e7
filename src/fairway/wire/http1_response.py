"""Responses of HTTP/1.x: what an application gives becomes bytes that frame themselves.

An application names a status, headers and content; how the body is delimited, and whether the connection lives on, is
decided here (RFC 9112, 6 and 9). Headers that describe the connection (`Connection`, `Keep-Alive`,
`Transfer-Encoding`, `Upgrade`, ...) are dropped from what an application sets, because it does not see the
connection; `Connection: close` is honoured first. A view that copies an upstream's headers therefore works.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus

from fairway.errors import InvalidMessage
from fairway.wire.events import RequestReceived
from fairway.wire.grammar import VALUE_SENT, is_token, list_items, odd_bytes

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

SERVER = b"fairway"
"""What the server calls itself: no version, because that helps an attacker only."""

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
)

_ACTED_ON = HOP_BY_HOP | {b"content-length", b"date", b"server"}
_LAST_CHUNK = b"0\r\n\r\n"
_UNTIL_CLOSE, _BY_LENGTH, _CHUNKED, _NO_BODY = range(4)
_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


@lru_cache(maxsize=1024)
def checked_name(name: bytes) -> bytes:
    """Return a header name in lower case.

    Raises:
        InvalidMessage: it is no token (RFC 9110, 5.1).
    """
    if not is_token(name):
        raise InvalidMessage(f"{name!r} is no header name", "headers")
    return name.lower()


def check_value(name: bytes, value: bytes) -> None:
    """Raise `InvalidMessage` for a header value with a control character: it would begin another header or a body."""
    if odd_bytes(value, VALUE_SENT):
        raise InvalidMessage(f"header {name!r} has control characters in its value: {value!r:.200}", "headers")


class ResponseEncoder:
    """The bytes of one response. Make one for each request; call `whole`, or `head`, then `data`, then `end`."""

    __slots__ = ("_framing", "_left", "_request", "excess", "keep_alive")

    def __init__(self, request: RequestReceived) -> None:
        self._request = request
        self._framing = _NO_BODY
        self._left = 0
        self.keep_alive = False
        """After `head`: the connection may take another request when the response has ended."""
        self.excess = 0
        """Body bytes beyond the application's own Content-Length, which were dropped."""

    @property
    def truncated(self) -> bool:
        """The body so far is shorter than its Content-Length: the connection cannot be used again."""
        return self._framing == _BY_LENGTH and self._left > 0

    def whole(
        self,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        content: bytes,
        *,
        keep_alive: bool,
        date: bytes = b"",
        reason: bytes = b"",
    ) -> bytes:
        """Return a response, head and body, as one piece of bytes.

        Raises:
            InvalidMessage: as `head`.
        """
        head = self.head(status, headers, last_content=content, keep_alive=keep_alive, date=date, reason=reason)
        return head + self.data(content) + self.end()

    def head(
        self,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        *,
        last_content: bytes | None,
        keep_alive: bool,
        date: bytes = b"",
        reason: bytes = b"",
    ) -> bytes:
        """Return the status line and the headers. `last_content` is the body when all of it is known, else None.

        Raises:
            InvalidMessage: a status that ends no request, or a header that cannot be sent; it names the header.
        """
        if not 200 <= status <= 599:
            raise InvalidMessage(f"{status!r} is no status of a response", "status")
        parts = [b"HTTP/1.1 %d %b\r\n" % (status, _checked_reason(status, reason))]
        length: int | None = None
        has_date, has_server = not date, False
        for name, value in headers:
            key = checked_name(name)
            if key in _ACTED_ON:
                check_value(name, value)
                if key == b"content-length":
                    length = _checked_length(value, length)
                    continue
                if key in HOP_BY_HOP:
                    if key == b"connection" and b"close" in list_items(value.lower()):
                        keep_alive = False
                    continue
                has_date = has_date or key == b"date"
                has_server = has_server or key == b"server"
            parts.append(b"%b: %b\r\n" % (name, value))
        if not has_date:
            parts.append(b"date: %b\r\n" % date)
        if not has_server:
            parts.append(b"server: %b\r\n" % SERVER)
        lines = b"".join(parts)
        # A control character in any value leaves something else of the lines than their ends: one look at all of them.
        if odd_bytes(lines, VALUE_SENT) != b"\r\n" * len(parts):
            for name, value in headers:
                check_value(name, value)
        return lines + self._frame(status, length, last_content) + self._connection(keep_alive=keep_alive)

    def _frame(self, status: int, length: int | None, content: bytes | None) -> bytes:
        """Choose how the body ends (RFC 9112, 6.3) and return the header that says so."""
        if status == 204:
            # RFC 9110, 8.6: no Content-Length either.
            return b""
        if status == 205:
            return b"content-length: 0\r\n"
        if self._request.method == "HEAD" or status == 304:
            # What a GET would have told. An empty body is how Django answers HEAD, so it tells nothing.
            length = length if length is not None else len(content or b"") or None
            return b"" if length is None or (status == 304 and not length) else b"content-length: %d\r\n" % length
        if length is None and content is not None:
            length = len(content)
        if length is not None:
            self._framing = _BY_LENGTH
            self._left = length
            return b"content-length: %d\r\n" % length
        if self._request.http_version == "1.0":
            self._framing = _UNTIL_CLOSE
            return b""
        self._framing = _CHUNKED
        return b"transfer-encoding: chunked\r\n"

    def _connection(self, *, keep_alive: bool) -> bytes:
        """Decide whether the connection lives on, and return the end of the head, which tells (RFC 9112, 9.3)."""
        self.keep_alive = keep_alive and self._request.keep_alive and self._framing != _UNTIL_CLOSE
        if not self.keep_alive:
            return b"connection: close\r\n\r\n"
        return b"connection: keep-alive\r\n\r\n" if self._request.http_version == "1.0" else b"\r\n"

    def data(self, chunk: bytes) -> bytes:
        """Return what to write for a piece of the body; `b""` where none may be sent."""
        if self._framing == _CHUNKED:
            # An empty chunk would end the body.
            return b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunk else b""
        if self._framing == _BY_LENGTH:
            if len(chunk) > self._left:
                self.excess += len(chunk) - self._left
                chunk = chunk[: self._left]
            self._left -= len(chunk)
            return chunk
        return chunk if self._framing == _UNTIL_CLOSE else b""

    def end(self) -> bytes:
        """Return what ends the body. When less was sent than promised, `keep_alive` is False from here on."""
        if self.truncated:
            self.keep_alive = False
        return _LAST_CHUNK if self._framing == _CHUNKED else b""


def error_response(
    status: int,
    text: str,
    *,
    retry_after: int | None = None,
    date: bytes = b"",
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
    """Return a whole plain-text response of the server itself, after which it closes the connection."""
    content = f"{text}\n".encode("utf-8", "replace")
    lines = [
        b"HTTP/1.1 %d %b" % (status, _REASONS.get(status, b"")),
        b"content-type: text/plain; charset=utf-8",
        b"content-length: %d" % len(content),
        b"server: %b" % SERVER,
        b"connection: close",
    ]
    if date:
        lines.append(b"date: %b" % date)
    if retry_after is not None:
        lines.append(b"retry-after: %d" % retry_after)
    for name, value in headers:
        check_value(checked_name(name), value)
        lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n" + content


def _checked_reason(status: int, reason: bytes) -> bytes:
    if not reason:
        return _REASONS.get(status, b"")
    if odd_bytes(reason, VALUE_SENT):
        raise InvalidMessage(f"a reason phrase with control characters: {reason!r:.200}", "status_text")
    return reason


def _checked_length(value: bytes, before: int | None) -> int:
    """Return an application's Content-Length. Two equal ones are one; what else is odd is refused."""
    text = value.strip(b" \t")
    if not text.isdigit() or len(text) > 18 or before not in (None, int(text)):
        raise InvalidMessage(f"invalid Content-Length {value!r:.200}", "headers")
    return int(text)

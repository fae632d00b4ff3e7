"""A request head of HTTP/1.x: from its raw bytes to `RequestReceived`, or the reason why not.

A head is parsed when it is complete. Its raw bytes are checked first, for what llhttp lets pass; then llhttp (by
httptools) splits it; then the fields that decide where the message ends are read. What two parsers could read in two
ways is refused and never repaired, because the other parser may be the proxy in front.
"""

import re

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from msgspec import Struct, field

from fairway.errors import BadRequest, HeadersTooLarge, UnsupportedVersion
from fairway.limits import HttpLimits
from fairway.wire.events import Headers, RequestReceived
from fairway.wire.grammar import TOKEN_CHARACTERS, VALUE_RECEIVED, list_items, odd_bytes
from fairway.wire.http1_body import check_total

CRLF = b"\r\n"

_REQUEST_LINE = re.compile(rb"([" + TOKEN_CHARACTERS + rb"]+) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_ABSOLUTE = re.compile(rb"(?i:https?|wss?)://([^/?]*)(.*)")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~%\-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_LENGTH = re.compile(rb"[0-9]{1,18}")
"""More digits have no honest sender, and overflow the integers of others."""

_ACTED_ON = frozenset((b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect"))


class RequestLine(Struct, gc=False, frozen=True):
    """The first line of a request. `authority` is that of an absolute target."""

    method: str
    target: bytes
    path: bytes
    query: bytes
    authority: bytes | None
    version: str


class _Fields(Struct, gc=False):
    """The values of the header fields that HTTP itself acts on."""

    hosts: list[bytes] = field(default_factory=list)
    lengths: list[bytes] = field(default_factory=list)
    codings: list[bytes] = field(default_factory=list)
    connection: list[bytes] = field(default_factory=list)
    upgrades: list[bytes] = field(default_factory=list)
    expect: bytes = b""


class _Splitter:
    """What llhttp calls back."""

    __slots__ = ("complete", "lines")

    def __init__(self) -> None:
        self.lines: Headers = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.lines.append((name, value))

    def on_headers_complete(self) -> None:
        self.complete = True


def parse_line(line: bytes) -> RequestLine:
    """Return the request line without its line end (RFC 9112, 3).

    Raises:
        BadRequest: it is none, or its target is none that an origin server takes.
        UnsupportedVersion: it is one, of another version than 1.0 and 1.1.
    """
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise BadRequest("malformed request line")
    name, target, major, minor = match.groups()
    if major != b"1" or minor not in (b"0", b"1"):
        raise UnsupportedVersion("this server speaks HTTP/1.0 and HTTP/1.1")
    method = name.decode("ascii")
    path, query, authority = _split_target(method, target)
    return RequestLine(method, target, path, query, authority, "1.1" if minor == b"1" else "1.0")


def _split_target(method: str, target: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Return path, query, and the authority of an absolute target (RFC 9112, 3.2)."""
    if method == "CONNECT" or b"#" in target:
        raise BadRequest("a request target that no origin server takes")
    authority = None
    path, _, query = target.partition(b"?")
    if target[:1] != b"/":
        if target == b"*" and method == "OPTIONS":
            return target, b"", None
        match = _ABSOLUTE.fullmatch(path)
        if match is None:
            raise BadRequest("the request target is neither a path nor a URL")
        authority, path = match.groups()
    return path or b"/", query, authority


def parse_head(line: RequestLine, head: bytes, limits: HttpLimits) -> RequestReceived:
    """Return the request of which `head` holds all bytes, from the request line to the empty line.

    Raises:
        PeerError: with the status to answer.
    """
    headers = _split_headers(head, limits.header_count)
    fields = _read_fields(headers)
    _check_host(fields.hosts, line)
    length = _body_length(fields, line, limits.body_total)
    modern = line.version == "1.1"
    # RFC 9110, 7.8: an upgrade that this server does not know (h2c) is ignored, and so is any in HTTP/1.0.
    upgrade = modern and line.method == "GET" and b"websocket" in fields.upgrades and b"upgrade" in fields.connection
    if upgrade and length != 0:
        raise BadRequest("a WebSocket handshake has no body")
    return RequestReceived(
        method=line.method,
        target=line.target,
        path=line.path,
        query=line.query,
        http_version=line.version,
        headers=headers,
        # RFC 9112, 9.3.
        keep_alive=b"close" not in fields.connection and (modern or b"keep-alive" in fields.connection),
        upgrade=upgrade,
        content_length=length,
        # RFC 9110, 10.1.1: from a 1.0 client it is ignored.
        expects_continue=modern and length != 0 and fields.expect == b"100-continue",
    )


def _split_headers(head: bytes, most: int) -> Headers:
    line_ends = head.count(CRLF)
    lines = line_ends - 2
    if lines > most:
        raise HeadersTooLarge(f"more than {most} header lines")
    # A CR or LF outside a line end leaves something else than the line ends; so does a control byte (CVE-2026-44546).
    if odd_bytes(head, VALUE_RECEIVED) != CRLF * line_ends:
        raise BadRequest("a control character in the request head")
    found = _Splitter()
    try:
        HttpRequestParser(found).feed_data(head)
    except HttpParserUpgrade:
        # llhttp stops after the head of any upgrade, which is all that it was given.
        pass
    except HttpParserError as error:
        raise BadRequest(f"malformed request head: {error}") from None
    # llhttp and the checks above agree on what a line is, or one of them was led astray.
    if not found.complete or len(found.lines) != lines:
        raise BadRequest("malformed request head")
    # CVE-2015-0219: Django's environment spells `-` as `_`, so `X_User` would pass for `X-User`.
    return [(name.lower(), value.rstrip(b" \t")) for name, value in found.lines if b"_" not in name]


def _read_fields(headers: Headers) -> _Fields:
    fields = _Fields()
    for name, value in headers:
        if name not in _ACTED_ON:
            continue
        match name:
            case b"host":
                fields.hosts.append(value)
            case b"content-length":
                fields.lengths.append(value)
            case b"transfer-encoding":
                fields.codings.append(value.lower())
            case b"connection":
                fields.connection += list_items(value.lower())
            case b"upgrade":
                fields.upgrades += list_items(value.lower())
            case _:  # expect
                fields.expect = value.lower()
    return fields


def _check_host(hosts: list[bytes], line: RequestLine) -> None:
    """RFC 9112, 3.2: exactly one valid Host in HTTP/1.1. RFC 9110, 4.2.1: it is not empty."""
    if not hosts and line.version == "1.0":
        return
    if len(hosts) != 1:
        raise BadRequest("a request has exactly one Host header")
    if not _HOST.fullmatch(hosts[0]):
        raise BadRequest("invalid Host header")
    # RFC 9112, 3.2.2 lets the target win. A request that names two hosts is refused, so that nobody has to choose.
    if line.authority is not None and line.authority.lower() != hosts[0].lower():
        raise BadRequest("the request target and the Host header differ")


def _body_length(fields: _Fields, line: RequestLine, most: int) -> int | None:
    """Return how many bytes of body follow, None for a chunked body (RFC 9112, 6.3)."""
    if fields.codings:
        if fields.lengths or line.version == "1.0" or fields.codings != [b"chunked"]:
            raise BadRequest("the one Transfer-Encoding taken is chunked, in HTTP/1.1 and without Content-Length")
        return None
    if not fields.lengths:
        return 0
    # Equal duplicates are refused too: a proxy in front may have joined or dropped one.
    if len(fields.lengths) != 1 or not _LENGTH.fullmatch(fields.lengths[0]):
        raise BadRequest("invalid Content-Length")
    length = int(fields.lengths[0])
    check_total(length, most)
    return length

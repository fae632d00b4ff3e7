"""The opening handshake of WebSocket (RFC 6455, 4.2), with permessage-deflate (RFC 7692).

`parse` and `accept` are for HTTP/1.1: they add version, key and the 101 to what every HTTP version shares, which is
`parse_subprotocols`, `choose_deflate` and `acceptance`.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import ClassVar

from msgspec import Struct

from fairway.errors import BadRequest, InvalidMessage
from fairway.limits import WebSocketLimits
from fairway.wire.events import Headers, RequestReceived
from fairway.wire.grammar import TOKEN_CHARACTERS, is_token, list_items
from fairway.wire.http1_response import HOP_BY_HOP, check_value, checked_name

MAX_SUBPROTOCOLS = 64
"""They travel to the application; an honest client offers a handful."""

_WINDOW_BITS = WebSocketLimits().window_bits
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = b"13"
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_TOKEN = re.compile(rb"[" + TOKEN_CHARACTERS + rb"]+")
_SPACE = re.compile(rb"[ \t]*")
# Each alternative begins with another character, so there is one way to match and the time is linear (CVE-2021-32640).
_QUOTED = re.compile(rb'"((?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*)"')

Extension = tuple[bytes, list[tuple[bytes, bytes | None]]]
"""A name, and its parameters in order."""


class WrongVersion(BadRequest):
    """A handshake of another WebSocket version; the answer names the one spoken here (RFC 6455, 4.4)."""

    status = HTTPStatus.UPGRADE_REQUIRED
    headers: ClassVar[Headers] = [
        (b"connection", b"upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", _VERSION),
    ]


class DeflateOffer(Struct, gc=False, frozen=True):
    """The first permessage-deflate offer that this server can take."""

    window_bits: int | None
    """The `server_max_window_bits` to answer; None when the answer need not name one."""


class Handshake(Struct, gc=False, frozen=True):
    """What a client asks for. `key` is empty in HTTP/2, which needs none (RFC 8441, 5)."""

    subprotocols: list[str]
    deflate: DeflateOffer | None
    key: bytes = b""


def header(headers: Headers, name: bytes) -> bytes | None:
    """Return the value of a header; several lines of it joined by commas (RFC 9110, 5.3), None when it is absent."""
    values = [value for key, value in headers if key == name]
    return b",".join(values) if values else None


def parse(request: RequestReceived, window_bits: int = _WINDOW_BITS) -> Handshake:
    """Return the handshake in an HTTP/1.1 request with `upgrade`.

    Raises:
        WrongVersion: 426, with `headers` for the answer.
        BadRequest: 400.
    """
    version = header(request.headers, b"sec-websocket-version")
    if version is not None and version != _VERSION:
        raise WrongVersion("this server speaks WebSocket version 13")
    key = header(request.headers, b"sec-websocket-key")
    if not request.upgrade or version is None or key is None or not _KEY.fullmatch(key):
        raise BadRequest("malformed WebSocket handshake")
    return Handshake(
        subprotocols=parse_subprotocols(request.headers),
        deflate=choose_deflate(request.headers, window_bits),
        key=key,
    )


def accept(
    handshake: Handshake,
    *,
    subprotocol: str | None,
    headers: Iterable[tuple[bytes, bytes]] = (),
    compress: bool,
) -> bytes:
    """Return the 101 response. Messages are compressed afterwards if `compress` and `handshake.deflate` say so.

    Raises:
        InvalidMessage: as `acceptance`.
    """
    digest = hashlib.sha1(handshake.key + _GUID, usedforsecurity=False).digest()
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + b64encode(digest),
    ]
    lines += [b"%b: %b" % pair for pair in acceptance(handshake, subprotocol, headers, compress=compress)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def acceptance(
    handshake: Handshake,
    subprotocol: str | None,
    headers: Iterable[tuple[bytes, bytes]],
    *,
    compress: bool,
) -> Headers:
    """Return the headers of an acceptance in any HTTP version, the application's last.

    Raises:
        InvalidMessage: a subprotocol that was not offered (RFC 6455, 4.2.2), or a header that may not be set; it
            names the header.
    """
    chosen: Headers = []
    if subprotocol is not None:
        if subprotocol not in handshake.subprotocols:
            offered = ", ".join(handshake.subprotocols) or "none"
            raise InvalidMessage(f"subprotocol {subprotocol!r} was not offered (offered: {offered})", "subprotocol")
        chosen.append((b"Sec-WebSocket-Protocol", subprotocol.encode("ascii")))
    if compress and handshake.deflate is not None:
        # Neither side keeps a window between messages: no memory for idle connections, and one frame fits all members.
        value = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        if handshake.deflate.window_bits is not None:
            value += b"; server_max_window_bits=%d" % handshake.deflate.window_bits
        chosen.append((b"Sec-WebSocket-Extensions", value))
    for name, value in headers:
        key = checked_name(name)
        if key in HOP_BY_HOP or key == b"content-length" or key.startswith(b"sec-websocket-"):
            raise InvalidMessage(f"header {name!r} belongs to the handshake itself", "headers")
        check_value(name, value)
        chosen.append((name, value))
    return chosen


def parse_subprotocols(headers: Headers) -> list[str]:
    """Return what the client offers, in its order, each once.

    Raises:
        BadRequest: one is no token (RFC 6455, 4.1), or there are too many.
    """
    value = header(headers, b"sec-websocket-protocol")
    if value is None:
        return []
    names = list_items(value)
    if len(names) > MAX_SUBPROTOCOLS or not all(map(is_token, names)):
        raise BadRequest("malformed Sec-WebSocket-Protocol")
    return list(dict.fromkeys(name.decode("ascii") for name in names))


def choose_deflate(headers: Headers, window_bits: int = _WINDOW_BITS) -> DeflateOffer | None:
    """Return the first permessage-deflate offer that this server can take, or None.

    Raises:
        BadRequest: the extensions header does not follow its grammar (RFC 6455, 9.1).
    """
    value = header(headers, b"sec-websocket-extensions")
    if value is None:
        return None
    chosen = None
    for name, parameters in _parse_extensions(value):
        if chosen is None and name == b"permessage-deflate":
            chosen = _take_offer(parameters, window_bits)
    return chosen


def _take_offer(parameters: list[tuple[bytes, bytes | None]], window_bits: int) -> DeflateOffer | None:
    """RFC 7692, 7: an offer with an unknown, repeated or invalid parameter is declined, not an error."""
    given = dict(parameters)
    if len(given) != len(parameters):
        return None
    for name, value in parameters:
        if name in (b"server_no_context_takeover", b"client_no_context_takeover"):
            if value is not None:
                return None
        elif name == b"client_max_window_bits":
            # A hint; a client that uses a smaller window than ours can be read all the same.
            if value is not None and not _is_window(value):
                return None
        elif name != b"server_max_window_bits" or value is None or not _is_window(value):
            return None
    demanded = given.get(b"server_max_window_bits")
    if demanded is not None and int(demanded) < window_bits:
        # A second window would mean a third form of every group frame.
        return None
    return DeflateOffer(window_bits if demanded is not None or window_bits < 15 else None)


def _is_window(value: bytes) -> bool:
    """RFC 7692, 7.1.2: a decimal number from 8 to 15 without leading zeros."""
    return value in (b"8", b"9", b"10", b"11", b"12", b"13", b"14", b"15")


def _parse_extensions(value: bytes) -> Iterator[Extension]:
    """Yield the members of an extension list (RFC 6455, 9.1), reading each byte once."""
    pos = 0
    while pos < len(value):
        pos = _skip(value, pos)
        if value[pos : pos + 1] == b",":
            # RFC 9110, 5.6.1.2: empty members are ignored.
            pos += 1
            continue
        if pos == len(value):
            return
        name, pos = _take_token(value, pos)
        parameters: list[tuple[bytes, bytes | None]] = []
        while value[pos : pos + 1] == b";":
            parameter, pos = _take_token(value, _skip(value, pos + 1))
            argument = None
            if value[pos : pos + 1] == b"=":
                argument, pos = _take_argument(value, _skip(value, pos + 1))
            parameters.append((parameter, argument))
        if value[pos : pos + 1] not in (b",", b""):
            raise BadRequest("malformed Sec-WebSocket-Extensions")
        yield name, parameters


def _take_token(value: bytes, pos: int) -> tuple[bytes, int]:
    match = _TOKEN.match(value, pos)
    if match is None:
        raise BadRequest("malformed Sec-WebSocket-Extensions")
    return match[0], _skip(value, match.end())


def _take_argument(value: bytes, pos: int) -> tuple[bytes, int]:
    match = _QUOTED.match(value, pos)
    if match is None:
        return _take_token(value, pos)
    # RFC 6455, 9.1: what is quoted is a token too, once the backslashes are gone.
    return match[1].replace(b"\\", b""), _skip(value, match.end())


def _skip(value: bytes, pos: int) -> int:
    match = _SPACE.match(value, pos)
    return match.end() if match else pos

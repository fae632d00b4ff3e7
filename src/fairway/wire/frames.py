"""WebSocket frames as the server sends them (RFC 6455, 5.2): never masked, never in fragments.

Each is encoded once per message; every member of a group gets the same bytes.
"""

import zlib

from fairway.errors import InvalidMessage
from fairway.limits import WebSocketLimits

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
MAX_CONTROL = 125
NO_CODE = 1005
"""RFC 6455, 7.1.5: how a close frame without a code is spelled everywhere but on the wire."""

_FIN, _RSV1 = 0x80, 0x40
_WINDOW_BITS = WebSocketLimits().window_bits
_SYNC_TAIL = 4
"""RFC 7692, 7.2.1: a flushed deflate stream ends in 00 00 ff ff, which does not travel."""


def is_close_code(code: int) -> bool:
    """Tell whether a close frame may carry `code` (RFC 6455, 7.4, and the IANA registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def encode_text(text: str) -> bytes:
    """Return a text message.

    Raises:
        InvalidMessage: a lone surrogate, which UTF-8 has no bytes for.
    """
    return _frame(_FIN | TEXT, _utf8(text, "text"))


def encode_bytes(data: bytes) -> bytes:
    """Return a binary message."""
    return _frame(_FIN | BINARY, data)


def encode_close(code: int, reason: str = "") -> bytes:
    """Return a close frame; for 1005 one without a code, which is how to answer one that had none.

    Raises:
        InvalidMessage: a code that may not travel, or a reason above 123 bytes.
    """
    if code == NO_CODE and not reason:
        return _frame(_FIN | CLOSE, b"")
    if not is_close_code(code):
        raise InvalidMessage(f"{code!r} is no close code that may be sent", "close")
    payload = code.to_bytes(2, "big") + _utf8(reason, "reason")
    if len(payload) > MAX_CONTROL:
        raise InvalidMessage(f"a close reason has at most 123 bytes, this one has {len(payload) - 2}", "reason")
    return _frame(_FIN | CLOSE, payload)


def encode_ping(data: bytes = b"") -> bytes:
    """Return a ping.

    Raises:
        InvalidMessage: above 125 bytes (RFC 6455, 5.5).
    """
    return _control(PING, data)


def encode_pong(data: bytes) -> bytes:
    """Return the answer to a ping.

    Raises:
        InvalidMessage: above 125 bytes (RFC 6455, 5.5).
    """
    return _control(PONG, data)


def deflate_message(payload: bytes, opcode: int, window_bits: int = _WINDOW_BITS) -> bytes:
    """Return a compressed message (RFC 7692, 7.2.1) with a window of its own, so that it fits every member.

    `opcode` is `TEXT` or `BINARY`; `payload` of a text is its UTF-8.
    """
    deflater = zlib.compressobj(wbits=-window_bits)
    packed = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return _frame(_FIN | _RSV1 | opcode, packed[:-_SYNC_TAIL])


def _control(opcode: int, data: bytes) -> bytes:
    if len(data) > MAX_CONTROL:
        raise InvalidMessage(f"a ping or pong has at most {MAX_CONTROL} bytes, this one has {len(data)}")
    return _frame(_FIN | opcode, data)


def _utf8(text: str, key: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidMessage(f"{key} cannot be UTF-8: {error.reason}", key) from None


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size <= 125:
        return b"%c%c%b" % (first, size, payload)
    if size <= 0xFFFF:
        return b"%c\x7e%b%b" % (first, size.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (first, size.to_bytes(8, "big"), payload)

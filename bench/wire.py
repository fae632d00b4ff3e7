"""WebSocket bytes by hand: masked frames built in advance, server frames read with as little work as can be.

Not a WebSocket implementation: it knows the frames that the contenders send in these loads (RFC 6455 section 5.2, RFC
7692) and calls anything else an error, so that a contender cannot earn a good number with wrong bytes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from dataclasses import dataclass

from bench.errors import BenchError

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
_FIN, _RSV1, _OPCODE = 0x80, 0x40, 0x0F
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_DEFLATE_TAIL = b"\x00\x00\xff\xff"


def masked_frame(opcode: int, payload: bytes, key: bytes | None = None) -> bytes:
    """Build one masked, uncompressed frame as a browser would send it."""
    key = os.urandom(4) if key is None else key
    return bytes([_FIN | opcode]) + _length(len(payload), 0x80) + key + mask(payload, key)


def server_frame(payload: bytes, *, opcode: int = TEXT, compressed: bool = False) -> bytes:
    """Build one unmasked frame as a server would send it (for the floor)."""
    first = _FIN | opcode | (_RSV1 if compressed else 0)
    return bytes([first]) + _length(len(payload), 0) + payload


def mask(payload: bytes, key: bytes) -> bytes:
    """XOR as one large integer: the fastest way that needs no compiled helper."""
    size = len(payload)
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def deflate(payload: bytes) -> bytes:
    """Compress one message without context (RFC 7692 section 7.2.1)."""
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def _length(size: int, mask_bit: int) -> bytes:
    if size < 126:
        return bytes([mask_bit | size])
    if size < 1 << 16:
        return bytes([mask_bit | 126]) + size.to_bytes(2, "big")
    return bytes([mask_bit | 127]) + size.to_bytes(8, "big")


def accept_token(key: bytes) -> bytes:
    """Compute the answer to a `Sec-WebSocket-Key` (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


@dataclass(frozen=True)
class Accepted:
    """What the server agreed to in its handshake."""

    deflate: bool
    context_takeover: bool


def upgrade_request(path: str, port: int, key: bytes, *, offer_deflate: bool, cookie: str = "") -> bytes:
    """Build an opening handshake as a browser sends it, without an Origin."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key.decode()}",
        "Sec-WebSocket-Version: 13",
    ]
    if offer_deflate:
        # What Chrome and Firefox offer.
        lines.append("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
    if cookie:
        lines.append(f"Cookie: {cookie}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def read_acceptance(head: bytes, key: bytes) -> Accepted:
    """Check the server's answer to the handshake."""
    status, *lines = head.split(b"\r\n")
    if not status.startswith(b"HTTP/1.1 101"):
        raise BenchError(f"handshake refused: {status.decode('latin-1')}")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    if headers.get(b"sec-websocket-accept") != accept_token(key):
        raise BenchError("handshake answered with a wrong Sec-WebSocket-Accept")
    extension = headers.get(b"sec-websocket-extensions", b"")
    return Accepted(
        deflate=b"permessage-deflate" in extension, context_takeover=b"server_no_context_takeover" not in extension
    )


class FrameReader:
    """The slow, thorough path: cuts bytes into frames, keeps what is left over, and inflates where asked."""

    def __init__(self, accepted: Accepted) -> None:
        """Start with no bytes held."""
        self._accepted = accepted
        self._rest = b""
        self._inflater = zlib.decompressobj(wbits=-15)

    @property
    def empty(self) -> bool:
        """Whether no part of a frame is waiting for its end."""
        return not self._rest

    def frames(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the whole frames in `data` and what was left before it, as (first byte, payload)."""
        data = self._rest + data
        start, found = 0, []
        while (end := frame_end(data, start)) and end <= len(data):
            size = end - start
            header = 2 if size < 128 else 4 if data[start + 1] == 126 else 10
            found.append((data[start], data[start + header : end]))
            start = end
        self._rest = data[start:]
        return found

    def text(self, first: int, payload: bytes) -> bytes:
        """Return the message in a data frame; must be called for each of them in order where the context is kept."""
        if first & ~_RSV1 != _FIN | TEXT:
            raise BenchError(f"unexpected frame with first byte {first:#x}")
        if not first & _RSV1:
            return payload
        if not self._accepted.deflate:
            raise BenchError("compressed frame though deflate was not agreed")
        if not self._accepted.context_takeover:
            self._inflater = zlib.decompressobj(wbits=-15)
        try:
            return self._inflater.decompress(payload + _DEFLATE_TAIL)
        except zlib.error as error:
            raise BenchError(f"compressed frame that does not inflate: {error}") from error


def frame_end(data: bytes | bytearray | memoryview, start: int) -> int:
    """Return where the server frame that begins at `start` ends, or 0 while its header is not complete."""
    available = len(data) - start
    if available < 2:
        return 0
    size = data[start + 1]
    if size < 126:
        return start + 2 + size
    if size == 126:
        return start + 4 + (data[start + 2] << 8 | data[start + 3]) if available >= 4 else 0
    if size == 127:
        return start + 10 + int.from_bytes(data[start + 2 : start + 10], "big") if available >= 10 else 0
    raise BenchError("a server must not mask its frames")


def whole_text_frame(buffer: bytearray, size: int) -> bool:
    """Whether the first `size` bytes are exactly one data frame: the client's fast path, without copying."""
    if buffer[0] | _RSV1 != _FIN | _RSV1 | TEXT:
        return False
    short = buffer[1]
    if short < 126:
        return size == short + 2
    return short == 126 and size == (buffer[2] << 8 | buffer[3]) + 4

"""Where a request body of HTTP/1.1 ends: by its length, or by its chunks (RFC 9112, 6 and 7.1).

Both readers take bytes at a position and return the position behind what they used. They keep nothing that a peer can
make grow: a chunk line and a trailer line wait in the caller's buffer until they are complete, under a limit.
"""

import re
from collections.abc import Callable

from fairway.errors import BadRequest, HeadersTooLarge, RequestTooLarge
from fairway.limits import HttpLimits
from fairway.wire.grammar import VALUE_RECEIVED, is_token, odd_bytes

MAX_CHUNK_LINE = 1024
"""A chunk's size and its extensions, which nobody uses."""

_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")


class LengthBody:
    """A body whose length the head has told."""

    __slots__ = ("_left", "ended")

    def __init__(self, length: int) -> None:
        self._left = length
        self.ended = False

    def read(self, data: bytes, pos: int, out: list[bytes]) -> int:
        """Append the body bytes of `data` from `pos` on to `out`; return the position behind them."""
        end = min(len(data), pos + self._left)
        out.append(data[pos:end])
        self._left -= end - pos
        self.ended = not self._left
        return end


class ChunkedBody:
    """A body in chunks, with its trailers, which are checked and dropped."""

    __slots__ = ("_extra", "_left", "_limits", "_read", "_total", "_trailers", "ended")

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        # What comes next. A function and not a bound method, which would be a cycle for the garbage collector.
        self._read: Callable[[ChunkedBody, bytes, int, list[bytes]], int] = ChunkedBody._read_size
        self._left = 0
        self._total = 0
        self._extra = 0
        self._trailers = 0
        self.ended = False

    def read(self, data: bytes, pos: int, out: list[bytes]) -> int:
        """Append the body bytes of `data` from `pos` on to `out`; return the position behind what was used.

        Raises:
            PeerError: with the status to answer.
        """
        while not self.ended:
            after = self._read(self, data, pos, out)
            if after == pos:
                break
            pos = after
        return pos

    def _read_size(self, data: bytes, pos: int, _out: list[bytes]) -> int:
        line, after = _take_line(data, pos, MAX_CHUNK_LINE)
        if line is None:
            return pos
        size, semicolon, extension = line.partition(b";")
        if not _CHUNK_SIZE.fullmatch(size) or odd_bytes(extension, VALUE_RECEIVED):
            raise BadRequest("malformed chunk size")
        if semicolon:
            # CVE-2023-39326: extensions without end, in chunks of one byte each.
            self._extra += len(extension)
            if self._extra > self._limits.header_bytes:
                raise HeadersTooLarge("chunk extensions above the limit")
        self._left = int(size, 16)
        self._total += self._left
        check_total(self._total, self._limits.body_total)
        if self._left:
            self._read = ChunkedBody._read_data
        else:
            self._read = ChunkedBody._read_trailer
            self._extra = 0
        return after

    def _read_data(self, data: bytes, pos: int, out: list[bytes]) -> int:
        end = min(len(data), pos + self._left)
        out.append(data[pos:end])
        self._left -= end - pos
        if not self._left:
            self._read = ChunkedBody._read_data_end
        return end

    def _read_data_end(self, data: bytes, pos: int, _out: list[bytes]) -> int:
        # CVE-2025-43859: any two bytes taken for the end of a chunk are a way to smuggle a request.
        end = data[pos : pos + 2]
        if not b"\r\n".startswith(end):
            raise BadRequest("a chunk does not end where its size says")
        if len(end) < 2:
            return pos
        self._read = ChunkedBody._read_size
        return pos + 2

    def _read_trailer(self, data: bytes, pos: int, _out: list[bytes]) -> int:
        line, after = _take_line(data, pos, self._limits.header_bytes)
        if line is None:
            return pos
        if not line:
            self.ended = True
            return after
        self._trailers += 1
        self._extra += after - pos
        if self._trailers > self._limits.header_count or self._extra > self._limits.header_bytes:
            raise HeadersTooLarge("trailers above the limit")
        name, colon, value = line.partition(b":")
        if not colon or not is_token(name) or odd_bytes(value, VALUE_RECEIVED):
            raise BadRequest("malformed trailer")
        return after


def check_total(length: int, most: int) -> None:
    """Raise `RequestTooLarge` when a body of `length` bytes is above `most`, unless that is unlimited."""
    if 0 <= most < length:
        raise RequestTooLarge(f"the request body is above the limit of {most:,} bytes")


def _take_line(data: bytes, pos: int, most: int) -> tuple[bytes | None, int]:
    """Return the line at `pos` without its CRLF, and the position behind it; None when it is not complete yet."""
    end = data.find(b"\n", pos, pos + most + 2)
    if end < 0:
        if len(data) - pos > most + 1:
            raise HeadersTooLarge("a chunk or trailer line above the limit")
        return None, pos
    if end == pos or data[end - 1] != 0x0D:
        raise BadRequest("a line that does not end in CRLF")
    return data[pos : end - 1], end + 1

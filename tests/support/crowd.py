"""Many quiet WebSockets in one thread: they hear what a group is told, and say something when a test wants it."""

import asyncio
import threading
from collections import Counter
from types import TracebackType
from typing import Any, Self

import uvloop

from tests.support.waiting import await_until, wait_until

_HEAD = (
    b"GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A


class Crowd:
    """Sockets at some ports. Use it in a `with`; its loop runs in a thread of its own.

    Parameters:
        ports: of 127.0.0.1; the sockets are shared out evenly.
        size: how many sockets.
    """

    def __init__(self, ports: list[int], size: int) -> None:
        self.size = size
        self.ports = ports
        self.opened = 0
        self.closed: list[str] = []
        """Why sockets were closed, though they were not left."""
        self.heard: Counter[str] = Counter()
        """How often each text came, to all sockets together."""
        self.said = 0
        self._members = [_Member(self) for _ in range(size)]
        self._is_over = False
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="crowd", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _open(self) -> None:
        for place, member in enumerate(self._members):
            port = self.ports[place % len(self.ports)]
            await self._loop.create_connection(lambda member=member: member, "127.0.0.1", port)  # type: ignore[misc]
        await await_until(lambda: self.opened == self.size, lambda: f"{self.opened} of {self.size} handshakes", 60)

    async def _leave(self) -> None:
        self._is_over = True
        for member in self._members:
            member.transport.abort()
        await asyncio.sleep(0)

    def say(self, text: str, count: int = 0) -> None:
        """Have the first `count` sockets say something; all of them without a count."""
        for member in self._members[: count or self.size]:
            self._loop.call_soon_threadsafe(member.say, text)

    def wait_heard(self, text: str, count: int = 0, deadline: float = 60) -> None:
        """Wait until a text has come so often; once to each socket without a count."""
        wanted = count or self.size
        wait_until(
            lambda: self.heard[text] >= wanted, lambda: f"{text!r}: heard by {self.heard[text]} of {wanted}", deadline
        )

    def note_end(self, reason: str) -> None:
        """Note that a socket was closed."""
        if not self._is_over:
            self.closed.append(reason)


class _Member(asyncio.Protocol):
    """One socket. Frames are masked with zeros, which RFC 6455 (5.3) leaves as they are."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._buffer = b""
        self._is_open = False
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(_HEAD)

    def say(self, text: str) -> None:
        self.transport.write(_frame(_TEXT, text.encode()))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        if not self._is_open:
            head, end, buffer = buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            if b" 101 " not in head[:20]:
                self._crowd.note_end(f"refused: {head[:60]!r}")
                return
            self._is_open = True
            self._crowd.opened += 1
        while len(buffer) >= 2 and buffer[1] < 126 and len(buffer) >= 2 + buffer[1]:
            self._take(buffer[0], buffer[2 : 2 + buffer[1]])
            buffer = buffer[2 + buffer[1] :]
        self._buffer = buffer

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == _PING:
            self.transport.write(_frame(_PONG, payload))
        elif kind == _CLOSE:
            self._crowd.note_end(f"closed: {payload!r}")
        else:
            self._crowd.heard[payload.decode()] += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.note_end(f"cut: {exc}")


def _frame(kind: int, payload: bytes) -> bytes:
    return bytes((kind, 0x80 | len(payload))) + b"\0\0\0\0" + payload

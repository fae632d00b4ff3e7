"""The client's sockets: opened by hand, read by hand, so that the client is never what a result measures.

Plain non-blocking sockets under one epoll. Per message the client makes one `recv_into` a shared buffer and looks at
the header in place; only the sockets of the sample, and bytes that are not exactly one frame, take the thorough path
through `wire.FrameReader`.
"""

from __future__ import annotations

import base64
import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle

from bench import wire
from bench.errors import BenchError

BATCH = 50  # Handshakes under way at a time: well within every server's listen queue.
HANDSHAKE_TIMEOUT = 20.0
CLOSE_TIMEOUT = 10.0
STALL_TIMEOUT = 10.0
# Asked before the client is pinned. On a single core the server needs the time.
_MAY_SPIN = len(os.sched_getaffinity(0)) > 1
_CLOSE_FRAME = wire.masked_frame(wire.CLOSE, (1000).to_bytes(2, "big"))


class Connection:
    """One open WebSocket of the client."""

    __slots__ = (
        "accepted",
        "check",
        "deflated_frames",
        "fileno",
        "reader",
        "received",
        "recv_into",
        "send",
        "sent_at",
        "slow",
        "sock",
        "tag",
    )

    def __init__(self, sock: socket.socket, accepted: wire.Accepted) -> None:
        """Take over a socket whose handshake is done."""
        self.sock = sock
        self.accepted = accepted
        self.fileno = sock.fileno()
        self.recv_into: Callable[[bytearray], int] = sock.recv_into
        self.send: Callable[[bytes], int] = sock.send
        self.reader = wire.FrameReader(accepted)
        self.check: Callable[[int, bytes], None] | None = None
        self.deflated_frames = 0
        self.received = 0
        self.sent_at = 0.0
        self.slow = False
        self.tag = 0

    def take(self, buffer: bytearray) -> int:
        """Read what is there; return how many whole messages that completed."""
        size = self.recv_into(buffer)
        if self.check is None and self.reader.empty and wire.whole_text_frame(buffer, size):
            self.received += 1
            return 1
        return self._take_thoroughly(bytes(buffer[:size]))

    def _take_thoroughly(self, data: bytes) -> int:
        if not data:
            raise BenchError("the server closed a socket without a close frame")
        messages = 0
        for first, payload in self.reader.frames(data):
            opcode = first & 0x0F
            if opcode == wire.PING:
                self.send(wire.masked_frame(wire.PONG, payload))
            elif opcode == wire.CLOSE:
                raise BenchError(f"the server closed a socket with {int.from_bytes(payload[:2], 'big')}")
            elif opcode != wire.PONG:
                self._take_message(first, payload)
                messages += 1
        return messages

    def _take_message(self, first: int, payload: bytes) -> None:
        if self.check is not None:
            self.deflated_frames += first & 0x40 != 0
            self.check(self.received, self.reader.text(first, payload))
        self.received += 1


class Poller:
    """Epoll over a set of connections that does not sleep, unless it shares its core with the servers.

    The send that wakes a sleeping client pays for the wake-up. With real clients, which are on other machines, a
    server never pays it; here it would make every contender that is slower than the client dearer than it is, and
    blur the floor. So the client spins on its core, and what counts as its load is the time in which it had something
    to do.
    """

    def __init__(self, connections: Iterable[Connection], *, spins: bool = True) -> None:
        """Watch the connections for reading."""
        self._spins = spins and _MAY_SPIN
        self._by_fileno = {connection.fileno: connection for connection in connections}
        self._epoll = select.epoll()
        self.idle = 0.0
        for fileno in self._by_fileno:
            # Edge-triggered: one read empties a socket in these loads, and the kernel need not look at it again to
            # find that out.
            self._epoll.register(fileno, select.EPOLLIN | select.EPOLLET)

    def ready(self, timeout: float = STALL_TIMEOUT) -> list[Connection]:
        """Return the connections that have something to read; an empty list after the timeout."""
        by_fileno = self._by_fileno
        events = self._epoll.poll(0, len(by_fileno)) or self._wait(timeout)
        return [by_fileno[fileno] for fileno, _ in events]

    def _wait(self, timeout: float) -> list[tuple[int, int]]:
        poll, count, clock = self._epoll.poll, len(self._by_fileno), time.perf_counter
        pause = 0 if self._spins else timeout
        started = now = clock()
        events: list[tuple[int, int]] = []
        while not events and now - started < timeout:
            events = poll(pause, count)
            now = clock()
        self.idle += now - started
        return events

    def close(self) -> None:
        """Stop watching."""
        self._epoll.close()


@contextmanager
def connections(
    ports: Sequence[int], paths: list[str], *, offer_deflate: bool = False, cookie: str = ""
) -> Iterator[list[Connection]]:
    """Open one WebSocket per path, to the ports in turn; close them all, politely while there is time, at the end."""
    opened: list[Connection] = []
    places = list(zip(cycle(ports), paths))
    try:
        for start in range(0, len(paths), BATCH):
            opened += _open_batch(places[start : start + BATCH], offer_deflate=offer_deflate, cookie=cookie)
        yield opened
    finally:
        _close(opened)


def _open_batch(places: list[tuple[int, str]], *, offer_deflate: bool, cookie: str) -> list[Connection]:
    started: list[tuple[socket.socket, bytes]] = []
    opened: list[Connection] = []
    try:
        for port, path in places:
            key = base64.b64encode(os.urandom(16))
            sock = socket.create_connection(("127.0.0.1", port), timeout=HANDSHAKE_TIMEOUT)
            started.append((sock, key))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(wire.upgrade_request(path, port, key, offer_deflate=offer_deflate, cookie=cookie))
        for sock, key in started:
            accepted = wire.read_acceptance(_read_head(sock), key)
            sock.settimeout(0)
            opened.append(Connection(sock, accepted))
    except (OSError, BenchError):
        for sock, _ in started:
            sock.close()
        raise
    return opened


def _read_head(sock: socket.socket) -> bytes:
    """Read up to the blank line, and not a byte further: a frame may follow at once."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        peeked = sock.recv(65536, socket.MSG_PEEK)
        if not peeked:
            raise BenchError("the server closed the socket during the handshake")
        joined = bytes(head) + peeked
        end = joined.find(b"\r\n\r\n")
        size = len(peeked) if end < 0 else end + 4 - len(head)
        head += sock.recv(size)
    return bytes(head[:-4])


def _close(opened: list[Connection]) -> None:
    """Close as a browser does: a close frame, then wait for the server's end of the stream."""
    waiting = {}
    for connection in opened:
        try:
            connection.send(_CLOSE_FRAME)
            waiting[connection.fileno] = connection
        except OSError:
            connection.sock.close()
    poller = select.epoll()
    try:
        for fileno in waiting:
            poller.register(fileno, select.EPOLLIN)
        deadline = time.monotonic() + CLOSE_TIMEOUT
        while waiting and (events := poller.poll(max(0.0, deadline - time.monotonic()))):
            for fileno, _ in events:
                if _at_end(waiting[fileno].sock):
                    poller.unregister(fileno)
                    waiting.pop(fileno).sock.close()
    finally:
        poller.close()
        for connection in waiting.values():
            connection.sock.close()


def _at_end(sock: socket.socket) -> bool:
    try:
        return not sock.recv(65536)
    except BlockingIOError:
        return False
    except OSError:
        return True

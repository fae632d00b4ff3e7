"""Commands to one Redis server and their replies, matched by their order, over one wire. Many threads write, one reads.

What the socket does not take at once is written by a thread of its own, so that nobody is made to wait in the middle of
a command, and an event loop never waits at all.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from fairway.errors import LayerUnavailable
from fairway.layers.redis.wire import Reply, Wire, unavailable

OnReply = Callable[[Reply], None]

UNSENT = 64 * 1024 * 1024
"""Bytes that wait for a server that does not read. Beyond it the connection is given up."""

REPLY_TIMEOUT = 10.0
"""A server that leaves commands unanswered for so long is taken for dead."""

CROWDED = 1024 * 1024
"""Bytes that wait before threads that write more are made to wait, too."""


class Pipe:
    """The commands for one server.

    Parameters:
        wire: the connection; it belongs to the pipe from now on.
        on_broken: called with the reason, from the thread that writes, when the connection breaks.
    """

    def __init__(self, wire: Wire, on_broken: Callable[[str], None]) -> None:
        self.wire = wire
        self._on_broken = on_broken
        self._lock = threading.Lock()
        self._awaited: deque[OnReply | None] = deque()
        self._unsent: deque[memoryview] = deque()
        self._size = 0
        self._room = threading.Event()
        self._room.set()
        self._quiet_since = time.monotonic()
        """When the last reply came, or when the first command was written after all had been answered."""

    def send(self, data: bytes, on_replies: Sequence[OnReply | None]) -> None:
        """Write commands, or have them written soon.

        Raises:
            LayerUnavailable: the connection is lost.
        """
        with self._lock:
            if not self._awaited:
                self._quiet_since = time.monotonic()
            self._awaited.extend(on_replies)
            if not self._unsent:
                sent = self.wire.send(data)
                if sent == len(data):
                    return
                data = data[sent:]
                self._start_writer()
            self._unsent.append(memoryview(data))
            self._size += len(data)
            if self._size > UNSENT:
                msg = f"Redis at {self.wire.node} has stopped reading"
                raise LayerUnavailable(msg)

    def _start_writer(self) -> None:
        try:
            threading.Thread(target=self._write_rest, name="fairway-write", daemon=True).start()
        except RuntimeError as error:  # there can be no more threads; half a command is of no use
            raise unavailable(self.wire.node, f"has no room now, and nobody can wait for it: {error}") from error
        self._room.clear()

    @property
    def is_crowded(self) -> bool:
        """Whether so much is unsent that whoever writes more should wait."""
        return self._size > CROWDED

    def wait_for_room(self) -> None:
        """Wait while much is unsent."""
        if self.is_crowded:
            self._room.wait()

    def _write_rest(self) -> None:
        try:
            while True:
                with self._lock:
                    if not self._unsent:
                        self._room.set()
                        return
                    first = self._unsent[0]
                self.wire.sendall(first)
                with self._lock:
                    self._unsent.popleft()
                    self._size -= len(first)
        except LayerUnavailable as error:
            self._room.set()
            self._on_broken(str(error))

    def receive(self) -> None:
        """Take the replies that have come to whoever awaits them.

        Raises:
            LayerUnavailable: the connection is lost.
        """
        replies = self.wire.receive()
        if replies:
            self._quiet_since = time.monotonic()
        for reply in replies:
            on_reply = self._awaited.popleft()
            if on_reply is not None:
                on_reply(reply)

    def is_silent(self, now: float) -> bool:
        """Whether commands have been unanswered for so long that the server is as good as gone."""
        return bool(self._awaited) and now - self._quiet_since > REPLY_TIMEOUT

    def close(self) -> None:
        """Hang up."""
        self._room.set()
        self.wire.close()

"""The streams of one Redis server that a process reads: one `XREAD` at a time, over a wire of its own.

Streams come and go while an `XREAD` waits; it is then ended early, and the next one names them.
"""

import threading
import time
from collections.abc import Callable, Sequence

from fairway.layers.redis.wire import ReplyError, Wire, pack, unavailable

OnEntry = Callable[[bytes, Sequence[bytes]], None]
"""Called with an entry's id and its fields and values."""

BLOCK = 4.0
"""Seconds after which an `XREAD` that finds nothing is answered: a server that gives no answer is noticed by it."""

PATIENCE = 6.0
"""Seconds beyond those."""

COUNT = 256
"""Entries of one stream in one reply: many messages a wake-up, and still a bound on what is in memory."""


class Mail:
    """The streams read from one server.

    Parameters:
        wire: the connection; it belongs to the mail from now on. Its client id is asked for here.
        timeout: seconds for that.
    """

    def __init__(self, wire: Wire, timeout: float) -> None:
        self.wire = wire
        reply = wire.ask(pack("CLIENT", "ID"), timeout=timeout)[0]
        if isinstance(reply, ReplyError):
            raise unavailable(wire.node, f"does not tell a connection its id: {reply}; its user needs +client|id")
        self.client_id: int = reply
        self._lock = threading.Lock()
        self._streams: dict[bytes, tuple[bytes, OnEntry]] = {}
        self._is_armed = False
        self._armed_at = 0.0
        self.is_stale = False

    def watch(self, key: str, on_entry: OnEntry) -> bool:
        """Read a stream from its beginning; return whether the waiting `XREAD` has to be ended for that."""
        with self._lock:
            if key.encode() in self._streams:
                return False
            self._streams[key.encode()] = b"0-0", on_entry
            if self._is_armed:
                is_first, self.is_stale = not self.is_stale, True
                return is_first
            self._arm()
            return False

    def forget(self, key: str) -> None:
        """Read a stream no more."""
        with self._lock:
            self._streams.pop(key.encode(), None)

    def _arm(self) -> None:
        """Ask for what comes next."""
        if not self._streams:
            self._is_armed = False
            return
        self._is_armed, self.is_stale = True, False
        self._armed_at = time.monotonic()
        positions = [position for position, _ in self._streams.values()]
        block = int(BLOCK * 1000)
        self.wire.sendall(pack("XREAD", "COUNT", COUNT, "BLOCK", block, "STREAMS", *self._streams, *positions))

    def receive(self) -> None:
        """Take the entries that have come to whoever watches their streams, and ask for the next ones.

        Raises:
            LayerUnavailable: the connection is lost, or the server refuses.
        """
        for reply in self.wire.receive():
            if isinstance(reply, ReplyError):
                raise unavailable(self.wire.node, f"does not let us read streams: {reply}")
            found: list[tuple[OnEntry, list[tuple[bytes, list[bytes]]]]] = []
            with self._lock:
                for key, entries in reply or ():
                    watched = self._streams.get(key)
                    if watched:
                        self._streams[key] = entries[-1][0], watched[1]
                        found.append((watched[1], entries))
                self._arm()
            for on_entry, entries in found:
                for entry, fields in entries:
                    if fields:
                        on_entry(entry, fields)

    def is_silent(self, now: float) -> bool:
        """Whether an answer is overdue."""
        return self._is_armed and now - self._armed_at > BLOCK + PATIENCE

    def close(self) -> None:
        """Hang up."""
        self.wire.close()

"""Redis is killed under 1,000 live sockets on two servers, and comes back empty.

What counts is the time from the moment at which the new Redis answers until a message to the group has reached all of
them; before it does, messages to it are lost or refused, as the documentation says. None of the sockets may close.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench import wire
from bench.client import Connection, Poller, connections
from bench.contenders import FairwayHub, FairwayJoined, FairwayRedis, Running
from bench.errors import BenchError
from bench.plan import SERVERS
from bench.processes import Process

SOCKETS = 1_000
SERVER_COUNT = 2
AWAY = 0.5  # Seconds without Redis.
EVERY = 0.02  # Seconds between two tries; messages are told apart by the numbers in them.
TIMEOUT = 30.0
READ_SIZE = 1 << 18

Restarting = FairwayRedis | FairwayJoined


def restarts(contender: FairwayHub, count: int) -> Iterator[tuple[float]]:
    """Yield the milliseconds from when Redis is back until a group send has reached everybody."""
    if not isinstance(contender, Restarting):
        raise BenchError(f"{contender.key} has no Redis to restart")
    running = contender.start({SERVERS: str(SERVER_COUNT)})
    try:
        with connections(running.ports, ["/fanout/everybody/"] * SOCKETS) as opened:
            crowd = _Crowd(opened)
            crowd.reach_all()
            for _ in range(count):
                running.processes.pop(0).kill()
                crowd.listen(AWAY)
                running.processes.insert(0, _started_redis(contender, running))
                began = time.monotonic()
                crowd.reach_all()
                yield ((time.monotonic() - began) * 1e3,)
            crowd.close()
    finally:
        running.stop()


def _started_redis(contender: Restarting, running: Running) -> Process:
    """Start the Redis; it is the first process still, which is the last one to be ended."""
    contender.start_redis(running)
    return running.processes.pop()


class _Crowd:
    """The sockets, the first of which says numbers to all."""

    def __init__(self, opened: list[Connection]) -> None:
        self._opened = opened
        self._poller = Poller(opened, spins=False)
        self._buffer = bytearray(READ_SIZE)
        self._number = 0
        self._heard: dict[bytes, int] = {}
        for connection in opened:
            connection.check = self._hear

    def _hear(self, _index: int, text: bytes) -> None:
        self._heard[text] = self._heard.get(text, 0) + 1

    def listen(self, seconds: float) -> None:
        """Take what comes; raise when a socket closes."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for connection in self._poller.ready(left):
                connection.take(self._buffer)

    def reach_all(self) -> None:
        """Say a number again and again until one has reached everybody."""
        self._heard.clear()
        deadline = time.monotonic() + TIMEOUT
        while len(self._opened) not in self._heard.values():
            if time.monotonic() > deadline:
                most = max(self._heard.values(), default=0)
                raise BenchError(f"{TIMEOUT:g} s after Redis was back a group send reached {most} of {SOCKETS} sockets")
            self._number += 1
            self._opened[0].send(wire.masked_frame(wire.TEXT, str(self._number).encode()))
            self.listen(EVERY)

    def close(self) -> None:
        """Let go of the sockets."""
        self._poller.close()

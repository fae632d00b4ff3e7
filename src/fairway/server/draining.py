"""How a server ends gently: HTTP is finished, sockets are closed one by one, and the log tells how far it is."""

import asyncio
import logging
import time
from collections.abc import Callable

from fairway.limits import UNLIMITED
from fairway.server.connection import Connection
from fairway.server.roster import Roster

logger = logging.getLogger("fairway.server")

PROGRESS = 5.0
"""Seconds between two lines of the log that tell what is left."""


class Drain:
    """The end of a server's connections. `abort` hastens whatever is under way."""

    def __init__(self, roster: Roster[Connection]) -> None:
        self._roster = roster
        self._is_hasty = False
        self.is_finishing = False
        """A stop has begun."""

    async def run(self, seconds: float) -> None:
        """Close everything; return when it is closed, or when `limits.drain_http` is over."""
        roster = self._roster
        roster.stopping = True
        for connection in tuple(roster.connections):
            connection.stop()
        progress = asyncio.create_task(self._tell_progress())
        try:
            await self._close_sockets(seconds)
            await self._wait_until(lambda: not roster.connections, roster.gateway.limits.drain_http)
        finally:
            progress.cancel()

    async def finish(self, seconds: float) -> None:
        """Cut what is left, and wait for the last disconnect messages to be consumed, at most `seconds`."""
        self._cut()
        await self._wait_until(lambda: len(self._roster.gateway) == 0, seconds)

    def abort(self) -> None:
        """Cut every connection, and wait for nothing any more."""
        self._is_hasty = True
        self._roster.stopping = True
        self._cut()

    def _cut(self) -> None:
        for connection in tuple(self._roster.connections):
            connection.abort()

    async def _close_sockets(self, seconds: float) -> None:
        sockets = [stream for connection in self._roster.connections if (stream := connection.socket)]
        if not sockets:
            return
        logger.info("closing %d WebSockets over %g s", len(sockets), max(0.0, seconds))
        pause = max(0.0, seconds) / len(sockets)
        began = time.monotonic()
        for number, stream in enumerate(sockets):
            ahead = began + number * pause - time.monotonic()
            if ahead > 0.001:
                await self._wait_until(lambda: False, ahead)
            if self._is_hasty:
                return
            stream.close(1012, "service restart")

    async def _tell_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS)
            kinds = [connection.kind for connection in self._roster.connections]
            requests = kinds.count("http")
            logger.info("draining: %d sockets, %d requests left", len(kinds) - requests, requests)

    async def _wait_until(self, condition: Callable[[], bool], timeout: float) -> None:
        """Return when the condition holds, when the time is over (`UNLIMITED`: never), or when there is haste."""
        end = time.monotonic() + timeout if timeout != UNLIMITED else float("inf")
        # The conditions are plain sizes of collections: nobody tells when they change.
        while not condition() and not self._is_hasty and (left := end - time.monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(0.02, left))

"""The interface server: listening sockets, the connections they accept, and a stop that is gentle.

It knows no Django. Everything it learns goes to the layer through its gateway; everything it sends comes from there.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Self

from fairway.layers.base import Layer
from fairway.limits import UNLIMITED
from fairway.server.config import ServerConfig
from fairway.server.connection import Connection
from fairway.server.gateway import Gateway
from fairway.server.roster import Roster

logger = logging.getLogger("fairway.server")

BACKLOG = 2048
RECORDS_TIMEOUT = 5.0
"""A stop waits so long for the disconnect messages of its last sockets to be consumed."""


class Server:
    """An interface server on the running event loop.

    Parameters:
        config: where to listen, and everything else.
        layer: what carries the messages.
    """

    def __init__(self, config: ServerConfig, layer: Layer) -> None:
        self.config = config
        self._layer = layer
        self._servers: list[asyncio.Server] = []
        self._paths: list[str] = []
        self._roster: Roster[Connection] | None = None

    @property
    def bound(self) -> list[tuple[str, int]]:
        """Host and port of each TCP socket that listens."""
        sockets = [bound for server in self._servers for bound in server.sockets]
        return [bound.getsockname()[:2] for bound in sockets if bound.family != socket.AF_UNIX]

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._roster.connections) if self._roster else 0

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: an address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        gateway = Gateway(self._layer, self.config, loop)
        self._roster = roster = Roster[Connection](gateway)
        try:
            for bind in self.config.binds:
                self._servers.append(await self._listen(loop, bind, roster))
        except BaseException:
            self._unlisten()
            gateway.close()
            raise

    async def _listen(self, loop: asyncio.AbstractEventLoop, bind: str, roster: Roster[Connection]) -> asyncio.Server:
        def connection() -> Connection:
            return Connection(roster)

        if bind.startswith("unix:"):
            path = bind.removeprefix("unix:")
            server = await loop.create_unix_server(connection, path, backlog=BACKLOG)
            self._paths.append(path)
            return server
        if bind.startswith("fd:"):
            inherited = socket.socket(fileno=os.dup(int(bind.removeprefix("fd:"))))
            return await loop.create_server(connection, sock=inherited, backlog=BACKLOG)
        host, _, port = bind.rpartition(":")
        return await loop.create_server(connection, host.strip("[]") or None, int(port), backlog=BACKLOG)

    async def stop(self) -> None:
        """Stop gently: take no connection, finish HTTP, close the sockets one after the other with 1012.

        The closing is spread over `limits.drain` seconds, so that the clients come back in a trickle. HTTP exchanges
        that have begun get `limits.drain_http` seconds.
        """
        roster = self._roster
        if roster is None or roster.stopping:
            return
        roster.stopping = True
        self._unlisten()
        try:
            for connection in tuple(roster.connections):
                connection.stop()
            await self._close_sockets(roster)
            await _wait_until(lambda: not roster.connections, self.config.limits.drain_http)
            self._abort_all(roster)
            await _wait_until(lambda: len(roster.gateway) == 0, RECORDS_TIMEOUT)
        finally:  # also when there is no patience for it all
            self._abort_all(roster)
            roster.gateway.close()

    @staticmethod
    def _abort_all(roster: Roster[Connection]) -> None:
        for connection in tuple(roster.connections):
            connection.abort()

    async def _close_sockets(self, roster: Roster[Connection]) -> None:
        sockets = [stream for connection in roster.connections if (stream := connection.socket)]
        if not sockets:
            return
        logger.info("closing %d WebSockets over %g s", len(sockets), self.config.limits.drain)
        pause = max(0.0, self.config.limits.drain) / len(sockets)
        began = time.monotonic()
        for number, stream in enumerate(sockets):
            stream.close(1012, "service restart")
            ahead = began + number * pause - time.monotonic()
            if ahead > 0.001:
                await asyncio.sleep(ahead)

    def _unlisten(self) -> None:
        for server in self._servers:
            server.close()
        for path in self._paths:
            if os.path.exists(path):  # noqa: PTH110
                os.unlink(path)  # noqa: PTH108
        self._paths.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()


async def _wait_until(condition: Callable[[], bool], timeout: float) -> None:
    """Return when the condition holds, or when the time is over (never, if it is unlimited)."""
    end = time.monotonic() + timeout if timeout != UNLIMITED else float("inf")
    while not condition() and time.monotonic() < end:  # noqa: ASYNC110  the conditions are plain sizes of collections
        await asyncio.sleep(0.02)

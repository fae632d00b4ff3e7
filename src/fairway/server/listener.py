"""The interface server: listening sockets, the connections they accept, and what it tells about itself.

It knows no Django. Everything it learns goes to the layer through its gateway; everything it sends comes from there.
"""

import asyncio
import os
import time
from collections import Counter
from typing import Any, Self

from msgspec import to_builtins

import fairway
from fairway.layers.base import Layer
from fairway.server.binds import Listener, listen
from fairway.server.config import ServerConfig
from fairway.server.connection import Connection
from fairway.server.descriptors import most_connections
from fairway.server.draining import Drain
from fairway.server.gateway import Gateway
from fairway.server.roster import Roster

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
        self._listeners: list[Listener] = []
        self._roster: Roster[Connection] | None = None
        self._drain: Drain | None = None
        self._began = time.monotonic()

    @property
    def bound(self) -> list[tuple[str, int]]:
        """Host and port of each TCP socket that listens."""
        return [address for listener in self._listeners for address in listener.addresses]

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._roster.connections) if self._roster else 0

    async def start(self) -> None:
        """Listen.

        Raises:
            CannotListen: with the address and the reason.
        """
        gateway = Gateway(self._layer, self.config, asyncio.get_running_loop())
        roster = Roster[Connection](gateway, most_connections(self.config.limits.rates.connections))
        self._drain = Drain(roster)
        try:
            for bind in self.config.binds:
                self._listeners.append(await listen(lambda: Connection(roster), bind))
        except BaseException:
            self.stop_listening()
            gateway.close()
            raise
        self._began = time.monotonic()
        self._roster = roster

    def stop_listening(self) -> None:
        """Take no new connection from now on. Those that are open stay, and live on."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    async def drain(self, seconds: float | None = None) -> None:
        """Stop listening, finish HTTP, and close the sockets one after the other with 1012.

        The closing is spread over `seconds` (`limits.drain` unless told otherwise), so that the clients come back in a
        trickle. HTTP exchanges that have begun get `limits.drain_http` seconds. What is open after that stays open.
        """
        self.stop_listening()
        if self._drain:
            await self._drain.run(self.config.limits.drain if seconds is None else seconds)

    async def stop(self) -> None:
        """Drain, cut what is left, and let the layer go. A second stop does not wait: it is `abort`."""
        if self._roster is None or self._drain is None:
            return
        if self._drain.is_finishing:
            self.abort()
            return
        self._drain.is_finishing = True
        try:
            await self.drain()
            await self._drain.finish(RECORDS_TIMEOUT)
        finally:  # also when there is no patience for it all
            self.abort()
            self._roster.gateway.close()

    def abort(self) -> None:
        """Cut every connection now. A stop that is under way ends at once."""
        self.stop_listening()
        if self._drain:
            self._drain.abort()

    # --- what it tells about itself ----------------------------------------------------------------------------------

    def health(self) -> str:
        """Return why nobody should send requests here; `""` when all is well."""
        if self._roster is None:
            return "starting"
        if self._roster.stopping:
            return "draining"
        if not self._listeners:
            return "not listening any more"
        return self._roster.gateway.trouble

    def status(self) -> dict[str, Any]:
        """Return what this server holds and has done, as plain values. It looks at every connection."""
        roster = self._roster
        status: dict[str, Any] = {
            "version": fairway.__version__,
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._began, 3),
            "health": self.health() or "ok",
            "draining": roster is not None and roster.stopping,
        }
        if roster is None:
            return status
        kinds = Counter(connection.kind for connection in roster.connections)
        status |= {
            "connections": {kind: kinds[kind] for kind in ("http", "websocket", "pending")},
            "unsent_bytes": sum(connection.unsent() for connection in roster.connections),
            "groups": len(roster.gateway.fanout),
            "gaps": {"count": roster.gateway.gaps.count, "seconds": round(roster.gateway.gaps.seconds, 3)},
            "requests": roster.requests,
            "handshakes": roster.handshakes,
            "turned_away": dict(roster.turned_away),
            "refusals": {str(int(code)): count for code, count in sorted(roster.refusals.items())},
            "closes": {str(code): count for code, count in sorted(roster.closes.items())},
        }
        if not self._layer.is_shared:  # else the broker is elsewhere, and asking it would hold up every socket
            status["layer"] = layer_status(self._layer)
        return status

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()


def layer_status(layer: Layer) -> dict[str, Any]:
    """Return what a layer of this process holds and has done, as plain values."""
    statistics = layer.statistics()
    # A body's own channel is gone in a moment, and there may be thousands.
    waiting = {name: box.waiting for name, box in statistics.channels.items() if "?" not in name and "!" not in name}
    names = ("groups", "sessions", "owners", "held_bytes", "dead_letters", "delivered", "committed", "expired")
    numbers = {name: getattr(statistics, name) for name in (*names, "repeats_dropped", "group_sends_dropped")}
    upstream = {"upstream": to_builtins(statistics.upstream)} if statistics.upstream else {}
    return {**numbers, **upstream, "waiting": waiting}

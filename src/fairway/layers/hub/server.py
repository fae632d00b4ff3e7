"""The hub's listening end: the broker of this process, for the other processes of its host, and of others (`tcp`).

It runs on the event loop of the interface server, which itself reaches the broker by plain calls (`MemoryLayer`). Each
client is a `Peer`. What a peer does wrong ends that peer's line with a line in the log, and nobody else's.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from fairway.errors import InvalidLayerSetting, LayerUnavailable
from fairway.layers.hub.address import HubAddress
from fairway.layers.hub.doorway import Doorway
from fairway.layers.hub.estates import Estate, Estates
from fairway.layers.hub.peer import CLOSE_TIMEOUT, Peer
from fairway.layers.hub.tcp_doorway import TcpDoorway
from fairway.layers.hub.unread import UnreadChannels
from fairway.layers.memory import MemoryLayer
from fairway.wire.hub import STOPS, VERSIONS

logger = logging.getLogger("fairway.hub")

LOOK_EVERY = 1.0
"""Seconds between two looks for peers that are silent or late."""

SILENCE = 10.0
"""A process with a session that gave no sign for so long is taken for dead; its service thread pings more often."""

HELLO_TIMEOUT = 5.0
PEERS = 1_000
"""Open lines. Every process has one: more are an accident."""

DRAIN = 5.0
"""How long a graceful stop waits for workers to consume what the hub alone has."""


class HubServer:
    """Opens the broker of a layer to other processes.

    Parameters:
        layer: the layer of this process.
        address: where to listen.
        versions: the oldest and the newest version of the protocol that is spoken.
        silence: seconds without a sign after which a process with a session is taken for dead.
        tcp: where to listen for other hosts.
    """

    def __init__(
        self,
        layer: MemoryLayer,
        address: HubAddress,
        versions: tuple[int, int] = VERSIONS,
        *,
        silence: float = SILENCE,
        tcp: TcpDoorway | None = None,
    ) -> None:
        self.layer = layer
        self.locked = layer.locked
        self.address = address
        self.versions = versions
        self.silence = silence
        self.tcp = tcp
        self.peers: set[Peer] = set()
        self.loop: asyncio.AbstractEventLoop
        self._thread = 0
        self._doorway: Doorway | None = None
        self._server: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None
        self._alone = asyncio.Event()
        """Whether the last line has ended."""
        self._is_full = False
        self._complaint = ""
        """What is wrong with the socket's file, as the log was told."""
        self._unread = UnreadChannels()
        self._estates = Estates()

    async def start(self) -> None:
        """Listen on the running loop.

        Raises:
            LayerUnavailable: another hub lives at one of its addresses, or there can be no socket there.
        """
        self.loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._doorway = Doorway(self.address)
        if self.locked.joined:
            await self.locked.joined.start()
        await self._open(self._doorway)
        self._watch = self.loop.create_task(self._look())
        if self.tcp:
            try:
                await self.tcp.start(self)
            except LayerUnavailable:
                await self.stop(0)
                raise

    async def _open(self, doorway: Doorway) -> None:
        # The server object is kept: uvloop closes the socket when it is collected.
        self._server = await self.loop.create_unix_server(lambda: Peer(self), sock=doorway.socket)

    async def stop(self, drain: float = DRAIN) -> None:
        """Let workers consume what only the hub has, for at most `drain` seconds; then end all lines."""
        if self._server is None or self._doorway is None or self._watch is None:
            return
        server, self._server = self._server, None
        self._watch.cancel()
        server.close()
        self._doorway.close()
        if self.tcp:
            self.tcp.close()
        try:
            if not self.locked.closed:
                await self._drain(drain)
        finally:
            for peer in tuple(self.peers):
                peer.dismiss(STOPS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT if self.peers else 0):
                    await self._alone.wait()
            if self.locked.joined:
                await self.locked.joined.stop()

    async def _drain(self, timeout: float) -> None:
        end = time.monotonic() + timeout
        while left := self._held():
            if time.monotonic() > end or not self.layer.statistics().sessions:
                counts = ", ".join(f"{name}: {count}" for name, count in sorted(left.items()))
                logger.warning("the hub stops, and %d messages are lost with it (%s)", sum(left.values()), counts)
                return
            await asyncio.sleep(0.02)

    def _held(self) -> dict[str, int]:
        """Return how many messages each application channel has: those of connections go with the connections."""
        channels = self.layer.statistics().channels
        found = {name: channel.waiting + channel.leased for name, channel in channels.items()}
        return {name: count for name, count in found.items() if count and not name.startswith(("websocket.", "http."))}

    def report(self) -> dict[str, Any]:
        """Return what a person may want to know about lines of other hosts."""
        if self.tcp is None:
            return {}
        return {"listening": self.tcp.bound, "lines": len(self.peers), "refused": self.tcp.refused}

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in the loop's next turn, from whatever thread."""
        if threading.get_ident() == self._thread:
            self.loop.call_soon(function)
            return
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop is closed, and with it all lines
            logger.debug("something came for a peer after the hub had stopped")

    def welcome(self, peer: Peer) -> None:
        """Note a new line.

        Raises:
            LayerUnavailable: there are too many. The log is told once, until there is room again.
        """
        if len(self.peers) >= PEERS:
            msg = f"the hub has {PEERS} lines already"
            if not self._is_full:
                self._is_full = True
                logger.error("%s; more are refused: which processes open so many?", msg)
            raise LayerUnavailable(msg)
        self.peers.add(peer)
        self._alone.clear()

    def leave(self, peer: Peer) -> None:
        """Forget a line that has ended."""
        self.peers.discard(peer)
        if not self.peers:
            self._alone.set()
        if self._is_full and len(self.peers) < PEERS * 0.9:
            self._is_full = False

    def readers(self) -> list[str]:
        """Return all channels that somebody reads."""
        return self.locked.try_run(self._readers) or []

    def _readers(self) -> list[str]:
        sessions = self.layer.broker.sessions
        return sorted({name for session in sessions if not session.paused for name in session.channels})

    def tell_readers(self) -> None:
        """Tell all owners who is read: sessions have come or gone."""
        for peer in self.peers:
            if peer.owner:
                peer.tell_readers()

    async def _look(self) -> None:
        every = min(LOOK_EVERY, self.silence / 4)
        before = self.loop.time()
        while True:
            await asyncio.sleep(every)
            now = self.loop.time()
            has_slept, before = now - before > every + self.silence / 4, now
            for peer in tuple(self.peers):
                if has_slept:  # this process was stopped: what came meanwhile has not been read yet
                    peer.forgive(now)
                reason = peer.fault(now, self.silence, HELLO_TIMEOUT)
                if reason:
                    peer.cut(reason)
            if unread := self._unread.look(self.locked.try_run(self._without_readers) or {}, now):
                logger.warning("messages wait in %s, which no worker reads: is one running?", unread)
            for estate in self._estates.take_due(self._is_owned, now):
                logger.warning(
                    "a server process is gone: %d of its sockets are told as disconnected", len(estate.wills)
                )
                self.locked.try_run(self.layer.broker.carry_out, estate.wills)
            await self._look_after_socket()
            if self.tcp:
                self.tcp.renew()

    def _is_owned(self, prefix: str) -> bool:
        return self.layer.broker.owners.by_prefix(prefix) is not None

    def inherit(self, estate: Estate) -> None:
        """Keep what an owner has left whose line has ended."""
        self._estates.add(estate)

    def _without_readers(self) -> dict[str, int]:
        """Return how many messages wait in each channel that nobody reads; but for the bodies of single requests."""
        broker = self.layer.broker
        boxes = broker.post.boxes().items()
        found = {name: len(box.letters) for name, box in boxes if box.letters and "?" not in name and "!" not in name}
        return {name: count for name, count in found.items() if not broker.sessions.has_reader(name)}

    async def _look_after_socket(self) -> None:
        """Make the socket anew when its file was removed: processes that start now must find the hub."""
        doorway, server = self._doorway, self._server
        if doorway is None or server is None:
            return
        try:
            if not doorway.renew():
                return
            server.close()
            await self._open(doorway)
        except (LayerUnavailable, InvalidLayerSetting) as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                logger.error("processes that start now cannot reach the hub: %s", error)  # noqa: TRY400  told
        else:
            self._complaint = ""
            logger.warning("the hub's socket %s was removed; it is there again", self.address.path)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

"""Hubs joined through an upstream: a memory layer that all of them see as a client would, and that can go away."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from fairway.broker.effects import Effect, Item
from fairway.broker.joined import PATIENCE
from fairway.errors import LayerUnavailable
from fairway.layers import LocalLayer
from fairway.layers.base import DeadLetter, Inbox, Layer, LayerStatistics, Reader
from fairway.layers.hub.address import HubAddress
from fairway.layers.hub.joined.layer import JoinedLayer
from fairway.layers.hub.joined.upstream import Upstream
from fairway.layers.hub.server import HubServer
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits
from tests.support.hubs import HubThread
from tests.support.waiting import await_until

K = TypeVar("K", bound=Item)


class SharedLayer(Layer):
    """One client of a memory layer: `close` ends what this client has opened. While `away`, every call fails."""

    is_shared = True

    def __init__(self, broker: MemoryLayer) -> None:
        self.broker = broker
        self.away = False
        self.readers: list[Reader] = []
        self.inboxes: list[Inbox] = []
        self.closed = False

    def _there(self) -> MemoryLayer:
        if self.away or self.closed:
            raise LayerUnavailable("the line to the upstream is cut")
        return self.broker

    def publish(self, effect: Effect, timeout: float = 0) -> None:
        self._there().publish(effect, timeout)

    async def apublish(self, effect: Effect, timeout: float = 0) -> None:
        await self._there().apublish(effect, timeout)

    def group_add(self, group: str, channel: str) -> None:
        self._there().group_add(group, channel)

    async def agroup_add(self, group: str, channel: str) -> None:
        await self._there().agroup_add(group, channel)

    def group_discard(self, group: str, channel: str) -> None:
        self._there().group_discard(group, channel)

    async def agroup_discard(self, group: str, channel: str) -> None:
        await self._there().agroup_discard(group, channel)

    def group_channels(self, group: str) -> list[str]:
        return self._there().group_channels(group)

    async def agroup_channels(self, group: str) -> list[str]:
        return await self._there().agroup_channels(group)

    def state(self, reply_channel: str) -> dict[str, bytes]:
        return self._there().state(reply_channel)

    async def astate(self, reply_channel: str) -> dict[str, bytes]:
        return await self._there().astate(reply_channel)

    def reader(self, channels: Collection[str], window: int = 1, threads: int | None = None) -> Reader:
        reader = self._there().reader(channels, window, threads)
        self.readers.append(reader)
        return reader

    def inbox(self, prefixes: Sequence[str], on_readable: Callable[[], None]) -> Inbox:
        inbox = self._there().inbox(prefixes, on_readable)
        self.inboxes.append(inbox)
        return inbox

    def statistics(self) -> LayerStatistics:
        return self._there().statistics()

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        return self._there().dead_letters(limit)

    def requeue_dead(self, ids: Collection[str]) -> int:
        return self._there().requeue_dead(ids)

    def drop_dead(self, ids: Collection[str]) -> int:
        return self._there().drop_dead(ids)

    def flush(self) -> None:
        self._there().flush()

    def close(self) -> None:
        """As when the process dies: what it held goes to others, its prefixes are free."""
        self.closed = True
        for end in (*self.readers, *self.inboxes):
            end.close()


class JoinedHub(HubThread):
    """A hub of one of several hosts.

    Parameters:
        upstream: returns the layer that joins it with the others, for each start of the hub.
    """

    def __init__(
        self,
        path: Path | str,
        upstream: Callable[[], Layer],
        limits: BrokerLimits | None = None,
        patience: float = PATIENCE,
        **options: Any,
    ) -> None:
        self._upstream = upstream
        self._patience = patience
        self.upstream: Layer
        super().__init__(path, limits, **options)

    def make_hub(self) -> HubServer:
        """Return the hub of this process's layer."""
        self.upstream = self._upstream()
        self.layer = JoinedLayer(self.upstream, self._limits, patience=self._patience)
        return HubServer(self.layer, HubAddress(path=self.path), self._versions, silence=self._silence)


class Hosts:
    """Two hosts: their hubs, a client of each, and the upstream that joins them. Closed by `close`."""

    def __init__(self, folder: Path, limits: BrokerLimits | None = None, **options: Any) -> None:
        self.shared = MemoryLayer(limits)
        self.hubs = [
            JoinedHub(folder / f"{number}.sock", lambda: SharedLayer(self.shared), limits, **options)
            for number in range(2)
        ]
        self.clients = [LocalLayer(hub.path) for hub in self.hubs]
        self.layers: list[LocalLayer] = list(self.clients)

    @property
    def upstream(self) -> SharedLayer:
        """The first hub's way to the upstream."""
        upstream = self.hubs[0].upstream
        assert isinstance(upstream, SharedLayer)
        return upstream

    @property
    def joined(self) -> Upstream:
        """The same, as the first hub sees it."""
        return cast("JoinedLayer", self.hubs[0].layer).joined

    def cut(self) -> None:
        """Take the upstream away from the first hub."""
        self.upstream.away = True

    async def cut_and_noticed(self) -> None:
        """Take it away, and wait until the hub knows."""
        self.cut()
        with contextlib.suppress(LayerUnavailable):
            await self.clients[0].asend("nowhere", {})
        await await_until(lambda: not self.joined.is_up, "the hub to notice")

    async def restore(self) -> None:
        """Give it back, and wait until the hub knows."""
        self.upstream.away = False
        await await_until(lambda: self.joined.is_up, "the hub to find its upstream")

    async def end(self) -> None:
        """End everything, in the loop that the inboxes belong to."""
        for layer in self.layers:
            layer.close()
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """End what is left."""
        for layer in self.layers:
            layer.close()
        for hub in self.hubs:
            hub.stop()
        self.shared.close()


class Server:
    """An owner on one host: all items that it has been given."""

    def __init__(self, layer: Layer, *prefixes: str) -> None:
        self.inbox = layer.inbox(prefixes or ("s1!",), lambda: None)
        self.items: list[Item] = []

    async def next(self, kind: type[K]) -> K:
        """Return the next item of a kind; what came before it is dropped."""

        def come() -> bool:
            self.items += self.inbox.drain()
            return any(isinstance(item, kind) for item in self.items)

        await await_until(come, kind.__name__)
        found = next(item for item in self.items if isinstance(item, kind))
        del self.items[: self.items.index(found) + 1]
        return found

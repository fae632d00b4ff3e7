"""Two hubs that are joined keep the contract of a layer, wherever sender, owner and consumer are."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fairway.broker.effects import Add, Credit, Done, Frame, Grant, GroupFrame, GroupSend, Item, SaveState, Send, State
from fairway.layers import LocalLayer
from fairway.layers.base import DeadLetter, Layer
from fairway.layers.codec import decode_message
from fairway.layers.memory import MemoryLayer
from fairway.layers.redis.layer import RedisLayer
from fairway.limits import BrokerLimits
from fairway.testing.layer_conformance import LayerConformance
from fairway.testing.layer_conformance.base import Form, Owner, conformance
from tests.support.joined import JoinedHub, SharedLayer
from tests.support.redis import RedisServer


class JoinedOwner(Owner):
    """An owner that knows the ways on which something for it may be: from its own hub, from another, and to a group."""

    def __init__(self, layer: Layer, other: Layer, prefixes: Sequence[str], deadline: float) -> None:
        super().__init__(layer, prefixes, deadline)
        self._layers = layer, other

    async def all_items(self) -> list[Item]:
        """Return everything that was on its way, on each of them; what one hub passes on to the other, too."""
        found: list[Item] = []
        for layer in (*self._layers, *self._layers):
            found += await self._group_items(layer)
            self._layer = layer
            found += await super().all_items()
        return found

    async def _group_items(self, layer: Layer) -> list[Item]:
        """Return what comes before a group message from one of the hubs."""
        group, channel = f"fence of {self.prefix}", f"{self.prefix}fence"
        await self._layers[0].agroup_add(group, channel)
        await layer.asend_group(group, {})
        found: list[Item] = []
        generation = 0
        while not isinstance(item := (await self.wait_items(1))[0], GroupFrame) or item.group != group:
            if isinstance(item, Add) and item.group == group:
                generation = item.generation
            else:
                found.append(item)
        self.inbox.leave(group, generation)
        return found


class TestJoinedHubs(LayerConformance):
    """Two hubs, whose upstream is a memory layer: senders, owners and readers are on the first one."""

    pushes_items = True
    _numbers = itertools.count()

    @pytest.fixture(autouse=True)
    def _hubs(self, tmp_path: Path) -> Iterator[None]:
        self._folder = tmp_path
        self._hubs: list[JoinedHub] = []
        yield
        for hub in self._hubs:
            hub.stop()

    def hub(self, upstream: Callable[[], Layer], limits: BrokerLimits, **options: Any) -> JoinedHub:
        """Start a hub."""
        hub = JoinedHub(self._folder / f"{next(self._numbers)}.sock", upstream, limits, **options)
        self._hubs.append(hub)
        return hub

    def upstream(self, limits: BrokerLimits) -> Callable[[], Layer]:
        """Make an upstream, and return what makes a client of it."""
        shared = MemoryLayer(limits)
        return lambda: SharedLayer(shared)

    def make_layer(self, limits: BrokerLimits) -> Layer:
        """Start two hubs, and return a client of the first."""
        upstream = self.upstream(limits)
        first, second = self.hub(upstream, limits), self.hub(upstream, limits)
        self.rival = LocalLayer(second.path)
        self._opened += [self.rival]
        self.first = LocalLayer(first.path)
        return self.first

    def owner(self, layer: Layer, *prefixes: str) -> Owner:
        """Return an owner on the first hub."""
        return JoinedOwner(layer, self.rival, prefixes or ("s1!",), self.deadline)

    async def dead(self, layer: Layer, limit: int = 100) -> list[DeadLetter]:
        """Return the dead letters of the first hub: each host keeps its own, and all see those of the upstream."""
        return await super().dead(self.first if layer is self.rival else layer, limit)

    def make_rival(self, layer: Layer) -> Layer:
        """Return a client of the other hub."""
        del layer
        return self.rival


class TestOwnersOnAnotherHost(TestJoinedHubs):
    """The same with all owners on the second hub, which has no workers: everything crosses the upstream."""

    forms = ("asyncio",)

    def hub(self, upstream: Callable[[], Layer], limits: BrokerLimits, **options: Any) -> JoinedHub:
        """Start a hub that never waits for workers of its own."""
        return super().hub(upstream, limits, **options, patience=0)

    def owner(self, layer: Layer, *prefixes: str) -> Owner:
        """Return an owner on the second hub."""
        del layer
        return JoinedOwner(self.rival, self.first, prefixes or ("s1!",), self.deadline)

    @conformance
    async def test_sends_of_one_sender_arrive_in_order(self, form: Form) -> None:
        """To a group in order, and to a connection in order. Between the two other hosts know of no order."""
        layer = self.layer()
        owner = self.owner(layer)
        await form(layer, "group_add", "g", "s1!c1")
        await owner.wait_item(Add)
        for value in range(0, 20, 2):
            await form(layer, "send_group", "g", {"n": value})
            await form(layer, "send", "s1!c1", {"n": value + 1})
        items = await owner.all_items()
        for kind, first in ((GroupFrame, 0), (Frame, 1)):
            found = [decode_message(item.body)["n"] for item in items if isinstance(item, kind)]
            assert found == list(range(first, 20, 2))

    @conformance
    async def test_items_are_typed_and_in_order(self, form: Form) -> None:
        """All that one run does for its connection arrives in order, wherever it runs; so does the end of the run."""
        layer = self.layer()
        owner = self.owner(layer)
        reply = self.submit(owner, "websocket.receive", 3)
        reader = layer.reader(["websocket.receive"])
        delivery = await self.receive(form, reader)
        await form(layer, "group_add", "g", reply)
        outbox = [Send(reply, b"1"), SaveState(reply, {"k": b"v"}), GroupSend("g", b"3"), Grant(reply, 100)]
        await form(reader, "commit", delivery, outbox)
        items = await owner.wait_items(6)
        assert isinstance(items[0], Add)
        assert [item for item in items[1:] if not isinstance(item, GroupFrame)] == [
            Frame(reply, b"1"),
            State(reply, {"k": b"v"}),
            Credit(reply, 100),
            Done(reply, 3),
        ]

    @conformance
    async def test_has_reader(self, form: Form) -> None:
        """An owner is told of the readers of its own host: optional messages do not travel."""
        del form
        owner = self.owner(self.layer())
        reader = self.rival.reader(["http.disconnect"])
        await self.wait_until(lambda: owner.inbox.has_reader("http.disconnect"))
        reader.close()
        await self.wait_until(lambda: not owner.inbox.has_reader("http.disconnect"))


class RedisUpstream(TestJoinedHubs):
    """What makes a suite one over Redis."""

    __test__ = False
    forms = ("asyncio",)
    short_life = 0.05
    _prefixes = itertools.count()

    @pytest.fixture(autouse=True)
    def _server(self, shared_redis: RedisServer) -> None:
        self._url = shared_redis.url

    def upstream(self, limits: BrokerLimits) -> Callable[[], Layer]:
        """Return what makes a client of a deployment of its own."""
        url = f"{self._url}?prefix=joined{next(self._prefixes)}"
        return lambda: RedisLayer(url, limits=limits)


class TestJoinedByRedis(RedisUpstream):
    """Two hubs joined through Redis."""

    __test__ = True


class TestOwnersOnAnotherHostByRedis(RedisUpstream, TestOwnersOnAnotherHost):
    """The same with all owners on the second hub."""

    __test__ = True

"""Two hubs that are joined keep the contract of a layer, wherever sender, owner and consumer are."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fairway.broker.effects import Item
from fairway.layers import LocalLayer
from fairway.layers.base import DeadLetter, Layer
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits
from fairway.testing.layer_conformance import LayerConformance
from fairway.testing.layer_conformance.base import Owner
from tests.support.joined import JoinedHub, SharedLayer


class JoinedOwner(Owner):
    """An owner that knows two ways on which something for it may be: from its own hub, and from another."""

    def __init__(self, layer: Layer, other: Layer, prefixes: Sequence[str], deadline: float) -> None:
        super().__init__(layer, prefixes, deadline)
        self._layers = layer, other

    async def all_items(self) -> list[Item]:
        """Return everything that was on its way, on both ways; what one hub passes on to the other, too."""
        found: list[Item] = []
        for layer in (*self._layers, *self._layers):
            self._layer = layer
            found += await super().all_items()
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

    def hub(self, shared: MemoryLayer, limits: BrokerLimits) -> JoinedHub:
        """Start a hub."""
        hub = JoinedHub(self._folder / f"{next(self._numbers)}.sock", lambda: SharedLayer(shared), limits)
        self._hubs.append(hub)
        return hub

    def make_layer(self, limits: BrokerLimits) -> Layer:
        """Start two hubs, and return a client of the first."""
        shared = MemoryLayer(limits)
        first, second = self.hub(shared, limits), self.hub(shared, limits)
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

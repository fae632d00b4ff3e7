"""`LocalLayer` keeps the contract of a layer: the conformance suite, over a hub in another thread."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.layers import LocalLayer
from fairway.layers.base import Layer
from fairway.limits import BrokerLimits
from fairway.testing.layer_conformance import LayerConformance
from tests.support.hubs import HubThread


class TestLocalLayer(LayerConformance):
    """The suite that every layer passes."""

    pushes_items = True
    _numbers = itertools.count()

    @pytest.fixture(autouse=True)
    def _hubs(self, tmp_path: Path) -> Iterator[None]:
        self._folder = tmp_path
        self._hubs: list[HubThread] = []
        yield
        for hub in self._hubs:
            hub.stop()

    def make_layer(self, limits: BrokerLimits) -> Layer:
        """Start a hub, and return a client of it."""
        hub = HubThread(self._folder / f"{next(self._numbers)}.sock", limits)
        self._hubs.append(hub)
        return LocalLayer(hub.path)

    def make_rival(self, layer: Layer) -> Layer:
        """Return another client of the same hub."""
        assert isinstance(layer, LocalLayer)
        rival = LocalLayer(layer.address.path)
        self._opened.append(rival)
        return rival

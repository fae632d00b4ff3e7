"""`RedisLayer` keeps the contract of a layer: the conformance suite, over one server, a Cluster, and behind Sentinel."""

import itertools

import pytest

from fairway.layers.base import Layer
from fairway.layers.redis.layer import RedisLayer
from fairway.limits import BrokerLimits
from fairway.testing.layer_conformance import LayerConformance
from tests.support.redis import RedisServer


class TestOneServer(LayerConformance):
    """One Redis. Each layer is a deployment of its own, by its prefix."""

    pushes_items = True
    _numbers = itertools.count()

    @pytest.fixture(autouse=True)
    def _server(self, shared_redis: RedisServer) -> None:
        self._url = shared_redis.url

    def make_layer(self, limits: BrokerLimits) -> Layer:
        """Return the first client of a deployment."""
        self._limits = limits
        self._prefix = f"test{next(self._numbers)}"
        return self._client()

    def make_rival(self, layer: Layer) -> Layer:
        """Return another client of the same deployment."""
        del layer
        rival = self._client()
        self._opened.append(rival)
        return rival

    def _client(self) -> RedisLayer:
        return RedisLayer(f"{self._url}?prefix={self._prefix}", limits=self._limits)

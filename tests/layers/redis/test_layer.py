"""`RedisLayer` keeps the contract of a layer: the conformance suite, over one server, a Cluster, and behind Sentinel."""

import itertools

import pytest

from fairway.layers.base import Layer
from fairway.layers.redis.layer import RedisLayer
from fairway.limits import BrokerLimits
from fairway.testing.layer_conformance import LayerConformance
from tests.support.redis import RedisServer
from tests.support.redis_cluster import RedisCluster


class RedisConformance(LayerConformance):
    """What the suites have in common. Each layer is a deployment of its own, by its prefix."""

    pushes_items = True
    _numbers = itertools.count()
    _url: str

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


class TestOneServer(RedisConformance):
    """One Redis."""

    @pytest.fixture(autouse=True)
    def _server(self, shared_redis: RedisServer) -> None:
        self._url = shared_redis.url


class TestCluster(RedisConformance):
    """Three masters."""

    @pytest.fixture(autouse=True)
    def _server(self, shared_redis_cluster: RedisCluster) -> None:
        self._url = shared_redis_cluster.url

"""`RedisLayer` keeps the contract of a layer: the suite over one server, over a Cluster, and behind Sentinel."""

import itertools
from collections.abc import Iterator

import pytest

from fairway.layers.base import Layer
from fairway.layers.redis.layer import RedisLayer
from fairway.limits import BrokerLimits
from fairway.testing.layer_conformance import LayerConformance
from tests.support.redis import RedisServer
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_sentinel import RedisSentinel, redis_sentinel

MIDDLE = 40
"""After so many tests the master is another server."""


@pytest.fixture(scope="module")
def sentinel_group() -> Iterator[RedisSentinel]:
    """Servers that fail over now and then, when they are told to and not when the machine is busy."""
    with redis_sentinel(down_after=60_000) as group:
        yield group


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
        mark = "&" if "?" in self._url else "?"
        return RedisLayer(f"{self._url}{mark}prefix={self._prefix}", limits=self._limits)


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


class TestBehindSentinel(RedisConformance):
    """A master that Sentinel names, and in the middle of the suite another one."""

    _begun = itertools.count(1)

    @pytest.fixture(autouse=True)
    def _server(self, sentinel_group: RedisSentinel) -> None:
        self._url = sentinel_group.url
        if next(self._begun) % MIDDLE == 0:
            sentinel_group.fail_over()

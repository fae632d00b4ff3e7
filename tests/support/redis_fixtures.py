"""Fixtures over `tests.support.redis` and its neighbours; `tests/conftest.py` hands them to every test.

What is *shared* is started once for each test process and emptied before each test: such a test may not stop, pause or
reconfigure it. What is the test's *own* costs 20 ms for a server, 2 s for a Cluster, and may be treated badly.
"""

from collections.abc import Iterator

import pytest

from tests.support.redis import Certificates, RedisServer, make_certificates, redis_server
from tests.support.redis_cluster import RedisCluster, redis_cluster
from tests.support.redis_sentinel import RedisSentinel, redis_sentinel


@pytest.fixture(scope="session")
def running_redis() -> Iterator[RedisServer]:
    """The server behind `shared_redis`."""
    with redis_server() as server:
        yield server


@pytest.fixture
def shared_redis(running_redis: RedisServer) -> RedisServer:
    """A server that is empty now."""
    running_redis.flush()
    return running_redis


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server to be killed, paused and restarted."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def running_redis_cluster() -> Iterator[RedisCluster]:
    """The Cluster behind `shared_redis_cluster`."""
    with redis_cluster() as cluster:
        yield cluster


@pytest.fixture
def shared_redis_cluster(running_redis_cluster: RedisCluster) -> RedisCluster:
    """A Cluster of three masters that are empty now."""
    running_redis_cluster.flush()
    return running_redis_cluster


@pytest.fixture
def own_redis_cluster() -> Iterator[RedisCluster]:
    """A Cluster of three masters to be killed, paused and to grow."""
    with redis_cluster() as cluster:
        yield cluster


@pytest.fixture
def own_redis_sentinel() -> Iterator[RedisSentinel]:
    """A master and a replica behind one Sentinel, to fail over."""
    with redis_sentinel() as group:
        yield group


@pytest.fixture(scope="session")
def redis_certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, and a certificate of 127.0.0.1 that it has signed."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_redis(redis_certificates: Certificates) -> Iterator[RedisServer]:
    """A server that speaks TLS alone."""
    with redis_server(certificates=redis_certificates) as server:
        yield server

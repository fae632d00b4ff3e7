"""The connections of a time: each command goes to the server of its shard, and all end together."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fairway.errors import LayerUnavailable
from fairway.layers.redis.address import parse_redis_url
from fairway.layers.redis.link import Link, Request
from fairway.layers.redis.nodes import Nodes
from fairway.layers.redis.shards import Shards
from fairway.layers.redis.wire import pack
from tests.support.redis import RedisServer
from tests.support.redis_cluster import RedisCluster
from tests.support.waiting import wait_until

SHARDS = Shards("t", 8)


class Ends:
    """A link, and what came over it."""

    def __init__(self, url: str) -> None:
        self.nodes = Nodes(parse_redis_url(url))
        self.nodes.refresh()
        self.broken: list[str] = []
        self.found: list[Any] = []
        self.link = Link(self.nodes, SHARDS, lambda link, reason: self.broken.append(reason))

    def request(self, shard: str, *command: str) -> Request:
        return Request(shard, pack(*command), self.found.append)

    def read_until(self, count: int) -> list[Any]:
        wait_until(lambda: self.link.receive(0.1) or len(self.found) >= count, lambda: f"{count} in {self.found}")
        return self.found


@pytest.fixture
def single(shared_redis: RedisServer) -> Iterator[Ends]:
    ends = Ends(shared_redis.url)
    ends.link.open()
    yield ends
    ends.link.close()


@pytest.fixture
def cluster(shared_redis_cluster: RedisCluster) -> Iterator[Ends]:
    ends = Ends(shared_redis_cluster.url)
    ends.link.open()
    yield ends
    ends.link.close()


def test_commands_for_all_shards_go_to_one_server_in_their_order(single: Ends) -> None:
    pipes = single.link.send([single.request("#0", "ECHO", "1"), single.request("s!", "ECHO", "2")])
    assert len(pipes) == 1
    assert single.read_until(2) == [b"1", b"2"]


def test_in_a_cluster_each_shard_is_asked_where_it_lives(cluster: Ends) -> None:
    """Nothing is answered with MOVED or CROSSSLOT, neither commands nor streams."""
    shards = SHARDS.common
    pipes = cluster.link.send([cluster.request(shard, "SET", SHARDS.key(shard, "x"), shard) for shard in shards])
    assert len(pipes) == len({cluster.nodes.node_of(SHARDS.base(shard)) for shard in shards}) == 3
    assert cluster.read_until(8) == [b"OK"] * 8
    cluster.found.clear()
    for shard in shards:
        cluster.link.watch(shard, SHARDS.key(shard, "in"), lambda _, fields: cluster.found.append(fields[1]))
    cluster.link.send([Request(s, pack("XADD", SHARDS.key(s, "in"), "*", "f", s), lambda _: None) for s in shards])
    assert sorted(cluster.read_until(8)) == [shard.encode() for shard in shards]
    cluster.link.unwatch("#0", SHARDS.key("#0", "in"))


def test_a_shard_that_has_moved_to_a_new_master_is_told(cluster: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = parse_redis_url("redis://127.0.0.1:1/0").nodes[0]
    monkeypatch.setattr(cluster.nodes, "node_of", lambda key: stranger)
    with pytest.raises(LayerUnavailable, match=r"Redis at 127\.0\.0\.1:1 has the shard '#3' now"):
        cluster.link.send([cluster.request("#3", "PING")])


def test_a_stream_is_read_at_once_although_an_xread_waits(single: Ends, shared_redis: RedisServer) -> None:
    """The XREAD is ended, also by an UNBLOCK that overtakes it on the way to the server."""
    for number in range(20):
        key = SHARDS.key("#0", f"in{number}")
        shared_redis.call("XADD", key, "*", "f", str(number))
        single.link.watch("#0", key, lambda _, fields: single.found.append(fields[1]))
    assert sorted(single.read_until(20)) == sorted(str(number).encode() for number in range(20))


def test_a_nudge_wakes_who_reads(single: Ends) -> None:
    reading = threading.Thread(target=single.link.receive, args=(None,))
    reading.start()
    single.link.nudge()
    reading.join(30)
    assert not reading.is_alive()


def test_who_reads_is_woken_when_it_hangs_up(single: Ends) -> None:
    lost: list[Exception] = []

    def read() -> None:
        try:
            while True:
                single.link.receive(None)
        except LayerUnavailable as error:
            lost.append(error)

    reading = threading.Thread(target=read)
    reading.start()
    single.link.hang_up()
    reading.join(30)
    assert len(lost) == 1


def test_a_connection_that_is_made_too_late_is_closed(single: Ends) -> None:
    """Somebody wants to read a stream while the link is given up."""
    single.link.hang_up()
    with pytest.raises(LayerUnavailable, match="was given up"):
        single.link.watch("#0", "key", lambda entry, fields: None)


def test_no_connection_is_left_when_one_cannot_be_made(
    shared_redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = Ends(shared_redis_cluster.url)
    first, *_ = ends.nodes.masters
    away = parse_redis_url("redis://127.0.0.1:1/0").nodes[0]
    monkeypatch.setattr(Nodes, "masters", property(lambda nodes: [first, away]))
    with pytest.raises(LayerUnavailable, match=r"Redis at 127\.0\.0\.1:1 cannot be reached"):
        ends.link.open()
    assert [end.wire.fileno() for end in ends.link._ends.values()] == [-1]


def test_a_user_that_may_load_no_scripts(shared_redis: RedisServer) -> None:
    shared_redis.add_user("me", "pw", "t", "-@all +@connection")
    ends = Ends(shared_redis.url.replace("redis://", "redis://me:pw@"))
    with pytest.raises(LayerUnavailable, match="does not take our scripts: NOPERM"):
        ends.link.open()


def test_a_server_that_owes_an_answer_is_named(own_redis: RedisServer) -> None:
    ends = Ends(own_redis.url)
    ends.link.open()
    assert ends.link.silent(1e12) is None
    with own_redis.paused():
        ends.link.send([ends.request("#0", "PING")])
        assert ends.link.silent(1e12) == ends.nodes.masters[0]
    ends.link.close()

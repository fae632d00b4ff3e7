"""Which server has a key: one server, the master behind Sentinel, a Cluster; and what changes while it is used."""

import re
import threading

import pytest

from fairway.errors import InvalidLayerSetting, LayerUnavailable
from fairway.layers.redis.address import Node, parse_redis_url
from fairway.layers.redis.nodes import Nodes
from fairway.layers.redis.troubles import Trouble, trouble
from fairway.layers.redis.wire import Reply, pack
from tests.support.processes import Program
from tests.support.redis import HOST, RedisServer, redis_server
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_sentinel import SERVICE, RedisSentinel, redis_sentinel
from tests.support.waiting import wait_until

SECRET = "s3cret"


def ask(nodes: Nodes, key: str, *command: str) -> Reply:
    """Send one command to the server that has a key."""
    wire = nodes.connect(nodes.node_of(key))
    try:
        return wire.ask(pack(*command), timeout=10)[0]
    finally:
        wire.close()


# --- one server ------------------------------------------------------------------------------------------------------


def test_one_server_has_all_keys(shared_redis: RedisServer) -> None:
    nodes = Nodes(parse_redis_url(shared_redis.url))
    here = Node(HOST, shared_redis.port)
    assert {nodes.node_of(key) for key in ("a", "b", "{c}")} == {here}
    assert nodes.masters == [here]
    unreachable = Nodes(parse_redis_url("redis://host.invalid"))
    unreachable.refresh()
    assert unreachable.masters == [Node("host.invalid", 6379)]


def test_files_of_tls_are_read_at_once() -> None:
    with pytest.raises(InvalidLayerSetting, match="ca='/missing' of the Redis URL cannot be used"):
        Nodes(parse_redis_url("rediss://host?ca=/missing"))


def test_a_user_with_the_rights_of_a_layer_is_enough(shared_redis: RedisServer) -> None:
    shared_redis.add_user("me", SECRET, "mysite")
    nodes = Nodes(parse_redis_url(f"redis://me:{SECRET}@{HOST}:{shared_redis.port}/1?prefix=mysite"))
    assert ask(nodes, "{mysite:#0}", "XADD", "{mysite:#0}:x", "*", "a", "b")
    assert trouble(ask(nodes, "{other:#0}", "XADD", "{other:#0}:x", "*", "a", "b")) is Trouble.REFUSED
    assert trouble(ask(nodes, "{mysite:#0}", "FLUSHALL")) is Trouble.REFUSED


# --- Cluster ---------------------------------------------------------------------------------------------------------


def test_each_key_is_with_its_master(shared_redis_cluster: RedisCluster) -> None:
    cluster = shared_redis_cluster
    nodes = Nodes(parse_redis_url(f"{cluster.url}?prefix=mysite"))
    assert nodes.masters == []
    found = set()
    for number in range(20):
        key = f"{{mysite:s{number}!}}:x"
        node = nodes.node_of(key)
        assert node.port == cluster.master_of(cluster.slot_of(key)).port
        assert ask(nodes, key, "SET", key, "1") == b"OK"
        found.add(node)
    assert set(nodes.masters) == found
    assert len(found) == 3
    assert nodes.node_of("a") == nodes.node_of("{a}")


def test_a_slot_that_moves_is_followed(own_redis_cluster: RedisCluster) -> None:
    cluster = own_redis_cluster
    nodes = Nodes(parse_redis_url(cluster.url))
    key = "{s1!}"
    slot, old = cluster.slot_of(key), nodes.node_of(key)
    target = next(master for master in cluster.masters if master.port != old.port)
    wire = nodes.connect(old)
    cluster.begin_move(slot, target)
    half = wire.ask(pack("SET", key, "1"), timeout=10)[0]
    assert trouble(half) is Trouble.WAIT
    cluster.end_move(slot, target)
    done = wire.ask(pack("GET", key), timeout=10)[0]
    assert trouble(done) is Trouble.MOVED
    assert nodes.node_of(key) == old
    nodes.refresh()
    assert nodes.node_of(key) == Node(HOST, target.port)
    assert ask(nodes, key, "SET", key, "1") == b"OK"
    wire.close()


def test_a_master_that_comes_is_found_and_one_that_goes_is_asked_no_more(own_redis_cluster: RedisCluster) -> None:
    cluster = own_redis_cluster
    first = cluster.masters[0]
    nodes = Nodes(parse_redis_url(f"redis+cluster://{HOST}:{first.port}"))
    nodes.refresh()
    new = cluster.add()
    key = "{s1!}"
    cluster.move(cluster.slot_of(key), new)
    nodes.refresh()
    assert nodes.node_of(key) == Node(HOST, new.port)
    # The only one that the URL names is gone; the others are known by now.
    first.kill()
    nodes.refresh()
    assert nodes.node_of(key) == Node(HOST, new.port)


def test_a_cluster_that_is_away_is_told_with_each_reason(own_redis_cluster: RedisCluster) -> None:
    cluster = own_redis_cluster
    nodes = Nodes(parse_redis_url(cluster.url))
    for master in cluster.masters:
        master.kill()
    with pytest.raises(LayerUnavailable) as caught:
        nodes.node_of("x")
    reasons = [f"Redis at {HOST}:{master.port} cannot be reached: Connection refused" for master in cluster.masters]
    assert str(caught.value) == "; ".join(reasons)


def test_a_server_that_is_no_cluster_says_so(shared_redis: RedisServer) -> None:
    nodes = Nodes(parse_redis_url(f"redis+cluster://{HOST}:{shared_redis.port}"))
    with pytest.raises(LayerUnavailable, match=r"does not tell of its Cluster: .*cluster support disabled"):
        nodes.node_of("x")


def test_threads_share_a_look(own_redis: RedisServer) -> None:
    """A thousand sockets that notice the same loss do not ask a thousand times."""
    with redis_server("--cluster-enabled", "yes") as server:
        server.call("CLUSTER", "ADDSLOTS", *range(16384))
        wait_until(lambda: b"cluster_state:ok" in server.call("CLUSTER", "INFO"), "one that is a Cluster alone")
        nodes = Nodes(parse_redis_url(f"redis+cluster://{HOST}:{server.port}"))
        nodes.refresh()
        server.call("CONFIG", "RESETSTAT")
        with server.paused():
            threads = [threading.Thread(target=nodes.refresh) for _ in range(20)]
            for thread in threads:
                thread.start()
            wait_until(lambda: threading.active_count() > 20, "threads")
        for thread in threads:
            thread.join(10)
        asked = re.findall(rb"cmdstat_cluster(?:\|slots)?:calls=(\d+)", server.call("INFO", "commandstats"))
        assert int(asked[0]) <= 2


# --- Sentinel --------------------------------------------------------------------------------------------------------


def test_the_master_is_found_and_followed(own_redis_sentinel: RedisSentinel) -> None:
    group = own_redis_sentinel
    nodes = Nodes(parse_redis_url(group.url))
    replica = Node(HOST, group.replica().port)
    assert nodes.node_of("x") == Node(HOST, group.master().port)
    with pytest.raises(LayerUnavailable, match=f"Redis at {replica} is no master but a slave"):
        nodes.connect(replica)
    wire = nodes.connect(nodes.node_of("x"))
    # A replica follows in its own time, and what it has not got yet is lost in a failover.
    assert wire.ask(pack("SET", "x", "1"), pack("WAIT", 1, 10_000), timeout=20) == [b"OK", 1]
    wire.close()
    new = group.fail_over()
    nodes.refresh()
    assert nodes.node_of("x") == Node(HOST, new.port)
    assert ask(nodes, "x", "GET", "x") == b"1"


def test_a_master_that_is_killed_is_replaced_though_a_sentinel_is_gone() -> None:
    with redis_sentinel(3) as group:
        nodes = Nodes(parse_redis_url(group.url))
        assert nodes.node_of("x") == Node(HOST, group.master().port)
        new = group.kill_master()
        group.sentinels[0].stop()
        nodes.refresh()
        assert nodes.node_of("x") == Node(HOST, new.port)
        assert ask(nodes, "x", "SET", "x", "1") == b"OK"


def test_a_service_that_no_sentinel_knows_is_named(own_redis_sentinel: RedisSentinel) -> None:
    group = own_redis_sentinel
    nodes = Nodes(parse_redis_url(group.url.replace(SERVICE, "other")))
    wanted = f"Redis at {HOST}:{group.ports[0]} is a Sentinel that does not know the service 'other'"
    with pytest.raises(LayerUnavailable, match=wanted):
        nodes.node_of("x")


def test_a_server_that_is_no_sentinel_says_so(shared_redis: RedisServer) -> None:
    nodes = Nodes(parse_redis_url(f"redis+sentinel://{HOST}:{shared_redis.port}/{SERVICE}"))
    with pytest.raises(LayerUnavailable, match=f"is no Sentinel that tells us of '{SERVICE}': ERR unknown command"):
        nodes.node_of("x")


def test_sentinels_may_have_a_password_of_their_own(own_redis_sentinel: RedisSentinel) -> None:
    group = own_redis_sentinel
    program: Program = group.sentinels[0]
    assert program.process.poll() is None
    group.set_password(SECRET)
    with pytest.raises(LayerUnavailable, match=r"NOAUTH|Authentication required"):
        Nodes(parse_redis_url(group.url)).node_of("x")
    nodes = Nodes(parse_redis_url(f"{group.url}&sentinel_password={SECRET}"))
    assert nodes.node_of("x") == Node(HOST, group.servers[0].port)

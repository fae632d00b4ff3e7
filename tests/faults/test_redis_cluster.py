"""A Cluster that changes under live sockets: a master comes back empty, and slots move to one that was added."""

import pytest

from fairway.errors import LayerUnavailable
from tests.faults.test_redis_away import check_log, tell_until_heard
from tests.support.crowd import Crowd
from tests.support.redis_cluster import RedisCluster
from tests.support.rooms import rooms_on
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


def test_sockets_outlive_each_master(own_redis_cluster: RedisCluster, caplog) -> None:
    cluster = own_redis_cluster
    with rooms_on(f"{cluster.url}?shards=2") as house, Crowd(house.ports, 100) as crowd:
        house.tell("before")
        crowd.wait_heard("before")
        for number, master in enumerate(cluster.masters):
            master.kill()
            master.start()  # it knows its slots, and nothing else
            cluster.wait()
            tell_until_heard(house, crowd)
            crowd.say(f"after {number}")
            crowd.wait_heard(f"after {number}")
        house.layer.send("work", {"text": "still there"})
        wait_until(lambda: house.rooms.worked == ["still there"], "the worker")
        assert crowd.closed == []
    # Redis takes connections some time before it takes commands, and that is no news each time.
    check_log(caplog, 2 * len(cluster.masters))


def test_slots_move_to_a_master_that_was_added(own_redis_cluster: RedisCluster) -> None:
    """What is sent meanwhile succeeds or raises, and what has been taken is delivered."""
    cluster = own_redis_cluster
    with rooms_on(cluster.url) as house, Crowd(house.ports, 20) as crowd:
        house.tell("before")
        crowd.wait_heard("before")
        new = cluster.add()
        # Keys of other shards are moved in between, as a real resharding does.
        bases = {key[: key.index(b"}") + 1].decode() for master in cluster.masters for key in master.call("KEYS", "*")}
        taken = []
        for base in sorted(bases):
            cluster.move(cluster.slot_of(base), new)
            text = f"moved {base}"
            try:
                house.layer.send("work", {"text": text})
            except LayerUnavailable:
                continue
            taken.append(text)
        tell_until_heard(house, crowd)
        crowd.say("still here")
        crowd.wait_heard("still here")
        wait_until(lambda: set(taken) <= set(house.rooms.worked), lambda: f"{taken} {house.rooms.worked}")
        assert new.call("DBSIZE") > 0
        assert crowd.closed == []

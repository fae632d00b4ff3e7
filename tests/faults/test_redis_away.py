"""Redis goes away and comes back, while servers hold sockets: none closes, nothing hangs, the log tells it once."""

import logging
import re
import threading
import time

import pytest

from fairway.errors import LayerUnavailable
from tests.support.crowd import Crowd
from tests.support.redis import APPEND_ONLY, HOST, RedisServer
from tests.support.redis_sentinel import RedisSentinel
from tests.support.rooms import House, rooms_on
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

PARTIES = 6
"""Who can miss Redis: two servers, each with an inbox and a layer, the worker, and the test."""


@pytest.fixture(autouse=True)
def _quiet_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="fairway")


def tell_until_heard(house: House, crowd: Crowd, deadline: float = 60) -> float:
    """Tell the room something, again and again, until everybody hears it; return how long that took."""
    began = time.monotonic()
    while time.monotonic() - began < deadline:
        text = f"told {time.monotonic()}"
        try:
            house.tell(text)
            crowd.wait_heard(text, deadline=0.25)
        except (LayerUnavailable, AssertionError):
            continue
        return time.monotonic() - began
    raise AssertionError(f"nobody, or not everybody, has heard anything for {deadline} s: {crowd.heard}")


def check_log(caplog: pytest.LogCaptureFixture, times: int = 1) -> None:
    """See that nobody has told more than once a time that Redis went, and that nothing else has happened."""
    records = [record for record in caplog.records if record.name.startswith("fairway")]
    assert [record.getMessage() for record in records if record.levelno > logging.WARNING] == []
    texts = [record.getMessage() for record in records if record.name == "fairway.layer"]
    gone = [text for text in texts if "trying again" in text or "is away" in text]
    back = [text for text in texts if text not in gone]
    assert 1 <= len(gone) <= PARTIES * times
    assert [text for text in back if not text.endswith(" is back")] == []
    assert len(back) <= len(gone)


def test_a_redis_that_comes_back_empty_closes_none_of_a_thousand_sockets(own_redis: RedisServer, caplog) -> None:
    with rooms_on(own_redis.url) as house, Crowd(house.ports, 1000) as crowd:
        house.tell("before")
        crowd.wait_heard("before")
        own_redis.restart()
        took = tell_until_heard(house, crowd)
        print(f"\ngroup sends reach 1,000 sockets {took:.2f} s after Redis was restarted empty")
        crowd.say("still here")
        crowd.wait_heard("still here")
        assert crowd.closed == []
        # Each server is back in its own moment, and nobody hears anything twice.
        assert set(crowd.heard.values()) <= {500, 1000}
    check_log(caplog)


def test_what_sockets_say_while_redis_is_away_is_answered_once_it_is_back(own_redis: RedisServer, caplog) -> None:
    with rooms_on(own_redis.url) as house, Crowd(house.ports, 50) as crowd:
        own_redis.kill()
        crowd.say("anybody?")
        wait_until(lambda: "away" in caplog.text, "the servers' notice")
        own_redis.forget()
        own_redis.start()
        crowd.wait_heard("anybody?")
        crowd.say("!all of us")
        crowd.wait_heard("!all of us", 50 * 50)
        assert crowd.heard["anybody?"] == 50
        assert crowd.closed == []
    check_log(caplog)


def test_what_redis_has_kept_on_its_disk_is_not_lost(own_redis: RedisServer) -> None:
    own_redis.restart(APPEND_ONLY)
    with rooms_on(own_redis.url) as house, Crowd(house.ports, 10) as crowd:
        with rooms_on(f"{own_redis.url}?prefix=other", servers=0) as other:
            other.worker.stop(5)
            other.layer.send("work", {"text": "kept"})
            own_redis.restart(APPEND_ONLY)
        tell_until_heard(house, crowd)
        with rooms_on(f"{own_redis.url}?prefix=other", servers=0) as other:
            wait_until(lambda: other.rooms.worked == ["kept"], "what was sent before")
        assert crowd.closed == []


def test_connections_that_are_cut_lose_no_group_send_that_was_taken(own_redis: RedisServer, caplog) -> None:
    """A send that returns is heard by everybody, and by nobody twice; one that raises may have happened."""
    cuts = 10
    with rooms_on(own_redis.url) as house, Crowd(house.ports, 20) as crowd:
        for number in range(cuts):
            own_redis.kill_clients()
            attempt = 0
            while True:
                attempt += 1
                try:
                    house.tell(f"{number}, attempt {attempt}")
                except LayerUnavailable:
                    continue
                break
            crowd.wait_heard(f"{number}, attempt {attempt}")
        crowd.say("still here")
        crowd.wait_heard("still here")
        assert [text for text, count in crowd.heard.items() if count > 20] == []
        assert crowd.closed == []
    check_log(caplog, cuts)


def test_a_redis_that_pauses_is_waited_for(own_redis: RedisServer, caplog) -> None:
    with rooms_on(own_redis.url) as house, Crowd(house.ports, 50) as crowd:
        with own_redis.paused():
            crowd.say("slow today")
            telling = threading.Thread(target=house.tell, args=("told meanwhile",))
            telling.start()
            telling.join(1.5)
            assert telling.is_alive()
        telling.join(30)
        crowd.wait_heard("told meanwhile")
        crowd.wait_heard("slow today")
        assert set(crowd.heard.values()) == {50}
        assert crowd.closed == []
    assert [record.getMessage() for record in caplog.records if record.name.startswith("fairway")] == []


@pytest.mark.soak
def test_a_redis_that_pauses_for_long_is_taken_for_dead_and_used_again(own_redis: RedisServer, caplog) -> None:
    """15 seconds: the servers' lease has run out meanwhile, and their connections are given up."""
    with rooms_on(own_redis.url) as house, Crowd(house.ports, 50) as crowd:
        with own_redis.paused():
            crowd.say("slow today")
            began = time.monotonic()
            with pytest.raises(LayerUnavailable):
                house.tell("nobody hears this")
            assert time.monotonic() - began < 30
            time.sleep(max(0.0, 15 - (time.monotonic() - began)))
        crowd.wait_heard("slow today")
        tell_until_heard(house, crowd)
        assert crowd.closed == []
    check_log(caplog)


def test_a_send_to_a_redis_that_stays_away_raises_and_names_it(own_redis: RedisServer, caplog) -> None:
    with rooms_on(own_redis.url) as house, Crowd(house.ports, 4) as crowd:
        own_redis.kill()
        for send in (
            lambda: house.tell("nobody hears this"),
            lambda: house.layer.send("work", {"text": "lost"}),
            lambda: house.layer.group_add("room", "websocket.send.nobody!1"),
            lambda: house.layer.group_channels("room"),
        ):
            with pytest.raises(LayerUnavailable, match=f"{HOST}:{own_redis.port}"):
                send()
        own_redis.forget()
        own_redis.start()
        house.layer.send("work", {"text": "kept"})
        tell_until_heard(house, crowd)
        wait_until(lambda: house.rooms.worked == ["kept"], "the worker")
        assert crowd.closed == []
    check_log(caplog)


def test_a_redis_that_takes_connections_and_nothing_else_is_not_overrun(own_redis: RedisServer, caplog) -> None:
    """A master that has become a replica, say, and no Sentinel tells of another one."""
    with rooms_on(own_redis.url, servers=0) as house:
        house.layer.send("work", {"text": "before"})
        wait_until(lambda: house.rooms.worked, "the worker")
        own_redis.call("REPLICAOF", HOST, "9")
        own_redis.call("CONFIG", "RESETSTAT")
        for _ in range(2):
            with pytest.raises(LayerUnavailable, match=f"{HOST}:{own_redis.port}"):
                house.layer.send("work", {"text": "refused"})
        [made] = re.findall(rb"total_connections_received:(\d+)", own_redis.call("INFO", "stats"))
        assert int(made) < 100
        own_redis.call("REPLICAOF", "NO", "ONE")
        house.layer.send("work", {"text": "after"})
        wait_until(lambda: house.rooms.worked == ["before", "after"], "the worker")
    check_log(caplog, 2)


def test_a_send_waits_for_a_redis_that_is_back_in_time(own_redis: RedisServer) -> None:
    with rooms_on(own_redis.url, servers=0) as house:
        own_redis.kill()
        sending = threading.Thread(target=house.layer.send, args=("work", {"text": "waits"}))
        sending.start()
        own_redis.forget()
        own_redis.start()
        sending.join(30)
        wait_until(lambda: house.rooms.worked == ["waits"], "the worker")


def test_another_user_of_the_server_may_flush_it(own_redis: RedisServer) -> None:
    """The memory is lost and no connection is: somebody has to notice."""
    with rooms_on(own_redis.url) as house, Crowd(house.ports, 20) as crowd:
        house.tell("before")
        crowd.wait_heard("before")
        own_redis.call("FLUSHALL")
        own_redis.call("SCRIPT", "FLUSH")
        crowd.say("still here")
        crowd.wait_heard("still here")
        tell_until_heard(house, crowd)
        assert crowd.closed == []


def test_sockets_outlive_a_master_that_dies(own_redis_sentinel: RedisSentinel, caplog) -> None:
    group = own_redis_sentinel
    with rooms_on(group.url) as house, Crowd(house.ports, 100) as crowd:
        house.tell("before")
        crowd.wait_heard("before")
        group.kill_master()
        took = tell_until_heard(house, crowd)
        print(f"\ngroup sends reach everybody {took:.2f} s after the failover")
        crowd.say("still here")
        crowd.wait_heard("still here")
        assert crowd.closed == []
    check_log(caplog)


def test_sockets_outlive_a_master_that_becomes_a_replica(own_redis_sentinel: RedisSentinel, caplog) -> None:
    """Sentinel tells it so up to ten seconds after the failover; what it was told until then is lost with it."""
    group = own_redis_sentinel
    with rooms_on(group.url) as house, Crowd(house.ports, 100) as crowd:
        old = group.master()
        group.fail_over()
        wait_until(lambda: old.call("ROLE")[0] == b"slave", "the old master to be told")
        tell_until_heard(house, crowd)
        crowd.say("still here")
        crowd.wait_heard("still here")
        assert crowd.closed == []
    check_log(caplog, 2)

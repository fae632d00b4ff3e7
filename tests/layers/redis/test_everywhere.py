"""A site works wherever Redis is: TLS, a Unix socket, a user of few rights, behind Sentinel."""

import pytest

from tests.support.crowd import Crowd
from tests.support.redis import HOST, RedisServer
from tests.support.redis_sentinel import redis_sentinel
from tests.support.rooms import rooms_on
from tests.support.waiting import wait_until

SECRET = "s3cret@/:"


@pytest.fixture(params=["tls", "unix", "user", "database", "sentinel"])
def url(request: pytest.FixtureRequest) -> str:
    """Where Redis is."""
    place: str = request.param
    if place == "tls":
        return str(request.getfixturevalue("tls_redis").url)
    if place == "sentinel":
        return str(request.getfixturevalue("calm_sentinel"))
    server: RedisServer = request.getfixturevalue("shared_redis")
    if place == "user":
        server.add_user("me", SECRET, "mysite")
        return f"redis://me:s3cret%40%2F%3A@{HOST}:{server.port}/0?prefix=mysite"
    return {"unix": server.unix_url, "database": server.url.replace("/0", "/5")}[place]


@pytest.fixture
def calm_sentinel():
    """One that takes a slow machine for no failure."""
    with redis_sentinel(down_after=20_000) as group:
        yield group.url


def test_sockets_and_workers_hear_each_other(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with rooms_on(url) as house, Crowd(house.ports, 10) as crowd:
        house.tell("from outside")
        crowd.wait_heard("from outside")
        crowd.say("an echo")
        crowd.wait_heard("an echo")
        crowd.say("!from a socket", 1)
        crowd.wait_heard("!from a socket")
        house.layer.send("work", {"text": "x" * 1_000_000})
        wait_until(lambda: house.rooms.worked, "the worker")
        assert len(house.layer.group_channels("room")) == 10
        assert house.layer.statistics().groups == 1
        assert set(crowd.heard.values()) == {10}
        assert crowd.closed == []
    assert [record.getMessage() for record in caplog.records if record.name.startswith("fairway")] == []

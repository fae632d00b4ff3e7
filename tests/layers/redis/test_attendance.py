"""Where the readers of a layer have sessions: in shards that come and go, and under a new name when taken for dead."""

from collections.abc import Iterator
from typing import Any

import pytest

from fairway.broker.effects import Envelope, Send
from fairway.layers.redis import attendance as attendance_module
from fairway.layers.redis.layer import RedisLayer
from tests.layers.redis.owners import Owner, receive, warnings
from tests.support.redis import RedisServer
from tests.support.redis_cluster import RedisCluster
from tests.support.waiting import await_until, wait_until


@pytest.fixture
def layer(shared_redis: RedisServer) -> Iterator[RedisLayer]:
    made = RedisLayer(shared_redis.url, silence=0.6)
    yield made
    made.close()


def shards_of(reader: Any) -> set[str]:
    return set(reader.sessions.shards)


async def test_a_server_that_registers_is_read_at_once(shared_redis: RedisServer) -> None:
    """By readers that are there: the next sign is seconds away."""
    layer = RedisLayer(shared_redis.url)
    reader = layer.reader(["c"])
    assert shards_of(reader) == {"#0"}
    owner = Owner(layer, "s!")
    owner.submit(1)
    envelope = await receive(reader)
    assert envelope.reply_channel == "s!1"
    assert shards_of(reader) == {"#0", "s!"}
    layer.close()


async def test_in_a_cluster_too(shared_redis_cluster: RedisCluster) -> None:
    layer = RedisLayer(f"{shared_redis_cluster.url}?shards=5")
    reader = layer.reader(["c", "d", "e"], 4, 2)
    owners = [Owner(layer, f"s{number}!") for number in range(3)]
    for number, owner in enumerate(owners):
        owner.inbox.submit(Envelope(f"m{number}", "c", f"s{number}!1", 1), b"x")
    layer.publish(Send("d", b"y"))
    found = [await receive(reader) for _ in range(4)]
    assert {envelope.reply_channel for envelope in found} == {"", "s0!1", "s1!1", "s2!1"}
    for owner in owners:
        owner.inbox.close()
    layer.close()


async def test_a_shard_that_is_empty_for_long_is_forgotten(
    layer: RedisLayer, shared_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is read again when its server comes back."""
    monkeypatch.setattr(attendance_module, "EMPTY", 0.3)
    reader = layer.reader(["c"])
    owner = Owner(layer, "s!")
    await await_until(lambda: "s!" in shards_of(reader), "it is read")
    owner.inbox.close()
    await await_until(lambda: shards_of(reader) == {"#0"}, "it is left")
    await await_until(lambda: not shared_redis.call("KEYS", "{fairway:s!}*"), "it is erased")
    assert not layer._attendance._empty
    again = Owner(layer, "s!")
    again.submit(1)
    assert (await receive(reader)).id == "m1"


async def test_a_shard_that_is_in_use_again_is_not_forgotten(layer: RedisLayer) -> None:
    reader = layer.reader(["c"])
    owner = Owner(layer, "s!")
    await await_until(lambda: "s!" in shards_of(reader), "it is read")
    owner.inbox.close()
    await await_until(lambda: "s!" in layer._attendance._empty, "it is empty")
    again = Owner(layer, "s!")
    await await_until(lambda: "s!" not in layer._attendance._empty, "it is not empty any more")
    assert "s!" in shards_of(reader)
    again.inbox.close()


def test_a_process_that_was_taken_for_dead_begins_anew(
    layer: RedisLayer, shared_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    reader: Any = layer.reader(["c"])
    name = reader.sessions.name
    layer.calls.run(lambda: closing(layer, name))
    wait_until(lambda: reader.sessions.name != name and layer.line.is_up, "it begins anew")
    layer.publish(Send("c", b"x"))
    delivery = reader.receive(30)
    assert delivery
    reader.commit(delivery)
    assert warnings(caplog)[0].startswith("this process was taken for dead, since it gave no sign: trying again")
    assert layer.line.generation == 2


def closing(layer: RedisLayer, name: str) -> Any:
    """End a session behind its reader's back, as others do with one that gives no sign."""
    yield [layer.commands.end("#0", name, "close")]


def test_a_stopped_reader_has_no_session_on_a_new_line(layer: RedisLayer) -> None:
    stopped: Any = layer.reader(["c"], 4, 2)
    other: Any = layer.reader(["d"])
    stopped.pause()
    layer.line.drop("for a test")
    layer.publish(Send("c", b"x"))
    wait_until(lambda: shards_of(other) == {"#0"}, "the other has its session")
    assert shards_of(stopped) == set()
    wait_until(lambda: layer.statistics().sessions == 1, "the old ones are closed")
    assert layer.statistics().channels["c"].waiting == 1


def test_a_reader_that_is_closed_leaves_no_session(layer: RedisLayer) -> None:
    reader = layer.reader(["c"])
    assert layer.statistics().sessions == 1
    reader.close()
    wait_until(lambda: layer.statistics().sessions == 0, "it is closed")


def test_a_reader_that_cannot_be_opened_leaves_no_session(layer: RedisLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    opening = layer._attendance.opening

    def interrupted(sessions: Any) -> Any:
        yield from opening(sessions)
        raise KeyboardInterrupt

    monkeypatch.setattr(layer._attendance, "opening", interrupted)
    with pytest.raises(KeyboardInterrupt):
        layer.reader(["c"])
    assert layer._sessions() == []
    wait_until(lambda: layer.statistics().sessions == 0, "it is closed")

"""A server process's inbox in Redis: what it says and hears, and what becomes of it when Redis goes away."""

import asyncio
import itertools
import socket
from collections.abc import Iterator

import pytest

from fairway.broker.effects import (
    Add,
    Announced,
    Done,
    Frame,
    GroupFrame,
    GroupSend,
    Item,
    Renewed,
    Send,
    Severed,
)
from fairway.errors import InvalidName, LayerUnavailable
from fairway.layers.redis import inbox as inbox_module
from fairway.layers.redis import inbox_line as line_module
from fairway.layers.redis.inbox_line import COUNT
from fairway.layers.redis.inbox_opening import open_lines
from fairway.layers.redis.layer import RedisLayer
from fairway.layers.redis.scripts import scripts
from tests.layers.hub.conversation import converse
from tests.layers.redis.owners import Owner, owner_of, receive, wait_waiting, warnings
from tests.support.redis import RedisServer
from tests.support.redis_sentinel import RedisSentinel
from tests.support.waiting import await_until, wait_until

numbers = itertools.count()


@pytest.fixture
def layer(shared_redis: RedisServer) -> Iterator[RedisLayer]:
    with_prefix = f"{shared_redis.url}?prefix=inbox{next(numbers)}"
    layer = RedisLayer(with_prefix)
    yield layer
    layer.close()


@pytest.fixture
def own_layer(own_redis: RedisServer) -> Iterator[RedisLayer]:
    layer = RedisLayer(own_redis.url, silence=1.5)
    yield layer
    layer.close()


# --- what is said and heard ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("loop_factory")
async def test_a_conversation(layer: RedisLayer) -> None:
    await converse(layer)  # type: ignore[arg-type]
    layer.close()


async def test_big_bodies(layer: RedisLayer) -> None:
    """8 MiB, there and back."""
    owner = Owner(layer)
    body = bytes(range(256)) * (32 * 1024)
    owner.submit(0, body)
    owner.submit(1, body)
    reader = layer.reader(["c"])
    for _ in range(2):
        delivery = await reader.areceive(10)
        assert delivery is not None
        assert delivery.body == body
        await reader.acommit(delivery, [Send("s!1", body)])
    await owner.wait_for(Done("s!1", 1))
    assert [item.body == body for item in await owner.wait_kind(Frame, 2)] == [True, True]  # type: ignore[union-attr]


async def test_announcing_and_leaving(layer: RedisLayer) -> None:
    owner = Owner(layer)
    owner.inbox.announce(["g", "h", "i"])
    announced = await owner.wait_kind(Announced, 3)
    assert [item.group for item in announced] == ["g", "h", "i"]  # type: ignore[union-attr]
    for item in announced[:2]:
        owner.inbox.leave(item.group, item.generation)  # type: ignore[union-attr]
    await await_until(lambda: layer.statistics().groups == 1)
    for group in "ghi":
        await layer.apublish(GroupSend(group, group.encode()))
    assert [item.group for item in await owner.wait_kind(GroupFrame)] == ["i"]  # type: ignore[union-attr]


async def test_the_owner_of_two_prefixes(layer: RedisLayer, shared_redis: RedisServer) -> None:
    """The second one is an alias, for as long as the owner lives."""
    owner = Owner(layer, "s!", "web!")
    alias = layer.shards.key("web!", "alias")
    assert shared_redis.call("GET", alias) == b"s!"
    await layer.apublish(Send("web!1", b"x"))
    await owner.wait_for(Frame("web!1", b"x"))
    owner.inbox.close()
    await await_until(lambda: shared_redis.call("GET", alias) is None)


async def test_an_owner_that_does_not_take_its_items(layer: RedisLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so much is read; the rest stays in Redis until the owner goes on."""
    monkeypatch.setattr(inbox_module, "UNREAD", 5)
    inbox = layer.inbox(["s!"], lambda: None)
    await layer.apublish(Send("s!1", b"0"))
    await await_until(lambda: len(inbox._items) == 1)
    for value in range(1, 2 * COUNT):
        await layer.apublish(Send("s!1", str(value).encode()))
    await await_until(lambda: len(inbox._items) > 4)
    found: list[Item] = []
    while len(found) < 2 * COUNT:
        assert len(inbox._items) < 5 + COUNT
        found += inbox.drain()
        await asyncio.sleep(0)
    assert [int(item.body) for item in found] == list(range(2 * COUNT))  # type: ignore[union-attr]


async def test_wrong_prefixes(layer: RedisLayer) -> None:
    with pytest.raises(InvalidName):
        layer.inbox(["s"], lambda: None)


async def test_no_redis_at_all(own_redis: RedisServer) -> None:
    own_redis.kill()
    layer = RedisLayer(own_redis.url)
    with pytest.raises(LayerUnavailable, match=f"Redis at 127.0.0.1:{own_redis.port} cannot be reached"):
        layer.inbox(["s!"], lambda: None)
    layer.close()


# --- who owns what ---------------------------------------------------------------------------------------------------


async def test_a_prefix_that_another_process_has_taken(
    own_redis: RedisServer, own_layer: RedisLayer, caplog: pytest.LogCaptureFixture
) -> None:
    """The old owner is not heard any more and takes nothing back, until the new one gives it up."""
    old = Owner(own_layer)
    other_layer = RedisLayer(own_redis.url, silence=1.5)
    new = Owner(other_layer)
    owner = owner_of(own_layer, own_redis)
    old.submit(0)
    await old.wait_for(Severed())
    await await_until(lambda: any("has another owner for 's!'" in text for text in warnings(caplog)))
    new.submit(1)
    reader = own_layer.reader(["c"])
    assert (await receive(reader)).order == 1
    await new.wait_for(Done("s!1", 1))
    assert owner_of(own_layer, own_redis) == owner
    assert old.items == [Severed()]
    other_layer.close()
    await old.wait_for(Renewed())
    await own_layer.apublish(Send("s!1", b"x"))
    await old.wait_for(Frame("s!1", b"x"))


async def test_an_old_owner_that_closes_takes_nothing_along(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    old = Owner(own_layer)
    new = Owner(own_layer)
    new.inbox.announce(["g"])
    await new.wait_kind(Announced)
    old.inbox.close()
    await await_until(lambda: len(own_redis.call("CLIENT", "LIST", "TYPE", "normal").splitlines()) <= 5)
    await own_layer.apublish(GroupSend("g", b"x"))
    await new.wait_kind(GroupFrame)
    assert own_redis.call("ZRANGE", own_layer.shards.key("#0", "servers"), 0, -1) == [b"s!"]


# --- Redis goes away -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("loop_factory")
async def test_redis_restarted_with_an_empty_memory(
    own_redis: RedisServer, own_layer: RedisLayer, caplog: pytest.LogCaptureFixture
) -> None:
    """`Severed`, then `Renewed`; what is said in between reaches nobody; afterwards all is as before."""
    renewed = []
    own_layer.on_renewed = lambda: renewed.append(1)
    owner = Owner(own_layer)
    for _ in range(2):
        caplog.clear()
        await asyncio.to_thread(own_redis.kill)
        await owner.wait_for(Severed())
        owner.submit(0)
        owner.inbox.leave("g", 1)
        owner.inbox.announce(["lost"])
        owner.inbox.will("s!1", b"x", -1, None)
        owner.inbox.congest("s!1")
        assert not owner.inbox.has_reader("c")
        await asyncio.to_thread(own_redis.start)
        await owner.wait_for(Renewed())
        assert owner.items == [Severed(), Renewed()]
        owner.inbox.announce(["g"])
        await owner.wait_kind(Announced)
        other = RedisLayer(own_redis.url)
        await other.apublish(GroupSend("g", b"hello"))
        await owner.wait_kind(GroupFrame)
        owner.submit(1)
        await wait_waiting(other, 1)
        other.close()
        owner.items.clear()
        where = f"the Redis at 127.0.0.1:{own_redis.port}"
        told = [text for text in warnings(caplog) if text.startswith(where)]
        away, back = told
        assert away.startswith(f"{where} is away (")
        assert away.endswith("); its items wait until it is back")
        assert back == f"{where} is back"
    assert renewed == [1, 1]
    own_layer.close()


async def test_a_memory_that_is_emptied_under_us(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    """The next sign finds out."""
    owner = Owner(own_layer)
    own_redis.call("FLUSHALL")
    await owner.wait_for(Renewed())
    await own_layer.apublish(Send("s!1", b"x"))
    await owner.wait_for(Frame("s!1", b"x"))
    assert owner.items == [Severed(), Renewed(), Frame("s!1", b"x")]


async def test_an_owner_that_was_taken_for_dead(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    """Its process has stood still: it is told, and what it wanted to have said at its end is not said."""
    owner = Owner(own_layer)
    owner.inbox.will("s!1", b"\x82\xa4path\xa1/\xa5order", -1, None)
    owner.submit(0)
    await wait_waiting(own_layer, 1)
    tick, base = own_layer.commands.tick("s!", ()), own_layer.shards.base("s!")

    def is_taken_for_dead() -> bool:
        own_redis.call("ZADD", own_layer.shards.key("s!", "alive"), "1", "!")
        own_redis.call("EVALSHA", scripts()["tick"].sha, "1", base, *tick.arguments)
        return Severed() in owner.items

    await await_until(is_taken_for_dead)
    await owner.wait_for(Renewed())
    reader = own_layer.reader(["c", "websocket.disconnect"])
    assert (await receive(reader)).channel == "c"
    await owner.wait_for(Done("s!1", 0))
    assert await reader.areceive(0.05) is None


async def test_connections_that_are_cut(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    """What came meanwhile is read before `Renewed`, and the memory was not lost: nobody is told so."""
    renewed = []
    own_layer.on_renewed = lambda: renewed.append(1)
    owner = Owner(own_layer)
    owner.inbox.announce(["g", "h"])
    kept, left = await owner.wait_kind(Announced, 2)
    first = owner_of(own_layer, own_redis)
    owner.items.clear()
    own_redis.kill_clients()
    own_redis.call("XADD", own_layer.shards.key("s!", "in"), "*", "f", "s!1", "b", "between")
    owner.inbox.leave(left.group, left.generation)  # type: ignore[union-attr]
    await owner.wait_for(Renewed())
    assert owner.items == [Severed(), Frame("s!1", b"between"), Renewed()]
    assert owner_of(own_layer, own_redis) != first
    assert renewed == []
    await await_until(lambda: own_layer.statistics().groups == 1)
    await own_layer.apublish(GroupSend(kept.group, b"x"))  # type: ignore[union-attr]
    await owner.wait_kind(GroupFrame)


async def test_more_groups_are_left_than_can_be_remembered(
    own_redis: RedisServer, own_layer: RedisLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then all are forgotten, and the owner announces those that it has."""
    monkeypatch.setattr(inbox_module, "LEAVING", 3)
    owner = Owner(own_layer)
    groups = [f"g{number}" for number in range(10)]
    owner.inbox.announce(groups)
    announced = await owner.wait_kind(Announced, 10)
    own_redis.kill_clients()
    await owner.wait_for(Severed())
    for item in announced:
        owner.inbox.leave(item.group, item.generation)  # type: ignore[union-attr]
    await owner.wait_for(Renewed())
    await await_until(lambda: own_layer.statistics().groups == 0)


async def test_a_redis_that_takes_nothing_is_given_up(
    own_redis: RedisServer, own_layer: RedisLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(line_module, "UNSENT", 1_000_000)
    owner = Owner(own_layer)
    with own_redis.paused():
        while Severed() not in owner.items:
            owner.submit(0, b"x" * 500_000)
            await asyncio.sleep(0)
    await owner.wait_for(Renewed())
    assert any("it has stopped reading" in text for text in warnings(caplog))


async def test_a_failover_to_a_replica(own_redis_sentinel: RedisSentinel) -> None:
    """What the replica has of us serves; the owner announces the rest again."""
    layer = RedisLayer(own_redis_sentinel.url)
    owner = Owner(layer)
    owner.inbox.announce(["g"])
    await owner.wait_kind(Announced)
    await asyncio.to_thread(own_redis_sentinel.kill_master)
    await owner.wait_for(Renewed())
    other = RedisLayer(own_redis_sentinel.url)
    owner.inbox.announce(["g"])
    await owner.wait_kind(Announced, 2)
    await other.apublish(GroupSend("g", b"x"))
    await owner.wait_kind(GroupFrame)
    other.close()
    layer.close()


async def test_the_owner_is_known_before_anything_else(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    """Whatever `Renewed` brings about finds the prefixes owned: a message for them is not lost."""
    owner = Owner(own_layer)

    def on_readable() -> None:
        owner.take()
        if owner.items[-1] == Renewed():
            owner.submit(0, attempt=2)
            owner.inbox.announce(["g"])

    owner.inbox._on_readable = on_readable
    await asyncio.to_thread(own_redis.restart)
    await owner.wait_kind(Announced)
    assert own_layer.statistics().channels["c"].waiting == 1
    assert own_layer.statistics().repeats_dropped == 0


# --- the end ---------------------------------------------------------------------------------------------------------


def clients(server: RedisServer) -> int:
    """How many are connected, beside who asks."""
    return len(server.call("CLIENT", "LIST", "TYPE", "normal").splitlines()) - 1


async def test_closing(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    owner = Owner(own_layer)
    await own_layer.agroup_add("g", "s!1")
    await owner.wait_kind(Add)
    reader = own_layer.reader(["c"])
    owner.submit(0)
    owner.inbox.close()
    owner.inbox.close()
    assert (await receive(reader)).order == 0
    with pytest.raises(LayerUnavailable, match="the inbox is closed"):
        owner.submit(1)
    owner.inbox.leave("g", 1)
    await await_until(lambda: not own_layer.statistics().owners)
    await await_until(lambda: not own_layer.statistics().groups)
    servers = own_layer.shards.key("#0", "servers")
    assert own_redis.call("ZRANGE", servers, 0, -1) == [b"s!"]  # workers that come find what is in it still
    reader.close()
    own_layer.close()
    await await_until(lambda: clients(own_redis) == 0)


async def test_closing_while_redis_is_away(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    owner = Owner(own_layer)
    own_redis.kill()
    await owner.wait_for(Severed())
    owner.inbox.close()
    await asyncio.to_thread(own_redis.start)
    await await_until(lambda: clients(own_redis) == 0)
    assert owner_of(own_layer, own_redis) == ""


async def test_closing_at_the_moment_in_which_redis_is_back(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    """The prefixes that were owned again are given up."""
    owner = Owner(own_layer)
    lines = open_lines(own_layer, ["s!"], owner.inbox._ownership)
    owner.inbox.close()
    owner.inbox._reopened(lines)
    await await_until(lambda: clients(own_redis) == 0)
    assert owner_of(own_layer, own_redis) == ""


async def test_lines_that_are_lost_at_once(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    """`Renewed` waits for those that last."""
    owner = Owner(own_layer)
    owner.inbox._reopening.stop()
    own_redis.kill_clients()
    await owner.wait_for(Severed())
    lines = open_lines(own_layer, ["s!"], owner.inbox._ownership)
    lines.take_mail().socket.shutdown(socket.SHUT_RDWR)
    owner.inbox._reopened(lines)
    assert owner.items == [Severed(), Severed()]


async def test_closing_in_another_thread(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    Owner(own_layer)
    await asyncio.to_thread(own_layer.close)
    await await_until(lambda: clients(own_redis) == 0)
    assert owner_of(own_layer, own_redis) == ""


def test_closing_after_the_event_loop(own_redis: RedisServer) -> None:
    for turns in range(2):
        layer = RedisLayer(own_redis.url)

        async def main(layer: RedisLayer = layer, turns: int = turns) -> None:
            Owner(layer).submit(0)
            for _ in range(turns):
                await asyncio.sleep(0)

        asyncio.run(main())
        layer.close()
        wait_until(lambda: clients(own_redis) == 0)
        assert owner_of(layer, own_redis) == ""

"""A server process's inbox in Redis: what it says and hears, and what becomes of it when Redis goes away."""

import asyncio
import itertools
import logging
from collections.abc import Iterator

import msgspec
import pytest

from fairway.broker.effects import (
    Abandoned,
    Add,
    Announced,
    Done,
    Envelope,
    Frame,
    GroupFrame,
    GroupSend,
    Item,
    OwnerGone,
    Refused,
    Renewed,
    Send,
    Severed,
)
from fairway.errors import InvalidName, LayerUnavailable
from fairway.layers.base import Reader
from fairway.layers.redis import inbox as inbox_module
from fairway.layers.redis import inbox_line as line_module
from fairway.layers.redis import inbox_tenure as tenure_module
from fairway.layers.redis.inbox_line import COUNT
from fairway.layers.redis.inbox_opening import owner_in
from fairway.layers.redis.layer import RedisLayer
from fairway.layers.redis.scripts import scripts
from fairway.limits import BrokerLimits, ChannelRule
from tests.layers.hub.conversation import converse
from tests.support.redis import RedisServer
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


class Owner:
    """An inbox, and everything that has come to it."""

    def __init__(self, layer: RedisLayer, *prefixes: str) -> None:
        self.items: list[Item] = []
        self.inbox = layer.inbox(prefixes or ["s!"], self.take)
        self.take()

    def take(self) -> None:
        if hasattr(self, "inbox"):
            self.items += self.inbox.drain()

    async def wait_for(self, item: Item) -> None:
        await await_until(lambda: item in self.items, lambda: f"{item} in {self.items}")

    async def wait_kind(self, kind: type[Item], count: int = 1) -> list[Item]:
        def found() -> list[Item]:
            return [item for item in self.items if isinstance(item, kind)]

        await await_until(lambda: len(found()) >= count, lambda: f"{count} {kind} in {self.items}")
        return found()

    def submit(self, order: int, body: bytes = b"x", channel: str = "c", attempt: int = 1) -> None:
        self.inbox.submit(Envelope(f"m{order}", channel, "s!1", order, attempt), body)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def owner_of(layer: RedisLayer, server: RedisServer, shard: str = "s!") -> str:
    return owner_in(server.call("GET", layer.shards.key(shard, "state")))


async def receive(reader: Reader) -> Envelope:
    delivery = await reader.areceive(10)
    assert delivery is not None
    await reader.acommit(delivery)
    return delivery.envelope


async def wait_waiting(layer: RedisLayer, count: int) -> None:
    """Wait until so many messages wait on channel c."""

    def is_there() -> bool:
        found = layer.statistics().channels.get("c")
        return found is not None and found.waiting == count

    await await_until(is_there)


# --- what is said and heard ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("loop_factory")
async def test_a_conversation(layer: RedisLayer) -> None:
    await converse(layer)  # type: ignore[arg-type]
    layer.close()


async def test_all_messages_of_a_turn_are_one_call(layer: RedisLayer, shared_redis: RedisServer) -> None:
    owner = Owner(layer)
    script = f"EVALSHA {scripts()['submit'].sha}"
    shared_redis.call("CONFIG", "SET", "slowlog-log-slower-than", "0")
    shared_redis.call("CONFIG", "SET", "slowlog-max-len", "10000")
    shared_redis.call("SLOWLOG", "RESET")
    for order in range(100):
        owner.submit(order)
    reader = layer.reader(["c"])
    assert [(await receive(reader)).order for _ in range(100)] == list(range(100))
    calls = [b" ".join(entry[3][:2]).decode() for entry in shared_redis.call("SLOWLOG", "GET", "-1")]
    shared_redis.call("CONFIG", "SET", "slowlog-max-len", "128")
    shared_redis.call("CONFIG", "SET", "slowlog-log-slower-than", "10000")
    assert calls.count(script) == 1


async def test_batches_are_bounded(layer: RedisLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    """In messages and in bytes; the order stays."""
    monkeypatch.setattr(tenure_module, "BATCH", 7)
    monkeypatch.setattr(tenure_module, "BATCH_BYTES", 50)
    owner = Owner(layer)
    for order in range(40):
        owner.submit(order, b"x" * (order % 3 * 10))
    reader = layer.reader(["c"])
    assert [(await receive(reader)).order for _ in range(40)] == list(range(40))


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


async def test_what_was_read_is_acknowledged(layer: RedisLayer, shared_redis: RedisServer) -> None:
    owner = Owner(layer)
    for _ in range(3):
        await layer.apublish(Send("s!1", b"xx"))
    await owner.wait_kind(Frame, 3)
    await await_until(lambda: shared_redis.call("XLEN", layer.shards.key("s!", "in")) == 0)
    state = msgspec.msgpack.decode(shared_redis.call("GET", layer.shards.key("s!", "state")))
    assert state[6] == 0


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


async def test_memory_that_is_full(
    own_redis: RedisServer, own_layer: RedisLayer, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be taken is refused, and the log tells it once."""
    owner = Owner(own_layer)
    own_redis.call("CONFIG", "SET", "maxmemory", "1")
    for order in range(3):
        owner.submit(order)
        await owner.wait_for(Refused("s!1", order, "c", "capacity"))
    own_redis.call("CONFIG", "SET", "maxmemory", "0")
    assert len([text for text in warnings(caplog) if "refuses what this server tells it: OOM" in text]) == 1
    owner.submit(3)
    reader = own_layer.reader(["c"])
    assert (await receive(reader)).order == 3


async def test_what_is_due_is_done(shared_redis: RedisServer) -> None:
    """A message that nobody begins in time is abandoned though no worker has a clock for it."""
    limits = BrokerLimits(rules=(("c", ChannelRule(expiry=0.05)), ("*", ChannelRule())))
    layer = RedisLayer(f"{shared_redis.url}?prefix=due", limits=limits)
    owner = Owner(layer)
    owner.submit(0)
    [abandoned] = await owner.wait_kind(Abandoned)
    assert (abandoned.order, abandoned.reason) == (0, "expired")  # type: ignore[union-attr]
    layer.close()


# --- who owns what ---------------------------------------------------------------------------------------------------


async def test_a_sign_keeps_an_owner_alive(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    owner = Owner(own_layer)
    first = owner_of(own_layer, own_redis)
    alive = own_layer.shards.key("s!", "alive")
    born = float(own_redis.call("ZSCORE", alive, "!"))
    await await_until(lambda: float(own_redis.call("ZSCORE", alive, "!")) > born + 1500)
    await own_layer.apublish(Send("s!1", b"x"))
    await owner.wait_for(Frame("s!1", b"x"))
    assert owner_of(own_layer, own_redis) == first
    assert owner.items == [Frame("s!1", b"x")]


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


async def test_wills_are_carried_out_for_the_dead(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    """Each after what its connection has under way; one that was taken back, or told already, is not."""
    owner = Owner(own_layer)
    inbox = owner.inbox
    will = b"\x82\xa4path\xa1/\xa5order"
    for number in range(1, 5):
        inbox.will(f"s!{number}", will, -1, None)
        inbox.submit(Envelope(f"a{number}", "websocket.connect", f"s!{number}", 0), b"x")
    inbox.submit(Envelope("b2", "websocket.receive", "s!2", 1, state={"k": b"v"}), b"x")
    inbox.will("s!3", b"", 0, None)
    inbox.submit(Envelope("b4", "websocket.disconnect", "s!4", 1), b"x")
    reader = own_layer.reader(["websocket.connect", "websocket.receive", "websocket.disconnect"], window=10, threads=10)
    for _ in range(6):
        await receive(reader)
    inbox._tenure.end()  # type: ignore[union-attr]
    found = [await reader.areceive(10) for _ in range(2)]
    envelopes = sorted((found.envelope.reply_channel, found.envelope.order) for found in found if found)
    assert envelopes == [("s!1", 1), ("s!2", 2)]
    bodies = {delivery.envelope.order: delivery.body for delivery in found if delivery}
    assert bodies == {1: will + b"\x01", 2: will + b"\x02"}
    assert {delivery.envelope.order: delivery.envelope.state for delivery in found if delivery}[2] == {"k": b"v"}


async def test_a_reader_that_dies_is_missed(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    """The owner's signs look after its shard: also when no worker is left."""
    owner = Owner(own_layer)
    worker = RedisLayer(own_redis.url, silence=1.5)
    pinned = worker.reader(["view.A!"])
    await worker.agroup_add("g", "view.A!1")
    worker._clock.close()
    worker.line.drop("a test")
    await owner.wait_for(OwnerGone("view.A!"))
    await await_until(lambda: own_layer.statistics().groups == 0)
    pinned.close()
    worker.close()


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


async def test_a_redis_that_hangs(
    own_redis: RedisServer, own_layer: RedisLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is given up; what it was told before it hung counts, what it is told again is a repeat."""
    monkeypatch.setattr(tenure_module, "PATIENCE", 0.3)
    owner = Owner(own_layer)
    with own_redis.paused():
        owner.submit(0)
        await owner.wait_for(Severed())
    await owner.wait_for(Renewed())
    owner.submit(0, attempt=2)
    await await_until(lambda: own_layer.statistics().repeats_dropped == 1)
    assert own_layer.statistics().channels["c"].waiting == 1
    assert any("it has given no answer for 0.3 s" in text for text in warnings(caplog))


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


async def test_scripts_that_are_gone_are_loaded_again(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    owner = Owner(own_layer)
    own_redis.call("SCRIPT", "FLUSH")
    owner.submit(0)
    await owner.wait_for(Renewed())
    owner.submit(0, attempt=2)
    await await_until(lambda: "c" in own_layer.statistics().channels)


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
    await await_until(lambda: own_redis.call("ZRANGE", servers, 0, -1) == [])
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

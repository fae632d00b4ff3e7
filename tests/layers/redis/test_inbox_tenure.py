"""While an inbox owns its prefixes: what it says in one turn, when it gives signs, and what the replies bring about."""

import asyncio
import itertools
from collections.abc import Iterator

import msgspec
import pytest

from fairway.broker.effects import (
    Abandoned,
    Ask,
    Envelope,
    Frame,
    OwnerGone,
    Policy,
    Refused,
    Renewed,
    Send,
    Severed,
)
from fairway.errors import ChannelFull
from fairway.layers.redis import inbox_tenure as tenure_module
from fairway.layers.redis.layer import RedisLayer
from fairway.layers.redis.scripts import scripts
from fairway.limits import BrokerLimits, ChannelRule
from tests.layers.redis.owners import Owner, owner_of, receive, warnings
from tests.support.redis import RedisServer
from tests.support.waiting import await_until

numbers = itertools.count()


@pytest.fixture
def layer(shared_redis: RedisServer) -> Iterator[RedisLayer]:
    with_prefix = f"{shared_redis.url}?prefix=tenure{next(numbers)}"
    layer = RedisLayer(with_prefix)
    yield layer
    layer.close()


@pytest.fixture
def own_layer(own_redis: RedisServer) -> Iterator[RedisLayer]:
    layer = RedisLayer(own_redis.url, silence=1.5)
    yield layer
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


async def test_what_was_read_is_acknowledged(layer: RedisLayer, shared_redis: RedisServer) -> None:
    owner = Owner(layer)
    for _ in range(3):
        await layer.apublish(Send("s!1", b"xx"))
    await owner.wait_kind(Frame, 3)
    await await_until(lambda: shared_redis.call("XLEN", layer.shards.key("s!", "in")) == 0)
    state = msgspec.msgpack.decode(shared_redis.call("GET", layer.shards.key("s!", "state")))
    assert state[6] == 0


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
    worker.line.close()  # without a word
    await owner.wait_for(OwnerGone("view.A!"))
    await await_until(lambda: own_layer.statistics().groups == 0)
    pinned.close()
    worker.close()


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


async def test_scripts_that_are_gone_are_loaded_again(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    owner = Owner(own_layer)
    own_redis.call("SCRIPT", "FLUSH")
    owner.submit(0)
    await owner.wait_for(Renewed())
    owner.submit(0, attempt=2)
    await await_until(lambda: "c" in own_layer.statistics().channels)


async def test_a_group_that_cannot_be_announced(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    """A membership that is missing would not be noticed: all is made anew, as soon as that can be done."""
    owner = Owner(own_layer)
    own_redis.call("CONFIG", "SET", "maxmemory", "1")
    owner.inbox.announce(["g"])
    await owner.wait_for(Severed())
    own_redis.call("CONFIG", "SET", "maxmemory", "0")
    await owner.wait_for(Renewed())


async def test_a_server_that_may_not_take_writes(own_redis: RedisServer, own_layer: RedisLayer) -> None:
    """It has become a replica: another one is looked for."""
    owner = Owner(own_layer)
    own_redis.call("REPLICAOF", "127.0.0.1", "1")
    owner.submit(0)
    await owner.wait_for(Severed())
    own_redis.call("REPLICAOF", "NO", "ONE")
    await owner.wait_for(Renewed())


async def test_questions_and_their_answers(layer: RedisLayer) -> None:
    owner = Owner(layer)
    asking = asyncio.create_task(layer.astate("s!1"))
    [ask] = await owner.wait_kind(Ask)
    owner.inbox.answer(7, {})
    for _ in range(2):
        owner.inbox.answer(ask.token, {"k": b"v"})  # type: ignore[union-attr]
    assert await asking == {"k": b"v"}


async def test_marks_hold_direct_sends(layer: RedisLayer) -> None:
    owner = Owner(layer)

    def is_refused() -> bool:
        try:
            layer.publish(Send("s!1", b"x"))
        except ChannelFull:
            return True
        return False

    owner.inbox.congest("s!1")
    await await_until(is_refused)
    owner.inbox.relieve("s!1")
    await await_until(lambda: not is_refused())


async def test_losses_are_told(own_redis: RedisServer, own_layer: RedisLayer, caplog: pytest.LogCaptureFixture) -> None:
    """Also when the owner is the one who finds out that a worker has died."""
    owner = Owner(own_layer)
    worker = RedisLayer(own_redis.url, silence=1.5)
    reader = worker.reader(["c"])
    owner.inbox.submit(Envelope("m0", "c", "s!1", 0, policy=Policy.ONCE), b"x")
    assert await reader.areceive(10)
    worker.line.close()  # without a word
    [abandoned] = await owner.wait_kind(Abandoned)
    assert abandoned == Abandoned("s!1", 0, "lost", 1)
    await await_until(lambda: any("m0 on c was not consumed" in text for text in caplog.messages))
    reader.close()
    worker.close()


async def test_as_many_wills_as_there_may_be_connections(shared_redis: RedisServer) -> None:
    layer = RedisLayer(f"{shared_redis.url}?prefix=wills", limits=BrokerLimits(wills=2))
    owner = Owner(layer)
    for name in ("s!1", "s!2", "s!3", "s!1"):
        owner.inbox.will(name, b"x", -1, None)
    wills = layer.shards.key("s!", "wills")
    await await_until(lambda: set(shared_redis.call("HKEYS", wills)) == {b"s!1", b"s!2"})
    owner.inbox.will("s!1", b"", 0, None)
    await await_until(lambda: shared_redis.call("HKEYS", wills) == [b"s!2"])
    layer.close()

"""A worker's end of its sessions: commits of one and of several steps, and what is no longer held."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fairway.broker.effects import Delivery, Ending, GroupSend, Send
from fairway.errors import DeliveryLost, LayerUnavailable
from fairway.layers.redis import reader as reader_module
from fairway.layers.redis.layer import RedisLayer
from fairway.layers.redis.operations import Steps
from fairway.layers.redis.wire import ReplyError
from tests.layers.redis.owners import Owner, warnings
from tests.support.redis import RedisServer
from tests.support.waiting import await_until, wait_until

SEVERAL = [GroupSend("g", b"x", typed=False)]
"""An outbox that takes several steps."""


@pytest.fixture
def layer(shared_redis: RedisServer) -> Iterator[RedisLayer]:
    made = RedisLayer(shared_redis.url)
    yield made
    made.close()


def take(reader: Any) -> Delivery:
    delivery = reader.receive(30)
    assert delivery
    return delivery


async def test_what_is_not_held_is_not_committed(layer: RedisLayer) -> None:
    reader = layer.reader(["c"])
    layer.publish(Send("c", b"x"))
    delivery = take(reader)
    reader.commit(delivery)
    with pytest.raises(DeliveryLost, match="is no longer held; another reader has the message, or had it"):
        reader.commit(delivery)
    with pytest.raises(DeliveryLost):
        await reader.acommit(delivery, SEVERAL)


@pytest.mark.parametrize("outbox", [[], SEVERAL])
async def test_what_was_held_over_a_lost_line_is_not_committed(layer: RedisLayer, outbox: list[GroupSend]) -> None:
    """Not on the new one either, where it comes again."""
    reader = layer.reader(["c"])
    layer.publish(Send("c", b"x"))
    first = take(reader)
    layer.line.drop("for a test")
    with pytest.raises(DeliveryLost):
        reader.commit(first, outbox)
    second = take(reader)
    assert second.envelope.attempt == 2
    layer.line.drop("for a test")
    with pytest.raises(DeliveryLost):
        await reader.acommit(second, outbox)


@pytest.mark.parametrize("outbox", [[], SEVERAL])
async def test_a_line_that_is_lost_just_before_the_commit_is_written(
    layer: RedisLayer, outbox: list[GroupSend], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader: Any = layer.reader(["c"], 2, 2)
    for _ in range(2):
        layer.publish(Send("c", b"x"))
    first, second = take(reader), take(reader)
    give_up = reader._give_up

    def lose_afterwards(delivery: Delivery) -> Any:
        lease = give_up(delivery)
        monkeypatch.setattr(layer.line, "generation", layer.line.generation + 1)
        return lease

    monkeypatch.setattr(reader, "_give_up", lose_afterwards)
    with pytest.raises(DeliveryLost):
        reader.commit(first, outbox)
    with pytest.raises(DeliveryLost):
        await reader.acommit(second, outbox)


def close_behind_its_back(layer: RedisLayer, reader: Any) -> None:
    """Do as if others had taken the session for dead."""

    def steps() -> Steps:
        yield [layer.commands.end("#0", reader.sessions.name, "close")]

    layer.calls.run(steps)


async def test_a_commit_that_comes_too_late_is_refused(layer: RedisLayer, caplog: pytest.LogCaptureFixture) -> None:
    """One of several steps tells its caller; one that is written and forgotten tells the log."""
    reader = layer.reader(["c"], 3, 3)
    for _ in range(3):
        layer.publish(Send("c", b"x"))
    first, second, third = take(reader), take(reader), take(reader)
    close_behind_its_back(layer, reader)
    with pytest.raises(DeliveryLost):
        reader.commit(first, SEVERAL)
    with pytest.raises(DeliveryLost):
        await reader.acommit(second, SEVERAL)
    reader.commit(third)
    layer.statistics()
    assert warnings(caplog) == ["a commit came too late: another reader has the message, or had it"]
    assert layer.statistics().committed == 0


async def test_a_delivery_that_is_lost_answers_nobody(layer: RedisLayer) -> None:
    """An effect for somebody else goes out all the same."""
    reader = layer.reader(["c"])
    other = layer.reader(["d"])
    owner = Owner(layer, "s!")
    owner.submit(1)
    delivery = await reader.areceive(30)
    assert delivery
    layer.line.drop("for a test")
    with pytest.raises(DeliveryLost):
        reader.publish(delivery, Send("s!1", b"answer"))
    with pytest.raises(DeliveryLost):
        await reader.apublish(delivery, Send("s!1", b"answer"))
    await asyncio.to_thread(reader.publish, delivery, Send("d", b"1"))
    await reader.apublish(delivery, Send("d", b"2"))
    for body in (b"1", b"2"):
        found = await other.areceive(30)
        assert found
        assert found.body == body
        await other.acommit(found)


async def test_a_line_that_is_lost_just_before_the_answer_is_written(
    layer: RedisLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader: Any = layer.reader(["c"])
    owner = Owner(layer, "s!")
    owner.submit(1)
    delivery = await reader.areceive(30)
    answering = reader._answering

    def lose_afterwards(*arguments: Any) -> Any:
        steps = answering(*arguments)
        monkeypatch.setattr(layer.line, "generation", layer.line.generation + 1)
        return steps

    monkeypatch.setattr(reader, "_answering", lose_afterwards)
    with pytest.raises(DeliveryLost):
        reader.publish(delivery, Send("s!1", b"answer"))
    monkeypatch.setattr(layer.line, "generation", layer.line.generation - 1)
    with pytest.raises(DeliveryLost):
        await reader.apublish(delivery, Send("s!1", b"answer"))


async def test_a_commit_that_is_cancelled_half_way_goes_on_to_its_end(layer: RedisLayer) -> None:
    reader = layer.reader(["c"])
    other = layer.reader(["d"])
    layer.group_add("g", "d")
    layer.publish(Send("c", b"x"))
    delivery = await reader.areceive(30)
    assert delivery
    committing = asyncio.create_task(reader.acommit(delivery, SEVERAL, Ending.DONE))
    await asyncio.sleep(0)
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    found = await other.areceive(30)
    assert found
    await other.acommit(found)
    await await_until(lambda: layer.statistics().committed == 2, "both are committed")


def test_a_close_lets_commits_through_that_have_begun(layer: RedisLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    """And waits for them so long."""
    reader: Any = layer.reader(["c"])
    layer.publish(Send("c", b"x"))
    delivery = take(reader)
    steps = reader._several(reader._give_up(delivery), delivery, SEVERAL, Ending.DONE)
    next(steps)
    closing = threading.Thread(target=reader.close)
    closing.start()
    wait_until(lambda: reader._committing._waiters, "it waits")
    steps.close()
    closing.join(30)
    assert not closing.is_alive()
    assert reader.receive(0) is None
    monkeypatch.setattr(reader_module, "COMMIT_TIMEOUT", 0.01)
    stuck: Any = layer.reader(["d"])
    stuck._commits = 1
    stuck.close()
    assert layer._sessions() == []


def test_a_server_that_refuses_commits_costs_the_line(layer: RedisLayer) -> None:
    """Then the message comes again; nobody waited for the outcome."""
    reader: Any = layer.reader(["c"])
    layer.publish(Send("c", b"x"))
    delivery = take(reader)
    (request,) = reader._single(reader.sessions.lease(1), delivery, [], Ending.DONE)
    with pytest.raises(LayerUnavailable, match="refuses: OOM"):
        request.on_reply(ReplyError("OOM command not allowed"))
    reader.commit(delivery)

"""Operations for whoever calls the layer: what is tried again, what is not, and that nobody waits for nothing."""

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fairway.broker.effects import Send
from fairway.errors import ChannelFull, LayerUnavailable
from fairway.layers.hub.line import LineLost
from fairway.layers.redis import calls as calls_module
from fairway.layers.redis.layer import RedisLayer
from fairway.layers.redis.operations import Steps
from fairway.limits import BrokerLimits, ChannelRule
from tests.layers.redis.owners import Owner, warnings
from tests.support.redis import RedisServer
from tests.support.waiting import await_until, wait_until

FULL = BrokerLimits(rules=(("c", ChannelRule(capacity=1)),))


@pytest.fixture
def layer(own_redis: RedisServer) -> Iterator[RedisLayer]:
    made = RedisLayer(own_redis.url, limits=FULL, wait=10.0)
    yield made
    made.close()


def ask(layer: RedisLayer) -> Steps:
    (found,) = yield [layer.commands.all_shards()]
    return found


class Losing:
    """Makes the steps of a question; the line is lost before the first time they are written."""

    def __init__(self, layer: RedisLayer) -> None:
        self._layer = layer
        self.begun = 0

    def __call__(self) -> Steps:
        self.begun += 1
        if self.begun == 1:
            self._layer.line.drop("lost before anything was written")
        return ask(self._layer)


def test_what_was_not_written_is_tried_again(layer: RedisLayer) -> None:
    layer.send("work", {"type": "x"})
    losing = Losing(layer)
    assert layer.calls.run(losing) == []
    assert losing.begun == 2


async def test_what_a_coroutine_has_not_written_is_tried_again(layer: RedisLayer) -> None:
    await layer.asend("work", {"type": "x"})
    losing = Losing(layer)
    assert await layer.calls.arun(losing) == []
    assert losing.begun == 2
    layer.line.drop("once more")
    assert await layer.calls.arun(lambda: ask(layer)) == []


async def test_what_is_for_one_connection_is_not_tried_on_another(layer: RedisLayer) -> None:
    layer.send("work", {"type": "x"})
    losing = Losing(layer)
    with pytest.raises(LineLost):
        layer.calls.run(losing, 0, layer.line.generation)
    with pytest.raises(LineLost):
        await layer.calls.arun(lambda: ask(layer), 0, layer.line.generation)
    assert losing.begun == 1
    assert layer.turns.callers == {}


def test_an_operation_without_commands_waits_for_nobody(layer: RedisLayer) -> None:
    assert layer.state("plain") == {}
    assert layer.line.arrived == []
    assert layer.turns.callers == {}


async def test_a_coroutine_finds_redis_when_it_is_back(layer: RedisLayer, own_redis: RedisServer) -> None:
    own_redis.kill()
    sending = asyncio.create_task(layer.asend("work", {"type": "x"}))
    await await_until(lambda: layer.line._absence.failure, "the first attempt has failed")
    own_redis.start()
    await sending
    assert (await asyncio.to_thread(layer.statistics)).channels["work"].waiting == 1


async def test_a_redis_that_stays_away_is_told(own_redis: RedisServer) -> None:
    own_redis.kill()
    layer = RedisLayer(own_redis.url, wait=0.05)
    with pytest.raises(LayerUnavailable, match="cannot be reached"):
        layer.send("work", {"type": "x"})
    with pytest.raises(LayerUnavailable, match="cannot be reached"):
        await layer.asend("work", {"type": "x"})
    layer.close()


async def test_a_redis_that_goes_away_before_it_answers(layer: RedisLayer, own_redis: RedisServer) -> None:
    layer.send("work", {"type": "x"})
    own_redis.pause()
    sending = asyncio.create_task(layer.asend("work", {"type": "x"}))
    await await_until(lambda: layer.turns.callers, "it waits")
    own_redis.kill()
    with pytest.raises(LayerUnavailable, match="went away before it answered"):
        await sending


async def test_who_waits_is_let_go_when_the_layer_is_closed(layer: RedisLayer) -> None:
    """In threads and coroutines, for an answer, for room and for a delivery."""
    layer.send("c", {"type": "first"})
    reader = layer.reader(["none"])
    ended: list[Any] = []

    def blocking(act: Any) -> None:
        try:
            ended.append(act())
        except LayerUnavailable as error:
            ended.append(str(error))

    threads = [
        threading.Thread(target=blocking, args=(lambda: layer.send("c", {"type": "x"}, timeout=60),)),
        threading.Thread(target=blocking, args=(reader.receive,)),
    ]
    for thread in threads:
        thread.start()
    sending = asyncio.create_task(layer.asend("c", {"type": "x"}, timeout=60))
    receiving = asyncio.create_task(reader.areceive())
    await await_until(lambda: len(layer.turns.callers) == 2 and reader._waiting == 2, "all wait")
    layer.close()
    with pytest.raises(LayerUnavailable, match="the layer is closed"):
        await sending
    assert await receiving is None
    for thread in threads:
        await asyncio.to_thread(thread.join, 30)
    assert sorted(map(str, ended)) == ["None", "the layer is closed"]


async def test_a_redis_that_does_not_answer_in_time(
    layer: RedisLayer, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever only publishes gives the connection up by that."""
    layer.send("work", {"type": "x"})
    monkeypatch.setattr(calls_module, "ANSWER_TIMEOUT", 0.05)
    with own_redis.paused():
        with pytest.raises(LayerUnavailable, match=r"Redis at .* did not answer within 0\.05 s"):
            layer.send("work", {"type": "x"})
        assert layer.line.is_up
        monkeypatch.setattr("fairway.layers.redis.pipe.REPLY_TIMEOUT", 0.0)
        with pytest.raises(LayerUnavailable, match=r"did not answer within 0\.05 s"):
            await layer.asend("work", {"type": "x"})
        assert not layer.line.is_up


async def test_a_question_that_a_server_does_not_answer_leaves_nothing_behind(own_redis: RedisServer) -> None:
    layer = RedisLayer(own_redis.url, answer_timeout=0.2)
    owner = Owner(layer, "s!")
    await await_until(lambda: layer.statistics().owners == 1, "it owns its prefix")
    with pytest.raises(LayerUnavailable, match=r"a server did not answer a question about its connections within 0\.2"):
        await asyncio.to_thread(layer.state, "s!1")
    assert layer.line._answers._awaited == {}
    owner.inbox.close()
    layer.close()


async def test_a_publish_that_was_cancelled_does_not_happen(layer: RedisLayer) -> None:
    layer.send("c", {"type": "first"})
    sending = asyncio.create_task(layer.asend("c", {"type": "second"}, timeout=60))
    await await_until(lambda: layer.line._answers._awaited, "it waits for room")
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert layer.line._answers._awaited == {}
    reader = layer.reader(["c"])
    first = reader.receive(10)
    assert first
    reader.commit(first)
    layer.send("c", {"type": "third"}, timeout=10)
    third = reader.receive(10)
    assert third
    assert b"third" in third.body


def test_room_is_waited_for_so_long(layer: RedisLayer) -> None:
    layer.send("c", {"type": "first"})
    with pytest.raises(ChannelFull):
        layer.send("c", {"type": "second"}, timeout=0.1)


def test_an_operation_that_nobody_waits_for_tells_what_goes_wrong(
    layer: RedisLayer, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong() -> Steps:
        raise ValueError("wrong")
        yield []

    def nothing() -> Steps:
        yield []

    layer.calls.start(wrong)
    layer.calls.start(nothing)
    layer.calls.start(lambda: ask(layer))  # there is no line
    assert warnings(caplog) == ["the layer failed to look after itself"]


def test_an_idle_process_takes_nothing_for_silence(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads in a process that only publishes, but for its clock."""
    monkeypatch.setattr("fairway.layers.redis.pipe.REPLY_TIMEOUT", 1.5)
    layer = RedisLayer(own_redis.url, silence=0.3)
    layer.send("work", {"type": "x"})
    ticks: list[str] = []
    monkeypatch.setattr(layer._attendance, "sign", lambda: ticks.append("sign") or layer.line.look_for_silence())
    layer._tick("#0")
    layer._clock.start()
    wait_until(lambda: len(ticks) > 20, "signs")
    assert layer.line.generation == 1
    assert layer.line.is_up
    assert warnings(caplog) == []
    layer.close()


def test_a_forked_process_makes_its_own_line_and_the_parents_sessions_live_on(layer: RedisLayer) -> None:
    reader = layer.reader(["work"])
    tokens, names = layer.calls.new_token().partition("/")[0], layer.commands.new_id().partition(".")[0]
    child = os.fork()
    if child == 0:
        status = 1
        try:
            layer.publish(Send("work", b"from the child"))
            is_other = tokens not in layer.calls.new_token() and names not in layer.commands.new_id()
            is_stopped = reader.receive(0) is None
            layer.close()
            status = 0 if is_other and is_stopped else 2
        finally:
            os._exit(status)
    delivery = reader.receive(30)
    assert delivery
    assert delivery.body == b"from the child"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    reader.commit(delivery)
    layer.publish(Send("work", b"from the parent"))
    delivery = reader.receive(30)
    assert delivery
    assert (delivery.body, delivery.envelope.attempt) == (b"from the parent", 1)
    assert layer.line.generation == 1

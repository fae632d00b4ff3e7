import asyncio

import pytest

from fairway.application import DjangoApplication
from fairway.consumers import Retry, background
from fairway.errors import ConsumeLater, DenyConnection
from fairway.layers.memory import MemoryLayer
from fairway.routing import Router, route
from fairway.testing.live_worker import WatchedApplication, read_failures
from tests.support.chain import CLIENT, Chain, answer_nothing
from tests.support.waiting import wait_until


@pytest.fixture
def errors(tmp_path):
    return tmp_path / "errors"


def chain(errors, *routing):
    layer = MemoryLayer()
    application = DjangoApplication(layer, Router(list(routing)), http_consumer=answer_nothing)
    return Chain(layer=layer, application=WatchedApplication(application, errors))


def fail(message):
    raise ZeroDivisionError("mine")


async def afail(message):
    raise ZeroDivisionError("mine")


@pytest.mark.parametrize("consumer", [fail, afail])
def test_what_a_consumer_raises_is_written_down(errors, consumer):
    with chain(errors, route("websocket.receive", consumer)) as running:
        running.receive("hello", path="/a/")
    (failure,) = read_failures(errors)
    assert failure.kind == "ZeroDivisionError"
    assert failure.text.startswith(f"channel websocket.receive, path '/a/', reply channel {CLIENT}, message m1")
    assert 'raise ZeroDivisionError("mine")' in failure.text


def test_what_a_consumer_raises_to_say_how_it_ends_is_not(errors):
    def end(message):
        raise DenyConnection if message.channel_name == "websocket.connect" else ConsumeLater

    with chain(errors, route(["websocket.connect", "websocket.receive"], end)) as running:
        running.connect()
        running.submit("websocket.receive", {"path": "/"}, order=1)
        wait_until(lambda: running.layer.statistics().committed >= 3, "three runs")
    assert read_failures(errors) == []


async def fine(message):
    await message.reply_channel.asend({"text": "fine"})


def test_what_is_fine_is_as_without(errors):
    with chain(errors, route("websocket.receive", fine)) as running:
        assert running.receive("hello") == [{"text": "fine"}]
    assert read_failures(errors) == []


@background(retry=Retry(1, pause=0))
def fail_again(message):
    fail(message)


@background(retry=Retry(1, pause=0))
async def afail_again(message):
    await afail(message)


@pytest.mark.parametrize("consumer", [fail_again, afail_again])
def test_of_a_consumer_that_is_tried_again_only_the_last_failure_is(errors, consumer):
    with chain(errors, route("input", consumer)) as running:
        running.layer.send("input", {})
        wait_until(running.layer.dead_letters, "the last run")
    (failure,) = read_failures(errors)
    assert failure.kind == "ZeroDivisionError"


def test_a_time_limit_of_a_consumer_holds(errors):
    @background(time_limit=0.02)
    async def slow(message):
        await asyncio.Event().wait()

    with chain(errors, route("input", slow)) as running:
        running.layer.send("input", {})
        wait_until(lambda: running.worker.end_overdue() or running.layer.statistics().committed)


def test_a_message_that_cannot_be_read_is_written_down(errors):
    from fairway.broker.effects import Send

    with chain(errors, route("input", fail)) as running:
        running.layer.publish(Send("input", b"\xc1"))
        wait_until(lambda: read_failures(errors), "the failure")
    assert read_failures(errors)[0].kind == "InvalidMessage"

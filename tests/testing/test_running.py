import pytest
from django.core.exceptions import ImproperlyConfigured

from fairway import Channel, channel_layers
from fairway.consumers import Retry, background
from fairway.errors import ConsumeLater
from fairway.routing import route
from fairway.testing import Client, WSClient, apply_routes
from fairway.testing.layers import PlacedLayers, memory_layer
from fairway.testing.running import take_turn
from tests.testing.support import fresh_layers

__all__ = ["fresh_layers"]


def test_what_goes_to_another_layer_leaves_with_the_rest():
    def consume(message):
        Channel("there", alias="other").send({"n": 1})
        assert take_turn(memory_layer("other"), "other", "there") is None

    with PlacedLayers(["default", "other"]), apply_routes(route("input", consume)):
        WSClient().send_and_consume("input")
        turn = take_turn(memory_layer("other"), "other", "there")
        turn.drop()
        assert turn.delivery.envelope.channel == "there"


def test_what_is_sent_immediately_is_there_while_the_consumer_runs():
    def consume(message):
        message.reply_channel.send({"text": '"later"'})
        message.reply_channel.send({"text": '"now"'}, immediately=True)
        seen.append(client.receive())

    seen = []
    client = WSClient()
    with apply_routes(route("websocket.receive", consume)):
        client.send_and_consume("websocket.receive")
    assert [*seen, client.receive()] == ["now", "later"]


def test_a_message_put_back_too_often_is_not_waited_for():
    def consume(message):
        raise ConsumeLater

    client = WSClient()
    client.channel_layer.broker.limits = client.channel_layer.broker.limits.__class__(requeues=1)
    with apply_routes(route("websocket.receive", consume)):
        with pytest.raises(ConsumeLater):
            client.send_and_consume("websocket.receive")
        with pytest.raises(ConsumeLater):
            client.consume("websocket.receive")
        assert client.consume("websocket.receive", fail_on_none=False) is None
    assert client.receive() == {"close": 1011}


def test_nothing_is_left_in_the_layer_when_all_is_consumed():
    client = WSClient()
    with apply_routes(route("websocket.receive", lambda message: None)):
        client.send_and_consume("websocket.receive")
    statistics = channel_layers["default"].statistics()
    assert (statistics.sessions, statistics.held_bytes) == (0, 0)


def test_routing_that_is_wrong_raises_and_the_message_stays(settings):
    settings.CHANNEL_LAYERS = {"default": {"URL": "local://", "ROUTING": "nowhere.routing"}}
    client = WSClient()
    client.send("websocket.receive")
    with pytest.raises(ImproperlyConfigured, match=r"nowhere\.routing"):
        client.consume("websocket.receive")
    assert channel_layers["default"].statistics().channels["websocket.receive"].waiting == 1


def failing(times):
    """A consumer whose first runs fail, after they have sent something."""

    def consume(message):
        Channel("sent").send({"retries": message.retries})
        if message.retries < times:
            raise ValueError(message.retries)

    return consume


class TestRetries:
    """A consumer that is tried again: each run raises in the test, and the next one is there at once."""

    def test_each_run_is_one_consume_without_a_pause(self):
        client = Client()
        client.send("work", {})
        with apply_routes(route("work", background(retry=Retry(2, pause=600))(failing(2)))):
            for retries in range(2):
                with pytest.raises(ValueError, match=str(retries)):
                    client.consume("work")
                assert client.get_next_message("sent") is None
            client.consume("work")
        assert client.get_next_message("sent").content == {"retries": 2}

    def test_the_last_one_leaves_a_dead_letter(self):
        client = Client()
        client.send("work", {})
        with apply_routes(route("work", background(retry=1)(failing(9)))):
            for retries in range(2):
                with pytest.raises(ValueError, match=str(retries)):
                    client.consume("work")
            assert client.consume("work", fail_on_none=False) is None
        (letter,) = client.channel_layer.dead_letters()
        assert letter.reason == "failed 2 times: ValueError: 1"

    async def test_coroutines_too(self):
        @background(retry=1)
        async def consume(message):
            failing(1)(message)

        client = Client()
        with apply_routes(route("work", consume)):
            with pytest.raises(ValueError, match="0"):
                await client.asend_and_consume("work", {})
            await client.aconsume("work")
        assert client.get_next_message("sent").content == {"retries": 1}

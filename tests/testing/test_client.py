import pytest
from django.contrib.auth.models import Group as UserGroup

from fairway import Channel, Group
from fairway.broker.effects import Send
from fairway.consumers import BaseConsumer
from fairway.errors import ChannelFull, ConsumeLater, DenyConnection, InvalidLayerSetting, InvalidMessage
from fairway.routing import route
from fairway.testing import Client, apply_routes
from fairway.testing.client import next_message
from fairway.testing.layers import PlacedLayers
from tests.testing.support import fresh_layers

__all__ = ["fresh_layers"]


def answer(message):
    message.reply_channel.send({"value": message["value"]})
    return "result"


async def aanswer(message):
    await message.reply_channel.asend({"value": message["value"]})
    return "aresult"


class Counter(BaseConsumer):
    method_mapping = {"count": "count"}

    def count(self, message, **kwargs):
        self.value = message["value"]


class ACounter(BaseConsumer):
    method_mapping = {"count": "count"}

    async def count(self, message, **kwargs):
        self.value = message["value"]


def test_what_a_consumer_returns_and_sends_comes_back():
    client = Client()
    with apply_routes(route("input", answer)):
        assert client.send_and_consume("input", {"value": "x"}) == "result"
    assert client.receive() == {"value": "x"}
    assert client.receive() is None


def test_a_coroutine_consumer_is_run_too():
    client = Client()
    with apply_routes(route("input", aanswer)):
        assert client.send_and_consume("input", {"value": "x"}) == "aresult"
    assert client.receive() == {"value": "x"}


@pytest.mark.parametrize("consumer", [answer, aanswer])
async def test_in_a_coroutine_test_both_kinds_are_awaited(consumer):
    client = Client()
    with apply_routes(route("input", consumer)):
        result = await client.asend_and_consume("input", {"value": "x"})
    assert result in {"result", "aresult"}
    assert await client.areceive() == {"value": "x"}


async def test_a_coroutine_consumer_cannot_block_a_coroutine_test():
    client = Client()
    with apply_routes(route("input", aanswer)), pytest.raises(RuntimeError, match=r"await client\.aconsume"):
        client.send_and_consume("input", {"value": "x"})


@pytest.mark.parametrize("consumer", [Counter, ACounter])
def test_a_class_based_consumer_returns_its_instance(consumer):
    with apply_routes(consumer.as_route()):
        instance = Client().send_and_consume("count", {"value": 3})
    assert instance.value == 3


def test_a_failing_consumer_raises_with_its_own_traceback_and_what_it_sent_is_sent():
    def fail(message):
        message.reply_channel.send({"text": "before"})
        Channel("other").send({"n": 1})
        raise ZeroDivisionError("mine")

    client = Client()
    with apply_routes(route("input", fail)), pytest.raises(ZeroDivisionError, match="mine") as raised:
        client.send_and_consume("input")
    assert raised.traceback[-1].name == "fail"
    assert client.receive() == {"text": "before"}
    assert client.get_next_message("other")["n"] == 1


def test_a_refused_connect_raises_and_answers_as_a_worker_does():
    def deny(message):
        message.reply_channel.send({"text": "never"})
        Group("g").send({"text": "sent"})
        raise DenyConnection

    client = Client()
    client.join_group("g")
    with apply_routes(route("websocket.connect", deny)), pytest.raises(DenyConnection):
        client.send_and_consume("websocket.connect", {"path": "/"})
    assert client.receive() == {"reject": {"status": 403}}
    assert client.receive() is None


def test_a_message_that_was_put_back_is_there_again():
    attempts = []

    def later(message):
        attempts.append(message.retries)
        message.reply_channel.send({"n": message.retries})
        if message.retries < 2:
            raise ConsumeLater

    client = Client()
    with apply_routes(route("input", later)):
        for _ in range(2):
            with pytest.raises(ConsumeLater):
                client.send_and_consume("input") if not attempts else client.consume("input")
        client.consume("input")
    assert attempts == [0, 1, 2]
    assert [client.receive()["n"] for _ in range(3)] == [0, 1, 2]


def test_no_message_and_no_consumer_are_errors_unless_told_otherwise():
    client = Client()
    with apply_routes(route("other", answer)):
        with pytest.raises(AssertionError, match="no message on the channel 'input'"):
            client.consume("input")
        assert client.consume("input", fail_on_none=False) is None
        with pytest.raises(AssertionError, match=r"no consumer for .* on 'input' with .*\n.*other -> .*answer"):
            client.send_and_consume("input", {"value": 1})
        assert client.send_and_consume("input", {"value": 1}, fail_on_none=False) is None
        assert client.consume("input", fail_on_none=False) is None


async def test_a_coroutine_test_may_look_for_nothing_too():
    assert await Client().aconsume("input", fail_on_none=False) is None


def test_what_is_sent_is_a_copy():
    client = Client()
    content = {"value": [1]}
    client.send("input", content)
    content["value"].append(2)
    assert client.get_next_message("input").content == {"value": [1], "reply_channel": client.reply_channel}


def test_a_message_about_another_connection_names_that_one():
    client, other = Client(), Client()
    with apply_routes(route("input", answer)):
        client.send_and_consume("input", {"value": 1, "reply_channel": other.reply_channel})
    assert (client.receive(), other.receive()) == (None, {"value": 1})


def test_what_others_sent_is_consumed_too():
    Channel("input").send({"value": 1, "reply_channel": "answers"})
    with apply_routes(route("input", answer)):
        assert Client().consume("input") == "result"
    assert next_message("answers")["value"] == 1


def test_the_consumer_of_a_channel_can_be_asked_for():
    with apply_routes(route("input", answer)):
        assert Client().get_consumer_by_channel("input") is answer
        assert Client().get_consumer_by_channel("other") is None


def test_a_message_that_cannot_be_read_raises_and_is_gone():
    client = Client()
    client.channel_layer.publish(Send("input", b"\xc1"))
    with pytest.raises(InvalidMessage):
        client.consume("input")
    assert client.consume("input", fail_on_none=False) is None


def test_a_client_belongs_to_the_layer_it_was_made_on():
    client = Client()
    with PlacedLayers(["default"]), pytest.raises(RuntimeError, match="make it in setUp or in the test"):
        client.send("input")


def test_a_client_wants_a_layer_of_the_test(settings, fresh_layers):
    fresh_layers.__exit__(None, None, None)
    try:
        settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.LocalLayer"}}
        with pytest.raises(InvalidLayerSetting, match="is a LocalLayer; use ChannelTestCase"):
            Client()
    finally:
        fresh_layers.__enter__()


def test_a_full_channel_raises():
    client = Client()
    for _ in range(1000):
        client.send("http.request")
    with pytest.raises(ChannelFull):
        client.send("http.request")


def test_views_answer_requests_that_the_routing_leaves_over(settings):
    settings.ROOT_URLCONF = "tests.support.urls"
    client = Client()
    client.send_and_consume("http.request", {"method": "GET", "path": "/none", "headers": [], "query_string": b""})
    assert client.receive()["status"] == 404


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["blocking", "coroutine"])
async def test_consumers_of_a_plain_coroutine_test_reach_the_database_too(kind):
    def create(message):
        UserGroup.objects.create(name="made")

    async def acreate(message):
        await UserGroup.objects.acreate(name="made")

    with apply_routes(route("create", create if kind == "blocking" else acreate)):
        await Client().asend_and_consume("create")
    assert await UserGroup.objects.acount() == 1

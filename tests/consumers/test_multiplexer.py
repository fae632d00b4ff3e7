"""What answers on a stream, and what it sends to a group."""

import datetime as dt
import decimal
import json
import uuid

import pytest
from django.utils.translation import gettext_lazy

from fairway import Channel, channel_layers
from fairway.consumers import WebsocketMultiplexer
from tests.support.chain import CLIENT, Chain


@pytest.fixture
def chain(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []}}
    with Chain(layer=channel_layers["default"]) as chain:
        yield chain


def test_a_payload_goes_out_with_the_name_of_its_stream(chain):
    multiplexer = WebsocketMultiplexer("chat", Channel(CLIENT))
    multiplexer.send({"a": 1})
    multiplexer.send([1])
    multiplexer.send_error("too late")
    assert multiplexer.stream == "chat"
    assert multiplexer.reply_channel.name == CLIENT
    assert chain.frames() == [
        {"text": '{"stream": "chat", "payload": {"a": 1}}'},
        {"text": '{"stream": "chat", "payload": [1]}'},
        {"text": '{"stream": "chat", "error": "too late"}'},
    ]


@pytest.mark.parametrize(("close", "expected"), [(False, {}), (True, {"close": True}), (4000, {"close": 4000})])
async def test_a_group_is_sent_the_same(chain, close, expected):
    chain.layer.group_add("room", CLIENT)
    WebsocketMultiplexer.group_send("room", "chat", {"a": 1}, close=close)
    await WebsocketMultiplexer.agroup_send("room", "chat", {"a": 1}, close=close)
    assert chain.group_frames() == [("room", {"text": '{"stream": "chat", "payload": {"a": 1}}', **expected})] * 2


def test_a_payload_may_hold_what_django_knows():
    payload = {
        "day": dt.date(2026, 1, 2),
        "id": uuid.UUID(int=1),
        "price": decimal.Decimal("1.50"),
        "lazy": gettext_lazy("text"),
    }
    assert json.loads(WebsocketMultiplexer.encode("s", payload)["text"])["payload"] == {
        "day": "2026-01-02",
        "id": "00000000-0000-0000-0000-000000000001",
        "price": "1.50",
        "lazy": "text",
    }


def test_an_encoder_of_ones_own():
    class Shouting(WebsocketMultiplexer):
        @classmethod
        def encode_json(cls, content):
            return f"!{content}!"

    assert Shouting.encode("s", 1) == {"text": "!{'stream': 's', 'payload': 1}!"}

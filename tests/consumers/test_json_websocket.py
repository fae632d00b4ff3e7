"""WebSocket consumers whose frames are JSON, and frames that are none."""

import json
import logging

import pytest

from fairway import route_class
from fairway.consumers import JsonWebsocketConsumer
from tests.support.chain import CLIENT, Chain


class Echo(JsonWebsocketConsumer):
    def receive(self, content, **kwargs):
        self.send(content)


class AsyncEcho(JsonWebsocketConsumer):
    async def receive(self, content, **kwargs):
        self.send(content)


BOTH = pytest.mark.parametrize("consumer", [Echo, AsyncEcho])

NO_JSON = [
    "",
    "{",
    "nonsense",
    '{"a": NaN}',
    "-Infinity",
    "[1e999]",
    "-" + "9" * 400 + ".0",
    "1" * 5000,
    r'{"\ud83d": 1}',
    r'["\uD83D\u0020"]',
    "[" * 100_000,
    '{"a":' * 50_000,
]


@BOTH
@pytest.mark.parametrize("content", [{"a": [1, None]}, "text", 0, "ä 🚢"])
def test_frames_are_json(consumer, content):
    with Chain([route_class(consumer)]) as chain:
        (frame,) = chain.receive(json.dumps(content))
        assert json.loads(frame["text"]) == content


def test_json_without_a_receive_of_ones_own_does_nothing():
    with Chain([route_class(JsonWebsocketConsumer)]) as chain:
        assert chain.receive("{}") == []


@BOTH
@pytest.mark.parametrize("text", NO_JSON, ids=lambda text: text[:10])
def test_what_is_no_json_closes_the_socket_and_is_one_line_in_the_log(consumer, text, caplog):
    with Chain([route_class(consumer)]) as chain:
        assert chain.receive(text) == [{"close": 1007, "reason": "this is no JSON"}]
    (record,) = caplog.records
    assert (record.name, record.levelno, record.exc_info) == ("fairway.consumers", logging.WARNING, None)
    assert record.getMessage().startswith(
        f"{consumer.__name__} refuses a frame of {CLIENT} on path '/', which is no JSON: "
    )
    assert len(record.getMessage()) < 500


@BOTH
def test_a_binary_frame_closes_the_socket(consumer, caplog):
    with Chain([route_class(consumer)]) as chain:
        chain.run("websocket.receive", {"path": "/", "bytes": b"{}"}, order=1)
        assert chain.frames() == [{"close": 1003, "reason": "send JSON as text"}]
    assert "it is a binary frame, and JSON is text: b'{}'" in caplog.text


def test_what_is_no_json_may_be_an_error_again(caplog):
    class Strict(Echo):
        def wrong_json(self, frame, error):
            raise ValueError("no JSON") from error

    with Chain([route_class(Strict)]) as chain:
        assert chain.receive("nonsense") == []
    assert "consumer failed" in caplog.text


def test_what_is_no_json_may_be_answered_by_a_coroutine():
    class Patient(Echo):
        async def wrong_json(self, frame, error):
            self.send({"error": str(error)})

    with Chain([route_class(Patient)]) as chain:
        assert chain.receive("x") == [{"text": '{"error": "Expecting value: line 1 column 1 (char 0)"}'}]
        assert chain.receive("1", order=2) == [{"text": "1"}]


def test_a_coder_of_ones_own():
    class Shouting(Echo):
        @classmethod
        def decode_json(cls, text):
            return {"decoded": text}

        @classmethod
        def encode_json(cls, content):
            return f"!{content}!"

    with Chain([route_class(Shouting)]) as chain:
        assert chain.receive("x") == [{"text": "!{'decoded': 'x'}!"}]


def test_what_json_does_not_know_is_an_error_where_it_is_sent(caplog):
    class Wrong(JsonWebsocketConsumer):
        def receive(self, content, **kwargs):
            self.send({"a": object()})

    with Chain([route_class(Wrong)]) as chain:
        assert chain.receive("{}") == []
    assert "TypeError: Object of type object is not JSON serializable" in caplog.text

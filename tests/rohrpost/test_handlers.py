"""The handlers that are there from the start."""

import pytest

from fairway.rohrpost.handlers import handle_ping
from fairway.rohrpost.registry import HANDLERS
from fairway.testing.rohrpost import RecordingConsumer

NOTHING = object()


def test_ping_is_there():
    assert HANDLERS["ping"] is handle_ping


@pytest.mark.parametrize(
    ("data", "echoed"),
    [
        (NOTHING, NOTHING),
        ({}, NOTHING),
        ({"a": [1]}, {"a": [1]}),
        ({"data": 1}, {"data": 1}),
        (None, {"data": None}),
        (0, {"data": 0}),
        (1.5, {"data": 1.5}),
        (False, {"data": False}),
        ("", {"data": ""}),
        ("text", {"data": "text"}),
        ([], {"data": []}),
        ([1, 2, 3, 4], {"data": [1, 2, 3, 4]}),
    ],
)
def test_what_comes_back(data, echoed):
    consumer = RecordingConsumer()
    handle_ping(consumer, {"id": 5} if data is NOTHING else {"id": 5, "data": data})
    pong = {"id": 5, "type": "pong"}
    assert consumer.data == [pong if echoed is NOTHING else {**pong, "data": echoed}]


@pytest.mark.parametrize("message_id", [0, "", 1, 1.5, "x", False])
def test_any_id_comes_back(message_id):
    consumer = RecordingConsumer()
    handle_ping(consumer=consumer, request={"id": message_id, "type": "ping"})
    assert consumer.data == [{"id": message_id, "type": "pong"}]


def test_it_needs_an_id():
    with pytest.raises(KeyError, match="id"):
        handle_ping(RecordingConsumer(), {"type": "ping"})

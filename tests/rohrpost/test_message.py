"""Answers to one client, and messages to a group."""

import json
from collections import UserDict
from contextlib import suppress
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import transaction
from django.urls import path

from fairway import Group
from fairway.consumers import WebsocketConsumer
from fairway.errors import InvalidName, MessageTooLarge
from fairway.rohrpost.message import (
    GENERATED_IDS,
    MessageID,
    asend_to_group,
    build_message,
    send_error,
    send_message,
    send_success,
    send_to_group,
)
from fairway.testing import RecordingConsumer, WSClient, apply_routes

ID = UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"handler": "a"}, {"type": "a"}),
        ({"handler": None}, {}),
        ({"handler": "", "message_id": None, "error": "", "data": {}}, {}),
        ({"handler": "a", "message_id": 5}, {"id": 5, "type": "a"}),
        ({"handler": "a", "message_id": 0}, {"id": 0, "type": "a"}),
        ({"handler": "a", "message_id": ""}, {"id": "", "type": "a"}),
        ({"handler": "a", "message_id": b"x"}, {"id": b"x", "type": "a"}),
        ({"handler": "a", "error": {"code": 1}}, {"type": "a", "error": {"code": 1}}),
        ({"handler": "a", "data": {"b": 1}}, {"type": "a", "data": {"b": 1}}),
        ({"handler": "a", "data": [1]}, {"type": "a", "data": [1]}),
        ({"handler": "a", "message_id": 7, "generate_id": True}, {"id": 7, "type": "a"}),
        ({"handler": "a", "message_id": 0, "generate_id": True}, {"id": 0, "type": "a"}),
    ],
)
def test_a_message_has_what_there_is(given, message):
    assert build_message(**given) == message


def test_ids_that_are_made_up_are_small_numbers():
    made = {build_message(handler="a", generate_id=True)["id"] for _ in range(200)}
    assert all(type(one) is int and 1 <= one <= GENERATED_IDS for one in made)
    assert len(made) > 1


def test_arguments_are_named():
    consumer = RecordingConsumer()
    for send in (build_message, send_message, send_success, send_error):
        with pytest.raises(TypeError, match="positional"):
            send(consumer, "a", 1)


def test_what_an_id_may_be():
    assert MessageID == int | float | str | bytes


def test_a_message_is_sent_as_one_text():
    class Consumer:
        calls = []

        def send(self, *args, **kwargs):
            self.calls.append((args, kwargs))

    send_message(consumer=Consumer(), handler="a", message_id=ID, data=UserDict(price=Decimal(3), tags={1}))
    ((args, kwargs),) = Consumer.calls
    assert kwargs == {}
    assert json.loads(*args) == {"id": str(ID), "type": "a", "data": {"price": 3, "tags": [1]}}


def test_a_message_with_nothing_in_it_is_refused():
    consumer = RecordingConsumer()
    for send in (send_message, send_error):
        with pytest.raises(ValueError, match="empty message"):
            send(consumer=consumer, handler=None, message_id=None, error=None)
    assert consumer.data == []


def test_no_id_is_made_up_for_an_answer():
    consumer = RecordingConsumer()
    send_message(consumer=consumer, handler="a")
    assert consumer.data == [{"type": "a"}]


def test_there_is_no_argument_to_close():
    with pytest.raises(TypeError, match="close"):
        send_message(consumer=RecordingConsumer(), handler="a", close=True)


def test_success():
    consumer = RecordingConsumer()
    send_success(consumer=consumer, handler="a", message_id=0)
    send_success(consumer=consumer, handler="a", message_id=1, data={"b": 2})
    assert consumer.data == [{"id": 0, "type": "a"}, {"id": 1, "type": "a", "data": {"b": 2}}]


@pytest.mark.parametrize("wrong", [{"handler": None, "message_id": 1}, {"handler": "a", "message_id": None}])
def test_success_has_an_id_and_a_handler(wrong):
    with pytest.raises(ValueError, match="ID and handler"):
        send_success(consumer=RecordingConsumer(), **wrong)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"handler": "a", "message_id": 1}, {"id": 1, "type": "a", "error": "no"}),
        ({"handler": None, "message_id": 1}, {"id": 1, "error": "no"}),
        ({"handler": "a", "message_id": None}, {"type": "a", "error": "no"}),
        ({"handler": None, "message_id": None, "data": {"b": 1}}, {"error": "no", "data": {"b": 1}}),
    ],
)
def test_error(given, message):
    consumer = RecordingConsumer()
    send_error(consumer=consumer, error="no", **given)
    assert consumer.data == [message]


@pytest.fixture
def member(channel_layer):
    client = WSClient()
    client.join_group("room")
    return client


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ('{"as":"it is"}', '{"as":"it is"}'),
        ({"id": ID}, f'{{"id": "{ID}"}}'),
    ],
)
async def test_a_group_gets_one_text(member, message, text):
    await asend_to_group("room", message)
    send_to_group("room", message)
    send_to_group(group_name="room", message=message)
    assert [(await member.areceive(json=False)) for _ in range(4)] == [text, text, text, None]


def test_a_group_message_that_cannot_be_sent_is_refused_at_once(member):
    with pytest.raises(InvalidName):
        send_to_group("x" * 201, "{}")
    with pytest.raises(MessageTooLarge):
        send_to_group("room", "x" * 9_000_000)
    with pytest.raises(TypeError, match="not JSON serializable"):
        send_to_group("room", {"a": object()})


def test_a_group_message_does_not_wait_for_the_consumer(channel_layer):
    heard = []
    member = WSClient()
    member.join_group("room")

    class Consumer(WebsocketConsumer):
        def receive(self, **frame):
            Group("room").send({"text": "late"})
            send_to_group("room", "early")
            heard.append(member.receive(json=False))

    with apply_routes([path("", Consumer)]):
        client = WSClient()
        client.connect()
        client.send_and_consume("websocket.receive", text="")
    assert heard == ["early"]
    assert member.receive(json=False) == "late"


def test_a_group_message_waits_for_the_commit(member, transactional_db):
    with transaction.atomic():
        send_to_group("room", "committed")
        assert member.receive(json=False) is None
    assert member.receive(json=False) == "committed"

    with suppress(ZeroDivisionError), transaction.atomic():
        send_to_group("room", "rolled back")
        raise ZeroDivisionError
    assert member.receive(json=False) is None

"""The examples of rohrpost's own documentation, verbatim but for the import.

Where its texts and what is documented here differ, such as in the words of an error, ours are asserted.
"""

import json
from contextlib import contextmanager

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from websockets.sync.client import connect

from fairway import channel_layers
from fairway.application import DjangoApplication
from fairway.rohrpost.mixins import NotifyOnChange
from fairway.rohrpost.registry import HANDLERS, rohrpost_handler
from fairway.routing import Router
from fairway.testing import WSClient, apply_routes
from tests.support.serving import serving
from tests.support.told.models import Changed, WithData

REQUEST = """
   {
       "id": 1234,
       "type": "ping",
       "data": [1, 2, 3, 4]
   }
"""

ROUTING = """
    from django.urls import path
    from rohrpost.sync_consumer import SyncRohrpostConsumer

    websocket_urlpatterns = [
        path('ws/rohrpost/', SyncRohrpostConsumer),
    ]
"""

HANDLER = """
    from rohrpost.message import send_message
    from rohrpost.registry import rohrpost_handler


    @rohrpost_handler('ping')
    def handle_ping(consumer, request):
        send_message(
            consumer=consumer,
            message_id=request["id"],
            handler="pong",
            data=request.get("data"),
        )
"""

PUSH = """
    {
        "id": <some id>,
        "type": "subscription-update",
        "data": {
            "type": <create|update|delete>,
            "group": <group-name>,
            "object": <serialized object>,
        }
    }
"""


def run(example):
    """Run an example as it is pasted into a project, with the one change; return what it defines."""
    lines = [line.removeprefix("    ") for line in example.splitlines()]
    names = {"__name__": "example"}
    exec("\n".join(lines).replace("from rohrpost", "from fairway.rohrpost"), names)
    return names


@contextmanager
def open_socket():
    with apply_routes(run(ROUTING)["websocket_urlpatterns"]):
        client = WSClient()
        client.connect("/ws/rohrpost/")
        yield client


def ask(client, text):
    client.send_and_consume("websocket.receive", text=text)
    return list(iter(client.receive, None))


def test_the_typical_message(channel_layer):
    with open_socket() as client:
        assert ask(client, REQUEST) == [{"id": 1234, "type": "pong", "data": {"data": [1, 2, 3, 4]}}]


def test_the_answer_without_a_handler(channel_layer, monkeypatch):
    monkeypatch.delitem(HANDLERS, "ping")
    with open_socket() as client:
        assert ask(client, REQUEST) == [{"id": 1234, "type": "ping", "error": "Unknown message type 'ping'."}]


def test_the_answer_of_a_handler_that_fails(channel_layer):
    @rohrpost_handler(["fail", "fail again"])
    def fail(consumer, request):
        raise ZeroDivisionError

    with open_socket() as client:
        for kind in ("fail", "fail again"):
            (answer,) = ask(client, json.dumps({"id": 1234, "type": kind}))
            assert answer == {"id": 1234, "type": kind, "error": f"The handler of '{kind}' failed."}


def test_the_handler(channel_layer, monkeypatch):
    """The example's name is taken by the handler that it shows."""
    with pytest.raises(ValueError, match='Handler for "ping" is already defined'):
        run(HANDLER)
    monkeypatch.delitem(HANDLERS, "ping")
    assert run(HANDLER)["handle_ping"] is HANDLERS["ping"]
    with open_socket() as client:
        assert ask(client, REQUEST) == [{"id": 1234, "type": "pong", "data": [1, 2, 3, 4]}]
        assert ask(client, '{"id": "x", "type": "ping"}') == [{"id": "x", "type": "pong"}]


def test_the_whole_of_it_over_a_real_socket(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []}}
    layer, routing = channel_layers["default"], Router(run(ROUTING)["websocket_urlpatterns"])
    with (
        serving(layer, DjangoApplication(layer, routing)) as port,
        connect(f"ws://127.0.0.1:{port}/ws/rohrpost/", legacy=True) as browser,
    ):
        browser.send(REQUEST)
        assert json.loads(browser.recv(10)) == {"id": 1234, "type": "pong", "data": {"data": [1, 2, 3, 4]}}
    channel_layers.clear()


def keys(example):
    return [line.split('"')[1] for line in example.splitlines() if '"' in line]


def test_the_push_of_a_mixin(channel_layer, transactional_db):
    client = WSClient()
    for number in (1, 2):
        client.join_group(f"changed-{number}")
    with transaction.atomic():
        thing = Changed.objects.create(pk=1)
        thing.save(update_fields=["title"])
        thing.delete()
    pushes = list(iter(client.receive, None))
    for push in pushes:
        assert [*push, *push["data"]] == keys(PUSH)
        assert isinstance(push["id"], int)
        assert (push["type"], push["data"]["group"]) == ("subscription-update", "changed-1")
    assert [push["data"]["type"] for push in pushes] == ["create", "update", "delete"]
    assert [push["data"]["object"] for push in pushes] == [{"id": 1}, {"id": 1, "updated_fields": ["title"]}, {"id": 1}]


def test_the_method_that_gives_the_data(channel_layer, transactional_db):
    client = WSClient()
    client.join_group("withdata-1")
    WithData.objects.create(pk=1, title="one")
    assert client.receive()["data"]["object"] == {"title": "one", "why": "create"}


def test_the_group_by_default():
    class BlogPost(NotifyOnChange):
        pk = 5

    assert BlogPost()._get_group_name() == "blogpost-5"


def test_the_helpers(channel_layer, transactional_db):
    """All that the lists of arguments and of migrations name."""
    from fairway.rohrpost.message import send_error, send_message, send_to_group

    user = get_user_model().objects.create_user("ada")

    @rohrpost_handler()
    def join(consumer, request):
        consumer.add_to_group("all")
        send_message(consumer=consumer, handler="join", message_id=request["id"], data={"name": consumer.user.username})

    @rohrpost_handler()
    def leave(consumer, request):
        consumer.remove_from_group("all")
        send_error(consumer=consumer, handler="leave", message_id=request["id"], error="bye", data={"left": True})
        consumer.close()

    with open_socket() as anonymous, apply_routes(run(ROUTING)["websocket_urlpatterns"]):
        client = WSClient()
        client.force_login(user)
        client.connect("/ws/rohrpost/")
        assert ask(client, '{"id": 1, "type": "join"}') == [{"id": 1, "type": "join", "data": {"name": "ada"}}]
        assert ask(anonymous, '{"id": 1, "type": "join"}') == [{"id": 1, "type": "join", "data": {"name": ""}}]
        send_to_group("all", {"hello": "all"})
        assert [client.receive(), anonymous.receive()] == [{"hello": "all"}] * 2
        assert ask(client, '{"id": 2, "type": "leave"}') == [
            {"id": 2, "type": "leave", "error": "bye", "data": {"left": True}},
            {"close": True},
        ]
        assert ["all" in one.groups for one in (client, anonymous)] == [False, True]

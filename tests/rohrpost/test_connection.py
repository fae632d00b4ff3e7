"""What a handler finds in its consumer."""

import json

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.test import modify_settings
from django.urls import path

from fairway import Group
from fairway.errors import InvalidName, LayerUnavailable, MessageTooLarge
from fairway.rohrpost import connection
from fairway.rohrpost.connection import HEADERS_KEPT, RohrpostConnection
from fairway.rohrpost.registry import HANDLERS, rohrpost_handler
from fairway.rohrpost.sync_consumer import SyncRohrpostConsumer
from fairway.testing import WSClient, apply_routes


@pytest.fixture
def look():
    """Have a consumer looked at by a handler."""

    def look(socket, found):
        seen = []
        HANDLERS["look"] = lambda consumer, request: seen.append(found(consumer))
        assert socket.frame('{"type": "look", "id": 1}') == []
        return seen[0]

    return look


# --- who and what ----------------------------------------------------------------------------------------------------


def test_the_channel_and_its_layer(look, connect, channel_layer):
    socket = connect()
    assert look(socket, lambda consumer: consumer.channel_name) == socket.client.reply_channel
    assert look(socket, lambda consumer: consumer.channel_layer) is channel_layer


def test_the_scope_after_the_handshake(connect, look):
    class Consumer(SyncRohrpostConsumer):
        def connect(self):
            scopes.append(self.scope)
            self.accept()

    scopes = []
    client = WSClient()
    client.set_header("User-Agent", "tests")
    client.set_header("Authorization", "secret")
    client.set_header("Sec-WebSocket-Key", "x")
    client.set_cookie("a", "b")
    socket = connect(Consumer, "/ws/red/?token=5", "ws/<slug:room>/", client)
    scopes.append(look(socket, lambda consumer: consumer.scope))
    for scope in scopes:
        assert (scope["type"], scope["path"], scope["query_string"]) == ("websocket", "/ws/red/", b"token=5")
        assert scope["url_route"] == {"args": (), "kwargs": {"room": "red"}}
        assert (b"user-agent", b"tests") in scope["headers"]
        assert scope["user"].is_anonymous
        assert dict(scope["session"]) == {}
    names = [{name for name, _ in scope["headers"]} for scope in scopes]
    assert names[0] - names[1] == {b"cookie", b"authorization", b"sec-websocket-key"}
    assert names[1] < names[0]


def test_headers_beyond_what_is_kept_are_left_out(look, connect):
    client = WSClient()
    for name, size in (("one", HEADERS_KEPT // 2), ("two", HEADERS_KEPT), ("three", 5)):
        client.set_header(name, "x" * size)
    socket = connect(client=client)
    names = {name for name, _ in look(socket, lambda consumer: consumer.scope["headers"])}
    assert {b"one", b"three"} <= names
    assert b"two" not in names


def test_the_scope_is_one_dict_for_one_message(look, connect):
    socket = connect()

    def change(consumer):
        consumer.scope["seen"] = True
        return "seen" in consumer.scope

    assert look(socket, change) is True
    assert look(socket, lambda consumer: "seen" in consumer.scope) is False


def test_what_is_to_last_stands_in_the_state(look, connect):
    socket = connect()
    look(socket, lambda consumer: setattr(consumer.state, "seen", 1))
    assert look(socket, lambda consumer: consumer.state.seen) == 1


@pytest.mark.parametrize("is_logged_in", [True, False])
def test_the_user(look, connect, is_logged_in, transactional_db):
    user = get_user_model().objects.create_user("ada")
    client = WSClient()
    if is_logged_in:
        client.force_login(user)
    socket = connect(client=client)
    assert look(socket, lambda consumer: consumer.user.username) == ("ada" if is_logged_in else "")
    assert look(socket, lambda consumer: consumer.scope["user"].username) == ("ada" if is_logged_in else "")


@pytest.mark.parametrize("attributes", [{}, {"http_user_and_session": True}])
def test_the_session_is_that_of_the_browser(look, connect, attributes, transactional_db):
    seen = []

    class Consumer(SyncRohrpostConsumer):
        def connect(self):
            seen.append(self.session["cart"])
            self.accept()

    def add(consumer):
        consumer.session["cart"] += 1
        if not attributes:
            consumer.session.save()
        return consumer.scope["session"]["cart"]

    client = WSClient()
    client.force_login(get_user_model().objects.create_user("ada"))
    session = client.session
    session["cart"] = 1
    session.save()
    socket = connect(Consumer.as_asgi(**attributes), client=client)
    assert [look(socket, add), look(socket, add)] == [2, 3]
    assert seen == [1]
    assert SessionStore(session.session_key)["cart"] == 3


@pytest.mark.parametrize("attributes", [{}, {"http_user_and_session": True}])
def test_a_browser_without_a_session_has_an_empty_one(look, connect, attributes):
    socket = connect(SyncRohrpostConsumer.as_asgi(**attributes))
    assert look(socket, lambda consumer: consumer.session.get("cart")) is None
    assert look(socket, lambda consumer: consumer.session.session_key) is None


async def test_the_user_and_the_session_in_a_coroutine(transactional_db, channel_layer):
    seen = []

    @rohrpost_handler("look")
    async def handle(consumer, request):
        seen.append((consumer.user.username, await consumer.session.aget("cart")))

    def log_in():
        client.force_login(get_user_model().objects.create_user("ada"))
        session = client.session
        session["cart"] = 7
        session.save()

    with apply_routes([path("", SyncRohrpostConsumer)]):
        client = WSClient()
        await sync_to_async(log_in)()
        await client.aconnect("/")
        await client.asend_and_consume("websocket.receive", text={"type": "look", "id": 1})
    assert seen == [("ada", 7)]


def test_a_project_without_users_has_none(look, connect, monkeypatch):
    monkeypatch.setattr(connection, "_has_users", lambda: False)
    socket = connect()
    assert look(socket, lambda consumer: sorted(consumer.scope)) == [
        "headers",
        "path",
        "query_string",
        "type",
        "url_route",
    ]
    for name in ("user", "session"):
        assert look(socket, lambda consumer, name=name: hasattr(consumer, name)) is False


def test_a_consumer_may_do_without_users(look, connect):
    socket = connect(SyncRohrpostConsumer.as_asgi(http_user=False))
    assert look(socket, lambda consumer: hasattr(consumer, "user") or hasattr(consumer, "session")) is False
    assert look(socket, lambda consumer: "user" in consumer.scope) is False


def test_whether_there_are_users_is_known_by_the_apps():
    assert connection._has_users() is True
    connection._has_users.cache_clear()
    with modify_settings(INSTALLED_APPS={"remove": "django.contrib.sessions"}):
        assert connection._has_users() is False
    connection._has_users.cache_clear()


# --- answers ---------------------------------------------------------------------------------------------------------


class Answering(SyncRohrpostConsumer):
    def connect(self):
        self.accept("chat.v2" if self.path == "/chat/" else None)

    def receive(self, text_data=None, bytes_data=None):
        exec(text_data, {"self": self})


@pytest.mark.parametrize(("url", "accepted"), [("/chat/", {"subprotocol": "chat.v2"}), ("/", {})])
def test_accept(channel_layer, url, accepted):
    with apply_routes([path("chat/", Answering), path("", Answering)]):
        client = WSClient()
        client.connect(url)
    assert client.accepted == accepted


@pytest.mark.parametrize(
    ("code", "sent"),
    [
        ('self.send("text")', {"text": "text"}),
        ('self.send(text_data="text")', {"text": "text"}),
        ('self.send(bytes_data=b"data")', {"bytes": b"data"}),
        ('self.send("text", None, True)', {"text": "text", "close": True}),
        ('self.send(text_data="text", close=4000)', {"text": "text", "close": 4000}),
        ("self.close()", {"close": True}),
        ("self.close(4000)", {"close": 4000}),
        ('self.close(code=4000, reason="enough")', {"close": 4000, "reason": "enough"}),
    ],
)
def test_what_is_sent(connect, code, sent):
    socket = connect(Answering)
    socket.client.send_and_consume("websocket.receive", text=code)
    assert socket.raw() == sent


def test_to_send_nothing_is_an_error(connect):
    socket = connect(Answering)
    with pytest.raises(ValueError, match="needs text or bytes"):
        socket.client.send_and_consume("websocket.receive", text="self.send()")


def test_as_asgi_is_the_class_or_one_with_attributes():
    assert SyncRohrpostConsumer.as_asgi() is SyncRohrpostConsumer
    other = SyncRohrpostConsumer.as_asgi(groups=["all"])
    assert issubclass(other, SyncRohrpostConsumer)
    assert (other.groups, other.__qualname__, other.__module__) == (
        ["all"],
        "SyncRohrpostConsumer",
        SyncRohrpostConsumer.__module__,
    )


def test_its_names_are_no_events_of_anybody(connect):
    socket = connect()
    socket.client.join_group("all")
    for kind in ("add.to_group", "keep.handshake", "as.asgi", "session.session"):
        Group("all").send({"type": kind})
        socket.client.consume("websocket.event")
    assert socket.heard() == []


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["blocking", "coroutine"])
def groups(request):
    """Handlers that join and leave, of both kinds."""

    @rohrpost_handler("join")
    def join(consumer, request):
        consumer.add_to_group(request["data"])
        consumer.send(json.dumps(sorted(consumer._subscribed_groups)))

    @rohrpost_handler("leave")
    def leave(consumer, request):
        consumer.remove_from_group(request["data"])
        consumer.send(json.dumps(sorted(consumer._subscribed_groups)))

    async def ajoin(consumer, request):
        await consumer.aadd_to_group(request["data"])
        consumer.send(json.dumps(sorted(consumer._subscribed_groups)))

    async def aleave(consumer, request):
        await consumer.aremove_from_group(request["data"])
        consumer.send(json.dumps(sorted(consumer._subscribed_groups)))

    if request.param == "coroutine":
        HANDLERS.update(join=ajoin, leave=aleave)


def test_groups_last_from_message_to_message(groups, socket):
    assert socket.ask("join", "red") == ["red"]
    assert socket.ask("join", "blue") == ["blue", "red"]
    assert socket.client.groups == {"blue", "red"}
    assert socket.ask("join", "red") == ["blue", "red"]
    Group("red").send({"text": '"once"'})
    assert socket.heard() == ["once"]
    assert socket.ask("leave", "red") == ["blue"]
    assert socket.ask("leave", "red") == ["blue"]
    assert socket.client.groups == {"blue"}


def test_they_are_left_when_the_connection_ends(groups, socket):
    socket.ask("join", "red")
    socket.client.disconnect()
    assert socket.client.groups == set()
    assert Group("red").channels() == []


def test_joining_is_not_repeated(groups, socket, monkeypatch):
    socket.ask("join", "red")
    monkeypatch.setattr(Group, "add", None)
    monkeypatch.setattr(Group, "aadd", None)
    assert socket.ask("join", "red") == ["red"]


@pytest.mark.parametrize(("name", "error"), [("x" * 201, InvalidName), ("fairway.x", InvalidName)])
def test_a_group_that_cannot_be_joined_is_not_remembered(groups, socket, name, error, caplog):
    assert socket.ask("join", name)["error"] == "The handler of 'join' failed."
    assert isinstance(caplog.records[-1].exc_info[1], error)
    assert socket.ask("join", "red") == ["red"]


def test_a_group_that_the_layer_refuses_is_not_remembered(groups, socket, channel_layer, monkeypatch):
    def refuse(*args):
        raise LayerUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(channel_layer, "group_add", refuse)
        patch.setattr(channel_layer, "agroup_add", refuse)
        assert "error" in socket.ask("join", "red")
    assert socket.ask("join", "red") == ["red"]
    assert socket.client.groups == {"red"}


def test_more_groups_than_the_state_holds_are_not_joined(groups, socket, caplog):
    joined = 0
    while "error" not in (answer := socket.ask("join", f"{joined:0190}")):
        joined += 1
    assert answer == {"id": 1, "type": "join", "error": "The handler of 'join' failed."}
    assert isinstance(caplog.records[-1].exc_info[1], MessageTooLarge)
    assert len(socket.client.groups) == joined > 300
    assert socket.lives()


def test_a_connection_is_a_half_of_a_consumer():
    assert issubclass(SyncRohrpostConsumer, RohrpostConnection)

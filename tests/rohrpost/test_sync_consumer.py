"""The consumer of rohrpost, and what is made of it by subclasses."""

import asyncio
import json
import threading
from collections import UserDict

import pytest
from django.contrib.auth import get_user_model
from django.urls import include, path
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as browser

from fairway import Group, channel_layers, route_class
from fairway.application import DjangoApplication
from fairway.consumers import WebsocketConsumer
from fairway.errors import DenyConnection
from fairway.rohrpost import main
from fairway.rohrpost.encoder import TolerantJSONEncoder
from fairway.rohrpost.main import handle_rohrpost_message
from fairway.rohrpost.message import send_success, send_to_group
from fairway.rohrpost.registry import rohrpost_handler
from fairway.rohrpost.sync_consumer import SyncRohrpostConsumer
from fairway.routing import Router
from fairway.testing import WSClient, apply_routes
from tests.rohrpost.test_main import NESTED
from tests.support.chain import Chain
from tests.support.serving import serving

PONG = {"type": "pong", "id": 1}


@pytest.mark.parametrize("target", [SyncRohrpostConsumer, SyncRohrpostConsumer.as_asgi()])
@pytest.mark.parametrize(
    "entry", [lambda target: path("ws/", target), lambda target: path("", include([path("ws/", target)]))]
)
def test_it_is_a_target_of_paths(channel_layer, target, entry):
    with apply_routes([entry(target)]):
        client = WSClient()
        client.connect("/ws/")
        client.send_and_consume("websocket.receive", text={"type": "ping", "id": 1})
        assert client.receive() == PONG
        client.disconnect()


def test_it_is_a_target_of_route_class(channel_layer):
    with apply_routes([route_class(SyncRohrpostConsumer, path="^/ws/")]):
        client = WSClient()
        client.connect("/ws/")
        client.send_and_consume("websocket.receive", text={"type": "ping", "id": 1})
        assert client.receive() == PONG


def test_a_binary_frame_is_an_empty_message(socket):
    socket.client.send_and_consume("websocket.receive", {"bytes": b'{"type": "ping", "id": 1}'})
    (answer,) = socket.heard()
    assert answer["error"].startswith("Received empty message")


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"id": 1}', '{"type": [], "id": 1}', NESTED])
def test_wrong_frames_are_answered_and_the_socket_lives_on(socket, text):
    (answer,) = socket.frame(text)
    assert "error" in answer
    assert socket.lives()


def test_an_answer_over_the_limit_is_answered_with_an_error(socket, caplog):
    @rohrpost_handler("large")
    def large(consumer, request):
        send_success(consumer=consumer, handler="large", message_id=1, data={"a": "x" * 9_000_000})

    assert socket.ask("large") == {"id": 1, "type": "large", "error": "The handler of 'large' failed."}
    assert "MessageTooLarge" in caplog.text
    assert socket.lives()


def test_a_handler_that_raises_is_answered_and_the_socket_lives_on(socket):
    @rohrpost_handler("fail")
    def fail(consumer, request):
        raise ZeroDivisionError

    assert socket.ask("fail", message_id=0) == {"id": 0, "type": "fail", "error": "The handler of 'fail' failed."}
    assert socket.lives()


# --- on a thread, or on the event loop -------------------------------------------------------------------------------


class Plain(SyncRohrpostConsumer):
    pass


class Noted(SyncRohrpostConsumer):
    def receive(self, text_data=None, bytes_data=None):
        self.send('"noted"')
        super().receive(text_data=text_data, bytes_data=bytes_data)


class AsyncNoted(SyncRohrpostConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        self.send('"noted"')
        await super().receive(text_data=text_data, bytes_data=bytes_data)


class Changed(SyncRohrpostConsumer):
    def receive(self, text_data=None, bytes_data=None):
        return super().receive(text_data=text_data.replace("nobody", "thread"))


class Handed(SyncRohrpostConsumer):
    """Makes the function that is called by itself."""

    def receive(self, text_data=None, bytes_data=None):
        handle_rohrpost_message(consumer=self, text_data=text_data)


@pytest.fixture
def kinds():
    """Handlers of both kinds, which say where they run."""

    def where(kind, request):
        main = threading.current_thread() is threading.main_thread()
        assert main is False
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return {"kind": kind, "loop": False}
        return {"kind": kind, "loop": True}

    @rohrpost_handler("thread")
    def thread(consumer, request):
        send_success(consumer=consumer, handler="where", message_id=1, data=where("thread", request))

    @rohrpost_handler("coroutine")
    async def coroutine(consumer, request):
        await asyncio.sleep(0)
        send_success(consumer=consumer, handler="where", message_id=1, data=where("coroutine", request))


@pytest.mark.parametrize("consumer", [Plain, Noted, AsyncNoted, Changed, Handed])
@pytest.mark.parametrize("kind", ["thread", "coroutine"])
def test_each_kind_of_handler_in_each_kind_of_consumer(kinds, consumer, kind):
    with Chain([path("", consumer)]) as chain:
        chain.connect()
        answers = [json.loads(frame["text"]) for frame in chain.receive(json.dumps({"type": kind, "id": 1}))]
    notes = ["noted"] if consumer in (Noted, AsyncNoted) else []
    where = {"kind": kind, "loop": kind == "coroutine"}
    assert answers == [*notes, {"id": 1, "type": "where", "data": where}]


def test_what_a_subclass_makes_of_a_frame_is_what_is_read(kinds):
    with Chain([path("", Changed)]) as chain:
        (frame,) = chain.receive('{"type": "nobody", "id": 1}')
    assert json.loads(frame["text"])["data"]["kind"] == "thread"


def test_a_frame_is_read_once(socket, monkeypatch):
    read = []
    decode = main._decoded
    monkeypatch.setattr(main, "_decoded", lambda text: read.append(text) or decode(text))
    assert socket.ask("ping") == PONG
    assert len(read) == 1


def test_a_blocking_handler_may_ask_the_database_wherever_it_runs(transactional_db, channel_layer):
    get_user_model().objects.create_user("ada")

    @rohrpost_handler("users")
    def users(consumer, request):
        send_success(consumer=consumer, handler="users", message_id=1, data={"n": get_user_model().objects.count()})

    for consumer in (Plain, AsyncNoted):
        with apply_routes([path("", consumer)]):
            client = WSClient()
            client.connect("/")
            client.send_and_consume("websocket.receive", text={"type": "users", "id": 1})
            answers = list(iter(client.receive, None))
        assert answers[-1] == {"id": 1, "type": "users", "data": {"n": 1}}


# --- hooks -----------------------------------------------------------------------------------------------------------

calls = []


class Hooks(SyncRohrpostConsumer):
    groups = ["all"]

    def connect(self):
        calls.append("connect")
        super().connect()

    def disconnect(self, code):
        calls.append(("disconnect", code, self._subscribed_groups))
        super().disconnect(code)


class AsyncHooks(SyncRohrpostConsumer):
    groups = ["all"]

    async def connect(self):
        calls.append("connect")
        super().connect()

    async def disconnect(self, code):
        calls.append(("disconnect", code, self._subscribed_groups))


@pytest.mark.parametrize("consumer", [Hooks, AsyncHooks])
def test_hooks_with_and_without_async(connect, consumer):
    rohrpost_handler("join")(lambda consumer, request: consumer.add_to_group("red"))
    calls.clear()
    socket = connect(consumer, "/ws/red/", "ws/<slug:room>/")
    socket.frame('{"type": "join", "id": 1}')
    assert socket.client.groups == {"all", "red"}
    socket.client.disconnect(4001)
    assert calls == ["connect", ("disconnect", 4001, {"red"})]
    assert socket.client.groups == set()


@pytest.mark.parametrize("hook", ["close", "raise"])
@pytest.mark.parametrize("is_coroutine", [False, True])
def test_a_hook_may_refuse(connect, hook, is_coroutine):
    class Refusing(SyncRohrpostConsumer):
        def connect(self):
            if hook == "raise":
                raise DenyConnection
            self.close()

    class AsyncRefusing(SyncRohrpostConsumer):
        async def connect(self):
            Refusing.connect(self)

    with pytest.raises((AssertionError, DenyConnection)):
        connect(AsyncRefusing if is_coroutine else Refusing)


def test_without_a_hook_of_its_own_a_connection_is_accepted_and_ends(connect):
    socket = connect()
    assert socket.client.accepted == {}
    socket.client.disconnect()
    assert socket.heard() == []


# --- what comes through groups ---------------------------------------------------------------------------------------


class WithEvents(SyncRohrpostConsumer):
    def chat_message(self, event):
        self.send(json.dumps(event["text"]))

    async def chat_later(self, event):
        self.send(json.dumps(event["text"]))


@pytest.mark.parametrize("kind", ["chat.message", "chat.later"])
def test_events_come_without_the_arguments_of_the_route(connect, kind):
    socket = connect(WithEvents, "/ws/red/", "ws/<slug:room>/")
    socket.client.join_group("all")
    Group("all").send({"type": kind, "text": "hi"})
    socket.client.consume("websocket.event")
    assert socket.heard() == ["hi"]


@pytest.mark.parametrize(("message", "sent"), [('{"as": "it is"}', {"as": "it is"}), ({"a": [1]}, {"a": [1]})])
def test_a_rohrpost_message_comes_as_an_event_too(connect, message, sent):
    socket = connect(SyncRohrpostConsumer, "/ws/red/", "ws/<slug:room>/")
    socket.client.join_group("all")
    Group("all").send({"type": "rohrpost.message", "message": message})
    socket.client.consume("websocket.event")
    assert socket.heard() == [sent]


def test_it_is_encoded_as_the_consumer_says(connect):
    class Encoder(TolerantJSONEncoder):
        def default(self, o):
            return "anything"

    class Consumer(SyncRohrpostConsumer):
        json_encoder = Encoder

        def receive(self, text_data=None, bytes_data=None):
            self.rohrpost_message({"message": {"a": UserDict(b=object())}})

    assert connect(Consumer).frame("x") == [{"a": "anything"}]
    assert SyncRohrpostConsumer.json_encoder is TolerantJSONEncoder


def test_a_group_send_reaches_the_client_as_it_is(socket):
    socket.client.join_group("all")
    send_to_group("all", {"id": 1})
    assert socket.heard() == [{"id": 1}]


def test_a_consumer_of_ones_own_will_do(connect):
    class Own(WebsocketConsumer):
        def receive(self, text=None, **frame):
            handle_rohrpost_message(consumer=self, text_data=text)

        def rohrpost_message(self, event):
            self.send(event["message"])

    socket = connect(Own)
    assert socket.ask("ping") == PONG
    socket.client.join_group("all")
    Group("all").send({"type": "rohrpost.message", "message": '"hi"'})
    socket.client.consume("websocket.event")
    assert socket.heard() == ["hi"]


# --- over a real socket ----------------------------------------------------------------------------------------------


@pytest.fixture
def port(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []}}
    layer = channel_layers["default"]
    with serving(layer, DjangoApplication(layer, Router([path("ws/", SyncRohrpostConsumer)]))) as port:
        yield port
    channel_layers.clear()


def ask(client, text):
    client.send(text)
    return json.loads(client.recv(10))


def test_bad_input_over_a_socket(port):
    @rohrpost_handler("fail")
    def fail(consumer, request):
        raise ZeroDivisionError

    @rohrpost_handler("large")
    async def large(consumer, request):
        send_success(consumer=consumer, handler="large", message_id=1, data={"a": "x" * 9_000_000})

    @rohrpost_handler("unknowable")
    def unknowable(consumer, request):
        send_success(consumer=consumer, handler="unknowable", message_id=1, data={"a": object()})

    items = "[" + "0," * 400_000 + "0]"
    wrong = ["", "nonsense", "[]", "null", '{"id": 1}', '{"type": "ping"}', b"bytes", NESTED]
    named = ["fail", "large", "unknowable", "nobody"]
    with browser(f"ws://127.0.0.1:{port}/ws/", legacy=True, max_size=None) as client:
        for text in wrong:
            assert list(ask(client, text)) == ["error"]
        for kind in named:
            answer = ask(client, f'{{"type": "{kind}", "id": 0}}')
            assert (answer["id"], answer["type"], sorted(answer)) == (0, kind, ["error", "id", "type"])
        for _ in range(2):
            assert ask(client, '{"type": "ping", "id": 1}') == PONG
        echoed = ask(client, f'{{"type": "ping", "id": 1, "data": {items}}}')
        assert len(echoed["data"]["data"]) == 400_001
        assert ask(client, '{"type": "ping", "id": 1}') == PONG


def test_a_frame_over_the_limit_closes_its_socket_and_no_other(port):
    url = f"ws://127.0.0.1:{port}/ws/"
    with browser(url, legacy=True) as client, browser(url, legacy=True) as other:
        with pytest.raises(ConnectionClosed) as caught:
            ask(client, json.dumps({"type": "ping", "id": 1, "data": "x" * 2_000_000}))
        assert caught.value.rcvd.code == 1009
        assert ask(other, '{"type": "ping", "id": 1}') == PONG


def test_a_push_reaches_whoever_joined_over_a_socket(port):
    @rohrpost_handler("join")
    def join(consumer, request):
        consumer.add_to_group("red")
        send_success(consumer=consumer, handler="join", message_id=request["id"])

    url = f"ws://127.0.0.1:{port}/ws/"
    with browser(url, legacy=True) as one, browser(url, legacy=True) as two:
        assert [ask(client, '{"type": "join", "id": 1}')["type"] for client in (one, two)] == ["join", "join"]
        send_to_group("red", {"hello": "all"})
        assert [json.loads(client.recv(10)) for client in (one, two)] == [{"hello": "all"}] * 2

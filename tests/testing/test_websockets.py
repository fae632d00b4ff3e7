import json

import pytest

from fairway import Group
from fairway.errors import DenyConnection
from fairway.routing import route
from fairway.testing import HttpClient, WSClient, apply_routes
from tests.testing.support import fresh_layers

__all__ = ["fresh_layers"]


def accept(message, **kwargs):
    message.reply_channel.send({"accept": True})


def keep(message, **kwargs):
    SEEN.append(message)


SEEN = []


@pytest.fixture(autouse=True)
def forget():
    SEEN.clear()


def test_a_connect_tells_what_a_server_tells():
    def connect(message):
        keep(message)
        accept(message)

    client = WSClient()
    client.set_header("User-Agent", "test")
    with apply_routes(route("websocket.connect", connect)):
        client.connect("/chat/?room=ä", subprotocols=["chat"])
    assert SEEN[0].content == {
        "reply_channel": client.reply_channel,
        "path": "/chat/",
        "query_string": "room=ä".encode(),
        "headers": [[b"host", b"testserver"], [b"origin", b"http://testserver"], [b"user-agent", b"test"]],
        "scheme": "ws",
        "http_version": "1.1",
        "subprotocols": ["chat"],
        "client": ["127.0.0.1", 50000],
        "server": ["testserver", 80],
        "order": 0,
    }
    assert client.receive() is None


def test_later_messages_repeat_the_path_and_are_numbered():
    client = WSClient()
    with apply_routes([route("websocket.connect", accept), route("websocket.receive", keep)]):
        client.connect("/chat/?a=b")
        client.send_and_consume("websocket.receive", text={"a": 1})
        client.send_and_consume("websocket.receive", {"bytes": b"x"}, path="/other/?cut")
    base = {"reply_channel": client.reply_channel}
    assert [message.content for message in SEEN] == [
        base | {"path": "/chat/", "order": 1, "text": '{"a": 1}'},
        base | {"path": "/other/", "order": 2, "bytes": b"x"},
    ]


def test_an_order_of_ones_own_wins_unless_the_client_is_ordered():
    with apply_routes(route("websocket.receive", keep)):
        client = WSClient()
        client.send_and_consume("websocket.receive", {"order": 7})
        client.order = 20
        client.send_and_consume("websocket.receive")
        assert [message["order"] for message in SEEN] == [7, 20]
        assert client.order == 21
        with pytest.raises(ValueError, match="numbers its messages itself"):
            WSClient(ordered=True).send("websocket.receive", {"order": 7})


def test_a_text_argument_wins_over_the_content():
    client = WSClient()
    with apply_routes(route("websocket.receive", keep)):
        client.send_and_consume("websocket.receive", {"text": "in content"}, text="argument")
        client.send_and_consume("websocket.receive", {"text": "in content"}, text="")
        client.send_and_consume("websocket.receive", text=[])
    assert [message["text"] for message in SEEN] == ["argument", "in content", "[]"]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (None, "its consumer sent nothing"),
        ({"accept": False}, r"its consumer sent \{'accept': False\}"),
        ({"close": True}, r"its consumer sent \{'close': True\}"),
        ({"reject": {"status": 410}}, "it was answered with 410"),
        ({"text": ""}, "its consumer sent"),
    ],
)
def test_a_socket_that_is_not_accepted_fails_and_says_how(reply, words):
    def connect(message):
        if reply:
            message.reply_channel.send(reply)

    with apply_routes(route("websocket.connect", connect)):
        with pytest.raises(AssertionError, match=words):
            WSClient().connect("/")
        WSClient().send_and_consume("websocket.connect", check_accept=False)


def test_a_frame_accepts_too_and_stays():
    with apply_routes(route("websocket.connect", lambda message: message.reply_channel.send({"text": '"hi"'}))):
        client = WSClient()
        client.connect()
    assert client.receive() == "hi"


def test_what_comes_with_the_acceptance_is_kept():
    def connect(message):
        message.reply_channel.send({"accept": True, "subprotocol": "chat", "text": "[1]", "close": 4000})

    client = WSClient()
    with apply_routes(route("websocket.connect", connect)):
        client.connect(subprotocols=["chat"])
    assert client.accepted == {"subprotocol": "chat"}
    assert client.receive(json=False) == "[1]"


def test_a_path_without_consumer_fails_and_one_with_later_messages_only_is_accepted():
    with apply_routes(route("websocket.receive", keep, path="^/chat/")):
        WSClient().connect("/chat/")
        with pytest.raises(AssertionError, match=r"no consumer for .*'websocket.connect'"):
            WSClient().connect("/other/")
        client = WSClient()
        assert (
            client.send_and_consume("websocket.connect", path="/other/", fail_on_none=False, check_accept=False) is None
        )


def test_refused_in_the_consumer_is_raised():
    def deny(message):
        raise DenyConnection

    with apply_routes(route("websocket.connect", deny)), pytest.raises(DenyConnection):
        WSClient().connect()


def test_state_lives_as_long_as_the_connection():
    def count(message):
        message.state["n"] = message.state.get("n", 0) + 1
        accept(message)

    client = WSClient()
    with apply_routes(route(["websocket.connect", "websocket.receive"], count)):
        client.connect()
        client.send("websocket.receive")
        client.send_and_consume("websocket.receive")
        client.consume("websocket.receive")
        assert client.state == {"n": 3}
        client.connect()
        assert client.state == {"n": 1}


def test_groups_end_with_the_socket_and_what_disconnect_sends_arrives():
    def connect(message):
        Group("g").add(message.reply_channel)
        accept(message)

    def leave(message):
        message.reply_channel.send({"text": f"code {message['code']}"})

    client = WSClient()
    with apply_routes([route("websocket.connect", connect), route("websocket.disconnect", leave)]):
        client.connect()
        assert client.groups == {"g"}
        assert Group("g").channels() == [client.reply_channel]
        Group("g").send({"text": '"one"'})
        client.disconnect(4000)
        Group("g").send({"text": '"two"'})
        assert Group("g").channels() == []
    assert [client.receive(), client.receive(json=False), client.receive()] == ["one", "code 4000", None]


def test_nobody_needs_to_consume_the_disconnect():
    client = WSClient()
    with apply_routes(route("websocket.connect", accept)):
        client.connect()
        assert client.disconnect() is None


def test_typed_events_of_groups_wait_on_websocket_event():
    def connect(message):
        Group("g").add(message.reply_channel)
        accept(message)

    def on_event(message):
        message.reply_channel.send({"text": json.dumps([message["path"], message["order"], message["event"]])})

    client = WSClient()
    with apply_routes([route("websocket.connect", connect), route("websocket.event", on_event, path="^/chat/")]):
        client.connect("/chat/")
        Group("g").send({"type": "chat.message", "n": 1})
        assert client.receive() is None
        client.consume("websocket.event")
    assert client.receive() == ["/chat/", 1, {"type": "chat.message", "n": 1}]


def test_what_a_group_sends_during_the_connect_comes_after_its_own_frames():
    def connect(message):
        Group("g").add(message.reply_channel)
        Group("g").send({"text": '"joined"'})
        message.reply_channel.send({"accept": True})
        message.reply_channel.send({"text": '"hello"'})

    client = WSClient()
    with apply_routes(route("websocket.connect", connect)):
        client.connect()
    assert [client.receive(), client.receive()] == ["hello", "joined"]


def test_receive_says_when_a_text_is_no_json():
    def connect(message):
        message.reply_channel.send({"accept": True, "text": "plain"})
        message.reply_channel.send({"bytes": b"x"})
        message.reply_channel.send({"close": 4001, "reason": "over"})

    client = WSClient()
    with apply_routes(route("websocket.connect", connect)):
        client.connect()
    with pytest.raises(AssertionError, match=r"no JSON: 'plain'; receive\(json=False\)"):
        client.receive()
    assert client.receive() == {"bytes": b"x"}
    assert client.receive() == {"close": 4001, "reason": "over"}


async def test_the_whole_life_of_a_socket_in_a_coroutine_test():
    async def echo(message):
        if message.channel_name == "websocket.receive":
            await message.reply_channel.asend({"text": message["text"]})
        else:
            await message.reply_channel.asend({"accept": True})

    client = WSClient()
    with apply_routes(route(["websocket.connect", "websocket.receive"], echo)):
        await client.aconnect("/")
        await client.asend_and_consume("websocket.receive", text={"a": 1})
        assert await client.areceive() == {"a": 1}
        assert await client.areceive() is None
        await client.adisconnect()


def test_http_client_sends_requests_as_well():
    def respond(message):
        keep(message)
        message.reply_channel.send({"status": 200, "content": b"hello"})

    client = HttpClient()
    with apply_routes(route("http.request", respond)):
        client.send_and_consume("http.request", {"method": "POST", "body": b"a=b"}, path="/x/?y=1")
    message = SEEN[0]
    assert {key: message[key] for key in ("method", "body", "path", "query_string", "scheme")} == {
        "method": "POST",
        "body": b"a=b",
        "path": "/x/",
        "query_string": b"y=1",
        "scheme": "http",
    }
    assert client.receive() == {"status": 200, "content": b"hello"}

"""Consumers through the whole chain: a client's socket, the interface server, the layer, and a worker's threads.

How a consumer ends, as the peer sees it; and the promises of the release notes, as a browser would notice them.
"""

import asyncio
import threading
import time

import pytest
from django.urls import path
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from fairway import Group, channel_layers, include, route
from fairway.application import application_for
from fairway.errors import ConsumeLater, DenyConnection
from fairway.server import Server
from fairway.server.config import ServerConfig
from fairway.worker.loop import Worker
from tests.support.waiting import wait_until

seen = []


def accept(message, **kwargs):
    message.reply_channel.send({"accept": True})


def note_disconnect(message, **kwargs):
    seen.append(("disconnect", message["code"], dict(message.state)))


def echo(message, **kwargs):
    message.reply_channel.send({"text": message["text"]})


async def aecho(message, **kwargs):
    await message.reply_channel.asend({"text": message["text"]})


def greet(message):
    message.reply_channel.send({"text": "welcome"})


def close_at_once(message):
    message.reply_channel.send({"close": True})


def fail(message):
    message.reply_channel.send({"text": "so far"})
    raise ValueError("boom")


def accept_and_fail(message):
    message.reply_channel.send({"accept": True}, immediately=True)
    raise ValueError("boom")


def deny(message):
    raise DenyConnection


def typo(message):
    message.reply_channel.send({"txt": message["text"]})


def unsendable(message):
    message.reply_channel.send({"text": "before"})
    message.reply_channel.send({"text": object()})


def third_time_lucky(message):
    seen.append(message.retries)
    if message["text"] == "first" and message.retries < 2:
        raise ConsumeLater
    message.reply_channel.send({"text": message["text"]})


def count(message):
    message.state["n"] = message.state.get("n", 0) + 1
    message.reply_channel.send({"text": str(message.state["n"])})


def join(message, room):
    accept(message)
    Group(room).add(message.reply_channel)


def say(message, room):
    Group(room).send({"text": f"{room}: {message['text']}"})


def shout(message, room):
    Group(room).send({"type": "room.shout", "text": message["text"]})


def overheard(message, room):
    message.reply_channel.send({"text": f"{room} heard {message['event']['text']}"})


def leave(message):
    message.reply_channel.send({"text": "bye", "close": 4001, "reason": "enough"})


def slow(message):
    time.sleep(0.002)
    message.reply_channel.send({"text": message["text"]})


def socket(where, connect_=accept, receive=echo):
    routes = [
        route("websocket.connect", connect_),
        route("websocket.receive", receive),
        route("websocket.disconnect", note_disconnect),
    ]
    return path(where, include(routes))


channel_routing = [
    socket("echo/"),
    socket("aecho/", receive=aecho),
    socket("greet/", greet),
    socket("close/", close_at_once),
    socket("fail/", fail),
    socket("accept-and-fail/", accept_and_fail),
    socket("deny/", deny),
    socket("fail-later/", receive=fail),
    socket("typo/", receive=typo),
    socket("unsendable/", receive=unsendable),
    socket("later/", receive=third_time_lucky),
    socket("count/", receive=count),
    socket("leave/", receive=leave),
    socket("slow/", receive=slow),
    path("only-receive/", route("websocket.receive", echo)),
    path(
        "rooms/<slug:room>/",
        include(
            [
                route("websocket.connect", join),
                route("websocket.receive", shout, text="!"),
                route("websocket.receive", say),
                route("websocket.event", overheard),
            ]
        ),
    ),
]


@pytest.fixture
def at(settings):
    """Open a client at a path."""
    seen.clear()
    routing = "tests.test_whole_chain.channel_routing"
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": routing}}
    layer = channel_layers["default"]
    server = Server(ServerConfig(binds=["127.0.0.1:0"]), layer)
    worker = Worker(layer, application_for(), threads=4)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    worker.start()
    port = server.bound[0][1]
    yield lambda where: connect(f"ws://127.0.0.1:{port}/{where}")
    worker.stop(5)
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
    channel_layers.clear()


def ask(client, text):
    client.send(text)
    return client.recv(30)


@pytest.mark.parametrize("where", ["echo/", "aecho/", "only-receive/"])
def test_echo(at, where):
    with at(where) as client:
        assert [ask(client, text) for text in ("", "ä", "x" * 100_000)] == ["", "ä", "x" * 100_000]


def test_a_frame_accepts_implicitly(at):
    with at("greet/") as client:
        assert client.recv(30) == "welcome"


@pytest.mark.parametrize(("where", "status"), [("close/", 403), ("deny/", 403), ("fail/", 500), ("nowhere/", 404)])
def test_handshakes_that_are_refused(at, where, status, caplog):
    with pytest.raises(InvalidStatus) as refused:
        at(where)
    assert refused.value.response.status_code == status
    if where == "fail/":
        assert "channel websocket.connect, path '/fail/'" in caplog.text
        assert "ValueError: boom" in caplog.text


def test_a_connect_that_fails_after_it_accepted_closes_with_1011(at, caplog):
    with at("accept-and-fail/") as client, pytest.raises(ConnectionClosed) as closed:
        client.recv(30)
    assert closed.value.rcvd.code == 1011


@pytest.mark.parametrize("where", ["typo/", "unsendable/", "fail-later/"])
def test_a_failing_receive_leaves_the_socket_open(at, where, caplog):
    with at(where) as client:
        client.send("1")
        client.send("2")
        if where != "typo/":
            expected = "before" if where == "unsendable/" else "so far"
            assert [client.recv(30), client.recv(30)] == [expected] * 2
        wait_until(lambda: len(caplog.records) >= 2)
    failed = [record for record in caplog.records if "consumer failed" in record.getMessage()]
    assert len(failed) == 2
    assert failed[0].exc_info is not None
    if where == "typo/":
        assert "unknown key 'txt'" in caplog.text
        assert "in typo\n" in caplog.text  # the caller's line


def test_consume_later_keeps_the_order(at):
    with at("later/") as client:
        client.send("first")
        client.send("second")
        assert [client.recv(30), client.recv(30)] == ["first", "second"]
    assert seen[:4] == [0, 1, 2, 0]


def test_messages_of_one_socket_run_in_order_on_several_threads(at):
    with at("slow/") as client:
        for number in range(50):
            client.send(str(number))
        assert [client.recv(30) for _ in range(50)] == [str(number) for number in range(50)]


def test_state_follows_the_connection_to_its_end(at):
    with at("count/") as client, at("count/") as other:
        assert [ask(client, "") for _ in range(3)] == ["1", "2", "3"]
        assert ask(other, "") == "1"
        client.close(4000)
        wait_until(lambda: seen)
    assert seen[0] == ("disconnect", 4000, {"n": 3})


def test_closing_with_a_code_and_a_reason(at):
    with at("leave/") as client:
        assert ask(client, "x") == "bye"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(30)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "enough")


def test_groups_and_events(at):
    with at("rooms/red/") as one, at("rooms/red/") as two, at("rooms/blue/") as other:
        one.send("hi")
        assert [one.recv(30), two.recv(30)] == ["red: hi"] * 2
        two.send("! fire")
        assert [one.recv(30), two.recv(30)] == ["red heard ! fire"] * 2
        assert ask(other, "hi") == "blue: hi"
    wait_until(lambda: Group("red").channels() == [])

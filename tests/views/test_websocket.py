"""`request.websocket` of a blocking view, over a real layer."""

import threading

import pytest

from fairway.errors import ChannelFull, ChannelGone
from fairway.limits import ViewLimits
from fairway.views.connection import Connection
from fairway.views.pinned import Pinned
from fairway.views.websocket import WebSocket
from tests.support.waiting import wait_until


@pytest.fixture
def pinned(quay):
    pinned = Pinned(quay.layer, ViewLimits())
    yield pinned
    pinned.close()


@pytest.fixture
def websocket(quay, pinned):
    connection = Connection(quay.connect(), pinned.new_channel(), ["a"])
    return WebSocket(connection, pinned, ViewLimits(send=0.05, end=0.05))


def say(quay, websocket, order, **content):
    quay.submit(websocket._connection.channel, order, content)


ACCEPTANCE = {"accept": True}


def accepted(quay):
    return [{key: value for key, value in frame.items() if key != "receive_channel"} for frame in quay.frames()]


@pytest.mark.parametrize(
    "look",
    [
        lambda websocket: websocket.read(),
        lambda websocket: websocket.count_messages(),
        lambda websocket: websocket.has_messages(),
        lambda websocket: websocket.accept(),
    ],
)
def test_the_first_look_accepts(quay, websocket, look):
    assert (quay.frames(), quay.dones()) == ([], [])
    look(websocket)
    look(websocket)
    assert (accepted(quay), quay.dones()) == ([ACCEPTANCE], [0])


def test_a_send_accepts_too(quay, websocket):
    websocket.send("a")
    assert accepted(quay) == [ACCEPTANCE, {"text": "a"}]


def test_messages(quay, websocket):
    websocket.accept()
    assert (websocket.read(), websocket.read("none"), websocket.has_messages()) == (None, "none", False)
    for order, content in enumerate([{"text": "a"}, {"text": ""}, {"bytes": b"b"}], 1):
        say(quay, websocket, order, **content)
    wait_until(lambda: websocket.count_messages() == 3)
    assert websocket.has_messages()
    assert [websocket.read(), websocket.wait(), websocket.wait()] == ["a", "", b"b"]
    assert quay.dones() == [0, 1, 2, 3]


def test_a_wait_ends_with_a_message_and_with_the_end(quay, websocket):
    heard = []
    view = threading.Thread(target=lambda: heard.extend(websocket))
    view.start()
    wait_until(lambda: websocket._connection._waiters, "it to wait")
    say(quay, websocket, 1, text="a")
    wait_until(lambda: heard == ["a"])
    say(quay, websocket, 2, code=1000)
    view.join(30)
    assert not view.is_alive()
    assert websocket.closed
    assert (websocket.wait(), websocket.read("none")) == (None, "none")
    with pytest.raises(ChannelGone):
        websocket.send("late")


def test_the_database_is_looked_after_before_a_wait(quay, websocket, db, monkeypatch):
    tended = []
    monkeypatch.setattr("fairway.views.websocket.opened_connections", lambda: {"default": None})
    monkeypatch.setattr("fairway.views.websocket.tend_connections", tended.append)
    websocket.accept()
    say(quay, websocket, 1, text="a")
    wait_until(websocket.has_messages)
    websocket.wait()
    assert tended == []
    websocket._connection.stop()
    websocket.wait()
    assert tended == []
    websocket._connection._is_stopping = False
    timer = threading.Timer(0.01, lambda: say(quay, websocket, 2, text="b"))
    timer.start()
    assert websocket.wait() == "b"
    assert tended == [{"default": None}]


def test_closing(quay, websocket):
    websocket.accept()
    websocket.close(4000, "enough")
    websocket.close()
    assert accepted(quay) == [ACCEPTANCE, {"close": 4000, "reason": "enough"}]
    assert websocket.closed


def test_closing_before_it_is_accepted_refuses(quay, websocket):
    websocket.close()
    assert quay.frames() == [{"reject": {"status": 403}}]
    assert (websocket.closed, websocket.wait()) == (True, None)


def test_a_client_that_does_not_read(quay, websocket):
    websocket.accept()
    quay.inbox.congest(websocket.reply_channel)
    with pytest.raises(ChannelFull):
        websocket.send("a")


def test_a_connect_that_another_worker_has_by_now(quay, websocket):
    quay.reader.close()
    assert websocket.wait() is None
    assert websocket.closed


def test_what_other_threads_send_follows_the_acceptance(quay, websocket):
    threads = [threading.Thread(target=websocket.send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    frames = accepted(quay)
    assert frames[0] == ACCEPTANCE
    assert sorted(frame["text"] for frame in frames[1:]) == sorted(map(str, range(8)))


def test_what_it_tells_of_the_connection(websocket):
    assert (websocket.subprotocols, websocket.reply_channel) == (["a"], "websocket.send.Q1!c1")

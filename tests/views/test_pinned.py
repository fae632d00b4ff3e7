"""The session that brings the messages of view sockets."""

import logging

import pytest

from fairway.limits import ViewLimits
from fairway.views import pinned as module
from fairway.views.connection import NOTHING, OVER, Connection
from fairway.views.pinned import Pinned
from tests.support.hubs import HubThread
from tests.support.waiting import wait_until


@pytest.fixture
def pinned(quay):
    pinned = Pinned(quay.layer, ViewLimits())
    yield pinned
    pinned.close()


@pytest.fixture
def connection(quay, pinned):
    connection = Connection(quay.connect(), pinned.new_channel())
    pinned.add(connection)
    outbox = connection.outbox
    outbox.reader.commit(outbox.delivery, connection.accept())
    return connection


def taken(connection):
    found = wait_until(lambda: (found := connection.take()) is not NOTHING and (found,), "a message")
    return found[0]


def test_each_socket_has_a_channel_of_its_own_below_one_prefix(pinned):
    one, two = pinned.new_channel(), pinned.new_channel()
    assert one != two
    assert one.partition("!")[0] == two.partition("!")[0]


def test_a_message_is_done_when_it_is_taken(quay, pinned, connection):
    quay.submit(connection.channel, 1, {"text": "a"})
    quay.submit(connection.channel, 2, {"bytes": b"b"})
    first, second = taken(connection), taken(connection)
    assert [first[1], second[1]] == ["a", b"b"]
    assert quay.dones() == [0]
    pinned.commit(first[0])
    assert quay.dones() == [0, 1]
    pinned.commit(first[0])  # lost by now, and no harm


async def test_a_coroutine_commits_too(quay, pinned, connection):
    quay.submit(connection.channel, 1, {"text": "a"})
    delivery, _ = taken(connection)
    await pinned.acommit(delivery)
    await pinned.acommit(delivery)
    assert quay.dones() == [0, 1]


def test_the_end_is_done_at_once_and_nothing_more_is_brought(quay, pinned, connection):
    quay.submit(connection.channel, 1, {"code": 1000})
    wait_until(lambda: quay.dones() == [0, 1])
    assert connection.is_over
    assert pinned.connections() == []
    quay.submit(connection.channel, 2, {"text": "late"})
    wait_until(lambda: quay.dones() == [0, 1, 2])


def test_a_group_message_with_a_type_is_dropped_aloud(quay, connection, caplog):
    quay.submit(connection.channel, 1, {"event": {"type": "room.told"}})
    wait_until(lambda: quay.dones() == [0, 1])
    assert "a group message with a 'type' came for websocket.send.Q1!c1, which a view reads" in caplog.text
    assert connection.take() is NOTHING


def test_a_body_that_is_no_message_is_dropped_aloud(quay, connection, caplog):
    from fairway.broker.effects import Envelope

    quay.inbox.submit(Envelope("x", connection.channel, connection.reply_channel, order=1), b"\xc1")
    wait_until(lambda: quay.dones() == [0, 1])
    assert "was dropped" in caplog.text


def test_what_fails_is_tried_again(quay, pinned, connection, monkeypatch, caplog):
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    real, failures = Connection.put, [ValueError("boom")]

    def put(self, *args):
        if failures:
            raise failures.pop()
        return real(self, *args)

    monkeypatch.setattr(Connection, "put", put)
    quay.submit(connection.channel, 1, {"text": "a"})
    wait_until(lambda: "no message could be taken for the views" in caplog.text)
    quay.submit(connection.channel, 2, {"text": "b"})
    assert taken(connection)[1] == "b"


def test_a_layer_that_is_closed_ends_the_sockets(quay, connection):
    quay.layer.close()
    wait_until(lambda: connection.is_over)
    assert connection.take() is OVER


def test_a_session_that_was_lost_ends_the_sockets_that_are_gone(tmp_path, monkeypatch, caplog):
    from fairway.layers.hub.client import LocalLayer

    monkeypatch.setattr(module, "LOOK_EVERY", 0.2)
    caplog.set_level(logging.CRITICAL)
    with HubThread(tmp_path / "hub") as hub:
        layer = LocalLayer(str(tmp_path / "hub"))
        pinned = Pinned(layer, ViewLimits())
        from fairway.broker.effects import Delivery, Envelope
        from fairway.worker.outbox import Outbox

        delivery = Delivery(Envelope("m", "websocket.connect", "websocket.send.gone!1", order=0), b"", 1)
        connection = Connection(Outbox(delivery, layer.reader(["x"]), layer), pinned.new_channel())
        pinned.add(connection)
        hub.stop()
        hub.start()
        wait_until(lambda: connection.is_over, "the socket to end")
        assert pinned.connections() == []
        pinned.close()
        layer.close()

import gc
import threading
import weakref

import pytest

from fairway import Channel, Group
from fairway.errors import ChannelFull
from fairway.layers.memory import MemoryLayer
from fairway.testing.connection import Connection, connection_of


@pytest.fixture
def layer():
    layer = MemoryLayer()
    yield layer
    layer.close()


@pytest.fixture
def connection(layer):
    return Connection(layer, "websocket.send")


def test_what_is_sent_to_it_is_there_when_send_returns(layer, connection):
    Channel(connection.reply_channel, channel_layer=layer).send({"text": "a"})
    assert list(connection.frames) == [{"text": "a"}]


def test_questions_about_it_are_answered_at_once(layer, connection):
    group = Group("g", channel_layer=layer)
    assert group.channels() == []
    group.add(connection.reply_channel)
    assert group.channels() == [connection.reply_channel]
    assert layer.state(connection.reply_channel) == {}


def test_who_left_hears_no_more(layer, connection):
    group = Group("g", channel_layer=layer)
    group.add(connection.reply_channel)
    group.discard(connection.reply_channel)
    group.discard(connection.reply_channel)
    group.send({"text": "a"})
    assert list(connection.frames) == []
    assert layer.statistics().groups == 0


def test_a_connection_that_has_ended_joins_nothing(layer, connection):
    connection.submit("websocket.connect", {})
    connection.submit("websocket.disconnect", {"code": 1000})
    Group("g", channel_layer=layer).add(connection.reply_channel)
    assert (connection.groups, layer.statistics().groups) == ({}, 0)


def test_later_only_what_comes_from_groups_joined_meanwhile_is_held(layer, connection):
    old, new = Group("old", channel_layer=layer), Group("new", channel_layer=layer)
    old.add(connection.reply_channel)
    with connection.consuming("websocket.receive"):
        new.add(connection.reply_channel)
        new.send({"text": "held"})
        old.send({"text": "at once"})
        assert list(connection.frames) == [{"text": "at once"}]
    assert list(connection.frames) == [{"text": "at once"}, {"text": "held"}]


def test_what_a_refused_connect_held_is_dropped(layer, connection):
    group = Group("g", channel_layer=layer)
    with connection.consuming("websocket.connect"):
        group.add(connection.reply_channel)
        group.send({"text": "held"})
        layer.send(connection.reply_channel, {"reject": {"status": 403}})
    assert list(connection.frames) == [{"reject": {"status": 403}}]


def test_a_second_connect_begins_anew(layer, connection):
    connection.submit("websocket.connect", {})
    Group("g", channel_layer=layer).add(connection.reply_channel)
    connection.state = {"a": b"\x01"}
    connection.submit("websocket.connect", {})
    assert (connection.groups, connection.state, connection.order) == ({}, {}, 1)


def test_a_message_without_room_is_refused(connection):
    for _ in range(1000):
        connection.submit("http.request", {})
    with pytest.raises(ChannelFull):
        connection.submit("http.request", {})
    connection.submit("other", {})


def test_it_can_be_found_by_its_reply_channel_as_long_as_it_lives(layer):
    connection = Connection(layer, "websocket.send")
    name, reference = connection.reply_channel, weakref.ref(connection)
    assert connection_of(name) is connection
    assert connection_of("") is None
    del connection
    gc.collect()
    assert (reference(), connection_of(name)) == (None, None)
    layer.send(name, {"text": "nobody hears it"})


def test_threads_may_send_at_the_same_time(layer, connection):
    group = Group("g", channel_layer=layer)
    group.add(connection.reply_channel)
    threads = [
        threading.Thread(target=lambda: [group.send({"text": "a"}) for _ in range(100)], daemon=True) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(connection.frames) == 400

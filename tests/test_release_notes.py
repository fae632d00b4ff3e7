"""Each example and each promise of the two 1.0.0 release notes about consumers: accept and reject, and atomicity.

Those about data binding stand in tests/binding/test_outbound.py.
"""

import logging

import pytest

from fairway import Channel, Group, Message, route
from fairway.consumers import JsonWebsocketConsumer, WebsocketConsumer, WebsocketDemultiplexer
from fairway.errors import DenyConnection
from fairway.layers.codec import decode_message
from fairway.message import Message as MessageClass
from tests.support.chain import CLIENT, SOCKETS, Chain
from tests.support.waiting import wait_until

LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []}}


@pytest.fixture
def chain_of(settings):
    """Make chains on the default layer, so that the examples read as they were written."""
    settings.CHANNEL_LAYERS = LAYERS

    def make(*routing):
        from fairway import channel_layers

        return Chain(list(routing), layer=channel_layers["default"])

    return make


def tasks(chain):
    statistics = chain.layer.statistics().channels.get("thumbnailing-tasks")
    return statistics.waiting if statistics else 0


# --- WebSocket accept/reject flow ------------------------------------------------------------------------------------


def test_a_connect_consumer_that_sends_a_frame_accepts_implicitly(chain_of):
    def ws_connect(message):
        message.reply_channel.send({"text": "welcome"})

    with chain_of(route("websocket.connect", ws_connect)) as chain:
        assert chain.connect() == [{"text": "welcome"}]  # the server accepts, then sends: tested with the server


def test_a_frame_may_be_bytes(chain_of):
    def ws_connect(message):
        message.reply_channel.send({"bytes": b"\x00welcome"})

    with chain_of(route("websocket.connect", ws_connect)) as chain:
        assert chain.connect() == [{"bytes": b"\x00welcome"}]


def test_a_frame_may_come_through_a_group(chain_of):
    def ws_connect(message):
        Group("everyone").add(message.reply_channel)
        Group("everyone").send({"text": "somebody came"})

    with chain_of(route("websocket.connect", ws_connect)) as chain:
        chain.connect()
        assert chain.group_frames() == [("everyone", {"text": "somebody came"})]


def test_accept_without_sending_data(chain_of):
    def ws_connect(message):
        message.reply_channel.send({"accept": True})

    with chain_of(route("websocket.connect", ws_connect)) as chain:
        assert chain.connect() == [{"accept": True}]


def test_reject_mid_handshake(chain_of):
    def ws_connect(message):
        message.reply_channel.send({"close": True})

    with chain_of(route("websocket.connect", ws_connect)) as chain:
        assert chain.connect() == [{"close": True}]


def test_reject_with_an_exception(chain_of):
    def ws_connect(message):
        message.reply_channel.send({"accept": True})
        raise DenyConnection

    with chain_of(route("websocket.connect", ws_connect)) as chain:
        assert chain.connect() == [{"reject": {"status": 403}}]


def test_without_a_custom_consumer_the_socket_is_accepted(chain_of):
    def ws_message(message):
        message.reply_channel.send({"text": message["text"]})

    with chain_of(route("websocket.receive", ws_message)) as chain:
        assert chain.connect() == [{"accept": True}]
        assert chain.receive("hello") == [{"text": "hello"}]


@pytest.mark.parametrize("consumer", [WebsocketConsumer, JsonWebsocketConsumer, WebsocketDemultiplexer])
def test_all_built_in_consumers_accept(chain_of, consumer):
    with chain_of(consumer.as_route()) as chain:
        assert chain.connect() == [{"accept": True}]


def test_the_connect_consumer_runs_to_completion_before_anything_is_received(chain_of):
    """No need for "slight ordering": its `done`, which opens the way, comes after all that it sent."""

    def ws_connect(message):
        message.reply_channel.send({"accept": True})
        Group("room").add(message.reply_channel)
        message.reply_channel.send({"text": "welcome"})

    with chain_of(route("websocket.connect", ws_connect)) as chain:
        chain.connect()
        kinds = [type(item).__name__ for item in chain.look()]
    assert kinds == ["Add", "Frame", "Frame", "Done"]


# --- Consumer atomicity ----------------------------------------------------------------------------------------------


def test_messages_are_sent_when_the_consumer_is_done(chain_of):
    """The example of both release notes, buffered and with `immediately`."""
    seen = []

    def consumer(message):
        Channel("thumbnailing-tasks").send({"id": 1})
        seen.append(tasks(chain))
        Channel("thumbnailing-tasks").send({"id": 34245}, immediately=True)
        seen.append(tasks(chain))

    with chain_of(route("websocket.receive", consumer)) as chain:
        chain.receive("x")
        assert seen == [0, 1]
        reader = chain.layer.reader(["thumbnailing-tasks"])
        assert [decode_message(reader.receive(1).body) for _ in range(2)] == [{"id": 34245}, {"id": 1}]


def test_the_outbound_part_of_decorators_comes_first(chain_of):
    seen = []

    def decorator(consumer):
        def inner(message, **kwargs):
            consumer(message, **kwargs)
            seen.append(("decorator leaves", tasks(chain)))
            Channel("thumbnailing-tasks").send({"from": "decorator"})

        return inner

    @decorator
    def consumer(message):
        Channel("thumbnailing-tasks").send({"from": "consumer"})

    with chain_of(route("websocket.receive", consumer)) as chain:
        chain.receive("x")
        assert seen == [("decorator leaves", 0)]
        reader = chain.layer.reader(["thumbnailing-tasks"])
        assert [decode_message(reader.receive(1).body)["from"] for _ in range(2)] == ["consumer", "decorator"]


def test_even_if_an_exception_is_raised(chain_of, caplog):
    def consumer(message):
        Channel("thumbnailing-tasks").send({"id": 1})
        message.reply_channel.send({"text": "so far"})
        raise ValueError

    with chain_of(route("websocket.receive", consumer)) as chain:
        assert chain.receive("x") == [{"text": "so far"}]
        assert tasks(chain) == 1
        assert chain.dones() == [1]
    assert caplog.records[0].levelno == logging.ERROR


def test_the_sender_has_finished_by_the_time_its_message_is_acted_upon(chain_of):
    events = []

    def sender(message):
        Channel("thumbnailing-tasks").send({"n": message["order"]})
        for _ in range(1000):
            pass
        events.append(("sender finished", message["order"]))

    def task(message):
        events.append(("task runs", message["n"]))

    with chain_of(route("websocket.receive", sender), route("thumbnailing-tasks", task)) as chain:
        for order in range(1, 51):
            chain.run("websocket.receive", {"path": "/", "text": ""}, order=order)
        wait_until(lambda: len(events) == 100)
    for order in range(1, 51):
        assert events.index(("sender finished", order)) < events.index(("task runs", order))


def test_coroutine_consumers_are_as_atomic(chain_of):
    seen = []

    async def consumer(message):
        await Channel("thumbnailing-tasks").asend({"id": 1})
        Channel("thumbnailing-tasks").send({"id": 2})
        seen.append(tasks(chain))
        await Channel("thumbnailing-tasks").asend({"id": 34245}, immediately=True)
        seen.append(tasks(chain))
        raise ValueError

    with chain_of(route("websocket.receive", consumer)) as chain:
        chain.receive("x")
        assert seen == [0, 1]
        assert tasks(chain) == 3


def test_a_consumer_that_is_killed_sends_nothing(chain_of):
    """The atom as the layer sees it: the outbox leaves with the acknowledgement, or not at all."""

    def consumer(message):
        Channel("thumbnailing-tasks").send({"id": 1})
        chain.worker._reader.close()

    with chain_of(route("websocket.receive", consumer)) as chain:
        chain.submit("websocket.receive", {"path": "/", "text": ""}, order=1)
        again = chain.layer.reader(["websocket.receive"]).receive(5)
        assert again.envelope.attempt == 2
        assert tasks(chain) == 0
        assert chain.frames() == []


def test_outside_a_consumer_messages_leave_at_once(chain_of):
    with chain_of() as chain:
        Channel("thumbnailing-tasks").send({"id": 34245})
        assert tasks(chain) == 1


def test_the_names_are_the_public_ones():
    assert Message is MessageClass
    assert CLIENT.startswith(SOCKETS)

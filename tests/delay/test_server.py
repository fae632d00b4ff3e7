"""The delay server: what comes on `asgi.delay` is stored, acknowledged, and sent when it is due."""

import pytest

from fairway.broker.effects import Delivery
from fairway.delay.models import DelayedMessage
from fairway.delay.server import DelayServer
from fairway.layers.codec import decode_message
from fairway.layers.memory import MemoryLayer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def layer():
    layer = MemoryLayer()
    yield layer
    layer.close()


@pytest.fixture
def server(layer):
    server = DelayServer(layer)
    server.start()
    yield server
    assert server.stop()


def take(reader, timeout=20) -> Delivery:
    delivery = reader.receive(timeout)
    assert delivery is not None
    reader.commit(delivery)
    return delivery


def test_a_message_arrives_when_it_is_due(layer, server):
    reader = layer.reader(["reports"])
    layer.send("asgi.delay", {"channel": "reports", "content": {"n": 1, "raw": b"\0\xff"}, "delay": 50})

    assert decode_message(take(reader).body) == {"n": 1, "raw": b"\0\xff"}
    wait_until(lambda: not DelayedMessage.objects.exists(), "the row to go")


def test_what_waits_is_in_the_database_once_it_is_acknowledged(layer, server):
    layer.send("asgi.delay", {"channel": "reports", "content": {"n": 1}, "delay": 3_600_000})

    wait_until(lambda: layer.statistics().committed, "the commit")
    row = DelayedMessage.objects.get()
    assert (row.channel_name, row.content, row.layer) == ("reports", {"n": 1}, "default")


def test_what_cannot_be_done_is_a_dead_letter_with_its_reason(layer, server):
    layer.send("asgi.delay", {"channel": "reports", "content": {}, "delay": 0})

    dead = wait_until(layer.dead_letters, "a dead letter")
    assert [letter.reason for letter in dead] == ["'delay' is 0; it must be a whole number of milliseconds, 1 or more"]

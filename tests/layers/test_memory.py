"""The layer in this process keeps the contract, counts what it holds, and forgets what has gone."""

import pytest

from fairway.errors import ChannelFull
from fairway.layers.base import ChannelStatistics
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits, ChannelRule
from fairway.testing.layer_conformance import LayerConformance
from tests.support.memory import deep_counts


class TestMemoryLayer(LayerConformance):
    answer_timeout = 0.15

    def make_layer(self, limits):
        return MemoryLayer(limits, answer_timeout=self.answer_timeout)


@pytest.fixture
def layer():
    layer = MemoryLayer(BrokerLimits(rules=(("full", ChannelRule(capacity=0)), ("*", ChannelRule()))))
    yield layer
    layer.close()


def test_statistics_count(layer):
    layer.send("a", {"n": 1})
    layer.send("a", {"n": 2})
    reader = layer.reader(["a"])
    inbox = layer.inbox(["s1!"], lambda: None)
    layer.group_add("g", "a")
    delivery = reader.receive(1)
    found = layer.statistics()
    size = len(delivery.body)
    assert found.channels == {"a": ChannelStatistics(waiting=1, waiting_bytes=size, leased=1, readers=1)}
    assert (found.groups, found.sessions, found.owners, found.held_bytes) == (1, 1, 1, 2 * size)
    assert (found.delivered, found.committed) == (1, 0)
    reader.commit(delivery)
    inbox.close()
    assert layer.statistics().committed == 1


def test_what_was_opened_and_closed_leaves_no_trace(layer):
    for _ in range(20):
        reader, inbox = layer.reader(["a", "view!"]), layer.inbox(["s1!", "s2!"], lambda: None)
        layer.group_add("g", "s1!a")
        layer.send("view!1", {})
        layer.send("s2!b", {})
        with pytest.raises(ChannelFull):
            layer.send("full", {}, 0.001)
        reader.receive(1)
        reader.close()
        inbox.close()
    locked = layer.locked
    assert (locked.readers, locked.callbacks, locked.waiting) == ({}, {}, {})
    left_out = frozenset({"_limits", "limits", "_rules", "_numbers", "_repeats", "dead"})
    assert deep_counts(layer.broker, left_out) == deep_counts(MemoryLayer(layer.broker.limits).broker, left_out)

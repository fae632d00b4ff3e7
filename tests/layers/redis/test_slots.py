"""Slots: which master has a key, as `CLUSTER SLOTS` tells it."""

import pytest
from redis.crc import key_slot

from fairway.errors import LayerUnavailable
from fairway.layers.redis.address import Node
from fairway.layers.redis.slots import SlotTable, parse_slots

ASKED = Node("10.0.0.1", 7000)


def test_a_key_is_where_its_slot_is() -> None:
    reply = [
        [8192, 16383, [b"h2", 7001, b"id2", []], [b"h3", 7002, b"id3", []]],
        [0, 8191, [b"h1", 7000, b"id1"]],
    ]
    table = parse_slots(reply, ASKED)
    assert table.masters == [Node("h1", 7000), Node("h2", 7001)]
    for key in ("{a}", "{b}:x", "{b}:y", "c", "{fairway:#0}:x"):
        is_first = key_slot(key.encode()) < 8192
        assert table.node_of(key) == (Node("h1", 7000) if is_first else Node("h2", 7001))
    assert table.node_of("{b}:x") == table.node_of("{b}:y")


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_a_node_that_does_not_know_its_host_is_the_one_that_was_asked(host: bytes | None) -> None:
    assert parse_slots([[0, 16383, [host, 7005, b"id"]]], ASKED).masters == [Node("10.0.0.1", 7005)]


def test_a_slot_that_nobody_has_is_told() -> None:
    slot = key_slot(b"key")
    for ranges in ([], [(0, slot - 1, ASKED)], [(slot + 1, 16383, ASKED)]):
        with pytest.raises(LayerUnavailable, match=f"no master of the Redis Cluster has slot {slot}"):
            SlotTable(ranges).node_of("key")
    assert SlotTable([(slot, slot, ASKED)]).node_of("key") == ASKED


def test_a_cluster_without_slots_is_none_yet() -> None:
    with pytest.raises(LayerUnavailable, match=r"10\.0\.0\.1:7000 knows of no slots"):
        parse_slots([], ASKED)

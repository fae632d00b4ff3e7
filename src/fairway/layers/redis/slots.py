"""Which master of a Cluster has which slot: what `CLUSTER SLOTS` answers, as a table."""

from bisect import bisect_right
from typing import Any

from redis.crc import key_slot

from fairway.errors import LayerUnavailable
from fairway.layers.redis.address import Node


class SlotTable:
    """The masters by slot, as one node told them. It does not change; a look at the Cluster makes a new one."""

    def __init__(self, ranges: list[tuple[int, int, Node]]) -> None:
        self._ranges = sorted(ranges, key=lambda one: one[0])
        self._starts = [first for first, _, _ in self._ranges]

    @property
    def masters(self) -> list[Node]:
        """All masters that have slots, each once, in the order of their first slot."""
        return list(dict.fromkeys(node for _, _, node in self._ranges))

    def node_of(self, key: str) -> Node:
        """Return the master that has a key.

        Raises:
            LayerUnavailable: nobody has its slot at present.
        """
        slot = key_slot(key.encode())
        index = bisect_right(self._starts, slot) - 1
        if index >= 0:
            _, last, node = self._ranges[index]
            if slot <= last:
                return node
        raise LayerUnavailable(f"no master of the Redis Cluster has slot {slot}; it may be failing over")


def parse_slots(reply: Any, asked: Node) -> SlotTable:
    """Return the table that `CLUSTER SLOTS` answers with.

    Parameters:
        reply: `[[first, last, [host, port, …], …replicas], …]`.
        asked: the node that gave it; one that does not know its own host is meant by a missing one.

    Raises:
        LayerUnavailable: it tells of no slots, so this is no Cluster, or not yet.
    """
    ranges = [(int(first), int(last), _master(master, asked)) for first, last, master, *_ in reply]
    if not ranges:
        raise LayerUnavailable(f"Redis at {asked} knows of no slots; the Cluster is not formed yet")
    return SlotTable(ranges)


def _master(found: Any, asked: Node) -> Node:
    host, port = found[0], int(found[1])
    # "?": the node has a hostname and does not know it.
    name = host.decode() if host not in (None, b"", b"?") else asked.host
    return Node(name, port)

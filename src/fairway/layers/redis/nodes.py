"""Which server has a key, and connections to it: one server, the master behind Sentinel, or the masters of a Cluster.

Whoever has lost a connection, or was answered with `Trouble.RECONNECT` or `MOVED`, does this, with pauses in between::

    nodes.refresh()
    node = nodes.node_of(key)
    wire = nodes.connect(node)
"""

import threading
import time

from fairway.errors import LayerUnavailable
from fairway.layers.redis.address import Kind, Node, RedisAddress
from fairway.layers.redis.opening import CONNECT_TIMEOUT, Opener
from fairway.layers.redis.slots import SlotTable, parse_slots
from fairway.layers.redis.wire import ReplyError, Wire, pack, unavailable


class Nodes:
    """The servers of an address. Threads may share it.

    Parameters:
        address: where Redis is found.

    Raises:
        InvalidLayerSetting: a file of TLS cannot be used.
    """

    def __init__(self, address: RedisAddress) -> None:
        self.address = address
        self._sentinels: Opener | None = None
        role = ""
        if address.kind is Kind.SENTINEL:
            # Sentinel may name a master that has just become a replica, and a replica takes nothing.
            role = "master"
            self._sentinels = Opener(address.sentinel_login, 0, address.tls)
        self._opener = Opener(address.login, address.db, address.tls, role)
        self.start_anew()
        self._looked = 0.0
        self._table: SlotTable | None = None
        if address.kind is Kind.SINGLE:
            self._table = SlotTable([(0, 16383, address.nodes[0])])
        self._helpful = list(address.nodes)

    def start_anew(self) -> None:
        """Wait for nobody: in a forked process a look that the parent has begun never ends."""
        self._lock = threading.Lock()

    @property
    def masters(self) -> list[Node]:
        """The masters that are known: none before the first `refresh`, except where there is only one server."""
        return self._table.masters if self._table else []

    def node_of(self, key: str) -> Node:
        """Return the server that has a key, or any key with the same hash tag. The first call may have to look.

        Raises:
            LayerUnavailable: nobody can tell at present.
        """
        table = self._table
        if table is None:
            table = self._look_after(self._looked)
        return table.node_of(key)

    def refresh(self) -> None:
        """Look who the masters are now; callers at the same time share one look. Of one server there is nothing to see.

        Raises:
            LayerUnavailable: nobody can tell at present; what was known is kept.
        """
        self._look_after(time.monotonic())

    def connect(self, node: Node, *, timeout: float = CONNECT_TIMEOUT) -> Wire:
        """Return a wire to a server that `node_of` named; each step of the way there has `timeout` seconds.

        Raises:
            LayerUnavailable: it cannot be reached, does not let us in, or, behind Sentinel, is no master (any more).
        """
        return self._opener.open(node, timeout)

    def _look_after(self, moment: float) -> SlotTable:
        """Return what a look tells that was begun after a moment."""
        with self._lock:
            if self._table is None or (self._looked <= moment and self.address.kind is not Kind.SINGLE):
                began = time.monotonic()
                self._table = self._look()
                self._looked = began
            return self._table

    def _look(self) -> SlotTable:
        """Ask one after the other, those that knew last time first."""
        reasons = []
        known = [node for node in self.masters if node not in self._helpful] if not self._sentinels else []
        for node in [*self._helpful, *known]:
            try:
                table = self._ask_sentinel(node) if self._sentinels else self._ask_cluster(node)
            except LayerUnavailable as error:
                reasons.append(str(error))
                continue
            others = [other for other in self.address.nodes if other != node]
            self._helpful = [node, *others]
            return table
        raise LayerUnavailable("; ".join(reasons))

    def _ask_cluster(self, node: Node) -> SlotTable:
        wire = self._opener.open(node)
        try:
            reply = wire.ask(pack("CLUSTER", "SLOTS"), timeout=CONNECT_TIMEOUT)[0]
        finally:
            wire.close()
        if isinstance(reply, ReplyError):
            raise unavailable(node, f"does not tell of its Cluster: {reply}")
        return parse_slots(reply, node)

    def _ask_sentinel(self, node: Node) -> SlotTable:
        assert self._sentinels  # noqa: S101
        service = self.address.service
        wire = self._sentinels.open(node)
        try:
            reply = wire.ask(pack("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service), timeout=CONNECT_TIMEOUT)[0]
        finally:
            wire.close()
        if isinstance(reply, ReplyError):
            raise unavailable(node, f"is no Sentinel that tells us of {service!r}: {reply}")
        if not reply:
            raise unavailable(node, f"is a Sentinel that does not know the service {service!r}")
        return SlotTable([(0, 16383, Node(reply[0].decode(), int(reply[1])))])

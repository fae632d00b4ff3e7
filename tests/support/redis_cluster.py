"""A Redis Cluster of a test's own: masters without replicas, made by hand because that is faster than redis-cli."""

import contextlib
from collections.abc import Iterator

from tests.support.redis import HOST, RedisServer, redis_folder, started
from tests.support.waiting import wait_until

SLOTS = 16384
NODE_TIMEOUT = "1000"  # milliseconds
OPTIONS = ("--cluster-enabled", "yes", "--cluster-node-timeout", NODE_TIMEOUT)


class RedisCluster:
    """Masters that share the slots; `form` makes one Cluster of them, and `add` brings another one in."""

    def __init__(self, life: contextlib.ExitStack) -> None:
        self.masters: list[RedisServer] = []
        self._life = life

    @property
    def url(self) -> str:
        """What the layer is given: all masters by name; more options may follow after `?`."""
        return "redis+cluster://" + ",".join(f"{HOST}:{master.port}" for master in self.masters)

    def form(self, count: int = 3) -> None:
        """Start masters and give each an equal share of the slots."""
        bounds = [SLOTS * index // count for index in range(count + 1)]
        for index in range(count):
            master = self._start()
            master.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            master.call("CLUSTER", "ADDSLOTS", *range(bounds[index], bounds[index + 1]))
        self._meet()

    def add(self) -> RedisServer:
        """Bring in another master, which has no slots yet."""
        master = self._start()
        self._meet()
        return master

    def master_of(self, slot: int) -> RedisServer:
        """The master that has a slot, as the first master sees it."""
        for first, last, (_, port, *_), *_ in self.masters[0].call("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(master for master in self.masters if master.port == port)
        raise AssertionError(f"nobody has slot {slot}")

    def slot_of(self, key: str) -> int:
        """The slot of a key, as Redis reckons it."""
        slot: int = self.masters[0].call("CLUSTER", "KEYSLOT", key)
        return slot

    def begin_move(self, slot: int, target: RedisServer) -> None:
        """Open a slot for its move: keys that its master no longer has are answered with ASK from now on."""
        source = self.master_of(slot)
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", _name(source))
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", _name(target))

    def end_move(self, slot: int, target: RedisServer) -> None:
        """Bring the slot's keys over, and tell everybody: MOVED is the answer of its old master from now on."""
        source = self.master_of(slot)
        while keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.call("MIGRATE", HOST, target.port, "", 0, 5000, "KEYS", *keys)
        for master in (target, source, *self.masters):
            master.call("CLUSTER", "SETSLOT", slot, "NODE", _name(target))

    def move(self, slot: int, target: RedisServer) -> None:
        """Move one slot and its keys."""
        self.begin_move(slot, target)
        self.end_move(slot, target)

    def flush(self) -> None:
        """Empty all masters."""
        for master in self.masters:
            master.flush()

    def wait(self) -> None:
        """Wait until all masters agree that all is well."""
        wait_until(lambda: all(self._is_well(master) for master in self.masters), self._told)

    def _start(self) -> RedisServer:
        folder = self._life.enter_context(redis_folder())
        master = started(folder, OPTIONS)
        self._life.callback(master.kill)
        self.masters.append(master)
        return master

    def _meet(self) -> None:
        for master in self.masters:
            for other in self.masters:
                if other is not master:
                    master.call("CLUSTER", "MEET", HOST, other.port)
        self.wait()

    def _is_well(self, master: RedisServer) -> bool:
        known = [line for line in master.call("CLUSTER", "NODES").splitlines() if b"handshake" not in line]
        return b"cluster_state:ok" in master.call("CLUSTER", "INFO") and len(known) == len(self.masters)

    def _told(self) -> str:
        return f"a Redis Cluster: {[master.call('CLUSTER', 'INFO') for master in self.masters]}"


@contextlib.contextmanager
def redis_cluster(count: int = 3) -> Iterator[RedisCluster]:
    """Run a Cluster for the length of a ``with`` block."""
    with contextlib.ExitStack() as life:
        cluster = RedisCluster(life)
        cluster.form(count)
        yield cluster


def _name(master: RedisServer) -> str:
    name: bytes = master.call("CLUSTER", "MYID")
    return name.decode()

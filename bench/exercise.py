"""One shape put on one contender: opened, warmed up, driven from rest to rest, and summed up in a sample."""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace

from bench.client import connections
from bench.crowd import RemoteLoad
from bench.loads import Echo, FanOut, Load, steady
from bench.plan import Shape, paths
from bench.processes import Accounts

WARM_UP = 0.4


@dataclass
class Sample:
    """What one contender did in one round of one shape. Times in seconds, memory in bytes."""

    units: int
    seconds: float = 0.0
    cpu: float = 0.0
    client_seconds: float = 0.0
    client_idle: float = 0.0
    client_cpu: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    memory: float = 0.0
    deflated: bool = False
    slices: list[float] = field(default_factory=list)
    details: dict[str, float] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        """What contenders are compared by: CPU seconds per delivery or echo, bytes per idle connection."""
        return self.cpu / self.units if self.cpu else self.memory

    @property
    def costs(self) -> list[float]:
        """The same for each slice of the round."""
        return self.slices or [self.cost]

    @property
    def rate(self) -> float:
        """Deliveries or echoes a second."""
        return self.units / self.seconds if self.seconds else 0.0

    @property
    def client_load(self) -> float:
        """How busy the client was: the share of the time in which it had something to do, or its share of one core.

        A client that spins has something to do when it does not wait; of one that sleeps the CPU time tells more,
        since on a core that it shares it may also wait for its turn.
        """
        if not self.client_seconds:
            return 0.0
        return (self.client_cpu or self.client_seconds - self.client_idle) / self.client_seconds


class Exercise:
    """One shape put on one running contender: opened and warmed up, then driven slice by slice."""

    def __init__(self, shape: Shape, ports: list[int], accounts: Accounts, *, cookie: str = "") -> None:
        """Open the sockets and warm the contender up."""
        self._shape = shape
        self._accounts = accounts
        self._latencies = array("d")
        self._sample = Sample(units=0)
        with ExitStack() as stack:
            self._load = stack.enter_context(_load(shape, ports, cookie if shape.json or shape.requests else ""))
            with steady():
                self._load.run(WARM_UP)
            accounts.settle()
            self._stack = stack.pop_all()

    def slice(self) -> None:
        """Drive the load for a slice of the shape's time, from rest to rest."""
        with steady():
            cpu, idle, started = self._accounts.cpu(), self._load.idle, time.perf_counter()
            own = time.process_time()
            tally = self._load.run(self._shape.seconds / self._shape.slices)
            self._sample.client_seconds += time.perf_counter() - started
            self._sample.client_idle += self._load.idle - idle
            if self._shape.on_all_cores:
                self._sample.client_cpu += time.process_time() - own
            cpu = self._accounts.settle() - cpu
            self._load.check_silence()
            self._accounts.check()
        self._latencies.extend(tally.latencies)
        self._sample.units += tally.units
        self._sample.seconds += tally.ended - started
        self._sample.cpu += cpu
        self._sample.slices.append(cpu / tally.units)

    @property
    def units(self) -> int:
        """Messages so far, without the warm-up."""
        return self._sample.units

    def sample(self) -> Sample:
        """Return what all slices together came to."""
        cuts = statistics.quantiles(self._latencies, n=100, method="inclusive")
        return replace(self._sample, p50=cuts[49], p99=cuts[98], deflated=self._load.deflated)

    def close(self) -> None:
        """Close the sockets; wait for the server to deal with that, or it falls into another's time."""
        self._stack.close()
        self._accounts.settle()


@contextmanager
def _load(shape: Shape, ports: list[int], cookie: str) -> Iterator[Load | RemoteLoad]:
    """Open the sockets of a shape and put its load on them."""
    if shape.family == "crowd":
        with closing(RemoteLoad(shape, ports)) as remote:
            yield remote
        return
    kind = FanOut if shape.path.startswith("/fanout/") else Echo
    with (
        connections(ports, paths(shape), offer_deflate=shape.deflate, cookie=cookie) as opened,
        closing(kind(shape, opened)) as load,
    ):
        yield load


def measure_memory(shape: Shape, ports: list[int], accounts: Accounts) -> Sample:
    """Measure what idle sockets add to the memory of a freshly started contender."""
    every = paths(shape)
    # What a server loads or caches with its first connections is not the price of one more.
    with connections(ports, every[:50], offer_deflate=shape.deflate) as opened, closing(FanOut(shape, opened)) as load:
        load.run(0)
    accounts.settle()
    time.sleep(0.2)
    before = accounts.memory()
    with connections(ports, every, offer_deflate=shape.deflate) as opened, closing(FanOut(shape, opened)) as load:
        accounts.settle()
        time.sleep(0.2)
        used = accounts.memory() - before
        load.run(0)  # One message to all of them: they were alive, and in the group.
        accounts.check()
    return Sample(units=shape.sockets, memory=used / shape.sockets, deflated=any(c.accepted.deflate for c in opened))

"""Messages for later: how late they are, how many are scheduled and delivered, and what that costs.

A process schedules them, a delay server keeps them, and the consumer of a worker process says when each has come. All
of that runs on all cores, on which nobody else has anything to do. Clocks are those on the wall, all of one machine.

`Lateness` lets messages be due at random moments. Their CPU time is that of scheduling and sending them, each
alone. `Turnover` schedules as many as it can, which ends when a last one that is due at once has come; a delay server
takes requests in their order. All but that are due together, a good while later. Its two phases are counted apart.
"""

from __future__ import annotations

import statistics
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Mapping
from dataclasses import replace
from socket import socket

from bench.errors import BenchError
from bench.exercise import Sample
from bench.messages import End
from bench.plan import Shape
from bench.processes import Accounts

TIMEOUT = 30.0
AHEAD = 300  # Milliseconds from the order to schedule until the first may be due.
WARM_UP = 200  # Messages.
FIRST_LEAD, LONGEST_LEAD, MARGIN = 3.0, 10.0, 0.5  # Seconds until messages that are still to be scheduled are due.

LATE, SCHEDULED, DELIVERED = "late", "scheduled", "delivered"  # Phases.

Parts = Callable[[], Mapping[str, Accounts]]


class DelayExercise(ABC):
    """What both exercises share: the order to schedule, and what comes of it."""

    def __init__(self, shape: Shape, scheduler: End, arrivals: socket, parts: Parts) -> None:
        """Warm everybody up. `parts` returns those whose CPU time counts, by their names."""
        self._shape = shape
        self._scheduler = scheduler
        self._arrivals = arrivals
        arrivals.settimeout(TIMEOUT)
        self._next = 0
        self._due: dict[int, int] = {}
        self._latencies = array("d")
        self._sample = Sample(units=0)
        self._warm_up()
        # Only now: a delay server connects when it has something to do, and PostgreSQL has a process for that.
        self._parts = parts()
        self._settled()

    @abstractmethod
    def slice(self) -> None:
        """Drive the load once, from rest to rest."""

    @property
    def units(self) -> int:
        """Messages so far, without the warm-up."""
        return self._sample.units

    def sample(self) -> Sample:
        """Return what all slices together came to."""
        cuts = statistics.quantiles(self._latencies, n=100, method="inclusive")
        return replace(self._sample, p50=cuts[49], p99=cuts[98])

    def close(self) -> None:
        """Wait until nothing is left to be done."""
        self._settled()

    def _warm_up(self) -> None:
        self._schedule(WARM_UP, due=_now(), spread=AHEAD)
        self._await_all()
        self._latencies = array("d")

    def _schedule(self, count: int, *, due: int, spread: int = 0) -> None:
        """Let messages be scheduled; return when they have been sent to the delay server."""
        first, self._next = self._next, self._next + count
        self._scheduler.tell(first=first, count=count, due=due, spread=spread)
        self._due.update(enumerate(self._scheduler.answer(), first))

    def _await_all(self, *, but: int = 0) -> float:
        """Wait until all have come, or all but some; return when the last one came."""
        came = 0
        while len(self._due) > but:
            try:
                number, came = map(int, self._arrivals.recv(100).split())
            except TimeoutError:
                raise BenchError(f"of the messages for later {len(self._due)} have not come") from None
            due = self._due.pop(number, None)
            if due is None:
                raise BenchError(f"message {number} came twice")
            late = came / 1e9 - due / 1e3
            if late < 0:
                raise BenchError(f"message {number} came {-late * 1e3:.1f} ms before its time")
            self._latencies.append(late)
        return came / 1e9

    def _settled(self) -> dict[str, float]:
        """Wait until the parts are at rest; return their CPU time then."""
        found = {name: accounts.settle() for name, accounts in self._parts.items()}
        for accounts in self._parts.values():
            accounts.check()
        return found

    def _count(self, phase: str, units: int, seconds: float, before: Mapping[str, float]) -> None:
        """Add to the sample what a phase took since `before`."""
        details = self._sample.details
        after = self._settled()
        cpu = {name: after[name] - before[name] for name in after}
        for name, value in {"units": units, "seconds": seconds, **cpu}.items():
            key = f"{phase} {name}"
            details[key] = details.get(key, 0.0) + value
        self._sample.cpu += sum(cpu.values())
        self._sample.slices.append(sum(cpu.values()) / units)


class Lateness(DelayExercise):
    """Messages that are due at random moments, of which there are so many in a second."""

    def slice(self) -> None:
        """Drive the load once."""
        before, started = self._settled(), time.perf_counter()
        seconds = self._shape.seconds / self._shape.slices
        self._schedule(self._shape.messages, due=_now() + AHEAD, spread=max(1, int(seconds * 1e3)))
        self._await_all()
        self._sample.seconds += time.perf_counter() - started
        self._sample.units += self._shape.messages
        self._count(LATE, self._shape.messages, seconds, before)


class Turnover(DelayExercise):
    """Messages that are scheduled as fast as that goes, and are then due at once."""

    _lead = FIRST_LEAD

    def slice(self) -> None:
        """Drive the load once."""
        count = self._shape.messages
        before, began = self._settled(), time.time()
        due = _now() + int(1e3 * self._lead)
        self._schedule(count, due=due)
        self._schedule(1, due=_now())
        took = self._await_all(but=count) - began
        self._lead = min(LONGEST_LEAD, MARGIN + 2 * took)
        self._count(SCHEDULED, count, took, before)
        self._latencies.pop()
        before = self._settled()
        if _now() >= due:
            raise BenchError("scheduling took so long that the first were due before it had ended")
        seconds = self._await_all() - due / 1e3
        self._count(DELIVERED, count, seconds, before)
        self._sample.units += count
        self._sample.seconds += seconds


def _now() -> int:
    return time.time_ns() // 1_000_000


def delay_exercise(shape: Shape, scheduler: End, arrivals: socket, parts: Parts) -> DelayExercise:
    """Return the one that a shape asks for."""
    kind = Lateness if shape.seconds else Turnover
    return kind(shape, scheduler, arrivals, parts)

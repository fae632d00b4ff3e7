"""Messages through the layer alone: one process sends, another one receives, and Redis is between them.

A closed loop: `BATCH` messages are sent one after the other, while they are received, and the next begin when all have
come. The CPU is that of both processes and of Redis. Nobody else has anything to do.
"""

from __future__ import annotations

import json
import socket
import statistics
import time
from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.errors import BenchError
from bench.exercise import Sample
from bench.plan import Shape
from bench.processes import Accounts

BATCH = 50
BATCH_BYTES = 20 * 1024 * 1024
TIMEOUT = 30.0


class End:
    """The near side of a process that sends or receives (`bench.post`)."""

    def __init__(self, sock: socket.socket) -> None:
        """Take the socket over which it is told what to do."""
        sock.settimeout(TIMEOUT)
        self._sock = sock
        self._lines = sock.makefile("rw")

    def order(self, verb: str, channel: str = "", count: int = 0, size: int = 0) -> None:
        """Tell it what to do."""
        self.tell(verb=verb, channel=channel, count=count, size=size)

    def tell(self, **order: Any) -> None:
        """Tell a process that takes other orders what to do."""
        print(json.dumps(order), file=self._lines, flush=True)

    def answer(self) -> Any:
        """Wait until it has been done."""
        try:
            line = self._lines.readline()
        except TimeoutError:
            raise BenchError(f"a message was not sent, or did not come, within {TIMEOUT:g} s") from None
        if not line:
            raise BenchError("a process that sends or receives has ended")
        return json.loads(line)

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._sock.close()


class MessageExercise:
    """One size of message put on one layer: warmed up, then driven slice by slice."""

    def __init__(self, shape: Shape, ends: Sequence[End], accounts: Accounts) -> None:
        """Open the channel and warm everybody up."""
        self._shape = shape
        self._sender, self._receiver = ends
        self._accounts = accounts
        self._batch = max(1, min(BATCH, BATCH_BYTES // shape.size))
        self._latencies = array("d")
        self._sample = Sample(units=0)
        self._receiver.order("open", shape.key)
        self._channel = self._receiver.answer()
        self._drive(0.2)
        self._latencies = array("d")
        accounts.settle()

    def slice(self) -> None:
        """Drive the load for a slice of the shape's time, from rest to rest."""
        cpu, started = self._accounts.cpu(), time.perf_counter()
        units = self._drive(self._shape.seconds / self._shape.slices)
        self._sample.seconds += time.perf_counter() - started
        cpu = self._accounts.settle() - cpu
        self._accounts.check()
        self._sample.units += units
        self._sample.cpu += cpu
        self._sample.slices.append(cpu / units)

    @property
    def units(self) -> int:
        """Messages so far, without the warm-up."""
        return self._sample.units

    def sample(self) -> Sample:
        """Return what all slices together came to."""
        if self._shape.refuses:
            self._sender.order("refuse", self._channel)
            if not self._sender.answer():
                raise BenchError("a message above the limit was not refused")
        cuts = statistics.quantiles(self._latencies, n=100, method="inclusive")
        return replace(self._sample, p50=cuts[49], p99=cuts[98])

    def close(self) -> None:
        """Wait until nothing is left to be done."""
        self._accounts.settle()

    def _drive(self, seconds: float) -> int:
        units, deadline = 0, time.perf_counter() + seconds
        while not units or time.perf_counter() < deadline:
            self._receiver.order("receive", count=self._batch, size=self._shape.size)
            self._sender.order("send", self._channel, self._batch, self._shape.size)
            self._sender.answer()
            self._latencies.extend(self._receiver.answer())
            units += self._batch
        return units

"""The loads: closed loops over open sockets, which count every message and check a sample of their contents.

A loop sends only after something came back, so no contender is asked for more than it can do, and every message that
was sent must arrive exactly once: after the last one the loop waits until the servers are at rest, and anything
missing or surplus is an error, not a number.
"""

from __future__ import annotations

import gc
import json
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench import wire
from bench.client import STALL_TIMEOUT, Connection, Poller
from bench.errors import BenchError
from bench.payloads import payloads
from bench.plan import VARIANTS, Shape

SAMPLE_EVERY = 50  # Of the sockets of a fan-out, one in so many is read thoroughly; of an echo, ten times as many.
READ_SIZE = 1 << 18


@dataclass
class Tally:
    """What a loop counted between two drained states."""

    units: int = 0
    ended: float = 0.0
    latencies: array[float] = field(default_factory=lambda: array("d"))


class Load:
    """What the loops share: the poller, the frames, the check of what comes back."""

    def __init__(self, shape: Shape, opened: list[Connection]) -> None:
        """Prepare the frames of the shape."""
        self.shape = shape
        self.connections = opened
        self.texts = payloads(shape)
        self.frames = [wire.masked_frame(wire.TEXT, text) for text in self.texts]
        self.buffer = bytearray(READ_SIZE)
        self.poller = Poller(opened, spins=not shape.on_all_cores)

    def close(self) -> None:
        """Let go of the sockets (they stay open)."""
        self.poller.close()

    @property
    def idle(self) -> float:
        """The seconds in which the client waited so far."""
        return self.poller.idle

    @property
    def deflated(self) -> bool:
        """Whether the sample saw compressed frames."""
        return any(connection.deflated_frames for connection in self.connections)

    def run(self, seconds: float) -> Tally:
        """Drive the loop for so long, at least one message each, and until everything sent has come back."""
        raise NotImplementedError

    def check_silence(self) -> None:
        """Raise when something arrives that nobody sent."""
        for connection in self.poller.ready(0.02):
            if connection.take(self.buffer):
                raise BenchError("a message was delivered twice")

    def ready(self) -> list[Connection]:
        """Wait for something to read."""
        return self.poller.ready() or self._stalled()

    def _stalled(self) -> list[Connection]:
        raise BenchError(f"nothing arrived for {STALL_TIMEOUT:.0f} s though messages were on their way")

    def _send(self, connection: Connection, frame: bytes) -> None:
        try:
            sent = connection.send(frame)
        except BlockingIOError:
            sent = 0
        if sent != len(frame):
            raise BenchError("the server does not read: a single small frame did not fit into the socket")


@dataclass(slots=True)
class Group:
    """The sockets of one group, and its messages under way by number."""

    members: list[Connection]
    sent: int = 0
    sent_at: dict[int, float] = field(default_factory=dict)
    missing: dict[int, int] = field(default_factory=dict)


class FanOut(Load):
    """A member of each group publishes; the next message goes out when all members have the last."""

    def __init__(self, shape: Shape, opened: list[Connection]) -> None:
        """Sort the sockets into their groups."""
        super().__init__(shape, opened)
        self.groups = [Group(opened[index :: shape.groups]) for index in range(shape.groups)]
        for index, connection in enumerate(opened):
            connection.tag = index % shape.groups
            if index % SAMPLE_EVERY == 0:
                connection.check = self._check

    def _check(self, index: int, text: bytes) -> None:
        if text != self.texts[index % VARIANTS]:
            raise BenchError(f"message {index} of a group arrived with wrong contents or out of order: {text[:80]!r}")

    def run(self, seconds: float) -> Tally:
        """Keep `in_flight` messages under way, over the groups in turn."""
        tally = Tally()
        waiting = deque(range(self.shape.groups))
        deadline = time.perf_counter() + seconds
        under_way = 0
        for _ in range(self.shape.in_flight):
            self._publish(self.groups[waiting.popleft()])
            under_way += 1
        while under_way:
            for done in self._deliveries(tally):
                under_way -= 1
                waiting.append(done)
                if tally.ended < deadline:
                    self._publish(self.groups[waiting.popleft()])
                    under_way += 1
        return tally

    def _publish(self, group: Group) -> None:
        number = group.sent
        group.sent += 1
        group.missing[number] = len(group.members)
        group.sent_at[number] = time.perf_counter()
        self._send(group.members[0], self.frames[number % VARIANTS])

    def _deliveries(self, tally: Tally) -> Iterator[int]:
        """Read every socket that has something; yield the group of each message that is now complete."""
        groups, buffer, clock, record = self.groups, self.buffer, time.perf_counter, tally.latencies.append
        for connection in self.ready():
            first = connection.received
            count = connection.take(buffer)
            now = clock()
            group = groups[connection.tag]
            missing = group.missing
            for number in range(first, first + count):
                if number not in missing:
                    raise BenchError("a message was delivered twice")
                record(now - group.sent_at[number])
                missing[number] -= 1
                if not missing[number]:
                    del missing[number], group.sent_at[number]
                    tally.ended = now
                    yield connection.tag
            tally.units += count


class Echo(Load):
    """Every socket sends, waits for its answer, and sends again."""

    def __init__(self, shape: Shape, opened: list[Connection]) -> None:
        """Mark the slow sockets, which are the last."""
        super().__init__(shape, opened)
        check: Callable[[int, bytes], None] = self._check_text
        if shape.requests:
            check = self._check_answer
        elif shape.json:
            check = self._check_json
        for index, connection in enumerate(opened):
            connection.slow = index >= len(opened) - shape.slow_sockets
            if index % (SAMPLE_EVERY // 10) == 0:
                connection.check = check

    def _check_text(self, index: int, text: bytes) -> None:
        if text != self.texts[index % VARIANTS]:
            raise BenchError(f"echo {index} came back with wrong contents: {text[:80]!r}")

    def _check_json(self, index: int, text: bytes) -> None:
        number = index % VARIANTS
        reply = json.loads(text)
        if (reply.get("n"), reply.get("user"), reply.get("title")) != (number, "bench", f"Note {number}"):
            raise BenchError(f"answer {index} came back with wrong contents: {text[:120]!r}")

    def _check_answer(self, index: int, text: bytes) -> None:
        """Whether a request came back as it was, or as the answer to it."""
        request, answer = json.loads(self.texts[index % VARIANTS]), json.loads(text)
        if answer not in (request, {**request, "type": "pong"}):
            raise BenchError(f"request {index} was answered with {text[:120]!r}")

    def run(self, seconds: float) -> Tally:
        """Start one exchange on every socket and keep each going until the time is over."""
        tally = Tally()
        frames, buffer, clock, record = self.frames, self.buffer, time.perf_counter, tally.latencies.append
        deadline = clock() + seconds
        for connection in self.connections:
            connection.sent_at = clock()
            self._send(connection, frames[connection.received % VARIANTS])
        under_way = len(self.connections)
        while under_way:
            for connection in self.ready():
                count = connection.take(buffer)
                if not count:
                    continue
                now = clock()
                if count > 1:
                    raise BenchError("a message was echoed twice")
                tally.units += 1
                if not connection.slow:
                    record(now - connection.sent_at)
                    tally.ended = now
                if now < deadline:
                    connection.sent_at = now
                    connection.send(frames[connection.received % VARIANTS])
                else:
                    under_way -= 1
        return tally


@contextmanager
def steady() -> Iterator[None]:
    """Keep the client's own garbage collector out of the latencies."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

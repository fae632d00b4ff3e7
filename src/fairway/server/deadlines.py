"""Timeouts for a hundred thousand connections at the cost of one timer.

Time is cut into ticks. Whoever has a deadline stands in the bucket of its tick; when the tick comes, `on_due` is called
and returns the seconds until it wants to be called again, or None. It has one deadline: a later `put` replaces it, and
`drop` takes it back; both take it out of its bucket, so that what has ended is not kept for its old deadline's sake.

Moving one for every byte is not needed: a connection notes when something happened (`Deadlines.now` is a plain
attribute, exact to a tick), and works out in `on_due` whether its time is over. So what happens often costs one
assignment, and what happens rarely costs a set entry.
"""

import asyncio
import logging
from typing import Protocol

logger = logging.getLogger("fairway.server")

TICK = 0.25
"""Seconds. Every timeout of a connection is exact to this much."""


class Due(Protocol):
    """Something with a deadline. `tick` belongs to `Deadlines`: it starts as 0."""

    tick: int

    def on_due(self, now: float) -> float | None:
        """Do what is due; return the seconds until the next deadline, or None when there is none."""


class Deadlines:
    """All deadlines of one server."""

    __slots__ = ("_buckets", "_handle", "_loop", "_tick", "now")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now = loop.time()
        self._tick = int(self.now / TICK)
        self._buckets: dict[int, set[Due]] = {}
        self._handle: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def put(self, due: Due, seconds: float) -> None:
        """Call `due.on_due` in `seconds`, instead of what was set before. Below 0 (`UNLIMITED`) means never."""
        if seconds < 0:
            self.drop(due)
            return
        if self._handle is None:
            self.now = self._loop.time()
            self._tick = int(self.now / TICK)
            self._handle = self._loop.call_later(TICK, self._turn)
        tick = max(self._tick, int((self.now + seconds) / TICK)) + 1
        if tick == due.tick:  # a busy connection sets the same one many times a tick
            return
        if due.tick:
            self.drop(due)
        due.tick = tick
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = set()
        bucket.add(due)

    def drop(self, due: Due) -> None:
        """Take a deadline back, if there is one."""
        tick, due.tick = due.tick, 0
        if not tick:
            return
        bucket = self._buckets.get(tick)
        if bucket is not None:
            bucket.discard(due)
            if not bucket:
                del self._buckets[tick]

    def close(self) -> None:
        """Forget all deadlines."""
        self._buckets.clear()
        if self._handle:
            self._handle.cancel()
            self._handle = None

    def _turn(self) -> None:
        self.now = self._loop.time()
        first, self._tick = self._tick + 1, int(self.now / TICK)
        for tick in range(first, self._tick + 1):
            for due in self._buckets.pop(tick, ()):
                if due.tick == tick:
                    due.tick = 0
                    self._call(due)
        self._handle = self._loop.call_later(TICK, self._turn) if self._buckets else None

    def _call(self, due: Due) -> None:
        try:
            again = due.on_due(self.now)
        except Exception:
            logger.exception("a deadline failed")
            return
        if again is not None and again >= 0:
            self.put(due, again)

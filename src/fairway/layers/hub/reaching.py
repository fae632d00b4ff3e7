"""Reaching a broker that may be away: one attempt after the other, with pauses that grow, until a deadline."""

import asyncio
import time
from typing import Protocol

from fairway.errors import LayerUnavailable

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0


class Reached(Protocol):
    """A line, as far as whoever waits for it knows it."""

    closed: bool

    @property
    def is_up(self) -> bool:
        """Whether there is a connection, as far as is known."""

    def connect(self) -> None:
        """Try once to make it, unless there is one; raises LayerUnavailable."""

    def pause(self, seconds: float) -> bool:
        """Wait before the next attempt; return True when the line was closed meanwhile."""


def reach(line: Reached, wait: float) -> None:
    """Return when there is a connection; try for `wait` seconds, and at least once.

    Raises:
        LayerUnavailable: the broker could not be reached.
    """
    deadline = time.monotonic() + wait
    pause = FIRST_PAUSE
    while not line.is_up:
        try:
            line.connect()
        except LayerUnavailable:
            left = deadline - time.monotonic()
            if left <= 0 or line.pause(min(pause, left)):
                raise
            pause = min(LONGEST_PAUSE, pause * 2)


async def areach(line: Reached, deadline: float) -> None:
    """Do as `reach`. No thread of the pool is kept while the broker is away: others need them."""
    pause = FIRST_PAUSE
    while not line.is_up:
        try:
            await asyncio.to_thread(line.connect)
        except LayerUnavailable:
            left = deadline - time.monotonic()
            if left <= 0 or line.closed:
                raise
            await asyncio.sleep(min(pause, left))
            pause = min(LONGEST_PAUSE, pause * 2)

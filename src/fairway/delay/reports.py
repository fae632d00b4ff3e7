"""What a delay server tells the log about messages, and how often: a flood of them makes no flood of lines.

Each report is one line at most in a while; what happens in between is summed up in the next one. Times are told.
"""

import logging
import math
from collections.abc import Iterable

from fairway.delay.limits import DelayLimits

logger = logging.getLogger("fairway.delay")

NAMED = 5
"""Channels without room that are named; of the others it is told how many there are."""


class Rhythm:
    """Says when it is time for the next line of a kind.

    Parameters:
        every: seconds between two.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._last = -math.inf

    def is_time(self, now: float) -> bool:
        """Whether a line may be written now; then it is."""
        if now - self._last < self._every:
            return False
        self._last = now
        return True


class LateReport:
    """Tells what left after its time."""

    def __init__(self, limits: DelayLimits) -> None:
        self._limits = limits
        self._rhythm = Rhythm(limits.report_every)
        self._count = 0
        self._worst = 0.0
        self._channel = ""

    def note(self, late: float, channel: str) -> None:
        """A message has left so many seconds after its time."""
        if late > self._limits.late:
            self._count += 1
            if late > self._worst:
                self._worst, self._channel = late, channel

    def tell(self, now: float) -> None:
        """Write the line, if there is anything to tell and it is time."""
        if self._count and self._rhythm.is_time(now):
            self.tell_rest()

    def tell_rest(self) -> None:
        """Write the line, if there is anything to tell."""
        if self._count:
            text = "%s left more than %g s after %s time; the latest, to %r, %.1f s"
            whose = "its" if self._count == 1 else "their"
            logger.warning(text, _messages(self._count), self._limits.late, whose, self._channel, self._worst)
            self._count, self._worst = 0, 0.0


def tell_full(waiting: Iterable[tuple[str, int]], total: int) -> None:
    """Tell which channels have no room.

    Parameters:
        waiting: those with the most messages that wait for room, and how many these are.
        total: how many channels there are.
    """
    named = [f"{channel!r} ({_messages(count)})" for channel, count in waiting]
    more = f" and {total - len(named):,} more channels" if total > len(named) else ""
    text = "no room in %s%s: what is due there waits until its consumers catch up"
    logger.warning(text, ", ".join(named), more)


def _messages(count: int) -> str:
    return "1 delayed message" if count == 1 else f"{count:,} delayed messages"

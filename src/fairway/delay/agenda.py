"""When a delay server has something to do next. Times are told, so that nothing here looks at a clock.

Two kinds of time are kept apart. When a message is due is a matter of the clock on the wall, which may be set; how long
to wait is a matter of one that only runs. So a wait for what is due is cut into short ones, between each of which the
clock on the wall is looked at; that costs nothing but the look.
"""

from datetime import datetime

from fairway.delay.limits import DelayLimits


class Agenda:
    """What is known about the next message.

    Parameters:
        limits: how long to wait for what.
    """

    def __init__(self, limits: DelayLimits) -> None:
        self._limits = limits
        self.next_due: datetime | None = None
        """When the next message is due, as far as is known."""
        self._look_at = 0.0
        """When (`time.monotonic`) the table is to be asked, whatever is known."""
        self._not_before = 0.0
        """Until then others hold what is due."""

    def note(self, due: datetime) -> None:
        """A message was stored that is due then."""
        if self.next_due is None or due < self.next_due:
            self.next_due = due

    def set(self, next_due: datetime | None, now: float) -> None:
        """The table was asked at `now`, and said when the next one is due."""
        self.next_due = next_due
        self._look_at = now + self._limits.look

    def forget(self) -> None:
        """Nothing is known: ask the table."""
        self._look_at = 0.0

    def look_at(self, then: float) -> None:
        """Ask the table at `then`, if not before: a channel that is left alone may have room by then."""
        self._look_at = min(self._look_at, then)

    def hold(self, now: float) -> None:
        """What is due is held by others: leave it to them for a moment."""
        self._not_before = now + self._limits.others_pause

    def must_look(self, now: float) -> bool:
        """Whether it is time to ask the table."""
        return now >= self._look_at

    def is_due(self, wall: datetime, now: float) -> bool:
        """Whether there is something to send."""
        return self.next_due is not None and self.next_due <= wall and now >= self._not_before

    def wait(self, wall: datetime, now: float) -> float:
        """Return how many seconds to wait until there may be something to do, or to look at the clock."""
        waits = [self._limits.longest_wait, self._look_at - now]
        if self.next_due is not None:
            waits.append(max((self.next_due - wall).total_seconds(), self._not_before - now))
        return max(0.0, min(waits))

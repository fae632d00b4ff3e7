"""Whether an open WebSocket is alive: every time that runs for it, and what follows when one is over. Pure.

=============  =================================================  ==========================================
time           runs                                               when it is over
=============  =================================================  ==========================================
lifetime       from the acceptance                                the socket is closed, 1001
ping_interval  from the last byte of the client                   a ping is sent
ping_timeout   from the ping, while no byte comes                 the connection is cut
stall          from the last byte that a slow client took         the socket is closed, 1013
message_time   from the first frame of an unfinished message      the socket is closed, 1008
=============  =================================================  ==========================================

While the socket is not read, nothing the client does or leaves undone counts against it.
"""

from enum import IntEnum

from fairway.limits import UNLIMITED, WebSocketLimits


class Verdict(IntEnum):
    """What is to be done about a WebSocket."""

    ALIVE = 0
    IDLE = 1
    DEAD = 2
    OLD = 3
    SLOW = 4
    UNFINISHED = 5


class Pulse:
    """The times of one WebSocket. 0.0 stands for a time that does not run."""

    __slots__ = ("_backlog", "_opened", "_pinged", "_stalled", "seen", "unfinished_since")

    def __init__(self, now: float) -> None:
        self._opened = now
        self.seen = now
        """When the last byte of the client came."""
        self._pinged = 0.0
        self.unfinished_since = 0.0
        """When the message began that has not ended."""
        self._stalled = 0.0
        self._backlog = 0
        """What waited for a slow client when it last took something."""

    @property
    def is_stalled(self) -> bool:
        """Whether the client reads slowly."""
        return self._stalled > 0

    def stall(self, now: float, unsent: int) -> None:
        """Note that more than the high mark waits for the client."""
        self._stalled, self._backlog = now, unsent

    def recover(self) -> None:
        """Note that the client has read on."""
        self._stalled = 0.0

    def note_backlog(self, now: float, before: int, after: int) -> None:
        """Note what waited before and after one more frame: while that falls, the client is slow and not gone."""
        if before < self._backlog:
            self._stalled = now
        self._backlog = after

    def note_message(self, now: float, *, is_unfinished: bool) -> None:
        """Note whether a message has begun and not ended."""
        if not is_unfinished:
            self.unfinished_since = 0.0
        elif not self.unfinished_since:
            self.unfinished_since = now

    def note_finished(self) -> None:
        """Note that a message is whole: what is unfinished now is another one."""
        self.unfinished_since = 0.0

    def note_ping(self, now: float) -> None:
        """Note that a ping was sent."""
        self._pinged = now

    def look(self, limits: WebSocketLimits, now: float, unsent: int, *, is_read: bool) -> Verdict:
        """Say what is to be done now."""
        if self._stalled and unsent < self._backlog:
            self._stalled, self._backlog = now, unsent
        if not is_read:
            self.seen = now
            self.unfinished_since = now if self.unfinished_since else 0.0
        if self.seen >= self._pinged:
            self._pinged = 0.0
        if self._stalled and _is_over(limits.stall, self._stalled, now):
            return Verdict.SLOW
        if _is_over(limits.lifetime, self._opened, now):
            return Verdict.OLD
        if self.unfinished_since and _is_over(limits.message_time, self.unfinished_since, now):
            return Verdict.UNFINISHED
        if self._pinged:
            return Verdict.DEAD if _is_over(limits.ping_timeout, self._pinged, now) else Verdict.ALIVE
        return Verdict.IDLE if _is_over(limits.ping_interval, self.seen, now) else Verdict.ALIVE

    def patience(self, limits: WebSocketLimits, now: float) -> float:
        """Return the seconds until the first of the times is over; `UNLIMITED` when none runs."""
        times = [(limits.lifetime, self._opened)]
        times.append((limits.ping_timeout, self._pinged) if self._pinged else (limits.ping_interval, self.seen))
        if self._stalled:
            times.append((limits.stall, self._stalled))
        # A message may begin at any moment, and sets no deadline of its own: it is looked for from time to time.
        times.append((limits.message_time, self.unfinished_since or now))
        left = [limit - (now - since) for limit, since in times if limit >= 0]
        return max(0.0, min(left)) if left else UNLIMITED


def _is_over(limit: float, since: float, now: float) -> bool:
    """Whether a time that began at `since` is over; one below 0 has no end."""
    return 0 <= limit <= now - since

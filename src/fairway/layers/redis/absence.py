"""What is known of a Redis that is away: since when, why, when it may be tried again, and what the log was told."""

import logging
import time

from fairway.errors import LayerUnavailable
from fairway.layers.hub.reaching import FIRST_PAUSE, LONGEST_PAUSE

logger = logging.getLogger("fairway.layer")

STEADY = 5.0
"""Seconds that connections have to last for Redis to be called back, once they have broken in less."""


class Absence:
    """The times in which a line has no connections. It is told once when Redis goes, and once when it is back.

    Parameters:
        name: of the Redis, for a person to read.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.failure = ""
        """Why the last attempt failed, or connections broke that were just made."""
        self._since = 0.0
        self._is_told = False
        self._made_at = 0.0
        self._short_lives = 0
        """How often in a row connections have broken soon after they were made."""
        self._not_before = 0.0
        """When they may be made again."""

    @property
    def since(self) -> float:
        """When Redis was missed first; now, while it is not missed."""
        return self._since or time.monotonic()

    def check(self) -> None:
        """Raise LayerUnavailable while it is too early for another attempt."""
        if time.monotonic() < self._not_before:
            raise LayerUnavailable(self.failure)

    def failed(self, reason: str) -> None:
        """An attempt has failed."""
        self.failure = reason
        self._since = self.since

    def made(self) -> None:
        """There are connections."""
        if self._is_told and not self._short_lives:
            self._tell_back()
        self._since, self.failure = 0.0, ""
        self._made_at = time.monotonic()

    def lost(self, reason: str) -> bool:
        """The connections broke. Return whether that is news."""
        now = time.monotonic()
        lived = now - self._made_at
        is_news = not self._is_told or lived > STEADY
        self._is_told = True
        self._since = now
        self._hold_off(now, lived, reason)
        return is_news

    def _hold_off(self, now: float, lived: float, reason: str) -> None:
        """Take more and more time where Redis takes connections, and refuses what is said on them."""
        if lived > STEADY:
            self._short_lives = 0
            return
        self._short_lives += 1
        self.failure = reason
        self._not_before = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._short_lives, 10))

    def look_whether_it_lasts(self) -> None:
        """Call Redis back once the connections have lasted."""
        if self._is_told and time.monotonic() - self._made_at > STEADY:
            self._tell_back()

    def _tell_back(self) -> None:
        self._is_told = False
        logger.warning("Redis at %s is back", self._name)

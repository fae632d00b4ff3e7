"""A database or a layer that is away: how long to wait until the next try, and what the log is told.

One line when it goes and one when it is back; what happens in between is the same again.
"""

import logging
import time

from fairway.delay.limits import DelayLimits

logger = logging.getLogger("fairway.delay")


class Absence:
    """Whether something is away, and since when.

    Parameters:
        what: its name in the log.
    """

    def __init__(self, what: str, limits: DelayLimits) -> None:
        self._what = what
        self._limits = limits
        self._since: float | None = None
        self._pause = limits.first_pause

    def begin(self, error: Exception) -> float:
        """A try has failed, and why; return how long to wait until the next."""
        if self._since is None:
            self._since = time.monotonic()
            text = "%s is away, and messages wait until it is back: %s"
            logger.warning(text, self._what, " ".join(str(error).split()) or type(error).__name__)
        pause, self._pause = self._pause, min(self._limits.longest_pause, self._pause * 2)
        return pause

    def end(self) -> None:
        """It is there."""
        if self._since is not None:
            logger.info("%s is back after %.1f s", self._what, time.monotonic() - self._since)
            self._since = None
            self._pause = self._limits.first_pause

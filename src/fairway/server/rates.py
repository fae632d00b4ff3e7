"""How fast a peer may go: token buckets, and the doorman who counts connections per address."""

import logging
import time
from collections import Counter, OrderedDict

from fairway.limits import RateLimits

logger = logging.getLogger("fairway.server")


class Bucket:
    """A token bucket: `rate` tokens a second, at most `burst` at once."""

    __slots__ = ("_burst", "_rate", "_time", "_tokens")

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._time = 0.0

    @classmethod
    def of(cls, rate: float, burst: int) -> "Bucket | None":
        """Return a bucket, or None where the rate is unlimited: then nothing is kept."""
        return cls(rate, burst) if rate >= 0 else None

    def take(self, now: float) -> bool:
        """Take a token; False when there is none."""
        if self._time:
            self._tokens = min(self._burst, self._tokens + (now - self._time) * self._rate)
        self._time = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Doorman:
    """Lets connections in, or not. Addresses that have gone are remembered for their rate only, and not too many.

    The empty address stands for a peer that has none of its own, or is a proxy: it counts in the total only.
    """

    __slots__ = ("_buckets", "_counts", "_is_full", "_limits", "total", "turned_away")

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits
        self._counts: dict[str, int] = {}
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._is_full = False
        self.total = 0
        self.turned_away: Counter[str] = Counter()
        """How often each limit kept somebody out."""

    def admit(self, address: str) -> bool:
        """Count a new connection in; False when it must not come in, and then it is not counted."""
        if 0 <= self._limits.connections <= self.total:
            self._note_full()
            return False
        if not self.enter(address):
            return False
        self.total += 1
        return True

    def release(self, address: str) -> None:
        """Count a connection out."""
        self.total -= 1
        self._is_full = self._is_full and self.total > 0.9 * self._limits.connections
        self.leave(address)

    def enter(self, address: str) -> bool:
        """Count a connection for its address only; False when that has too many, or they come too fast."""
        limits = self._limits
        if not address:
            return True
        if 0 <= limits.connections_per_address <= self._counts.get(address, 0):
            self.turned_away["connections_per_address"] += 1
            return False
        if limits.connects >= 0 and not self._bucket(address).take(time.monotonic()):
            self.turned_away["connects"] += 1
            return False
        if limits.connections_per_address >= 0:
            self._counts[address] = self._counts.get(address, 0) + 1
        return True

    def leave(self, address: str) -> None:
        """Take `enter` back."""
        count = self._counts.get(address, 0) - 1
        if count > 0:
            self._counts[address] = count
        else:
            self._counts.pop(address, None)

    def _note_full(self) -> None:
        self.turned_away["connections"] += 1
        if not self._is_full:  # once, until a tenth of them is gone
            self._is_full = True
            logger.error("all %d connections are taken; new ones are closed at once", self._limits.connections)

    def _bucket(self, address: str) -> Bucket:
        bucket = self._buckets.pop(address, None) or Bucket(self._limits.connects, self._limits.connects_burst)
        self._buckets[address] = bucket
        if len(self._buckets) > self._limits.addresses:
            self._buckets.popitem(last=False)
        return bucket

"""The thread of a layer that keeps time: it says that this process lives, and lets shards do what is due there."""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable

logger = logging.getLogger("fairway.layer")

SIGN_EVERY = 3.0
"""Seconds between two signs of life; `SILENCE` without one means death."""


class Clock:
    """Calls back when time has passed. It begins with the first thing to wait for.

    Parameters:
        on_due: called with a shard in which something is due.
        on_sign: called every few seconds.
        every: how many.
    """

    def __init__(self, on_due: Callable[[str], None], on_sign: Callable[[], None], every: float = SIGN_EVERY) -> None:
        self._on_due = on_due
        self._on_sign = on_sign
        self._every = every
        self.start_anew()

    def start_anew(self) -> None:
        """Forget everything: also in a forked process, which has no such thread."""
        self._lock = threading.Lock()
        self._dues: dict[str, float] = {}
        self._alarm = threading.Event()
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None
        self._closed = False

    def start(self) -> None:
        """Begin to give signs."""
        with self._lock:
            if self._thread is None and not self._closed:
                thread = threading.Thread(target=self._keep_time, name="fairway-clock", daemon=True)
                with contextlib.suppress(RuntimeError):  # no thread begins any more in a process that ends
                    thread.start()
                    self._thread = thread

    def note(self, shard: str, seconds: float) -> None:
        """Something is due in a shard."""
        if seconds > self._every:
            return  # the sign looks
        at = time.monotonic() + seconds
        with self._lock:
            if at >= self._dues.get(shard, math.inf):
                return
            self._dues[shard] = at
            is_earlier = at < self._wakes_at
        self.start()
        if is_earlier:
            self._alarm.set()

    def close(self) -> None:
        """Call back no more."""
        self._closed = True
        self._alarm.set()

    def _keep_time(self) -> None:
        sign_at = time.monotonic() + self._every
        while not self._closed:
            with self._lock:
                self._wakes_at = min(sign_at, *self._dues.values(), math.inf)
            self._alarm.wait(max(0.0, self._wakes_at - time.monotonic()))
            self._alarm.clear()
            now = time.monotonic()
            with self._lock:
                due = [shard for shard, at in self._dues.items() if at <= now]
                for shard in due:
                    del self._dues[shard]
            try:
                for shard in due:
                    self._on_due(shard)
                if now >= sign_at:
                    sign_at = now + self._every
                    self._on_sign()
            except Exception:
                logger.exception("the clock of a layer failed; it goes on")

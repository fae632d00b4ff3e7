"""The threads of blocking views: one for each socket, as long as it lives, and so many at a time.

A thread is made for each view and not kept for the next one: next to the life of a socket that costs nothing, and its
database connections and its locals are gone with it.
"""

import threading
import time
from collections.abc import Callable

from fairway.broker.effects import Delivery
from fairway.database import close_connections


class ViewThreads:
    """Runs views in threads.

    Parameters:
        limit: how many run at the same time.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = threading.Condition()
        self._running: dict[threading.Thread, tuple[Delivery, float]] = {}
        self._made = 0

    def submit(self, delivery: Delivery, view: Callable[[], None]) -> bool:
        """Run a view; False when there is no room for it.

        Parameters:
            delivery: the connect, to tell what runs.
        """
        with self._room:
            if len(self._running) >= self._limit:
                return False
            self._made += 1
            name = f"fairway-view-{self._made}"
            thread = threading.Thread(target=self._run, args=(view,), name=name, daemon=True)
            self._running[thread] = (delivery, time.monotonic())
        try:
            thread.start()
        except BaseException:
            self._end(thread)
            raise
        return True

    def running(self) -> list[tuple[Delivery, float, str]]:
        """Return what runs: its connect, for how many seconds, and in which thread."""
        now = time.monotonic()
        with self._room:
            return [(delivery, now - began, thread.name) for thread, (delivery, began) in self._running.items()]

    def wait_idle(self, timeout: float) -> bool:
        """Wait until nothing runs any more; False when the time was not enough."""
        with self._room:
            return self._room.wait_for(lambda: not self._running, timeout)

    def _run(self, view: Callable[[], None]) -> None:
        try:
            view()
        finally:
            try:
                close_connections()
            finally:
                self._end(threading.current_thread())

    def _end(self, thread: threading.Thread) -> None:
        with self._room:
            self._running.pop(thread, None)
            self._room.notify_all()

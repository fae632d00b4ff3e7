"""The life of a delay server's process: it starts, tells how it is doing, and stops without a loss.

The server runs in a thread of its own; the thread that calls `run` waits for an order to stop, which a signal handler
or any other thread may give. So a database that does not answer keeps nobody from asking.
"""

import contextlib
import logging
import queue
import time

from fairway.delay.server import DelayServer
from fairway.worker.process import STATUS_EVERY, Teller

logger = logging.getLogger("fairway.delay")

LOOK_EVERY = 1.0
"""Seconds between two looks at the server."""


class DelayProcess:
    """Runs a delay server until it is told to stop.

    Parameters:
        server: it has not been started.
        teller: who is told how it is doing.
    """

    def __init__(self, server: DelayServer, teller: Teller) -> None:
        self._server = server
        self._teller = teller
        self._interval = min(LOOK_EVERY, teller.watchdog or LOOK_EVERY)
        # Its `put` may be called from a signal handler, whatever this thread is doing at that moment.
        self._orders: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._is_ready = False
        self._told, self._tell_at = "", 0.0
        server.on_ready = lambda: self._orders.put("")

    def stop(self, reason: str) -> None:
        """Let `run` stop and return; safe in a signal handler and from any thread."""
        self._orders.put(reason)

    def run(self) -> bool:
        """Start, work, and stop when told to.

        Returns:
            False when the server has died, or did not end within its grace.
        """
        self._server.start()
        reason = ""
        while not reason and self._server.is_alive:
            reason = self._wait_order()
            self._tell()
        if not reason:
            logger.error("the delay server has died; its process ends")
            return False
        return self._stop(reason)

    def _wait_order(self) -> str:
        """Wait for an order to stop; "" when none has come in a while. An empty one only asks to look at once."""
        with contextlib.suppress(queue.Empty):
            return self._orders.get(timeout=self._interval)
        return ""

    def _tell(self) -> None:
        if self._teller.watchdog:
            self._teller.alive()
        if self._server.is_ready and not self._is_ready:
            self._is_ready = True
            self._teller.ready()
        doing = self._server.describe()
        now = time.monotonic()
        if now >= self._tell_at and doing != self._told:
            self._told, self._tell_at = doing, now + STATUS_EVERY
            self._teller.status(doing)

    def _stop(self, reason: str) -> bool:
        self._teller.stopping()
        self._teller.status(f"stopping: {reason}")
        logger.info("stopping: %s", reason)
        if self._server.stop():
            logger.info("stopped")
            return True
        logger.warning("stopped, although the database or the layer has not answered yet; what is held is stored again")
        return False

"""What a signal means to a process of ours: SIGTERM and SIGINT stop it gently, a second one ends it at once."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable

logger = logging.getLogger("fairway.supervisor")


class StopSignals:
    """Listens for signals on the running loop.

    Parameters:
        on_hang_up: called at SIGHUP.
        on_hurry: called at the second signal to stop, right before the process ends with 128 + the signal's number.
    """

    def __init__(self, on_hang_up: Callable[[], None], on_hurry: Callable[[], None] = lambda: None) -> None:
        self.asked = asyncio.Event()
        self._on_hurry = on_hurry
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop, number)
        self._loop.add_signal_handler(signal.SIGHUP, on_hang_up)

    def stop(self) -> None:
        """Stop, as if a first signal had come."""
        self.asked.set()

    def _stop(self, number: signal.Signals) -> None:
        if self.asked.is_set():
            logger.warning("%s again: leaving at once", number.name)
            self._on_hurry()
            os._exit(128 + number)
        logger.info("%s: stopping", number.name)
        self.asked.set()

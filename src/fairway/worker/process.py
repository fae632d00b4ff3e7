"""The life of a worker process: it starts its workers, looks after them, and stops without a loss.

The thread that calls `run` does all of it. It waits for an order to stop, which may come from anywhere: a signal
handler, another thread, or the watch. While it stops it tells what it waits for, because somebody may be waiting too.
"""

import contextlib
import logging
import queue
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from fairway.errors import LayerUnavailable
from fairway.limits import WorkerLimits
from fairway.worker.loop import Worker
from fairway.worker.running import name_all
from fairway.worker.watch import LOOK_EVERY, Watch

logger = logging.getLogger("fairway.worker")

REPORT_EVERY = 3.0
"""Seconds between two lines about what a stop waits for."""

STATUS_EVERY = 5.0
"""Seconds between two statuses while it works, as long as they differ."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
"""While the layer cannot be reached, the process tries again after a pause, ever longer."""


class Teller(Protocol):
    """Who is told how the process is doing."""

    @property
    def watchdog(self) -> float | None:
        """Within how many seconds `alive` must be told again; None when nobody watches."""

    def alive(self) -> None:
        """The process is not stuck."""

    def ready(self) -> None:
        """Messages are being taken."""

    def status(self, text: str) -> None:
        """What it is doing, for a person."""

    def stopping(self) -> None:
        """It has begun to stop."""


class WorkerProcess:
    """Runs workers until it is told to stop, or has a reason of its own.

    Parameters:
        workers: one for each layer.
        limits: how long a stop may take, and what makes the process retire.
        teller: who is told how it is doing.
        on_started: called with each worker once it takes messages.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        limits: WorkerLimits,
        teller: Teller,
        on_started: Callable[[Worker], object] = lambda _worker: None,
    ) -> None:
        self._workers = workers
        self._grace = limits.grace
        self._teller = teller
        self._on_started = on_started
        self._watch = Watch(workers, limits)
        self._interval = min(self._watch.interval, teller.watchdog or LOOK_EVERY)
        # Its `put` may be called from a signal handler, whatever this thread is doing at that moment.
        self._orders: queue.SimpleQueue[str] = queue.SimpleQueue()
        for worker in workers:
            # The watch looks once in a while, and a process that is in a hurry could take thousands in between.
            worker.call_at(self._watch.most_messages, lambda: self._orders.put(""))

    def stop(self, reason: str) -> None:
        """Let `run` stop and return; safe in a signal handler and from any thread."""
        self._orders.put(reason)

    @property
    def has_ended(self) -> bool:
        """Whether nothing runs any more; else a thread or a coroutine goes on that cannot be ended."""
        return all(worker.has_ended for worker in self._workers)

    def run(self) -> bool:
        """Start, work, and stop when told to.

        Returns:
            False when consumers were cut off because they took longer than the grace.

        Raises:
            InvalidName: the application names a channel that cannot be read.
        """
        reason = self._start() or self._serve()
        return self._stop(reason)

    def _start(self) -> str:
        """Open the sessions, as soon as the layers can be reached; return why it is not to be."""
        pause = FIRST_PAUSE
        for worker in self._workers:
            while True:
                try:
                    worker.start()
                    if pause > FIRST_PAUSE:
                        logger.info("the layer has been reached")
                        pause = FIRST_PAUSE
                    self._on_started(worker)
                    break
                except LayerUnavailable as error:
                    if pause == FIRST_PAUSE:
                        logger.warning("%s; trying again until it can be", error)
                    self._teller.status(f"waiting for the layer: {error}")
                if reason := self._wait_order(pause):
                    return reason
                pause = min(LONGEST_PAUSE, pause * 2)
        return ""

    def _serve(self) -> str:
        """Work until there is a reason to stop; return it."""
        self._teller.ready()
        told, tell_at = "", 0.0
        while True:
            if time.monotonic() >= tell_at and (doing := self._doing()) != told:
                told, tell_at = doing, time.monotonic() + STATUS_EVERY
                self._teller.status(doing)
            # An empty order only asks to look at once.
            if reason := self._wait_order(self._interval) or self._watch.look():
                return reason
            if self.has_ended:
                return "the layer was closed"

    def _doing(self) -> str:
        taken = sum(worker.taken for worker in self._workers)
        running = sum(len(worker.running()) for worker in self._workers)
        return f"working: {taken:,} messages taken, {running} being consumed"

    def _wait_order(self, timeout: float) -> str:
        """Wait for an order to stop; "" when none has come in that time."""
        if self._teller.watchdog:
            self._teller.alive()
        with contextlib.suppress(queue.Empty):
            return self._orders.get(timeout=timeout)
        return ""

    def _stop(self, reason: str) -> bool:
        self._teller.stopping()
        self._teller.status(f"stopping: {reason}")
        logger.info("stopping: %s", reason)
        for worker in self._workers:
            worker.pause()
        is_finished = self._finish(time.monotonic() + self._grace)
        for worker in self._workers:
            worker.close()
        logger.info("stopped" if is_finished else "stopped, although consumers still ran")
        return is_finished

    def _finish(self, deadline: float) -> bool:
        """Wait until what runs is finished, and tell what that is."""
        report_at = time.monotonic() + REPORT_EVERY
        while not self._has_finished(min(deadline, time.monotonic() + self._interval)):
            now = time.monotonic()
            if now >= deadline:
                return False
            self._watch.end_overdue()
            if self._teller.watchdog:
                self._teller.alive()
            text = name_all(one for worker in self._workers for one in worker.running())
            if text and now >= report_at:
                report_at = now + REPORT_EVERY
                logger.info("waiting for %s", text)
                self._teller.status(f"stopping, waiting for {text}")
        return True

    def _has_finished(self, until: float) -> bool:
        return all(worker.wait_finished(max(0.0, until - time.monotonic())) for worker in self._workers)

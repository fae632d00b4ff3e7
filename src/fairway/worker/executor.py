"""Where coroutine consumers run: one event loop in a thread of its own, with a bound on how many run at a time.

The thread exists from the first coroutine on. Beyond the bound some more wait in a queue, not for long: what has not
begun within `LONGEST_WAIT` goes back, since another process may have room. When the queue is full too, whoever brings
one more is made to wait a moment and then keeps it. So a thread that could run blocking consumers is never held up for
longer than that moment, and nobody spins.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from fairway.broker.effects import Delivery

STOP_TIMEOUT = 2.0
"""How long coroutines that were cancelled at the end may take to end."""

PATIENCE = 0.05
"""How long whoever brings a coroutine waits for room: the pace at which a process that is full is offered more."""

LONGEST_WAIT = 1.0
"""How long a delivery waits in the queue before it goes back."""


class Job:
    """One delivery and the coroutine that consumes it.

    Parameters:
        delivery: what is consumed.
        start: makes the coroutine; nothing has begun before it is called.
    """

    limit: float  # looked at when it was cancelled, and set only then
    __slots__ = ("_start", "began", "cancelled_at", "delivery", "is_committing", "is_given_up", "limit", "task")

    def __init__(self, delivery: Delivery, start: Callable[["Job"], Coroutine[Any, Any, None]]) -> None:
        self.delivery = delivery
        self._start = start
        self.began = 0.0
        """When it began; before that, when it came."""
        self.cancelled_at: float | None = None
        """When it was cancelled, having run for longer than `limit` seconds."""
        self.is_committing = False
        """Its consumer has ended: nothing is to be cancelled any more."""
        self.is_given_up = False
        """It does not end although it was cancelled; nobody waits for it."""
        self.task: asyncio.Task[None] | None = None

    def __call__(self) -> Coroutine[Any, Any, None]:
        """Return the coroutine."""
        return self._start(self)


class CoroutineExecutor:
    """Runs coroutines. Threads share it.

    Parameters:
        limit: how many run at the same time.
        waiting: how many more may wait to begin.
    """

    def __init__(self, limit: int, waiting: int = 0) -> None:
        self._limit = limit
        self._most_waiting = waiting
        self._room = threading.Condition()
        self._running: set[Job] = set()
        self._waiting: deque[Job] = deque()
        self._is_closing = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None

    @property
    def thread(self) -> threading.Thread | None:
        """Where the coroutines run; None before the first."""
        return self._thread

    def submit(self, job: Job, patience: float = PATIENCE) -> bool:
        """Run a job, now or when there is room.

        Returns:
            False when it was not taken: there was no room in `patience` seconds, or the executor is stopping.
        """
        with self._room:
            if not self._has_room():
                self._room.wait_for(self._has_room, patience)
            if self._is_closing or not self._has_room():
                return False
            job.began = time.monotonic()
            if len(self._running) >= self._limit:
                self._waiting.append(job)
                return True
            self._running.add(job)
            loop = self._loop or self._start_loop()
        loop.call_soon_threadsafe(self._begin, job)
        return True

    def running(self) -> list[Job]:
        """Return what runs at this moment."""
        with self._room:
            return list(self._running)

    def cancel(self, job: Job, limit: float) -> None:
        """Cancel a job that has run for longer than `limit` seconds; `limit` and `cancelled_at` tell it so."""
        job.limit = limit
        job.cancelled_at = time.monotonic()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(_cancel, job)

    def give_up(self, job: Job) -> None:
        """Wait for this job no more."""
        with self._room:
            job.is_given_up = True
            self._room.notify_all()

    def take_stale(self) -> list[Delivery]:
        """Take out what has waited to begin for too long; it goes back."""
        stale = []
        with self._room:
            end = time.monotonic() - LONGEST_WAIT
            while self._waiting and self._waiting[0].began <= end:
                stale.append(self._waiting.popleft().delivery)
        return stale

    def refuse(self) -> list[Delivery]:
        """Take nothing from now on; return what has not begun, for it to go back."""
        with self._room:
            self._is_closing = True
            waiting = [job.delivery for job in self._waiting]
            self._waiting.clear()
            self._room.notify_all()
        return waiting

    def wait_idle(self, timeout: float) -> bool:
        """Wait until nothing runs that anybody waits for; False when the time was not enough."""
        with self._room:
            return self._room.wait_for(lambda: all(job.is_given_up for job in self._running), timeout)

    def stop(self) -> None:
        """Cancel what still runs and end the thread."""
        self.refuse()
        if self._loop is not None and self._ended is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(STOP_TIMEOUT)

    def _has_room(self) -> bool:
        return self._is_closing or len(self._running) + len(self._waiting) < self._limit + self._most_waiting

    def _start_loop(self) -> asyncio.AbstractEventLoop:
        is_ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(is_ready,), name="fairway-coroutines", daemon=True)
        self._thread.start()
        is_ready.wait()
        if self._loop is None:
            msg = "the event loop for coroutine consumers did not start"
            raise RuntimeError(msg)
        return self._loop

    def _serve(self, is_ready: threading.Event) -> None:
        try:
            asyncio.run(self._wait_stopped(is_ready))  # cancels what is left when it returns
        finally:
            is_ready.set()

    async def _wait_stopped(self, is_ready: threading.Event) -> None:
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        is_ready.set()
        await self._ended.wait()

    def _begin(self, job: Job) -> None:
        job.began = time.monotonic()
        job.task = asyncio.ensure_future(job())
        job.task.add_done_callback(lambda _task: self._end(job))

    def _end(self, job: Job) -> None:
        with self._room:
            self._running.discard(job)
            following = self._waiting.popleft() if self._waiting else None
            if following:
                self._running.add(following)
            # The one who waits for an empty executor must not be missed for one who waits for a place.
            self._room.notify_all()
        if following:
            self._begin(following)


def _cancel(job: Job) -> None:
    if job.task is not None and not job.is_committing:
        job.task.cancel()

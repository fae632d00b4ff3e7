"""The worker: threads that take deliveries from one session and run them.

Every thread waits in `Reader.receive` and costs nothing meanwhile. Blocking consumers run in the thread that took
their message, side by side; coroutine consumers are handed to one event loop beside the threads.

Stopping loses nothing: deliveries that have not begun go back, what runs is finished within the grace, and what is
not finished then is delivered again, to another worker.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from fairway.broker.effects import Delivery
from fairway.layers.base import Layer, Reader
from fairway.limits import WorkerLimits
from fairway.worker.contract import Application
from fairway.worker.dispatch import Dispatcher, describe
from fairway.worker.executor import CoroutineExecutor, Job
from fairway.worker.running import EVENT_LOOP, Running, coroutine_stack, name_all, report_stuck, thread_stack

logger = logging.getLogger("fairway.worker")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""After a failed `receive` a thread waits, ever longer, before it tries again."""

CANCEL_WAIT = 5.0
"""A coroutine that was cancelled may take so long to end."""

FRESH = 0.01
"""Seconds for which a thread that has begun a message is let go first, and for which no limit is looked up."""


def default_threads() -> int:
    """Return how many threads a worker has unless told otherwise.

    The rule of `concurrent.futures`: Django consumers mostly wait for a database, so more threads than cores keep the
    cores busy; each may hold a database connection, so not many more.
    """
    return min(32, (os.cpu_count() or 1) + 4)


class Worker:
    """Runs an application over one session of a layer.

    Parameters:
        layer: where the messages come from and go to.
        application: what they are run through.
        threads: how many blocking consumers may run at the same time.
        limits: what it may hold, and how long a stop may take.
    """

    def __init__(
        self,
        layer: Layer,
        application: Application,
        *,
        threads: int | None = None,
        limits: WorkerLimits | None = None,
    ) -> None:
        self._layer = layer
        self._application = application
        self._limits = limits or WorkerLimits()
        count = threads or default_threads()
        self._threads = [
            threading.Thread(target=self._work, name=f"fairway-worker-{number}", daemon=True)
            for number in range(1, count + 1)
        ]
        self._executor = CoroutineExecutor(self._limits.coroutines, self._limits.coroutines_waiting)
        self._busy: dict[threading.Thread, tuple[Delivery, float]] = {}
        """The threads that hold a message, each with what it holds and since when."""
        self._given_up: set[threading.Thread] = set()
        """The threads that nobody waits for any more."""
        self._has_coroutines = threading.Lock()
        """Taken by the first coroutine consumer, for good."""
        self._stopping = threading.Event()
        self._reader: Reader | None = None
        self._dispatcher: Dispatcher | None = None
        self.taken = 0
        """About how many messages it has taken: threads that count at the same instant may count one."""
        self._call_at = math.inf
        self._on_taken: Callable[[], object] = lambda: None

    def start(self) -> None:
        """Open the session and begin to take messages.

        Raises:
            InvalidName: the application names a channel that cannot be read.
            LayerUnavailable: the layer cannot be reached.
        """
        window = self._limits.window * len(self._threads)
        self._reader = self._layer.reader(self._application.channels, window, len(self._threads))
        self._dispatcher = Dispatcher(self._layer, self._reader, self._application)
        for thread in self._threads:
            thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether nothing runs any more: it was stopped, or its layer was closed."""
        if any(thread.is_alive() for thread in self._threads) or self._executor.running():
            return False
        return not any(companion.running() for companion in self._application.companions)

    def wait_ended(self, timeout: float | None = None) -> bool:
        """Wait until no thread runs any more that anybody waits for; False when the time is over."""
        deadline = None if timeout is None else time.monotonic() + timeout
        waited_for = [thread for thread in self._threads if thread not in self._given_up]
        for thread in waited_for:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in waited_for)

    def call_at(self, taken: float, callback: Callable[[], object]) -> None:
        """Call `callback` when so many messages have been taken, from the thread that took the last of them."""
        self._on_taken = callback
        self._call_at = taken

    # --- what runs ---------------------------------------------------------------------------------------------------

    def running(self) -> list[Running]:
        """Return what runs at this moment, without what was given up."""
        return self._consuming() + self._running_beside()

    def _consuming(self) -> list[Running]:
        now = time.monotonic()
        found = [
            Running(delivery, now - began, thread.name)
            for thread, (delivery, began) in tuple(self._busy.items())
            if thread not in self._given_up
        ]
        jobs = [job for job in self._executor.running() if not job.is_given_up]
        return found + [Running(job.delivery, now - job.began, EVENT_LOOP) for job in jobs]

    def _running_beside(self) -> list[Running]:
        return [Running(*one) for companion in self._application.companions for one in companion.running()]

    def release_stale(self) -> None:
        """Give coroutine consumers back that have waited too long for a place; called now and then."""
        self._release(self._executor.take_stale())

    def end_overdue(self, limit: float = math.inf) -> float:
        """Deal with consumers that have run for longer than `limit` seconds, or than a shorter limit of their own.

        A coroutine is cancelled and fails like any other. A thread cannot be ended, nor can a coroutine that goes on
        all the same: it is reported with its stack, once, and given up.

        Returns:
            The limit of what was given up, and this process has to end, so that the message goes to another worker;
            0 when nothing was.
        """
        exceeded = 0.0
        for running, its_limit, stack in (*self._give_up_threads(limit), *self._end_coroutines(limit)):
            exceeded = its_limit
            report_stuck(running, its_limit, stack)
        return exceeded

    def _give_up_threads(self, limit: float) -> Iterator[tuple[Running, float, str]]:
        for thread, turn in tuple(self._busy.items()):
            seconds = time.monotonic() - turn[1]
            if thread in self._given_up or seconds <= (its_limit := self._limit_of(turn[0], seconds, limit)):
                continue
            stack = thread_stack(thread)
            if self._busy.get(thread) is turn:  # else it went on, and the stack is that of another message
                self._given_up.add(thread)
                yield Running(turn[0], seconds, thread.name), its_limit, stack

    def _end_coroutines(self, limit: float) -> Iterator[tuple[Running, float, str]]:
        for job in self._executor.running():
            seconds = time.monotonic() - job.began
            if job.task is None or job.is_committing or job.is_given_up:
                continue
            if job.cancelled_at is None:
                if seconds > (its_limit := self._limit_of(job.delivery, seconds, limit)):
                    self._executor.cancel(job, its_limit)
            elif time.monotonic() - job.cancelled_at > CANCEL_WAIT:
                self._executor.give_up(job)
                stack = coroutine_stack(job.task.get_coro(), self._executor.thread)
                yield Running(job.delivery, seconds, EVENT_LOOP), job.limit, stack

    def _limit_of(self, delivery: Delivery, seconds: float, limit: float) -> float:
        """Return the time limit of what has run for so long: `limit`, or that of its consumer if it is shorter."""
        if seconds < FRESH:  # over no limit that anybody means; most of what runs need not be asked about
            return limit
        try:
            return min(limit, self._application.time_limit(delivery))
        except Exception:
            logger.exception("the time limit of a consumer is not known: %s", describe(delivery))
            return limit

    # --- stopping ----------------------------------------------------------------------------------------------------

    def stop(self, grace: float | None = None) -> bool:
        """Take no more messages, finish what runs, and end the session.

        Parameters:
            grace: seconds for what runs; the limits' when None.

        Returns:
            False when something was still running after the grace. It is delivered again, to another worker.
        """
        self.pause()
        is_finished = self.wait_finished(self._limits.grace if grace is None else grace)
        self.close()
        return is_finished

    def pause(self) -> None:
        """Take no more messages; those that have not begun go back."""
        self._stopping.set()
        if self._reader is not None:
            self._reader.pause()
            self._release(self._executor.refuse())
        for companion in self._application.companions:
            companion.pause()

    def wait_finished(self, timeout: float) -> bool:
        """Wait, after `pause`, until nothing runs that anybody waits for; False when the time was not enough."""
        deadline = time.monotonic() + timeout
        is_idle = self._executor.wait_idle(timeout)
        is_ended = self.wait_ended(max(0.0, deadline - time.monotonic()))
        for companion in self._application.companions:
            is_idle = companion.wait_idle(max(0.0, deadline - time.monotonic())) and is_idle
        return is_ended and is_idle

    def close(self) -> None:
        """End the session. What still runs is delivered again, to another worker."""
        if self._reader is None:
            return
        if running := self._consuming():
            text = "the worker stops although consumers still run; their messages are delivered again: %s"
            logger.warning(text, name_all(running))
        self._executor.stop()
        for companion in self._application.companions:
            companion.close()
        self._reader.close()

    # --- the threads -------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        me, busy = threading.current_thread(), self._busy
        pause = FIRST_PAUSE
        try:
            while True:
                try:
                    delivery = self._reader.receive()  # type: ignore[union-attr]  # start() has opened it
                except Exception:
                    logger.exception("no message could be taken from the layer; trying again in %g s", pause)
                    if self._stopping.wait(pause):
                        return
                    pause = min(LONGEST_PAUSE, pause * 2)
                    continue
                if delivery is None:
                    return
                pause = FIRST_PAUSE
                busy[me] = (delivery, time.monotonic())
                self.taken += 1
                if self.taken >= self._call_at:
                    self._call_at = math.inf
                    self._on_taken()
                try:
                    job = self._dispatcher.dispatch(delivery)  # type: ignore[union-attr]
                    if job is not None:
                        self._hand_over(job)
                except Exception:
                    logger.exception("the worker itself failed: %s", describe(delivery))
                del busy[me]
                if busy and self._others_want_to_run(time.monotonic()):
                    # A thread that goes straight on to the next one keeps the interpreter for whole time slices, and
                    # the latency of the others grows by a slice for each thread.
                    time.sleep(0)
        finally:
            self._application.leave_thread()

    def _others_want_to_run(self, now: float) -> bool:
        """Whether other threads have just begun a message: those that have been at it for long are waiting."""
        return any(now - began < FRESH for _, began in tuple(self._busy.values()))

    def _hand_over(self, job: Job) -> None:
        """Let a coroutine consumer run on the event loop; give its message back when there is no room."""
        if self._has_coroutines.acquire(blocking=False):
            # The first one. They hold no thread, so what they hold must not count against the window of the threads.
            limits = self._limits
            self._reader.widen(limits.coroutines + limits.coroutines_waiting)  # type: ignore[union-attr]
        if not self._executor.submit(job):
            self._release([job.delivery])

    def _release(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            self._reader.release(delivery)  # type: ignore[union-attr]

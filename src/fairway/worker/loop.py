"""The worker: threads that take deliveries from one session and run them.

Every thread waits in `Reader.receive` and costs nothing meanwhile. Blocking consumers run in the thread that took
their message, side by side; coroutine consumers are handed to one event loop beside the threads.

Stopping loses nothing: deliveries that have not begun go back, what runs is finished within the grace, and what is
not finished then is delivered again, to another worker.
"""

import logging
import os
import threading
import time

from fairway.broker.effects import Delivery
from fairway.layers.base import Layer, Reader
from fairway.limits import WorkerLimits
from fairway.worker.contract import Application
from fairway.worker.dispatch import Dispatcher, describe
from fairway.worker.executor import CoroutineExecutor

logger = logging.getLogger("fairway.worker")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""After a failed `receive` a thread waits, ever longer, before it tries again."""


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
        self._executor = CoroutineExecutor(self._limits.coroutines)
        self._busy: set[int] = set()
        """The threads that hold a message."""
        self._stopping = threading.Event()
        self._reader: Reader | None = None
        self._dispatcher: Dispatcher | None = None

    def start(self) -> None:
        """Open the session and begin to take messages.

        Raises:
            InvalidName: the application names a channel that cannot be read.
            LayerUnavailable: the layer cannot be reached.
        """
        window = self._limits.window * len(self._threads)
        self._reader = self._layer.reader(self._application.channels, window)
        self._dispatcher = Dispatcher(self._layer, self._reader, self._application)
        for thread in self._threads:
            thread.start()

    def wait_ended(self, timeout: float | None = None) -> bool:
        """Wait until no thread runs any more (the layer was closed, say); False when the time is over."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self, grace: float | None = None) -> bool:
        """Take no more messages, finish what runs, and end the session.

        Parameters:
            grace: seconds for what runs; the limits' when None.

        Returns:
            False when something was still running after the grace. It is delivered again, to another worker.
        """
        if self._reader is None:
            return True
        self._stopping.set()
        self._reader.pause()
        deadline = time.monotonic() + (self._limits.grace if grace is None else grace)
        is_idle = self._executor.wait_idle(max(0.0, deadline - time.monotonic()))
        has_ended = self.wait_ended(max(0.0, deadline - time.monotonic()))
        if not (is_idle and has_ended):
            logger.warning("the worker stops although consumers still run; their messages are delivered again")
        self._executor.stop()
        self._reader.close()
        return is_idle and has_ended

    def _work(self) -> None:
        me = threading.get_ident()
        try:
            pause = FIRST_PAUSE
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
                self._busy.add(me)
                self._consume(delivery)
                self._busy.discard(me)
                if self._busy:
                    # Others hold messages that they have begun. A thread that goes straight on to the next one keeps
                    # the interpreter for whole time slices, and their latency grows by a slice for each thread.
                    time.sleep(0)
        finally:
            self._application.leave_thread()

    def _consume(self, delivery: Delivery) -> None:
        try:
            start = self._dispatcher.dispatch(delivery)  # type: ignore[union-attr]
            if start is not None and not self._executor.submit(start):
                self._reader.release(delivery)  # type: ignore[union-attr]
        except Exception:
            logger.exception("the worker itself failed: %s", describe(delivery))

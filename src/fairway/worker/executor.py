"""Where coroutine consumers run: one event loop in a thread of its own, with a bound on how many run at a time.

The thread exists from the first coroutine on. While the bound is reached, whoever brings one more is made to wait:
a worker then takes no more messages than it can run.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

STOP_TIMEOUT = 5.0
"""How long coroutines that were cancelled may take to end."""


class CoroutineExecutor:
    """Runs at most `limit` coroutines at the same time. Threads share it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = threading.Condition()
        self._running = 0
        self._is_closing = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, start: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Run the coroutine that `start` makes; wait while as many as may are running.

        Returns:
            False when it was not begun and will not be: the executor is stopping.
        """
        with self._room:
            self._room.wait_for(self._has_room)
            if self._is_closing:
                return False
            self._running += 1
            loop = self._loop or self._start_loop()
        loop.call_soon_threadsafe(self._begin, start)
        return True

    def wait_idle(self, timeout: float) -> bool:
        """Refuse what comes from now on, and wait until nothing runs; False when the time was not enough."""
        with self._room:
            self._is_closing = True
            self._room.notify_all()
            return self._room.wait_for(lambda: self._running == 0, timeout)

    def stop(self) -> None:
        """Cancel what still runs and end the thread."""
        with self._room:
            self._is_closing = True
            self._room.notify_all()
        if self._loop is not None and self._ended is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(STOP_TIMEOUT)

    def _has_room(self) -> bool:
        return self._is_closing or self._running < self._limit

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

    def _begin(self, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.ensure_future(start())
        self._tasks.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        with self._room:
            self._running -= 1
            # The one who waits for an empty executor must not be missed for one who waits for a place.
            self._room.notify_all()

"""Threads for the blocking code of coroutine views: middleware, and what they call through `sync_to_async`.

Django gives each request such a thread of its own for as long as it lasts. Views that own a socket last for hours, and
thousands of threads would stand about for them. So a few are shared: all the blocking code of one view runs in the same
one, as Django has it, and with it that of other views in turn. They share its database connection.

One of them may hold a cursor open while another begins or ends. So a connection that is too old is closed only when no
view is left that uses its thread; one that is broken, at once.
"""

from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import cycle

from asgiref.sync import SyncToAsync, ThreadSensitiveContext

from fairway.database import close_broken_connections, close_connections, opened_connections, tend_connections


class _Helper:
    """One of the threads, and how many tasks have it. The tasks are those of one event loop."""

    def __init__(self, name: str, begin: Callable[[], None] | None) -> None:
        self.executor = ThreadPoolExecutor(1, name, begin)
        self._tasks = 0

    def enter(self) -> None:
        """Note one more task."""
        self._tend()
        self._tasks += 1

    def leave(self) -> None:
        """Note that a task has ended."""
        self._tasks -= 1
        self._tend()

    def _tend(self) -> None:
        self.executor.submit(_close_broken if self._tasks else _tend)


class HelperThreads:
    """A few threads, each of them started when it is first needed.

    Parameters:
        count: how many at most.
        begin: called in each thread before all else.
    """

    def __init__(self, count: int, begin: Callable[[], None] | None = None) -> None:
        self._all = [_Helper(f"fairway-view-helper-{number}", begin) for number in range(1, count + 1)]
        self._turns = cycle(self._all)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Let the blocking code of this task run in one of them."""
        async with ThreadSensitiveContext() as context:
            helper = next(self._turns)
            SyncToAsync.context_to_thread_executor[context] = helper.executor
            helper.enter()
            try:
                yield
            finally:
                helper.leave()
                # Before the context ends, which would end the thread.
                SyncToAsync.context_to_thread_executor.pop(context, None)

    def close(self) -> None:
        """Close the database connections of the threads, and end them."""
        for executor in (helper.executor for helper in self._all):
            if executor._threads:  # noqa: SLF001  there is no public way to ask whether it was ever used
                executor.submit(close_connections)
            executor.shutdown(wait=False)


def _tend() -> None:
    if opened := opened_connections():
        tend_connections(opened)


def _close_broken() -> None:
    close_broken_connections(opened_connections())

"""One thing to wait for, in a thread or in a coroutine: callbacks that are bound to no event loop.

A waiter is made by whoever waits, and settled once by whoever has the result, from any thread. `settle` stores the
result; the caller then calls `wake` after it has let its locks go.
"""

import asyncio
import contextlib
import threading
from typing import Any

UNSETTLED: Any = object()
"""The result of a waiter that nobody has settled."""


class BlockingWaiter:
    """A waiter for a thread."""

    __slots__ = ("_gate", "result")

    def __init__(self) -> None:
        self.result = UNSETTLED
        self._gate = threading.Lock()
        self._gate.acquire()

    def wake(self) -> bool:
        """Let the waiting thread go on; return whether there is one."""
        self._gate.release()
        return True

    def wait(self, timeout: float | None = None) -> None:
        """Return when woken, or when the time is over; `result` tells which."""
        self._gate.acquire(timeout=-1 if timeout is None else max(0.0, timeout))


class LoopWaiter:
    """A waiter for a coroutine. It remembers the loop that its coroutine runs on, and nothing else does."""

    __slots__ = ("_future", "_loop", "result")

    def __init__(self) -> None:
        self.result = UNSETTLED
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = self._loop.create_future()

    def wake(self) -> bool:
        """Let the waiting coroutine go on; return whether there is one: its loop may be closed by now."""
        try:
            self._loop.call_soon_threadsafe(self._release)
        except RuntimeError:
            return False
        return True

    def _release(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self, timeout: float | None = None) -> None:
        """Return when woken, or when the time is over; `result` tells which."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._future


Waiter = BlockingWaiter | LoopWaiter

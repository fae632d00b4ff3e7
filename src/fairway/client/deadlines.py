"""Waiting for a future, for a time. Cancelling the waiting is safe: it leaves nothing behind but the future."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from fairway.errors import TimedOut
from fairway.limits import UNLIMITED

Result = TypeVar("Result")

LONGEST = 10**8
"""Seconds; a longer time is none at all, and not every event loop knows how to wait for infinity."""


async def within(future: asyncio.Future[Result], seconds: float, describe: Callable[[], str]) -> Result:
    """Return the future's result.

    Parameters:
        future: nobody else waits for it.
        seconds: the time it has; `UNLIMITED` is allowed.
        describe: asked, when the time is over, what did not happen.

    Raises:
        TimedOut: the time was not enough.
        Exception: what the future has instead of a result.
    """

    def expire() -> None:
        if not future.done():
            future.set_exception(TimedOut(f"{describe()} within {seconds:g} s"))

    is_unlimited = seconds == UNLIMITED or seconds > LONGEST
    timer = None if is_unlimited else asyncio.get_running_loop().call_later(seconds, expire)
    try:
        return await future
    finally:
        if timer is not None:
            timer.cancel()
        if future.done() and not future.cancelled():
            future.exception()  # which a waiter that was cancelled in the same moment does not see

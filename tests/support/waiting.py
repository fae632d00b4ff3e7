"""Wait for a condition with a deadline. No test sleeps for a guessed time."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

DEADLINE = 30.0
INTERVAL = 0.005

Result = TypeVar("Result")


Words = str | Callable[[], str]
"""What is waited for; called when the time is over, if the words are to tell how far it got."""


def _text(what: Words) -> str:
    return what if isinstance(what, str) else what()


def wait_until(condition: Callable[[], Result], what: Words = "", deadline: float = DEADLINE) -> Result:
    """Return the first true value of ``condition``; fail, naming ``what``, when there was none before the deadline."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline} s in vain for {_text(what) or condition}")
        time.sleep(INTERVAL)
    return value


async def await_until(condition: Callable[[], Result], what: Words = "", deadline: float = DEADLINE) -> Result:
    """The same for coroutine tests: the loop runs on between the looks."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline} s in vain for {_text(what) or condition}")
        await asyncio.sleep(INTERVAL)
    return value

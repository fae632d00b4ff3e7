"""A future is waited for within a time, and whoever waits may be cancelled at any moment."""

import asyncio
import math

import pytest

from fairway.client.deadlines import within
from fairway.errors import FairwayError, TimedOut
from fairway.limits import UNLIMITED


def future():
    return asyncio.get_running_loop().create_future()


@pytest.mark.usefixtures("loop_factory")
@pytest.mark.parametrize("seconds", [10, UNLIMITED, math.inf])
async def test_a_result_ends_the_waiting(seconds):
    waiting = future()
    asyncio.get_running_loop().call_soon(waiting.set_result, 7)
    assert await within(waiting, seconds, str) == 7


@pytest.mark.parametrize("seconds", [0, 0.01])
async def test_too_long_is_an_error_that_says_what_did_not_happen(seconds):
    with pytest.raises(TimedOut, match=f"^no answer within {seconds} s$") as caught:
        await within(future(), seconds, lambda: "no answer")
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, FairwayError)


async def test_an_error_is_raised():
    waiting = future()
    waiting.set_exception(KeyError("x"))
    with pytest.raises(KeyError):
        await within(waiting, 1, str)


async def test_a_cancelled_waiter_leaves_no_complaint_behind():
    waiting = future()
    task = asyncio.create_task(within(waiting, 1, str))
    await asyncio.sleep(0)
    waiting.set_exception(KeyError("nobody sees it"))
    task.cancel()
    with pytest.raises((asyncio.CancelledError, KeyError)):
        await task


async def test_a_result_in_the_last_moment_counts():
    waiting = future()
    loop = asyncio.get_running_loop()
    loop.call_soon(waiting.set_result, "in time")
    assert await within(waiting, 0, lambda: "late") == "in time"

import asyncio
import threading
import time

import pytest

from fairway.layers.waiters import UNSETTLED, BlockingWaiter, LoopWaiter
from tests.support.waiting import wait_until


def test_a_thread_waits_until_it_is_woken():
    waiter, found = BlockingWaiter(), []
    thread = threading.Thread(target=lambda: (waiter.wait(), found.append(waiter.result)))
    thread.start()
    waiter.result = "settled"
    assert waiter.wake()
    thread.join(30)
    assert found == ["settled"]


def test_woken_before_it_waits():
    waiter = BlockingWaiter()
    waiter.wake()
    waiter.wait()


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_a_thread_gives_up(timeout):
    waiter = BlockingWaiter()
    waiter.wait(timeout)
    assert waiter.result is UNSETTLED


@pytest.mark.usefixtures("loop_factory")
async def test_a_coroutine_waits_until_it_is_woken_from_another_thread():
    waiter = LoopWaiter()
    threading.Timer(0.01, lambda: (setattr(waiter, "result", 7), waiter.wake(), waiter.wake())).start()
    await waiter.wait(30)
    assert waiter.result == 7


@pytest.mark.usefixtures("loop_factory")
async def test_a_coroutine_gives_up_or_is_cancelled():
    waiter = LoopWaiter()
    start = time.monotonic()
    await waiter.wait(0.01)
    await LoopWaiter().wait(0)
    await LoopWaiter().wait(-1)
    assert time.monotonic() - start < 5
    task = asyncio.create_task(LoopWaiter().wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    waiter.wake()
    await asyncio.sleep(0)


def test_nobody_waits_on_a_loop_that_is_closed(loop_factory):
    loop = loop_factory()

    async def make():
        return LoopWaiter()

    waiter = loop.run_until_complete(make())
    assert waiter.wake()
    loop.close()
    assert not waiter.wake()
    wait_until(lambda: True)

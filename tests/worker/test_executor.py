"""The event loop beside the worker's threads."""

import asyncio
import threading

from fairway.worker.executor import CoroutineExecutor
from tests.support.waiting import await_until, wait_until


def test_no_thread_before_the_first_coroutine():
    executor = CoroutineExecutor(2)

    assert executor._thread is None
    assert executor.wait_idle(0)
    executor.stop()


def test_it_runs_coroutines_in_one_thread():
    executor, seen = CoroutineExecutor(2), []

    async def note():
        seen.append(threading.current_thread().name)

    assert executor.submit(note)
    assert executor.submit(note)
    assert executor.wait_idle(5)
    assert seen == ["fairway-coroutines"] * 2
    executor.stop()


def test_no_more_than_the_limit_run_at_a_time():
    executor, running, most = CoroutineExecutor(2), [], []
    go = threading.Event()

    async def stay():
        running.append(1)
        most.append(len(running))
        await await_until(go.is_set)
        running.pop()

    submitting = threading.Thread(target=lambda: [executor.submit(stay) for _ in range(5)])
    submitting.start()
    wait_until(lambda: len(running) == 2)
    assert submitting.is_alive()
    go.set()
    submitting.join(5)
    assert executor.wait_idle(5)
    assert (max(most), len(most)) == (2, 5)
    executor.stop()


def test_what_waits_for_a_place_is_let_go_at_the_end():
    executor, go, answers = CoroutineExecutor(1), threading.Event(), []

    async def stay():
        await await_until(go.is_set)

    assert executor.submit(stay)
    waiting = threading.Thread(target=lambda: answers.append(executor.submit(stay)))
    waiting.start()
    assert not executor.wait_idle(0.01)
    waiting.join(5)
    assert answers == [False]
    go.set()
    assert executor.wait_idle(5)
    executor.stop()


def test_stop_cancels_what_still_runs():
    executor, ended = CoroutineExecutor(1), []

    async def stay():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    executor.submit(stay)
    wait_until(lambda: executor._tasks)
    executor.stop()

    assert ended == ["cancelled"]
    assert not executor._thread.is_alive()

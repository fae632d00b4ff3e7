"""The event loop beside the worker's threads."""

import asyncio
import threading
import time

import pytest

from fairway.broker.effects import Delivery, Envelope
from fairway.worker import executor as module
from fairway.worker.executor import CoroutineExecutor, Job
from tests.support.waiting import await_until, wait_until


def job(coroutine, name="m"):
    return Job(Delivery(Envelope(name, "work"), b"", 1), lambda job: coroutine())


class Stay:
    """Coroutines that end when they may."""

    def __init__(self):
        self.go = threading.Event()
        self.running, self.most, self.begun = 0, 0, 0

    async def __call__(self):
        self.running += 1
        self.begun += 1
        self.most = max(self.most, self.running)
        await await_until(self.go.is_set)
        self.running -= 1


@pytest.fixture
def stay():
    stay = Stay()
    yield stay
    stay.go.set()


def test_no_thread_before_the_first_coroutine():
    executor = CoroutineExecutor(2)

    assert executor.thread is None
    assert executor.wait_idle(0)
    executor.stop()


def test_it_runs_coroutines_in_one_thread():
    executor, seen = CoroutineExecutor(2), []

    async def note():
        seen.append(threading.current_thread().name)

    assert executor.submit(job(note))
    assert executor.submit(job(note))
    assert executor.wait_idle(5)
    assert seen == ["fairway-coroutines"] * 2
    executor.stop()


def test_no_more_than_the_limit_run_at_a_time_and_the_others_follow_in_turn(stay):
    executor = CoroutineExecutor(2, waiting=3)

    assert [executor.submit(job(stay)) for _ in range(5)] == [True] * 5
    wait_until(lambda: stay.running == 2)
    assert len(executor.running()) == 2
    stay.go.set()
    wait_until(lambda: stay.begun == 5)
    assert executor.wait_idle(5)
    assert stay.most == 2
    executor.stop()


def test_what_finds_no_room_is_not_taken(stay):
    executor = CoroutineExecutor(1, waiting=1)

    assert [executor.submit(job(stay), patience=0.001) for _ in range(3)] == [True, True, False]
    stay.go.set()
    wait_until(lambda: stay.begun == 2)
    executor.stop()


def test_whoever_finds_no_room_waits_a_moment_for_it(stay):
    executor, answers = CoroutineExecutor(1), []
    executor.submit(job(stay))
    waiting = threading.Thread(target=lambda: answers.append(executor.submit(job(stay), patience=10)))
    waiting.start()
    stay.go.set()
    waiting.join(30)

    assert answers == [True]
    assert executor.wait_idle(5)
    executor.stop()


def test_what_waits_too_long_to_begin_goes_back(stay, monkeypatch):
    executor = CoroutineExecutor(1, waiting=2)
    for name in ("a", "b", "c"):
        executor.submit(job(stay, name))

    assert executor.take_stale() == []
    monkeypatch.setattr(module, "LONGEST_WAIT", 0)
    assert [delivery.envelope.id for delivery in executor.take_stale()] == ["b", "c"]
    stay.go.set()
    assert executor.wait_idle(5)
    assert stay.begun == 1
    executor.stop()


def test_at_the_end_what_waits_goes_back_and_nothing_more_is_taken(stay):
    executor, answers = CoroutineExecutor(1, waiting=1), []
    executor.submit(job(stay))
    executor.submit(job(stay, "second"))
    waiting = threading.Thread(target=lambda: answers.append(executor.submit(job(stay), patience=10)))
    waiting.start()

    assert [delivery.envelope.id for delivery in executor.refuse()] == ["second"]
    waiting.join(30)
    assert answers == [False]
    assert not executor.submit(job(stay))
    assert not executor.wait_idle(0.01)
    stay.go.set()
    assert executor.wait_idle(5)
    executor.stop()


def test_a_job_can_be_cancelled(stay):
    executor, slow = CoroutineExecutor(1), job(stay)
    executor.submit(slow)
    wait_until(lambda: stay.running)
    executor.cancel(slow, 1)

    assert executor.wait_idle(5)
    assert slow.task.cancelled()
    assert slow.cancelled_at <= time.monotonic()
    executor.stop()


def test_a_job_that_is_committing_is_not_cancelled(stay):
    executor, done = CoroutineExecutor(1), job(stay)
    executor.submit(done)
    wait_until(lambda: stay.running)
    done.is_committing = True
    executor.cancel(done, 1)
    stay.go.set()

    assert executor.wait_idle(5)
    assert not done.task.cancelled()
    executor.stop()


def test_nobody_waits_for_what_is_given_up(stay):
    executor, stuck = CoroutineExecutor(1), job(stay)
    executor.submit(stuck)
    waiting = threading.Thread(target=executor.wait_idle, args=[10])
    waiting.start()
    executor.give_up(stuck)
    waiting.join(30)

    assert not waiting.is_alive()
    executor.stop()


def test_stop_cancels_what_still_runs():
    executor, ended = CoroutineExecutor(1), []

    async def stay():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    stays = job(stay)
    executor.submit(stays)
    wait_until(lambda: stays.task)
    executor.stop()

    assert ended == ["cancelled"]
    assert not executor.thread.is_alive()

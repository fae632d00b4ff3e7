"""The worker's threads: side by side, never ended by a message, and stopped without a loss."""

import asyncio
import logging
import threading
import time

import pytest

from fairway import route
from fairway.application import DjangoApplication
from fairway.channel import Channel
from fairway.layers.memory import MemoryLayer
from fairway.limits import WorkerLimits
from fairway.routing import Router
from fairway.worker.loop import Worker, default_threads
from tests.support.chain import Chain, answer_nothing
from tests.support.waiting import await_until, wait_until


def send(chain, count=1, channel="work"):
    for number in range(count):
        Channel(channel, channel_layer=chain.layer).send({"n": number})


def test_blocking_consumers_run_side_by_side():
    barrier = threading.Barrier(3, timeout=5)
    with Chain([route("work", lambda message: barrier.wait())], threads=3) as chain:
        send(chain, 3)
        wait_until(lambda: chain.layer.statistics().committed == 3)


def test_coroutine_consumers_share_one_loop_and_are_bounded():
    running, most, go = [], [], threading.Event()

    async def consumer(message):
        running.append(asyncio.get_running_loop())
        most.append(len(running))
        await await_until(go.is_set)
        running.pop()

    limits = WorkerLimits(coroutines=3)
    with Chain([route("work", consumer)], threads=2, limits=limits) as chain:
        send(chain, 10)
        wait_until(lambda: len(running) == 3)
        # each of the two threads holds one more, and takes no further one
        assert wait_until(lambda: chain.layer.statistics().channels["work"].waiting == 5)
        assert len(set(running)) == 1
        go.set()
        wait_until(lambda: chain.layer.statistics().committed == 10)
    assert max(most) == 3


def test_no_message_ends_the_loop(caplog):
    seen = []

    def consumer(message):
        seen.append(message["n"])
        raise SystemExit if message["n"] % 2 else ValueError

    with Chain([route("work", consumer)], threads=1) as chain:
        send(chain, 10)
        wait_until(lambda: chain.layer.statistics().committed == 10)
    assert seen == list(range(10))
    assert len(caplog.records) == 10


def test_stop_finishes_what_runs_and_takes_nothing_more():
    began, go, done = threading.Event(), threading.Event(), []

    def consumer(message):
        began.set()
        go.wait(5)
        done.append(message["n"])

    chain = Chain([route("work", consumer)], threads=1)
    chain.worker.start()
    send(chain, 3)
    began.wait(5)
    threading.Timer(0.05, go.set).start()

    assert chain.worker.stop(5)
    assert done == [0]
    assert chain.layer.statistics().channels["work"].waiting == 2
    assert chain.worker.wait_ended(0)


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_what_outlasts_the_grace_is_delivered_again(is_coroutine, caplog):
    began, go = threading.Event(), threading.Event()

    def consumer(message):
        began.set()
        go.wait(5)

    async def aconsumer(message):
        began.set()
        await asyncio.Event().wait()

    chain = Chain([route("work", aconsumer if is_coroutine else consumer)], threads=1)
    chain.worker.start()
    send(chain)
    began.wait(5)

    assert not chain.worker.stop(0.02)
    again = chain.layer.reader(["work"]).receive(5)
    assert again.envelope.attempt == 2
    go.set()
    assert chain.worker.wait_ended(5)
    # the blocking one ends at last, and cannot commit
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert chain.layer.statistics().committed == 0


def test_a_message_that_waits_for_a_place_goes_back_at_a_stop():
    began, go = threading.Event(), threading.Event()

    async def consumer(message):
        began.set()
        await await_until(go.is_set)

    chain = Chain([route("work", consumer)], threads=1, limits=WorkerLimits(coroutines=1))
    chain.worker.start()
    send(chain, 2)
    wait_until(lambda: chain.layer.statistics().channels["work"].leased == 2)
    threading.Timer(0.05, go.set).start()

    assert chain.worker.stop(5)
    assert chain.layer.reader(["work"]).receive(5).envelope.attempt == 1


def test_a_closed_layer_ends_the_threads():
    chain = Chain()
    chain.worker.start()
    assert not chain.worker.wait_ended(0.01)
    chain.layer.close()

    assert chain.worker.wait_ended(5)
    assert chain.worker.stop(0)


def test_a_failing_layer_is_tried_again(caplog, monkeypatch):
    layer = MemoryLayer()
    failures = iter([OSError("gone"), OSError("still gone")])

    class Flaky(type(layer.reader(["none"]))):
        def receive(self, timeout=None):
            for failure in failures:
                raise failure
            return super().receive(timeout)

    monkeypatch.setattr("fairway.worker.loop.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("fairway.layers.memory.MemoryReader", Flaky)
    seen = []
    with Chain([route("work", lambda message: seen.append(1))], layer=layer, threads=1) as chain:
        send(chain)
        wait_until(lambda: seen)
    assert [record.getMessage()[:34] for record in caplog.records] == ["no message could be taken from the"] * 2


def test_a_thread_that_waits_to_try_again_ends_at_a_stop(monkeypatch, caplog):
    layer = MemoryLayer()

    class Broken(type(layer.reader(["none"]))):
        def receive(self, timeout=None):
            raise OSError

    monkeypatch.setattr("fairway.layers.memory.MemoryReader", Broken)
    worker = Worker(layer, DjangoApplication(layer, Router([]), http_consumer=answer_nothing), threads=1)
    worker.start()
    wait_until(lambda: caplog.records)

    assert worker.stop(5)


def test_idle_threads_cost_nothing():
    with Chain(threads=8):
        before = time.process_time()
        time.sleep(0.2)
        assert time.process_time() - before < 0.05


def test_a_worker_that_was_not_started_can_be_stopped():
    assert Chain().worker.stop()


def test_a_failure_of_the_worker_itself_ends_nothing(caplog, monkeypatch):
    seen = []
    with Chain([route("work", lambda message: seen.append(1))], threads=1) as chain:
        real = chain.worker._dispatcher.dispatch
        calls = iter([LookupError()])

        def dispatch(delivery):
            for error in calls:
                raise error
            return real(delivery)

        monkeypatch.setattr(chain.worker._dispatcher, "dispatch", dispatch)
        send(chain, 2)
        wait_until(lambda: seen)
    assert caplog.records[0].getMessage().startswith("the worker itself failed: channel work")


def test_threads_follow_the_machine():
    assert 5 <= default_threads() <= 32

"""The worker's threads: side by side, never ended by a message, and stopped without a loss."""

import asyncio
import contextlib
import logging
import threading
import time

import pytest

from fairway import route, route_class
from fairway.application import DjangoApplication
from fairway.channel import Channel
from fairway.consumers import BaseConsumer, Retry, background
from fairway.layers.memory import MemoryLayer
from fairway.limits import WorkerLimits
from fairway.routing import Router
from fairway.worker.executor import PATIENCE
from fairway.worker.loop import Worker, default_threads
from tests.support.chain import Chain, answer_nothing
from tests.support.waiting import await_until, wait_until


def send(chain, count=1, channel="work"):
    for number in range(count):
        Channel(channel, channel_layer=chain.layer).send({"n": number})


def test_blocking_consumers_run_side_by_side():
    barrier = threading.Barrier(3, timeout=30)
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

    limits = WorkerLimits(coroutines=3, coroutines_waiting=2)
    with Chain([route("work", consumer)], threads=2, limits=limits) as chain:
        send(chain, 10)
        wait_until(lambda: len(running) == 3)
        # three run, two wait, each of the two threads holds one more, and takes no further one
        assert wait_until(lambda: chain.layer.statistics().channels["work"].waiting == 3)
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
        go.wait(30)
        done.append(message["n"])

    chain = Chain([route("work", consumer)], threads=1)
    chain.worker.start()
    send(chain, 3)
    began.wait(30)
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
        go.wait(30)

    async def aconsumer(message):
        began.set()
        await asyncio.Event().wait()

    chain = Chain([route("work", aconsumer if is_coroutine else consumer)], threads=1)
    chain.worker.start()
    send(chain)
    began.wait(30)

    assert not chain.worker.stop(0.02)
    again = chain.layer.reader(["work"]).receive(5)
    assert again.envelope.attempt == 2
    go.set()
    assert chain.worker.wait_ended(5)
    # the blocking one ends at last, and cannot commit
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert chain.layer.statistics().committed == 0


@pytest.mark.parametrize("places", [0, 1])
def test_a_coroutine_that_waits_for_a_place_goes_back_at_a_stop(places):
    began, go = threading.Event(), threading.Event()

    async def consumer(message):
        began.set()
        await await_until(go.is_set)

    limits = WorkerLimits(coroutines=1, coroutines_waiting=places)
    chain = Chain([route("work", consumer)], threads=1, limits=limits)
    chain.worker.start()
    send(chain, 2)
    wait_until(lambda: chain.layer.statistics().channels["work"].leased == 2)
    threading.Timer(0.05, go.set).start()

    assert chain.worker.stop(5)
    assert chain.layer.reader(["work"]).receive(5).envelope.attempt == 1


def test_coroutines_without_a_place_do_not_hold_up_blocking_consumers():
    go, seen = threading.Event(), []

    async def slow(message):
        await await_until(go.is_set)

    routing = [route("slow", slow), route("work", lambda message: seen.append(1))]
    limits = WorkerLimits(coroutines=2, coroutines_waiting=2)
    with Chain(routing, threads=1, limits=limits) as chain:
        send(chain, 50, "slow")
        wait_until(lambda: len(chain.worker.running()) >= 2)
        send(chain, 5)
        wait_until(lambda: len(seen) == 5)
        assert chain.layer.statistics().committed == 5
        go.set()
        wait_until(lambda: chain.layer.statistics().committed == 55)


def test_coroutines_without_a_place_are_not_tried_in_a_circle():
    go = threading.Event()

    async def slow(message):
        await await_until(go.is_set)

    limits = WorkerLimits(coroutines=1, coroutines_waiting=0)
    with Chain([route("work", slow)], threads=2, limits=limits) as chain:
        send(chain, 10)
        wait_until(chain.worker.running)
        before = chain.worker.taken
        wait_until(lambda: chain.worker.taken >= before + 4)
        begin, before = time.monotonic(), chain.worker.taken
        wait_until(lambda: chain.worker.taken >= before + 6)
        assert time.monotonic() - begin > PATIENCE  # three each, with a pause before each
        go.set()


def test_what_waits_for_a_place_too_long_goes_back(monkeypatch):
    go = threading.Event()

    async def slow(message):
        await await_until(go.is_set)

    monkeypatch.setattr("fairway.worker.executor.LONGEST_WAIT", 0)
    limits = WorkerLimits(coroutines=1, coroutines_waiting=1)
    with Chain([route("work", slow)], threads=1, limits=limits) as chain:
        send(chain, 2)
        other = chain.layer.reader(["work"])
        wait_until(lambda: chain.layer.statistics().channels["work"].leased == 2)
        waiting = threading.Thread(target=lambda: wait_until(lambda: chain.worker.release_stale() or go.is_set()))
        waiting.start()
        again = other.receive(5)
        go.set()
        waiting.join(30)
        assert again.envelope.attempt == 1
        other.commit(again)


def test_the_session_is_widened_for_coroutines_once_they_come(monkeypatch):
    wider, opened = [], []
    layer = MemoryLayer()

    class Noted(type(layer.reader(["none"]))):
        def widen(self, more):
            wider.append(more)
            super().widen(more)

    async def acall(message):
        await asyncio.sleep(0)

    monkeypatch.setattr("fairway.layers.memory.MemoryReader", Noted)
    monkeypatch.setattr(layer, "reader", lambda *args: opened.append(args[1:]) or MemoryLayer.reader(layer, *args))
    limits = WorkerLimits(window=4, coroutines=3, coroutines_waiting=2)
    routing = [route("work", lambda message: None), route("acall", acall)]
    with Chain(routing, layer=layer, threads=2, limits=limits) as chain:
        send(chain)
        wait_until(lambda: layer.statistics().committed == 1)
        assert (opened, wider) == ([(8, 2)], [])
        send(chain, 4, "acall")
        wait_until(lambda: layer.statistics().committed == 5)
    assert wider == [5]


def test_it_tells_what_runs():
    go = threading.Event()

    async def acall(message):
        await await_until(go.is_set)

    routing = [route("work", lambda message: go.wait(30)), route("acall", acall)]
    with Chain(routing, threads=2) as chain:
        assert chain.worker.running() == []
        send(chain)
        send(chain, channel="acall")
        wait_until(lambda: len(chain.worker.running()) == 2)
        told = {(one.delivery.envelope.channel, one.place) for one in chain.worker.running()}
        go.set()
    assert told in ({("work", f"fairway-worker-{number}"), ("acall", "the event loop")} for number in (1, 2))
    assert chain.worker.taken == 2
    assert chain.worker.has_ended


class TestTheTimeLimit:
    def test_a_thread_over_it_is_reported_with_its_stack_and_given_up(self, caplog):
        began, go, quick = threading.Event(), threading.Event(), threading.Event()

        def a_slow_consumer(message):
            began.set()
            go.wait(10)

        chain = Chain([route("work", a_slow_consumer), route("quick", lambda message: quick.set())], threads=2)
        chain.worker.start()
        send(chain)
        began.wait(30)
        assert not chain.worker.end_overdue(60)
        wait_until(lambda: chain.worker.end_overdue(0.01))
        assert not chain.worker.end_overdue(0.01), "it is reported once"
        assert chain.worker.running() == []
        send(chain, channel="quick")
        assert quick.wait(30)

        assert chain.worker.stop(5)
        assert not chain.worker.has_ended
        again = chain.layer.reader(["work"]).receive(5)
        assert again.envelope.attempt == 2
        report = caplog.records[0]
        assert report.levelno == logging.ERROR
        assert report.getMessage().startswith("over the time limit of 0.01 s: channel work, message ")
        assert "in a_slow_consumer\n    go.wait(10)" in report.getMessage()
        assert "goes to another worker as attempt 2" in report.getMessage()
        go.set()
        wait_until(lambda: chain.worker.has_ended)

    def test_a_coroutine_over_it_is_cancelled_and_fails(self, caplog):
        async def a_slow_coroutine(message):
            Channel("done", channel_layer=chain.layer).send({})
            await asyncio.Event().wait()

        with Chain([route("work", a_slow_coroutine)], threads=1) as chain:
            send(chain)
            wait_until(lambda: [one for one in chain.worker._executor.running() if one.task])
            wait_until(lambda: chain.worker.end_overdue(0.01) or chain.layer.statistics().committed)
            assert not chain.worker.end_overdue(0.01)
            # as after any exception: what it sent is published, the message is acknowledged
            assert chain.layer.reader(["done"]).receive(5) is not None
        (record,) = caplog.records
        assert record.getMessage().startswith("consumer failed: channel work")
        assert "longer than its time limit of 0.01 s" in str(record.exc_info[1])
        assert "a_slow_coroutine" in record.exc_text

    @pytest.mark.parametrize("is_blocking", [False, True])
    def test_a_coroutine_that_goes_on_all_the_same_is_given_up(self, is_blocking, caplog, monkeypatch):
        monkeypatch.setattr("fairway.worker.loop.CANCEL_WAIT", 0.01)
        monkeypatch.setattr("fairway.worker.executor.STOP_TIMEOUT", 0.01)
        go = threading.Event()

        async def a_deaf_coroutine(message):
            if is_blocking:
                go.wait(10)
            while not go.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.01)

        chain = Chain([route("work", a_deaf_coroutine)], threads=1)
        chain.worker.start()
        send(chain)
        wait_until(lambda: chain.worker.end_overdue(0.01))

        assert chain.worker.stop(5)
        assert chain.layer.reader(["work"]).receive(5).envelope.attempt == 2
        assert "a_deaf_coroutine" in caplog.text
        go.set()
        chain.worker._executor.thread.join(30)


class TestATimeLimitOfItsOwn:
    def test_only_the_thread_over_its_own_is_given_up(self, caplog):
        @background(time_limit=0.02)
        def limited(message):
            go.wait(10)

        go = threading.Event()
        chain = Chain([route("work", limited), route("free", lambda message: go.wait(10))], threads=2)
        chain.worker.start()
        send(chain)
        send(chain, channel="free")
        wait_until(lambda: len(chain.worker.running()) == 2)
        assert wait_until(lambda: chain.worker.end_overdue(60)) == 0.02
        assert [one.delivery.envelope.channel for one in chain.worker.running()] == ["free"]
        assert caplog.records[0].getMessage().startswith("over the time limit of 0.02 s: channel work, message ")

        chain.worker.stop(0.01)
        assert chain.layer.reader(["work"]).receive(5).envelope.attempt == 2
        go.set()
        wait_until(lambda: chain.worker.has_ended)

    def test_the_worker_s_holds_where_it_is_smaller(self):
        @background(time_limit=60)
        def limited(message):
            go.wait(10)

        go = threading.Event()
        with Chain([route("work", limited)], threads=1) as chain:
            send(chain)
            assert wait_until(lambda: chain.worker.end_overdue(0.02)) == 0.02
            let_go(go, chain)

    def test_a_coroutine_over_it_fails_and_is_tried_again(self, caplog):
        @background(time_limit=0.02, retry=Retry(1, pause=0))
        async def slow_once(message):
            if not message.retries:
                await asyncio.Event().wait()

        with Chain([route("work", slow_once)], threads=1) as chain:
            send(chain)
            wait_until(lambda: caplog.records or chain.worker.end_overdue())
            wait_until(lambda: chain.layer.statistics().committed == 2)
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert record.getMessage().startswith("consumer failed, retry 1 of 1 follows in 0 s: channel work")
        assert "longer than its time limit of 0.02 s" in str(record.exc_info[1])

    def test_a_method_of_a_class_has_that_of_its_class(self):
        class Import(BaseConsumer):
            method_mapping = {"work": "load"}
            time_limit = 0.02

            def load(self, message):
                go.wait(10)

        go = threading.Event()
        with Chain([route_class(Import)], threads=1) as chain:
            send(chain)
            assert wait_until(chain.worker.end_overdue) == 0.02
            let_go(go, chain)

    def test_one_that_cannot_be_found_out_is_none(self, caplog, monkeypatch):
        def unknown(self, delivery):
            raise LookupError

        go = threading.Event()
        monkeypatch.setattr(DjangoApplication, "time_limit", unknown)
        with Chain([route("work", lambda message: go.wait(10))], threads=1) as chain:
            send(chain)
            wait_until(lambda: not chain.worker.end_overdue(60) and caplog.records)
            let_go(go, chain)
        assert caplog.records[0].getMessage().startswith("the time limit of a consumer is not known: channel work")


def let_go(go, chain):
    """Let the one consumer end that nobody waits for any more, before its layer does."""
    go.set()
    wait_until(lambda: chain.layer.statistics().committed == 1)


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


class Beside:
    """A companion that notes what it is told."""

    def __init__(self):
        self.told = []
        self.work = []

    def pause(self):
        self.told.append("pause")

    def wait_idle(self, timeout):
        self.told.append("wait")
        return not self.work

    def running(self):
        return list(self.work)

    def close(self):
        self.told.append("close")


@pytest.mark.parametrize("is_busy", [False, True])
def test_a_companion_is_told_waited_for_and_closed_with_the_worker(is_busy, caplog):
    class Accompanied(DjangoApplication):
        companions = (companion := Beside(),)

    layer = MemoryLayer()
    layer.send("work", {"n": 1})
    reader = layer.reader(["work"])
    if is_busy:
        Accompanied.companion.work.append((reader.receive(1), 3.0, "a thread"))
    application = Accompanied(layer, Router([]), http_consumer=answer_nothing)
    with Chain(application=application, layer=layer) as chain:
        assert [str(one).endswith("for 3 s in a thread") for one in chain.worker.running()] == [True] * is_busy
        assert chain.worker.stop(1) is not is_busy
        assert chain.worker.has_ended is not is_busy
        assert Accompanied.companion.told == ["pause", "wait", "close"]
        assert "consumers still run" not in caplog.text  # it tells of its own

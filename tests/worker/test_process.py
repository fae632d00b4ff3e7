"""The life of a worker process, from its start to its stop."""

import asyncio
import logging
import threading

import pytest

from fairway import route
from fairway.channel import Channel
from fairway.errors import LayerUnavailable
from fairway.limits import WorkerLimits
from fairway.worker import process as module
from fairway.worker.process import WorkerProcess
from tests.support.chain import Chain
from tests.support.waiting import wait_until

IDLE = "working: 0 messages taken, 0 being consumed"


class Told:
    def __init__(self, watchdog=None):
        self.lines = []
        self.watchdog = watchdog
        self.lives = 0

    def alive(self):
        self.lives += 1

    def ready(self):
        self.lines.append("READY")

    def status(self, text):
        self.lines.append(text)

    def stopping(self):
        self.lines.append("STOPPING")


class Life:
    """A worker process in a thread of the test."""

    def __init__(self, routing=(), *, threads=2, watchdog=None, **limits):
        self.chain = Chain(routing, threads=threads)
        self.told = Told(watchdog)
        self.started = []
        self.process = WorkerProcess([self.chain.worker], WorkerLimits(**limits), self.told, self.started.append)
        self.results = []
        self.thread = threading.Thread(target=lambda: self.results.append(self.process.run()), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc_info):
        self.process.stop("the test is over")
        self.thread.join(10)
        self.chain.layer.close()

    def send(self, count=1, channel="work"):
        for number in range(count):
            Channel(channel, channel_layer=self.chain.layer).send({"n": number})

    def end(self):
        self.thread.join(10)
        return self.results[0]


def test_from_start_to_stop(caplog):
    caplog.set_level(logging.INFO, "fairway.worker")
    seen = []
    with Life([route("work", lambda message: seen.append(message["n"]))]) as life:
        life.send(3)
        wait_until(lambda: len(seen) == 3)
        life.process.stop("SIGTERM")
        assert life.end() is True
    assert life.started == [life.chain.worker]
    assert life.process.has_ended
    assert [line.partition(": ")[0] for line in life.told.lines] == ["READY", "working", "STOPPING", "stopping"]
    assert [record.getMessage() for record in caplog.records] == ["stopping: SIGTERM", "stopped"]


def test_it_tells_how_much_it_works_when_that_changes(monkeypatch):
    monkeypatch.setattr(module, "STATUS_EVERY", 0)
    go = threading.Event()
    with Life([route("work", lambda message: go.wait(10))], watchdog=0.01) as life:
        wait_until(lambda: life.told.lives > 3)
        life.send()
        wait_until(lambda: life.told.lines[1:] == [IDLE, "working: 1 messages taken, 1 being consumed"])
        go.set()


def test_it_tells_what_a_stop_waits_for(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "fairway.worker")
    monkeypatch.setattr(module, "REPORT_EVERY", 0.01)
    go = threading.Event()
    with Life([route("work", lambda message: go.wait(10))]) as life:
        life.send()
        wait_until(life.chain.worker.running)
        life.process.stop("SIGTERM")
        waits = wait_until(lambda: [text for text in life.told.lines if "waiting for" in text])
        go.set()
        assert life.end() is True
    assert waits[0].startswith("stopping, waiting for channel work, message ")
    assert " s in fairway-worker-" in waits[0]
    assert "waiting for channel work" in caplog.text


def test_what_outlasts_the_grace_is_cut_off(monkeypatch):
    go = threading.Event()
    with Life([route("work", lambda message: go.wait(10))], grace=0.05) as life:
        life.send()
        wait_until(life.chain.worker.running)
        life.process.stop("SIGTERM")
        assert life.end() is False
        assert life.chain.layer.reader(["work"]).receive(5).envelope.attempt == 2
        go.set()


def test_it_retires_after_messages_enough():
    with Life([route("work", lambda message: None)], max_messages=5, time_limit=0.1) as life:
        life.send(20)
        assert life.end() is True
    assert "messages, of at most 5" in life.told.lines[-1]


def test_it_retires_when_a_consumer_does_not_end_and_finishes_the_others(caplog):
    stuck, slow, done = threading.Event(), threading.Event(), []

    def finish(message):
        slow.wait(10)
        done.append(1)

    with Life([route("work", lambda message: stuck.wait(10)), route("slow", finish)], time_limit=1) as life:
        life.send()
        wait_until(lambda: [one for one in life.chain.worker.running() if one.seconds > 0.5])
        life.send(channel="slow")
        wait_until(lambda: life.chain.worker._given_up)
        slow.set()
        assert life.end() is True
        again = life.chain.layer.reader(["work"]).receive(5)
        stuck.set()
    assert (done, again.envelope.attempt) == ([1], 2)
    assert "over the time limit of 1 s" in caplog.text


def test_the_end_of_the_layer_is_the_end_of_the_process():
    with Life(time_limit=0.1) as life:
        wait_until(lambda: life.told.lines)
        life.chain.layer.close()
        assert life.end() is True
    assert life.told.lines[-1] == "stopping: the layer was closed"


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_layer_that_cannot_be_reached_is_tried_again(comes_back, caplog, monkeypatch):
    caplog.set_level("INFO", "fairway.worker")
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)
    life = Life()
    real, tries = life.chain.worker.start, []

    def start():
        tries.append(1)
        if len(tries) < 4 or not comes_back:
            raise LayerUnavailable("nobody listens")
        real()

    monkeypatch.setattr(life.chain.worker, "start", start)
    with life:
        wait_until(lambda: len(tries) >= 4)
        if comes_back:
            wait_until(lambda: "READY" in life.told.lines)
        life.process.stop("SIGTERM")
        assert life.end() is True
    assert ("READY" in life.told.lines) is comes_back
    assert "waiting for the layer: nobody listens" in life.told.lines
    told = ["nobody listens; trying again until it can be", *["the layer has been reached"] * comes_back]
    assert [record.getMessage() for record in caplog.records][: len(told)] == told


def test_a_coroutine_is_waited_for_too():
    done = []

    async def consumer(message):
        await asyncio.sleep(0.1)
        done.append(1)

    with Life([route("work", consumer)]) as life:
        life.send()
        wait_until(life.chain.worker.running)
        life.process.stop("SIGTERM")
        assert life.end() is True
    assert done == [1]


def test_a_watchdog_hears_of_it_while_it_works_and_while_it_stops():
    go = threading.Event()
    with Life([route("work", lambda message: go.wait(10))], watchdog=0.01) as life:
        life.send()
        wait_until(life.chain.worker.running)
        wait_until(lambda: life.told.lives > 3)
        life.process.stop("SIGTERM")
        wait_until(lambda: "STOPPING" in life.told.lines)
        before = life.told.lives
        wait_until(lambda: life.told.lives > before + 3)
        go.set()
        assert life.end() is True
    with Life() as life:
        wait_until(lambda: life.told.lines)
    assert life.told.lives == 0

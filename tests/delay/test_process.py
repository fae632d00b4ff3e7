"""The life of a delay server's process, from its start to its stop."""

import contextlib
import threading
from dataclasses import replace

from fairway.delay.process import DelayProcess
from fairway.delay.server import DelayServer
from fairway.delay.storing import store
from fairway.layers import LocalLayer
from tests.delay.harness import QUICK
from tests.support.hubs import HubThread
from tests.support.waiting import wait_until

IDLE = "working: 0 messages stored, 0 sent"


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


@contextlib.contextmanager
def life(layer, told, limits=QUICK):
    """A process in a thread of the test; what it yields is told how it ended."""
    process = DelayProcess(DelayServer(layer, limits=limits), told)
    results = []
    thread = threading.Thread(target=lambda: results.append(process.run()), daemon=True)
    thread.start()
    try:
        yield process, results
    finally:
        process.stop("the test is over")
        thread.join(30)


def test_it_tells_when_it_is_ready_and_what_it_does(layer, sqlite):
    told = Told()
    with life(layer, told) as (process, results):
        wait_until(lambda: "READY" in told.lines, "the process")
        process.stop("SIGTERM")
        wait_until(lambda: results, "the end")
    assert results == [True]
    assert told.lines == ["READY", IDLE, "STOPPING", "stopping: SIGTERM"]


def test_it_is_not_ready_before_it_has_reached_its_layer(sqlite, tmp_path):
    told = Told()
    layer = LocalLayer(str(tmp_path / "h"), wait=0.05)
    with life(layer, told) as (_, results):
        wait_until(lambda: told.lines, "a status")
        assert told.lines == ["waiting for the layer or the database"]
        with HubThread(tmp_path / "h"):
            wait_until(lambda: "READY" in told.lines, "the process")
    assert results == [True]
    layer.close()


def test_it_is_not_ready_before_it_has_reached_its_database(layer, database):
    told = Told()
    with database.away(), life(layer, told) as (_, results):
        wait_until(lambda: told.lines, "a status")
    assert results == [True]
    assert "READY" not in told.lines


def test_a_watchdog_hears_that_it_is_alive(layer, sqlite):
    told = Told(watchdog=0.01)
    with life(layer, told):
        wait_until(lambda: told.lives > 2, "signs of life")


def test_a_server_that_has_died_ends_the_process(layer, sqlite, monkeypatch, caplog):
    monkeypatch.setattr("fairway.delay.server.parse_request", None)
    told = Told()
    with life(layer, told) as (_, results):
        layer.send("asgi.delay", {})
        wait_until(lambda: results, "the end")
    assert results == [False]
    assert caplog.messages[-1] == "the delay server has died; its process ends"


def test_a_stop_does_not_wait_for_a_database_for_ever(layer, sqlite, monkeypatch, caplog):
    sqlite.settings["OPTIONS"]["timeout"] = 5
    storing = threading.Event()

    def store_and_tell(*arguments):
        storing.set()
        store(*arguments)

    monkeypatch.setattr("fairway.delay.server.store", store_and_tell)
    told = Told()
    with life(layer, told, replace(QUICK, grace=0.01, look=60)) as (process, results):
        wait_until(lambda: "READY" in told.lines, "the process")
        with sqlite.away():
            layer.send("asgi.delay", {"channel": "reports", "content": {}, "delay": 1})
            assert storing.wait(30)
            process.stop("SIGTERM")
            wait_until(lambda: results, "the end")
        wait_until(lambda: not process._server.is_alive, "the thread, now that there is an answer")
    assert results == [False]
    assert "has not answered yet" in caplog.text

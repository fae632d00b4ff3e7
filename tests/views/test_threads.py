"""A thread for each view."""

import threading

import pytest

from fairway.broker.effects import Delivery, Envelope
from fairway.views.threads import ViewThreads
from tests.support.waiting import wait_until

DELIVERY = Delivery(Envelope("m", "websocket.connect"), b"", 0)


def test_so_many_run_and_no_more_until_one_ends():
    threads, gate = ViewThreads(2), threading.Event()
    assert [threads.submit(DELIVERY, gate.wait) for _ in range(3)] == [True, True, False]
    (delivery, seconds, name), _ = threads.running()
    assert (delivery, name) == (DELIVERY, "fairway-view-1")
    assert seconds >= 0
    assert not threads.wait_idle(0)
    gate.set()
    assert threads.wait_idle(5)
    assert threads.submit(DELIVERY, gate.wait)
    assert threads.wait_idle(5)


def test_a_view_that_fails_leaves_its_place(monkeypatch):
    failed = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    threads = ViewThreads(1)

    def fail():
        raise ValueError("boom")

    assert threads.submit(DELIVERY, fail)
    assert threads.wait_idle(5)
    wait_until(lambda: failed)


def test_a_thread_that_cannot_be_made_takes_no_place(monkeypatch):
    threads = ViewThreads(1)

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            threads.submit(DELIVERY, print)
    assert threads.running() == []


def test_database_connections_end_with_the_thread(monkeypatch):
    closed = []

    def close():
        closed.append(threading.current_thread().name)

    monkeypatch.setattr("fairway.views.threads.close_connections", close)
    threads = ViewThreads(1)
    threads.submit(DELIVERY, lambda: None)
    assert threads.wait_idle(5)
    assert closed == ["fairway-view-1"]

"""A worker process as far as it is Django's and the system's: signals in both senses, and the way out."""

import atexit
import os
import signal
import sys
import threading

import pytest

from fairway import route
from fairway.limits import WorkerLimits
from fairway.management import worker_process
from fairway.management.worker_process import run_workers
from fairway.signals import worker_process_ready, worker_ready
from tests.support.chain import Chain
from tests.support.processes import running_python
from tests.support.waiting import wait_until

SCRIPT = """
import sys, threading, time
from tests.support import settings  # noqa: F401
import django
django.setup()
from fairway import route
from fairway.limits import WorkerLimits
from fairway.management.worker_process import run_workers
from tests.support.chain import Chain

go = threading.Event()
chain = Chain([route("work", lambda message: print("begun", flush=True) or go.wait(60))], threads=1)
chain.layer.send("work", {})
code = run_workers([chain.worker], WorkerLimits(grace=float(sys.argv[1])))
print("not reached")
"""


@pytest.fixture
def chain():
    chain = Chain([route("work", lambda message: None)], threads=1)
    yield chain
    chain.layer.close()


def when_ready(action):
    def receive(sender, **kwargs):
        threading.Timer(0.01, action).start()

    return receive


@pytest.mark.parametrize("number", worker_process.SIGNALS)
def test_a_signal_stops_it_and_the_handlers_are_as_before(chain, number):
    before = signal.getsignal(number)
    receiver = when_ready(lambda: os.kill(os.getpid(), number))
    worker_ready.connect(receiver)
    try:
        assert run_workers([chain.worker], WorkerLimits()) == 0
    finally:
        worker_ready.disconnect(receiver)
    assert signal.getsignal(number) is before
    assert chain.worker.has_ended


def test_djangos_signals_are_sent_in_their_order(chain):
    seen = []

    def receiver(**kwargs):
        seen.append((kwargs["signal"], kwargs["sender"], chain.worker.has_ended))
        if kwargs["signal"] is worker_ready:
            chain.layer.close()

    for each in (worker_process_ready, worker_ready):
        each.connect(receiver)
    try:
        run_workers([chain.worker], WorkerLimits(time_limit=0.1))
    finally:
        for each in (worker_process_ready, worker_ready):
            each.disconnect(receiver)
    assert seen == [(worker_process_ready, chain.worker, True), (worker_ready, chain.worker, False)]


def test_under_autoreload_the_end_of_the_process_stops_it(chain, monkeypatch):
    registered, codes = [], []
    monkeypatch.setattr(atexit, "register", registered.append)
    monkeypatch.setattr(atexit, "unregister", registered.remove)
    thread = threading.Thread(target=lambda: codes.append(run_workers([chain.worker], WorkerLimits())))
    thread.start()
    wait_until(lambda: registered and not chain.worker.has_ended)
    registered[0]()
    thread.join(30)

    assert codes == [0]
    assert registered == []


@pytest.mark.parametrize("signals", [1, 2])
def test_a_consumer_that_nobody_can_end_does_not_keep_the_process(signals, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    env = {"DJANGO_SETTINGS_MODULE": "tests.support.settings", "PYTHONPATH": os.pathsep.join([".", *sys.path])}
    with running_python(script, "60" if signals == 2 else "0.1", env=env) as program:
        program.wait_for_output("begun")
        program.process.send_signal(signal.SIGTERM)
        if signals == 2:
            program.process.send_signal(signal.SIGINT)
        assert program.process.wait(30) in ({128 + signal.SIGINT, 128 + signal.SIGTERM} if signals == 2 else {1})
        assert "not reached" not in program.output()

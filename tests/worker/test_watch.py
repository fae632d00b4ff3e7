"""What makes a worker process retire."""

import threading

import pytest

from fairway import route
from fairway.consumers import background
from fairway.limits import WorkerLimits
from fairway.worker import watch as module
from fairway.worker.watch import JITTER, Watch, resident_bytes
from tests.support.chain import Chain
from tests.support.waiting import wait_until

MIB = 1 << 20


class Counted:
    """What a watch needs to know of a worker."""

    def __init__(self, taken=0):
        self.taken = taken
        self.looks = 0

    def release_stale(self):
        self.looks += 1

    def end_overdue(self, limit):
        return 0.0


def test_without_limits_there_is_no_reason():
    worker = Counted(10**9)
    watch = Watch([worker], WorkerLimits())

    assert watch.look() == ""
    assert watch.interval == 1
    assert worker.looks == 1


def test_messages_enough_in_all_workers_together():
    workers = [Counted(50), Counted(49)]
    watch = Watch(workers, WorkerLimits(max_messages=100))

    assert watch.look() == ""
    workers[1].taken = 60
    assert watch.look() == "110 messages, of at most 100 and up to a tenth more"


def test_not_all_processes_retire_at_the_same_message():
    most = {Watch([], WorkerLimits(max_messages=1000)).most_messages for _ in range(20)}
    assert len(most) > 1
    assert 1000 <= min(most) <= max(most) <= 1000 * (1 + JITTER)


def test_memory_enough():
    held = resident_bytes()
    assert Watch([], WorkerLimits(max_memory=held * 2)).look() == ""
    assert Watch([], WorkerLimits(max_memory=MIB)).look().endswith(" MiB of memory, of at most 1 MiB")


@pytest.mark.parametrize("says", ["nothing", "nonsense"])
def test_the_memory_of_a_process_where_the_system_does_not_tell(says, monkeypatch, tmp_path):
    now = resident_bytes()
    path = tmp_path / "statm"
    if says == "nonsense":
        path.write_text("?")
    monkeypatch.setattr(module, "_STATM", path)

    assert 5 * MIB < now <= resident_bytes() + MIB


@pytest.mark.parametrize(("limit", "interval"), [(0.2, 0.05), (60, 1)])
def test_it_looks_often_enough_for_the_time_limit(limit, interval):
    assert Watch([], WorkerLimits(time_limit=limit)).interval == interval


def test_a_consumer_that_does_not_end():
    go = threading.Event()
    chain = Chain([route("work", lambda message: go.wait(30))], threads=1)
    chain.worker.start()
    watch = Watch([chain.worker], WorkerLimits(time_limit=0.05))
    assert watch.look() == ""
    chain.layer.send("work", {})

    assert wait_until(watch.look) == "a consumer ran for longer than its time limit of 0.05 s"
    go.set()
    assert chain.worker.stop(5)


def test_a_consumer_that_does_not_end_within_a_limit_of_its_own():
    @background(time_limit=0.05)
    def slow(message):
        go.wait(30)

    go = threading.Event()
    chain = Chain([route("work", slow)], threads=1)
    chain.worker.start()
    chain.layer.send("work", {})

    assert wait_until(Watch([chain.worker], WorkerLimits()).look) == (
        "a consumer ran for longer than its time limit of 0.05 s"
    )
    go.set()
    assert chain.worker.stop(5)

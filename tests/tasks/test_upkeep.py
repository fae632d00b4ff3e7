"""Counting tasks, sending tickets again, deleting what has ended."""

from datetime import timedelta

import pytest
from django.utils import timezone

from fairway.conf import channel_layers
from fairway.errors import LayerUnavailable
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits, ChannelRule
from fairway.tasks import upkeep
from fairway.tasks.framework import task_backends
from fairway.tasks.models import Status, TaskRecord
from fairway.testing import Client
from tests.tasks import jobs

HOUR = timedelta(hours=1)


@pytest.fixture
def lost(project, channel_layer):
    """Lose all messages of the layer."""
    return channel_layer.flush


def tickets(queue="default"):
    client, found = Client(), 0
    while client.get_next_message(f"tasks.{queue}"):
        found += 1
    return found


def resume(**more):
    return upkeep.resume(task_backends["default"], **more)


def test_tasks_are_counted_by_backend_queue_and_status(project, channel_layer):
    for queue, status, count in (("mail", "READY", 2), ("default", "FAILED", 1), ("default", "READY", 3)):
        for _ in range(count):
            TaskRecord.objects.create(backend="default", queue=queue, status=status, enqueued_at=timezone.now())
    assert upkeep.count("default") == [
        ("default", "default", "READY", 3),
        ("default", "default", "FAILED", 1),
        ("default", "mail", "READY", 2),
    ]


def test_after_the_layer_has_lost_its_memory_all_that_waits_is_run(lost):
    for number in range(3):
        jobs.note.enqueue(number)
    jobs.note.using(queue_name="mail").enqueue("mail")
    lost()
    assert resume() == 4
    for _ in range(3):
        Client().consume("tasks.default")
    Client().consume("tasks.mail")
    assert len(jobs.seen) == 4
    assert not TaskRecord.objects.exclude(status=Status.SUCCESSFUL).exists()


def test_few_tickets_are_enough_since_each_brings_another(lost, monkeypatch):
    monkeypatch.setattr(upkeep, "TICKETS", 1)
    for number in range(4):
        jobs.note.enqueue(number)
    lost()
    resume()
    for _ in range(4):
        Client().consume("tasks.default")
    assert [args[0] for args, _ in jobs.seen] == [0, 1, 2, 3]


def test_a_full_channel_has_tickets_enough(project, channel_layer):
    channel_layers.set("default", MemoryLayer(BrokerLimits(rules=(("tasks.*", ChannelRule(capacity=2)),))))
    for number in range(4):
        jobs.note.enqueue(number)
    assert resume() == 4
    for _ in range(4):
        Client().consume("tasks.default")
    assert len(jobs.seen) == 4


def test_what_runs_is_left_alone_unless_it_has_run_for_long(lost):
    jobs.note.enqueue()
    lost()
    TaskRecord.objects.update(status=Status.RUNNING, claim="x", last_attempted_at=timezone.now() - HOUR)
    assert resume() == 0
    assert resume(running_longer_than=2 * HOUR) == 0
    assert tickets() == 0
    assert resume(running_longer_than=HOUR / 2) == 1
    Client().consume("tasks.default")
    assert len(jobs.seen) == 1


def test_what_is_for_later_waits_for_its_time(lost):
    jobs.note.using(run_after=timezone.now() + HOUR).enqueue()
    assert resume() == 0
    assert tickets() == 0


def test_what_the_delay_server_never_got_is_handed_to_it(lost):
    jobs.note.using(run_after=timezone.now() + HOUR).enqueue()
    lost()
    TaskRecord.objects.update(has_ticket=False)
    assert resume() == 1
    assert resume() == 0
    assert len(Client().deliver_delayed(HOUR)) == 1
    Client().consume("tasks.default")
    assert len(jobs.seen) == 1


def test_what_had_no_ticket_and_is_due_by_now_is_run(lost):
    jobs.note.using(run_after=timezone.now() + HOUR).enqueue()
    lost()
    TaskRecord.objects.update(has_ticket=False, wake_at=timezone.now(), run_after=timezone.now())
    assert resume() == 1
    Client().consume("tasks.default")
    assert len(jobs.seen) == 1


def test_a_layer_that_is_away_is_told_and_nothing_is_lost(project, channel_layer):
    jobs.note.enqueue()
    channel_layer.close()
    with pytest.raises(LayerUnavailable):
        resume()
    channel_layers.set("default", MemoryLayer())
    assert resume() == 1
    Client().consume("tasks.default")
    assert len(jobs.seen) == 1


def test_what_has_ended_long_ago_is_deleted(project, channel_layer, monkeypatch):
    monkeypatch.setattr(upkeep, "BATCH", 2)
    now = timezone.now()
    for status, finished in (
        (Status.SUCCESSFUL, now - HOUR),
        (Status.FAILED, now - HOUR),
        (Status.SUCCESSFUL, now - 2 * HOUR),
        (Status.SUCCESSFUL, now),
        (Status.READY, None),
        (Status.RUNNING, None),
    ):
        TaskRecord.objects.create(backend="default", status=status, finished_at=finished, enqueued_at=now - 9 * HOUR)
    assert upkeep.prune("default", HOUR / 2) == 3
    assert upkeep.prune("default", HOUR / 2) == 0
    assert TaskRecord.objects.count() == 3

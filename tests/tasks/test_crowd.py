"""Many at once, with room for few tickets: whatever the order of things, no task is left behind, and each runs once."""

import random
import threading

import pytest
from django.db import connections
from django.utils import timezone

from fairway.application import application_for
from fairway.conf import channel_layers
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits, ChannelRule
from fairway.tasks.models import Status, TaskRecord
from fairway.worker.loop import Worker
from tests.support.waiting import wait_until
from tests.tasks import jobs

THREADS, EACH, ROOM = 3, 40, 4


@pytest.fixture
def layer(project):
    limits = BrokerLimits(rules=(("tasks.*", ChannelRule(capacity=ROOM)),))
    channel_layers.set("default", MemoryLayer(limits))
    return channel_layers["default"]


def enqueue_some(first, errors):
    dice = random.Random(first)
    try:
        for number in range(first, first + EACH):
            past = timezone.now() - timezone.timedelta(hours=1)
            task = jobs.note.using(priority=dice.randrange(-3, 4), run_after=dice.choice([None, past]))
            task.enqueue(number)
    except Exception as error:  # noqa: BLE001  looked at below
        errors.append(error)
    finally:
        connections.close_all()


@pytest.mark.parametrize("is_late", [False, True], ids=["workers from the beginning", "workers afterwards"])
def test_no_task_is_left_behind(layer, is_late):
    errors = []
    worker = Worker(layer, application_for("default"), threads=3)
    senders = [threading.Thread(target=enqueue_some, args=(n * EACH, errors)) for n in range(THREADS)]
    try:
        if not is_late:
            worker.start()
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert errors == []
        if is_late:
            assert TaskRecord.objects.filter(has_ticket=True).count() == ROOM
            worker.start()
        left = TaskRecord.objects.filter(status__in=(Status.READY, Status.RUNNING))
        wait_until(lambda: not left.exists(), "all tasks have ended", 30)
    finally:
        worker.stop()
    assert sorted(args[0] for args, _ in jobs.seen) == list(range(THREADS * EACH))
    assert not TaskRecord.objects.exclude(attempts=1).exists()
    assert layer.dead_letters() == []

"""Workers that are programs of their own, a delay server beside them, and what holds when workers die."""

import json
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from fairway.layers.codec import decode_message
from fairway.tasks.models import Status, TaskRecord
from tests.support.hubs import HubThread
from tests.support.processes import ROOT, running
from tests.support.waiting import wait_until
from tests.tasks import jobs
from tests.tasks.conftest import TASKS

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

WAIT = 90


@pytest.fixture
def workers(request, database, settings):
    """Three workers that are replaced when they die, and a hub. They have two threads each, or what the test says."""
    threads = getattr(request, "param", 2)
    with tempfile.TemporaryDirectory(prefix="office-") as folder:
        path = str(Path(folder) / "hub.sock")
        hub = HubThread(path)
        settings.TASKS = TASKS
        settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.LocalLayer", "CONFIG": {"path": path}}}
        env = {
            "DJANGO_SETTINGS_MODULE": "tests.tasks.office",
            "OFFICE_DATABASE": json.dumps(database),
            "OFFICE_HUB": path,
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "django"]
        try:
            with (
                running([*command, "rundelay"], env=env),
                running([*command, "runworker", "--processes=3", f"--threads={threads}"], env=env) as program,
            ):
                wait_until(lambda: program.output().count("channels: ") >= 3, "three workers", WAIT)
                yield hub
        finally:
            settings.CHANNEL_LAYERS = {}
            hub.stop()


def ended(count):
    """All of so many tasks have ended."""
    rows = TaskRecord.objects.filter(status__in=(Status.SUCCESSFUL, Status.FAILED))
    wait_until(lambda: rows.count() >= count, f"{count} tasks have ended", WAIT)


def test_a_task_whose_worker_was_lost_is_run_again_by_another(workers):
    result = jobs.kill_worker.enqueue(2)
    ended(1)
    result.refresh()
    assert result.errors == []
    assert result.return_value == 3
    assert len(set(result.worker_ids)) == 3


def test_what_a_task_sends_is_not_lost_with_a_worker_that_dies_after_its_result_is_written(workers):
    jobs.kill_worker_at_the_end.enqueue("told")
    delivery = workers.layer.reader(["told"]).receive(WAIT)
    assert decode_message(delivery.body) == {"attempt": 2}
    ended(1)
    record = TaskRecord.objects.get()
    assert (record.status, record.attempts) == (Status.SUCCESSFUL, 2)


# What runs beside such a task in the same process is lost along with it, each time if it has to be.
@pytest.mark.parametrize("workers", [1], indirect=True)
def test_a_task_that_costs_every_worker_its_life_fails_and_the_others_are_run(workers):
    deadly = jobs.kill_worker.enqueue(99)
    others = [jobs.note.enqueue(number) for number in range(10)]
    ended(11)
    deadly.refresh()
    assert deadly.status == Status.FAILED
    assert deadly.errors[0].exception_class_path == "fairway.errors.TaskLost"
    for result in others:
        result.refresh()
        assert result.status == Status.SUCCESSFUL
    assert workers.layer.dead_letters() == []


def test_of_many_tasks_each_ends_although_workers_die(workers):
    kinds = [jobs.note, jobs.note_later, jobs.note.using(priority=5), jobs.note_later.using(queue_name="mail")]
    for number in range(120):
        kinds[number % 4].enqueue(number)
        if number in (20, 60, 100):
            jobs.kill_worker.enqueue(1)
    ended(123)
    assert [(each.path, each.errors) for each in TaskRecord.objects.exclude(status=Status.SUCCESSFUL)] == []
    assert workers.layer.dead_letters() == []


def test_a_task_enqueues_others(workers):
    result = jobs.enqueue_more.enqueue(20)
    ended(21)
    result.refresh()
    assert {str(pk) for pk in TaskRecord.objects.values_list("pk", flat=True)} == {result.id, *result.return_value}


def test_a_task_for_later_is_run_when_its_time_has_come(workers):
    times = [timezone.now() + timedelta(seconds=seconds) for seconds in (0.5, 1)]
    results = [jobs.note.using(run_after=time).enqueue() for time in times]
    ended(2)
    for result, time in zip(results, times, strict=True):
        result.refresh()
        assert result.status == Status.SUCCESSFUL
        assert result.started_at >= time

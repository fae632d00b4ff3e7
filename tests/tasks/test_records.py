"""Rows, as whoever enqueues sees them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from fairway.tasks.framework import TaskResultDoesNotExist
from fairway.tasks.models import Place, Status, TaskRecord
from fairway.tasks.records import get_record, make_record, take_back
from tests.tasks import jobs

HOUR = timedelta(hours=1)


def make(project, **changes):
    record = make_record("default", jobs.note.using(**changes), (1, b"x"), {"a": (2,)})
    record.save()
    return record


def test_a_row_has_what_the_task_says(project):
    record = make(project, priority=3, queue_name="mail")
    assert (record.backend, record.queue, record.path) == ("default", "mail", "tests.tasks.jobs.note")
    assert (record.priority, record.args, record.kwargs) == (3, [1, "x"], {"a": [2]})
    assert (record.status, record.place, record.wake_at) == (Status.READY, Place.IN_LINE, None)


def test_a_row_for_later_stands_aside_until_then(project):
    later = timezone.now() + HOUR
    record = make(project, run_after=later)
    assert (record.place, record.wake_at, record.run_after) == (Place.ASIDE, later, later)


def test_it_is_found_by_its_id_and_backend(project):
    record = make(project)
    assert get_record("default", "default", str(record.pk)) == record
    with pytest.raises(TaskResultDoesNotExist):
        get_record("default", "other", str(record.pk))


def test_it_is_taken_back_unless_somebody_has_claimed_it(project):
    record, claimed = make(project), make(project)
    TaskRecord.objects.filter(pk=claimed.pk).update(status=Status.RUNNING, claim="x")
    assert take_back(record)
    assert not take_back(claimed)
    assert list(TaskRecord.objects.all()) == [claimed]

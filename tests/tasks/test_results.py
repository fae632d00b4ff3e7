"""Rows as results, and the way back to the function."""

import pytest
from django.utils import timezone

from fairway.tasks.framework import TaskResultStatus
from fairway.tasks.models import Status, TaskRecord
from fairway.tasks.results import find_task, renew, result_of, task_of
from tests.tasks import jobs


def make(**values):
    return TaskRecord(
        backend="default", queue="default", path="tests.tasks.jobs.note", enqueued_at=timezone.now(), **values
    )


def test_a_task_is_found_where_its_name_says():
    assert find_task("tests.tasks.jobs.note") is jobs.note


@pytest.mark.parametrize("path", ["", "note", "no.such.module", "tests.tasks.jobs.nothing", "tests.tasks.jobs.seen"])
def test_what_is_no_task_is_not_found(path):
    with pytest.raises(ImportError):
        find_task(path)


def test_the_task_of_a_row_is_as_it_was_enqueued():
    at = timezone.now()
    record = make(priority=0, run_after=None)
    assert task_of(record) == jobs.note
    record.run_after = at
    with pytest.raises(Exception, match="run_after"):  # the backend of the settings takes none
        task_of(record)


def test_a_result_is_renewed_in_place():
    record = make()
    result = result_of(record, jobs.note)
    errors = [{"exception_class_path": "builtins.ValueError", "traceback": "..."}]
    record.status, record.errors, record.finished_at = Status.FAILED, errors, record.enqueued_at
    renew(result, record)
    assert result.status is TaskResultStatus.FAILED
    assert result.errors[0].exception_class is ValueError
    assert result.finished_at == record.enqueued_at


def test_what_a_task_is_given_is_not_what_its_result_keeps():
    record = make(worker_ids=["a"])
    result = result_of(record, jobs.note)
    result.worker_ids.append("b")
    assert record.worker_ids == ["a"]

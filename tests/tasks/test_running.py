"""A claimed task is run, and what came of it is written down."""

import logging
import sqlite3

import pytest
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.utils import timezone

from fairway.errors import TaskLost
from fairway.tasks import ChannelTaskBackend, claims, running
from fairway.tasks.claims import Claims
from fairway.tasks.framework import task_finished, task_started
from fairway.tasks.models import Status, TaskRecord
from tests.tasks import jobs


@pytest.fixture
def claimed(project):
    """Claims a new task."""

    def claim(task=jobs.note, *args):
        TaskRecord.objects.create(
            backend="default", queue="default", path=task.module_path, args=args, enqueued_at=timezone.now()
        )
        return Claims("default", "default", "default").take_next("mine")

    return claim


def run(record, task=jobs.note, **more):
    running.run_task(record, task, ChannelTaskBackend, **more)
    return TaskRecord.objects.get(pk=record.pk)


def test_what_it_returns_is_written_down(claimed):
    row = run(claimed(jobs.note, 1))
    assert (row.status, row.return_value, row.errors) == (Status.SUCCESSFUL, {"args": [1], "kwargs": {}}, [])
    assert row.started_at <= row.finished_at <= timezone.now()


def test_what_it_raises_is_written_down(claimed):
    row = run(claimed(jobs.fail), jobs.fail)
    assert (row.status, row.return_value) == (Status.FAILED, None)
    assert row.errors[0]["exception_class_path"] == "builtins.ValueError"
    assert row.errors[0]["traceback"].endswith("ValueError: This task failed\n")


def test_a_long_traceback_is_cut_where_it_begins(claimed, monkeypatch):
    monkeypatch.setattr(running, "LONGEST_TRACEBACK", 30)
    row = run(claimed(jobs.fail, "x" * 99 + "end"), jobs.fail)
    assert row.errors[0]["traceback"] == "x" * 26 + "end\n"


def test_it_fails_without_being_run_when_its_workers_were_lost(claimed):
    started = []
    receiver = lambda **_: started.append(1)  # noqa: E731  held here, since signals do not
    task_started.connect(receiver)
    row = run(claimed(), instead=TaskLost("its worker was lost 4 times"))
    task_started.disconnect(receiver)
    assert (jobs.seen, started) == ([], [])
    assert row.status == Status.FAILED
    assert row.errors[0]["exception_class_path"] == "fairway.errors.TaskLost"


def test_a_receiver_that_raises_changes_nothing(claimed, caplog):
    def receiver(**_kwargs):
        raise ZeroDivisionError

    for signal in (task_started, task_finished):
        signal.connect(receiver)
    try:
        row = run(claimed())
    finally:
        for signal in (task_started, task_finished):
            signal.disconnect(receiver)
    assert row.status == Status.SUCCESSFUL
    assert [record.name for record in caplog.records if "ZeroDivisionError" in (record.exc_text or "")] != []


def test_what_another_worker_has_claimed_meanwhile_is_left_to_it(claimed, caplog):
    record = claimed()
    Claims("default", "default", "default").take_again("mine")
    finished = []
    receiver = lambda **_: finished.append(1)  # noqa: E731  held here, since signals do not
    task_finished.connect(receiver)
    row = run(record)
    task_finished.disconnect(receiver)
    assert row.status == Status.RUNNING
    assert finished == []
    assert "another worker runs it by now" in caplog.text


def test_a_row_that_was_deleted_meanwhile_is_not_made_again(claimed, caplog):
    record = claimed()
    TaskRecord.objects.all().delete()
    running.run_task(record, jobs.note, ChannelTaskBackend)
    assert not TaskRecord.objects.exists()
    assert "or it was deleted" in caplog.text


def test_a_connection_that_has_broken_is_replaced(claimed, caplog):
    if connection.vendor != "postgresql":
        pytest.skip("a file does not go away")
    record = claimed()
    with connection.cursor() as cursor, pytest.raises(OperationalError):
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    row = run(record)
    assert row.status == Status.SUCCESSFUL
    assert "cannot be written yet, trying again in 0.1 s" in caplog.text


def test_a_transaction_that_the_task_has_left_open_is_rolled_back(claimed):
    row = run(claimed(jobs.leave_open), jobs.leave_open)
    connection.close()
    assert row.status == Status.SUCCESSFUL
    assert list(TaskRecord.objects.values_list("status", flat=True)) == [Status.SUCCESSFUL]


def test_a_database_that_stays_away_lets_the_task_come_again(claimed, monkeypatch, caplog):
    def end(_record):
        raise OperationalError("gone")

    monkeypatch.setattr(running, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(claims, "end", end)
    with pytest.raises(OperationalError):
        running.run_task(claimed(), jobs.note, ChannelTaskBackend)
    assert caplog.text.count("cannot be written yet") == 2
    assert TaskRecord.objects.get().status == Status.RUNNING


def test_a_value_that_the_database_refuses_lets_the_task_fail(claimed, monkeypatch):
    write, refused = claims.end, []

    def end(record):
        if record.status == Status.SUCCESSFUL:
            refused.append(record)
            raise DatabaseError("no room for so much")
        return write(record)

    monkeypatch.setattr(claims, "end", end)
    row = run(claimed())
    assert len(refused) == 1
    assert (row.status, row.return_value) == (Status.FAILED, None)
    assert "no room for so much" in row.errors[0]["traceback"]


def test_in_a_transaction_of_somebody_else_nothing_is_tried_twice(claimed, monkeypatch, caplog):
    def end(_record):
        raise OperationalError("gone")

    record = claimed()
    monkeypatch.setattr(claims, "end", end)
    with pytest.raises(OperationalError), transaction.atomic():
        running.run_task(record, jobs.note, ChannelTaskBackend)
    assert "cannot be written yet" not in caplog.text


def test_a_locked_database_is_waited_for(claimed, database, caplog):
    if connection.vendor != "sqlite":
        pytest.skip("rows of PostgreSQL are locked one by one")
    record = claimed()
    connections.settings["default"]["OPTIONS"] = {"timeout": 0.01}
    connection.close()
    connection.settings_dict["OPTIONS"] = {"timeout": 0.01}
    other = sqlite3.connect(database["NAME"], isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    class Release(logging.Handler):
        def emit(self, _record):
            if other.in_transaction:
                other.execute("COMMIT")

    handler = Release()
    logging.getLogger("fairway.tasks").addHandler(handler)
    try:
        row = run(record)
    finally:
        logging.getLogger("fairway.tasks").removeHandler(handler)
        other.close()
    assert row.status == Status.SUCCESSFUL
    assert "database is locked" in caplog.text

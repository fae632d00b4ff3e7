"""What a row says of itself, and what a query for the next one costs."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from fairway.tasks.claims import Claims, claim_of
from fairway.tasks.framework import TaskResultStatus
from fairway.tasks.models import Place, Status, TaskRecord


def test_the_words_for_how_far_a_task_is_are_those_of_the_framework():
    assert [(each.value, str(each.label)) for each in Status] == [
        (each.value, str(each.label)) for each in TaskResultStatus
    ]


def test_a_row_names_itself():
    record = TaskRecord(path="shop.tasks.bill")
    assert str(record) == f"shop.tasks.bill ({record.pk}, READY)"


@pytest.fixture
def crowd(database):
    """Many tasks that are not next: they have ended, are for later, or wait elsewhere."""
    now = timezone.now()
    later = {"place": Place.ASIDE, "priority": 100, "run_after": now + timedelta(days=1)}
    kinds = [
        {"queue": "default", "status": Status.SUCCESSFUL},
        {"queue": "other"},
        {"queue": "default", "wake_at": later["run_after"], **later},
        {"queue": "default"},
    ]
    for kind in kinds:
        rows = (TaskRecord(backend="default", path="a.b", enqueued_at=now, **kind) for _ in range(2000))
        TaskRecord.objects.bulk_create(rows, batch_size=500)
    if connection.vendor == "postgresql":  # it does so by itself, and SQLite never does
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def test_the_next_task_and_those_that_are_due_are_found_by_an_index(crowd):
    tasks = Claims("default", "default", "default")
    due = tasks._aside.filter(wake_at__lte=timezone.now())
    lonely = tasks._line.filter(wake_at__isnull=False).order_by("wake_at")
    for query in (tasks._next, due, lonely):
        plan = query[:1].explain()
        assert "fairway_tasks_" in plan
        assert "Sort" not in plan
        assert "TEMP B-TREE" not in plan
    assert "fairway_tasks_claim" in TaskRecord.objects.filter(claim=claim_of("ticket"))[:1].explain()

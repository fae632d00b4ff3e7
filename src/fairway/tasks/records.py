"""Rows of tasks, from the side of whoever enqueues and of whoever asks what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone

from fairway.tasks.framework import AnyTask, TaskResultDoesNotExist, normalize_json
from fairway.tasks.models import Place, Status, TaskRecord


def make_record(backend: str, task: AnyTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> TaskRecord:
    """Return a row for a task; it is not stored yet.

    Raises:
        TypeError, ValueError: an argument is nothing for JSON.
    """
    now = timezone.now()
    is_due = task.run_after is None or task.run_after <= now
    return TaskRecord(
        backend=backend,
        queue=task.queue_name,
        path=task.module_path,
        args=normalize_json(args),
        kwargs=normalize_json(kwargs),
        priority=task.priority,
        run_after=task.run_after,
        place=Place.IN_LINE if is_due else Place.ASIDE,
        wake_at=None if is_due else task.run_after,
        enqueued_at=now,
    )


def get_record(database: str, backend: str, result_id: str) -> TaskRecord:
    """Return the row of a task.

    Raises:
        TaskResultDoesNotExist: the backend has none with this id.
    """
    try:
        return TaskRecord.objects.using(database).get(pk=result_id, backend=backend)
    except (TaskRecord.DoesNotExist, ValidationError, ValueError):
        raise TaskResultDoesNotExist(result_id) from None


def take_back(record: TaskRecord) -> bool:
    """Delete a row that nobody was told of; False when some ticket has claimed it all the same."""
    rows = TaskRecord.objects.using(record._state.db)  # noqa: SLF001  Django documents it
    deleted, _ = rows.filter(pk=record.pk, status=Status.READY, claim="").delete()
    return deleted > 0

"""Runs a task that was claimed, and writes down what came of it."""

import logging
import time
from traceback import format_exception
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, OperationalError, connections
from django.utils import timezone

from fairway.tasks import claims
from fairway.tasks.framework import AnyResult, AnyTask, TaskContext, normalize_json, task_finished, task_started
from fairway.tasks.models import Status, TaskRecord
from fairway.tasks.results import renew, result_of

logger = logging.getLogger("fairway.tasks")

AWAY = (OperationalError, InterfaceError)
"""What a database says that cannot be reached, or that another one holds locked."""

PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
"""Seconds between attempts to write down what came of a task. It has run, and would have to run again."""

LONGEST_TRACEBACK = 64 * 1024
"""Characters of a traceback that are kept, from its end. An exception may have a text of any length."""


def run_task(record: TaskRecord, task: AnyTask, sender: type, *, instead: Exception | None = None) -> None:
    """Run a task, and write down what came of it.

    Parameters:
        record: its row, claimed.
        task: what is run.
        sender: the class of its backend, for the signals.
        instead: fail with this exception, and do not run it.

    Raises:
        OperationalError, InterfaceError: what came of it could not be written down.
    """
    result = result_of(record, task)
    try:
        if instead is not None:
            raise instead  # noqa: TRY301  it shall look like any other failure
        task_started.send_robust(sender, task_result=result)
        record.return_value = normalize_json(_call(result))
    except BaseException as error:
        note_failure(record, error)
        _end(record, sender, result)
        if isinstance(error, KeyboardInterrupt):
            raise  # who wants this process to end shall not be kept from it
    else:
        record.status, record.finished_at = Status.SUCCESSFUL, timezone.now()
        _end(record, sender, result)


def note_failure(record: TaskRecord, error: BaseException) -> None:
    """Put what went wrong into a row; it is not written yet."""
    kind = type(error)
    told = {
        "exception_class_path": f"{kind.__module__}.{kind.__qualname__}",
        "traceback": "".join(format_exception(error))[-LONGEST_TRACEBACK:],
    }
    record.status, record.finished_at = Status.FAILED, timezone.now()
    record.return_value, record.errors = None, [*record.errors, told]


def write_end(record: TaskRecord) -> bool:
    """Write down what came of a task, patiently; False when this attempt is not its last any more.

    Raises:
        OperationalError, InterfaceError: the database is still away after 13 seconds.
    """
    connection = connections[record._state.db or DEFAULT_DB_ALIAS]  # noqa: SLF001  Django documents it
    if not connection.in_atomic_block and connection.autocommit != connection.settings_dict["AUTOCOMMIT"]:
        connection.close()  # the task has left a transaction open, in which nothing more would ever be committed
    for pause in PAUSES:
        try:
            return claims.end(record)
        except AWAY as error:
            if connection.in_atomic_block:
                raise
            logger.warning(
                "what came of the task %s cannot be written yet, trying again in %g s: %s", record, pause, error
            )
            connection.close()
            time.sleep(pause)
    return claims.end(record)


def _call(result: AnyResult) -> Any:
    task, args, kwargs = result.task, result.args, result.kwargs
    if task.takes_context:
        return task.call(TaskContext(task_result=result), *args, **kwargs)
    return task.call(*args, **kwargs)


def _end(record: TaskRecord, sender: type, result: AnyResult) -> None:
    try:
        is_last = write_end(record)
    except AWAY:
        raise
    except DatabaseError as error:  # it has no room for what was returned, say
        note_failure(record, error)
        is_last = write_end(record)
    if not is_last:
        logger.warning("what came of the task %s is not kept: another worker runs it by now, or it was deleted", record)
        return
    renew(result, record)
    task_finished.send_robust(sender, task_result=result)

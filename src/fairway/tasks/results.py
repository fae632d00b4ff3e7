"""From a row to the framework's `TaskResult`, and to the function that it runs."""

from typing import TYPE_CHECKING

from django.utils.module_loading import import_string

from fairway.tasks.framework import (
    AnyResult,
    AnyTask,
    InvalidTask,
    Task,
    TaskError,
    TaskResult,
    TaskResultStatus,
)

if TYPE_CHECKING:
    # A module may define tasks while Django is still loading its models, and then the backend is imported.
    from fairway.tasks.models import TaskRecord

REMEDY = "define it with @task at the top of a module that workers import, under its own name"


def find_task(path: str) -> AnyTask:
    """Return the task that a module has at a path.

    Raises:
        ImportError: there is none at it, or the module cannot be imported.
    """
    found = import_string(path)
    if not isinstance(found, Task):
        msg = f"{path!r} is no task but {type(found).__name__}"
        raise ImportError(msg)  # noqa: TRY004  what is at a path is as good as missing when it is something else
    return found


def check_findable(task: AnyTask) -> None:
    """Check that a worker will find the function of a task where its name says.

    Raises:
        InvalidTask: it will not.
    """
    path = task.module_path
    if path.startswith("__main__."):
        msg = f"{path!r} is in the script that runs here, and no worker finds it: {REMEDY}"
        raise InvalidTask(msg)
    try:
        found = find_task(path)
    except ImportError as error:
        msg = f"no worker finds the task {path!r} ({error}): {REMEDY}"
        raise InvalidTask(msg) from error
    if found.func is not task.func:
        msg = f"no worker finds the task {path!r}, since another one has that name: {REMEDY}"
        raise InvalidTask(msg)


def task_of(record: "TaskRecord") -> AnyTask:
    """Return the task of a row, as it was enqueued.

    Raises:
        ImportError: its function is not there.
        InvalidTask: its backend does not take it any more, such as one of a queue that was removed.
    """
    return find_task(record.path).using(
        priority=record.priority, queue_name=record.queue, run_after=record.run_after, backend=record.backend
    )


def result_of(record: "TaskRecord", task: AnyTask) -> AnyResult:
    """Return a row as the framework shows it."""
    result: AnyResult = TaskResult(
        task=task,
        id=str(record.pk),
        status=TaskResultStatus[record.status],
        enqueued_at=record.enqueued_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        last_attempted_at=record.last_attempted_at,
        args=record.args,
        kwargs=record.kwargs,
        backend=record.backend,
        errors=[],
        worker_ids=list(record.worker_ids),
    )
    renew(result, record)
    return result


def renew(result: AnyResult, record: "TaskRecord") -> None:
    """Bring a result up to what came of its row."""
    changes = {
        "status": TaskResultStatus[record.status],
        "finished_at": record.finished_at,
        "errors": [TaskError(**error) for error in record.errors],
        "_return_value": record.return_value,
    }
    for name, value in changes.items():
        object.__setattr__(result, name, value)  # it is frozen, for everybody but its backend

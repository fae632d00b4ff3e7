"""From a row to the framework's `TaskResult`, and back to the function that it runs."""

from django.utils.module_loading import import_string

from fairway.tasks.framework import (
    AnyResult,
    AnyTask,
    BaseTaskBackend,
    InvalidTask,
    Task,
    TaskError,
    TaskResult,
    TaskResultStatus,
)
from fairway.tasks.models import TaskRecord


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
    remedy = "define it with @task in a module that workers import, under its own name"
    if path.startswith("__main__."):
        msg = f"{path!r} is in the script that runs here, and no worker finds it: {remedy}"
        raise InvalidTask(msg)
    try:
        found = find_task(path)
    except ImportError as error:
        msg = f"no worker finds the task {path!r} ({error}): {remedy}"
        raise InvalidTask(msg) from error
    if found.func is not task.func:
        msg = f"no worker finds the task {path!r}, since another one has that name: {remedy}"
        raise InvalidTask(msg)


def result_of(record: TaskRecord, backend: BaseTaskBackend) -> AnyResult:
    """Return a row as the framework shows it.

    Raises:
        ImportError: its function is not there any more.
        InvalidTask: the backend does not take its task any more, such as one of a queue that was removed.
    """
    task = find_task(record.path).using(
        priority=record.priority, queue_name=record.queue, run_after=record.run_after, backend=record.backend
    )
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
        backend=backend.alias,
        errors=[TaskError(**error) for error in record.errors],
        worker_ids=list(record.worker_ids),
    )
    renew(result, record)
    return result


def renew(result: AnyResult, record: TaskRecord) -> None:
    """Bring a result up to what its row says."""
    changes = {
        "status": TaskResultStatus[record.status],
        "finished_at": record.finished_at,
        "errors": [TaskError(**error) for error in record.errors],
        "_return_value": record.return_value,
    }
    for name, value in changes.items():
        object.__setattr__(result, name, value)  # it is frozen, for everybody but its backend

"""What consumes a ticket: it claims a task, runs it, and writes down what came of it."""

import logging
from traceback import format_exception
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from fairway.message import Message
from fairway.tasks import claims
from fairway.tasks.backend import ChannelTaskBackend
from fairway.tasks.framework import AnyResult, TaskContext, normalize_json, task_backends, task_finished, task_started
from fairway.tasks.models import Status, TaskRecord
from fairway.tasks.results import renew, result_of
from fairway.tasks.tickets import Ticket, read_ticket, send_ticket

logger = logging.getLogger("fairway.tasks")


def consume_ticket(message: Message, **_kwargs: Any) -> None:
    """Run the task that comes first in the queue of a ticket. There may be none left, which is no fault."""
    ticket = read_ticket(message)
    backend = backend_of(ticket)
    record = _claim(message, ticket, backend)
    if record is not None:
        run(record, backend)


def backend_of(ticket: Ticket) -> ChannelTaskBackend:
    """Return the backend that a ticket names.

    Raises:
        ImproperlyConfigured: this project has none of that name.
    """
    backend = task_backends[ticket.backend]
    if not isinstance(backend, ChannelTaskBackend):
        msg = f"TASKS[{ticket.backend!r}] is no ChannelTaskBackend, and a ticket of one came: did the setting change?"
        raise ImproperlyConfigured(msg)
    return backend


def run(record: TaskRecord, backend: ChannelTaskBackend) -> None:
    """Run a task that was claimed here, and write down what came of it."""
    result = result_of(record, backend)
    try:
        task_started.send_robust(type(backend), task_result=result)
        record.return_value = normalize_json(_call(result))
    except BaseException as error:
        _fail(record, error)
        _end(record, backend, result)
        if isinstance(error, KeyboardInterrupt):
            raise
    else:
        record.status, record.finished_at = Status.SUCCESSFUL, timezone.now()
        _end(record, backend, result)


def _claim(message: Message, ticket: Ticket, backend: ChannelTaskBackend) -> TaskRecord | None:
    queue = claims.Claims(backend.database, ticket.backend, ticket.queue)
    claim = claims.claim_of(message.id)
    record = queue.take_again(claim) if message.attempt > 1 or message.retries else None
    if record is None:
        record = queue.take_next(claim)
        if record is not None and not record.has_ticket:
            # This ticket was meant for another task, which shall not be without one.
            send_ticket(backend.make_ticket(ticket.queue), backend.channel_layer)
    return record


def _call(result: AnyResult) -> Any:
    task, args, kwargs = result.task, result.args, result.kwargs
    if task.takes_context:
        return task.call(TaskContext(task_result=result), *args, **kwargs)
    return task.call(*args, **kwargs)


def _fail(record: TaskRecord, error: BaseException) -> None:
    kind = type(error)
    told = {
        "exception_class_path": f"{kind.__module__}.{kind.__qualname__}",
        "traceback": "".join(format_exception(error)),
    }
    record.status, record.finished_at, record.errors = Status.FAILED, timezone.now(), [*record.errors, told]


def _end(record: TaskRecord, backend: ChannelTaskBackend, result: AnyResult) -> None:
    if claims.end(record, backend.database):
        renew(result, record)
        task_finished.send_robust(type(backend), task_result=result)
    else:
        logger.warning("what came of the task %s is not kept: another worker has it now", record)

"""What consumes a ticket: it claims the task that comes first, and runs it."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from fairway.consumers import background
from fairway.errors import BackendError, TaskLost
from fairway.message import Message
from fairway.tasks import claims
from fairway.tasks.backend import ChannelTaskBackend
from fairway.tasks.framework import task_backends
from fairway.tasks.models import TaskRecord
from fairway.tasks.results import task_of
from fairway.tasks.running import AWAY, note_failure, run_task, write_end
from fairway.tasks.tickets import Ticket, due_by, read_ticket, send_or_note
from fairway.worker.retries import Retry

logger = logging.getLogger("fairway.tasks")

LOSSES = 4
"""So many workers may be lost while they run a task. Its ticket would be a dead letter at one more, and the task run
for ever, as far as anybody could see."""


class TaskUnknown(BackendError):
    """A task cannot be run here, and maybe elsewhere."""


RETRY = Retry(times=20, pause=0.1, factor=2, longest=30.0, on=(*AWAY, TaskUnknown))
"""A ticket waits for a database that is away, six minutes in all. Then it is a dead letter."""

UNKNOWN = 8
"""How often a ticket comes again for a task that its workers do not know: half a minute, in which a deploy ends."""


@background(retry=RETRY)
def consume_ticket(message: Message, **_kwargs: Any) -> None:
    """Run the task that comes first in the queue of a ticket. There may be none left, which is no fault."""
    ticket = read_ticket(message)
    backend = backend_of(ticket)
    record = _claim(message, ticket, backend)
    if record is None:
        return
    lost = None
    if message.attempt > LOSSES and record.attempts > 1:
        lost = TaskLost(
            f"its worker was lost {message.attempt - 1} times: killed, out of memory, or over its time limit"
        )
    try:
        task = task_of(record)
    except Exception as error:  # noqa: BLE001  a module of the project is imported
        _give_up(message, record, error)
        return
    run_task(record, task, type(backend), instead=lost)


def backend_of(ticket: Ticket) -> ChannelTaskBackend:
    """Return the backend that a ticket names.

    Raises:
        ImproperlyConfigured: this project has none of that name.
    """
    backend = task_backends[ticket.backend]
    if not isinstance(backend, ChannelTaskBackend):
        msg = f"TASKS[{ticket.backend!r}] is no ChannelTaskBackend, and a ticket of one came: was the setting changed?"
        raise ImproperlyConfigured(msg)
    return backend


def _claim(message: Message, ticket: Ticket, backend: ChannelTaskBackend) -> TaskRecord | None:
    queue = claims.Claims(backend.database, ticket.backend, ticket.queue)
    claim = claims.claim_of(message.id)
    if message.attempt > 1 or message.retries:
        record = queue.take_again(claim)
        if record is not None:
            return record
    queue.join_line(due_by(ticket))
    lonely = queue.adopt()
    if lonely is not None:
        _send(ticket, backend, partial(queue.lose_ticket, lonely))
    record = queue.take_next(claim)
    if record is not None and not record.has_ticket:
        _send(ticket, backend, queue.lose_ticket)  # the one that is consumed here was that of another task
    return record


def _send(ticket: Ticket, backend: ChannelTaskBackend, note_loss: Callable[[], None]) -> None:
    try:
        send_or_note(backend.make_ticket(ticket.queue), backend.channel_layer, note_loss)
    except BackendError:
        note_loss()


def _give_up(message: Message, record: TaskRecord, error: Exception) -> None:
    """Put off a task that cannot be run here: while a deploy goes on, another worker may know it. Then let it fail."""
    if message.retries < UNKNOWN:
        claims.put_off(record)
        raise TaskUnknown(f"this worker cannot run the task {record} ({error}): is its code older?") from error
    note_failure(record, error)
    write_end(record)
    logger.error("the task %s could not be started", record, exc_info=error)

"""The backend of Django's Tasks framework: it stores a task, sends its ticket, and finds results."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.broker.effects import Send
from fairway.conf import channel_layers
from fairway.errors import BackendError, InvalidName
from fairway.layers.base import Layer
from fairway.tasks.framework import (
    AnyResult,
    AnyTask,
    BaseTaskBackend,
    InvalidTask,
    InvalidTaskBackend,
    task_enqueued,
)
from fairway.tasks.results import check_findable, result_of, task_of
from fairway.tasks.tickets import Ticket, channel_of, make_ticket, send_or_note, send_ticket

if TYPE_CHECKING:
    from fairway.tasks.models import TaskRecord

logger = logging.getLogger("fairway.tasks")

APP = "fairway.tasks"


class ChannelTaskBackend(BaseTaskBackend):
    """Runs tasks in the workers of a channel layer, and keeps them in a database.

    Its `OPTIONS` are `layer` and `database`, the aliases of both.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        if isinstance(params.get("QUEUES"), str):
            msg = f"TASKS[{alias!r}]['QUEUES'] is a list of names, not a str: write [{params['QUEUES']!r}]"
            raise InvalidTaskBackend(msg)
        super().__init__(alias, params)
        self.layer: str = self.options.get("layer", DEFAULT_CHANNEL_LAYER)
        self.database: str = self.options.get("database", DEFAULT_DB_ALIAS)

    @property
    def channel_layer(self) -> Layer:
        """The layer on which its tickets travel."""
        return channel_layers[self.layer]

    def validate_task(self, task: AnyTask) -> None:
        """Check what the framework checks, and that the queue has a channel.

        Raises:
            InvalidTask: the task cannot be run by this backend; the text says why.
        """
        super().validate_task(task)
        try:
            channel_of(task.queue_name, self.queues)
        except InvalidName as error:
            msg = f"Queue {task.queue_name!r} is not valid for backend: {error}"
            raise InvalidTask(msg) from error

    def enqueue(self, task: AnyTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> AnyResult:  # type: ignore[override]
        """Store a task. Workers hear of it when the transaction is committed in which it is stored.

        Raises:
            InvalidTask: it cannot be run by this backend, or no worker would find it.
            TypeError, ValueError: an argument is nothing for JSON.
            InvalidSchedule: `run_after` is too far away.
            ImproperlyConfigured: the app is not installed; or there is a `run_after`, and `fairway.delay` is not.
            ChannelFull, LayerUnavailable, DeliveryLost: its ticket could not be sent, so it is not stored. (Only
                outside of a transaction; within one it is stored by then, and the log says what to do.)
        """
        check_installed()
        from fairway.tasks.records import make_record

        self.validate_task(task)
        check_findable(task)
        record = make_record(self.alias, task, args, kwargs)
        ticket = self.make_ticket(record.queue, record.wake_at)
        record.save(using=self.database, force_insert=True)
        is_alone = not connections[self.database].in_atomic_block
        transaction.on_commit(partial(self._send, ticket, record, is_alone=is_alone), using=self.database)
        result = result_of(record, task)
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> AnyResult:
        """Return the task with this id as it is now.

        Raises:
            TaskResultDoesNotExist: there is none, or none of this backend.
            ImportError: its function is not there any more.
            InvalidTask: its queue is none of this backend any more.
        """
        check_installed()
        from fairway.tasks.records import get_record

        record = get_record(self.database, self.alias, result_id)
        return result_of(record, task_of(record))

    def check(self, **_kwargs: Any) -> list[CheckMessage]:
        """Check the settings; Django's system checks call it."""
        from fairway.tasks.checks import check_backend

        return check_backend(self)

    def make_ticket(self, queue: str, at: datetime | None = None) -> Send:
        """Return a ticket for a queue, as `tickets.make_ticket`."""
        return make_ticket(Ticket(self.alias, queue), channel_of(queue, self.queues), self.channel_layer, at)

    def _send(self, ticket: Send, record: "TaskRecord", *, is_alone: bool) -> None:
        """Send the ticket of a task that is stored; `is_alone` says that nothing else was stored with it."""
        from fairway.tasks.claims import Claims
        from fairway.tasks.records import take_back

        note_loss = partial(Claims(self.database, self.alias, record.queue).lose_ticket, record)
        try:
            if record.wake_at is None:
                send_or_note(ticket, self.channel_layer, note_loss)
            else:
                send_ticket(ticket, self.channel_layer)
        except BackendError as error:
            if not is_alone:
                note_loss()
                text = "the task %s is stored, but no worker was told: %s. `manage.py tasks resume` tells them"
                logger.error(text, record, error)  # noqa: TRY400  the text says it all
            elif take_back(record):
                raise


def check_installed() -> None:
    """Check that there is a table for tasks.

    Raises:
        ImproperlyConfigured: the app is not installed.
    """
    if not apps.is_installed(APP):
        msg = f"TASKS names fairway.tasks.ChannelTaskBackend: add {APP!r} to INSTALLED_APPS and run `manage.py migrate`"
        raise ImproperlyConfigured(msg)

"""The backend of Django's Tasks framework: it stores a task, sends its ticket, and finds results."""

import logging
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.utils import timezone

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.broker.effects import Send
from fairway.conf import channel_layers
from fairway.errors import BackendError, ChannelFull, InvalidName
from fairway.layers.base import Layer
from fairway.tasks.framework import (
    AnyResult,
    AnyTask,
    BaseTaskBackend,
    InvalidTask,
    TaskResultDoesNotExist,
    normalize_json,
    task_enqueued,
)
from fairway.tasks.results import check_findable, result_of
from fairway.tasks.tickets import Ticket, channel_of, make_ticket, send_ticket

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
        super().__init__(alias, params)
        self.layer: str = self.options.get("layer", DEFAULT_CHANNEL_LAYER)
        self.database: str = self.options.get("database", DEFAULT_DB_ALIAS)

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
        self.validate_task(task)
        check_findable(task)
        record = self._record(task, args, kwargs)
        effect = self.make_ticket(record.queue, None if record.is_due else record.run_after)
        record.save(using=self.database, force_insert=True)
        is_alone = not connections[self.database].in_atomic_block
        transaction.on_commit(partial(self._send, effect, record, is_alone=is_alone), using=self.database)
        result = result_of(record, self)
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> AnyResult:
        """Return the task with this id as it is now.

        Raises:
            TaskResultDoesNotExist: there is none, or none of this backend.
            ImportError: its function is not there any more.
        """
        from fairway.tasks.models import TaskRecord

        check_installed()
        try:
            record = TaskRecord.objects.using(self.database).get(pk=result_id, backend=self.alias)
        except (TaskRecord.DoesNotExist, ValidationError, ValueError):
            raise TaskResultDoesNotExist(result_id) from None
        return result_of(record, self)

    @property
    def channel_layer(self) -> Layer:
        """The layer on which its tickets travel."""
        return channel_layers[self.layer]

    def make_ticket(self, queue: str, at: datetime | None = None) -> Send:
        """Return a ticket for a queue, as `tickets.make_ticket`."""
        return make_ticket(Ticket(self.alias, queue), channel_of(queue, self.queues), self.channel_layer, at)

    def _record(self, task: AnyTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        from fairway.tasks.models import TaskRecord

        now = timezone.now()
        return TaskRecord(
            id=uuid.uuid4(),
            backend=self.alias,
            queue=task.queue_name,
            path=task.module_path,
            args=normalize_json(args),
            kwargs=normalize_json(kwargs),
            priority=task.priority,
            run_after=task.run_after,
            is_due=task.run_after is None or task.run_after <= now,
            enqueued_at=now,
        )

    def _send(self, effect: Send, record: Any, *, is_alone: bool) -> None:
        try:
            send_ticket(effect, self.channel_layer)
        except BackendError as error:
            if isinstance(error, ChannelFull) and record.is_due:
                # So many tickets are waiting that one of them will claim it.
                self._note_no_ticket(record)
            elif is_alone:
                self._rows(record).delete()
                raise
            else:
                self._note_no_ticket(record)
                text = "the task %s is stored, but no worker was told: %s. `manage.py tasks resume` tells them"
                logger.error(text, record, error)  # noqa: TRY400  the text says it

    def _note_no_ticket(self, record: Any) -> None:
        self._rows(record).update(has_ticket=False)

    def _rows(self, record: Any) -> Any:
        return type(record).objects.using(self.database).filter(pk=record.pk)


def check_installed() -> None:
    """Check that there is a table for tasks.

    Raises:
        ImproperlyConfigured: the app is not installed.
    """
    if not apps.is_installed(APP):
        msg = f"TASKS names fairway.tasks.ChannelTaskBackend: add {APP!r} to INSTALLED_APPS and run `manage.py migrate`"
        raise ImproperlyConfigured(msg)

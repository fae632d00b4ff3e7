"""Which ticket runs which task: rows are claimed one by one, whoever else claims at the same time.

A ticket claims the task of its queue with the highest priority, of several the oldest, and of those only what is due.
When the worker of a ticket is gone, the ticket comes again and finds the row that it had claimed. Both runs then name
the same claim, so each also knows how many attempts it has seen, and only the last one may say what came of the task.

What a task sends leaves with the acknowledgement of its ticket, just after its result is written. So a row whose task
has sent something keeps its claim when it ends: a worker that is lost between the two has sent nothing, and the ticket
that comes again lets the task run again. The layer drops what it has after all got from the run before.
"""

import os
import socket
from datetime import datetime
from hashlib import blake2b
from typing import Any

from django.db import connections, transaction
from django.db.models import QuerySet
from django.utils import timezone

from fairway.tasks.models import Place, Status, TaskRecord
from fairway.worker.outbox import current_outbox

LONGEST_WORKER_ID = 64


class Claims:
    """The tasks of one queue.

    Parameters:
        database: alias of the database that keeps them.
        backend: alias of the backend.
        queue: its name.
    """

    def __init__(self, database: str, backend: str, queue: str) -> None:
        self._database = database
        self._tasks = TaskRecord.objects.using(database).filter(backend=backend, queue=queue)
        ready = self._tasks.filter(status=Status.READY)
        self._aside = ready.filter(place=Place.ASIDE)
        self._line = ready.filter(place=Place.IN_LINE)
        self._next = self._line.order_by("-priority", "enqueued_at")

    def take_next(self, claim: str) -> TaskRecord | None:
        """Claim the task that comes first; None when there is none."""
        if connections[self._database].features.has_select_for_update_skip_locked:
            with transaction.atomic(self._database):
                record = self._next.select_for_update(skip_locked=True).first()
                if record is not None:
                    _begin(self._tasks, record, claim)
            return record
        while (record := self._next.first()) is not None:
            # Whoever is the second to write finds nothing to write, and looks for the next.
            if _begin(self._next.order_by().filter(has_ticket=record.has_ticket), record, claim):
                return record
        return None

    def take_again(self, claim: str) -> TaskRecord | None:
        """Claim once more what this ticket had claimed when its worker was lost, or put off; None if it is done."""
        # By the claim alone, so that no planner prefers another index, however many tasks the queue has.
        record = next(iter(TaskRecord.objects.using(self._database).filter(claim=claim)[:1]), None)
        if record is None:
            return None
        same = self._tasks.filter(status=record.status, claim=claim, attempts=record.attempts)
        return record if _begin(same, record, claim) else None

    def join_line(self, due_by: datetime) -> None:
        """Let tasks join the line that are due by then."""
        due = self._aside.filter(wake_at__lte=due_by)
        if due.exists():
            due.filter(has_ticket=True).update(place=Place.IN_LINE, wake_at=None)
            due.update(place=Place.IN_LINE)

    def adopt(self) -> TaskRecord | None:
        """Return a task in line that has no ticket, if there is one. It is told to one alone, who has to send it."""
        lonely = self._line.filter(wake_at__isnull=False).order_by("wake_at").first()
        if lonely is None:
            return None
        has_lost = self._line.filter(pk=lonely.pk, wake_at__isnull=False)
        return lonely if has_lost.update(has_ticket=True, wake_at=None) else None

    def lose_ticket(self, record: TaskRecord | None = None) -> None:
        """Note that a task has no ticket: this one, or else any in line.

        When this one has been claimed meanwhile, then with the ticket of another, which is missing one now.
        """
        if record is not None and self._aside.filter(pk=record.pk).update(has_ticket=False):
            return
        provided = self._line.filter(wake_at__isnull=True)
        pk = None if record is None else record.pk
        while pk is None or not provided.filter(pk=pk).update(has_ticket=False, wake_at=timezone.now()):
            pk = next(iter(provided.values_list("pk", flat=True)[:1]), None)
            if pk is None:
                return


def claim_of(ticket: str) -> str:
    """Return what names the claim of a ticket, from the id of its message."""
    return blake2b(ticket.encode(), digest_size=16).hexdigest()


def worker_id() -> str:
    """Return what names this process to people."""
    return f"{socket.gethostname()}:{os.getpid()}"[-LONGEST_WORKER_ID:]


def put_off(record: TaskRecord) -> None:
    """Undo the attempt, but keep the claim: the same ticket comes again for it, and meanwhile others go first."""
    is_first = record.attempts == 1
    _claimed(record).update(
        status=Status.READY,
        place=Place.ASIDE,
        attempts=record.attempts - 1,
        worker_ids=record.worker_ids[:-1],
        started_at=None if is_first else record.started_at,
        last_attempted_at=None if is_first else record.last_attempted_at,
    )


def end(record: TaskRecord) -> bool:
    """Write down what came of a task; False when this attempt is not its last any more, or its row is gone."""
    after = {name: getattr(record, name) for name in ("status", "finished_at", "errors", "return_value")}
    after["claim"] = record.claim if _has_messages() else ""
    return _claimed(record).update(**after) == 1


def _begin(tasks: QuerySet[TaskRecord], record: TaskRecord, claim: str) -> bool:
    now = timezone.now()
    change: dict[str, Any] = {
        "status": Status.RUNNING,
        "claim": claim,
        "attempts": record.attempts + 1,
        "worker_ids": [*record.worker_ids, worker_id()],
        "started_at": record.started_at or now,
        "last_attempted_at": now,
        "finished_at": None,
    }
    if not tasks.filter(pk=record.pk).update(**change):
        return False
    for name, value in change.items():
        setattr(record, name, value)
    return True


def _has_messages() -> bool:
    """Whether anything leaves with the acknowledgement of the ticket that is being consumed."""
    outbox = current_outbox.get()
    return outbox is not None and outbox.is_open and bool(outbox.effects or outbox.elsewhere)


def _claimed(record: TaskRecord) -> QuerySet[TaskRecord]:
    """Return the row, as long as this attempt is its last."""
    tasks = TaskRecord.objects.using(record._state.db)  # noqa: SLF001  Django documents it
    return tasks.filter(pk=record.pk, status=Status.RUNNING, claim=record.claim, attempts=record.attempts)

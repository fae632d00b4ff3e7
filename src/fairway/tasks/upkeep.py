"""What a person or a cron job does about tasks: count them, send tickets again, delete what has ended."""

from datetime import timedelta
from typing import NamedTuple

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from fairway.errors import ChannelFull
from fairway.tasks.backend import ChannelTaskBackend
from fairway.tasks.models import Place, Status, TaskRecord
from fairway.tasks.tickets import send_ticket

TICKETS = 100
"""So many tickets are sent to a queue at most: whoever takes one sends another for a task that has none."""

BATCH = 1000
"""Rows that are deleted in one transaction, so that nobody waits long for it."""

ENDED = (Status.SUCCESSFUL, Status.FAILED)


class Row(NamedTuple):
    """How many tasks there are of a kind."""

    backend: str
    queue: str
    status: str
    tasks: int


def count(database: str) -> list[Row]:
    """Return how many tasks a database keeps, by backend, queue and status."""
    kinds = TaskRecord.objects.using(database).values_list("backend", "queue", "status")
    order = {status: number for number, status in enumerate(Status.values)}
    rows = [Row(*kind) for kind in kinds.annotate(tasks=Count("pk")).order_by()]
    return sorted(rows, key=lambda row: (row.backend, row.queue, order.get(row.status, 0)))


def resume(backend: ChannelTaskBackend, running_longer_than: timedelta | None = None) -> int:
    """Send tickets for all tasks of a backend that wait for one; return for how many.

    Parameters:
        backend: the backend.
        running_longer_than: tasks that began so long ago and have not ended are taken to have lost their worker.

    Raises:
        ImproperlyConfigured: a task is for later, and the app `fairway.delay` is not installed.
        ChannelFull, LayerUnavailable: a ticket could not be sent; nothing is lost by it.
    """
    tasks = TaskRecord.objects.using(backend.database).filter(backend=backend.alias)
    now = timezone.now()
    stranded = Q(status=Status.READY) & (Q(wake_at__isnull=True) | Q(wake_at__lte=now))
    if running_longer_than is not None:
        stranded |= Q(status=Status.RUNNING, last_attempted_at__lte=now - running_longer_than)
    told = tasks.filter(stranded).update(
        status=Status.READY, place=Place.IN_LINE, has_ticket=False, wake_at=now, claim=""
    )
    lonely = tasks.filter(status=Status.READY, place=Place.IN_LINE, has_ticket=False).order_by()
    for queue in lonely.values_list("queue", flat=True).distinct():
        _send(backend, queue, lonely.filter(queue=queue)[:TICKETS].count())
    return told + _schedule(backend, tasks.filter(status=Status.READY, place=Place.ASIDE, has_ticket=False))


def prune(database: str, older_than: timedelta) -> int:
    """Delete what has ended so long ago; return how many tasks that were."""
    ended = TaskRecord.objects.using(database).filter(status__in=ENDED, finished_at__lte=timezone.now() - older_than)
    total = 0
    while ids := list(ended.values_list("pk", flat=True)[:BATCH]):
        total += ended.filter(pk__in=ids).delete()[0]
    return total


def _send(backend: ChannelTaskBackend, queue: str, times: int) -> None:
    for _ in range(times):
        try:
            send_ticket(backend.make_ticket(queue), backend.channel_layer)
        except ChannelFull:  # there are tickets enough
            return


def _schedule(backend: ChannelTaskBackend, tasks: QuerySet[TaskRecord]) -> int:
    """Hand the tickets of tasks for later to the delay server that never got there."""
    scheduled = 0
    for record in tasks.iterator(BATCH):
        send_ticket(backend.make_ticket(record.queue, record.run_after), backend.channel_layer)
        tasks.filter(pk=record.pk).update(has_ticket=True)
        scheduled += 1
    return scheduled

"""Out of the table: what is due goes to the layer, and only then is it deleted.

Where the database can skip rows that others have locked, the rows are locked meanwhile, and several servers share the
work. Elsewhere two servers may send the same row; it goes by one id, so the layer takes it once.

A channel without room is left alone for a while, and nothing is rewritten for that: its rows are not selected. What
remains of a row with a key is its trace: no body, and due for deletion when no older request can come any more.
"""

import contextlib
import logging
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Min
from django.utils import timezone

from fairway.delay.database import can_share, database, locking
from fairway.delay.limits import DelayLimits
from fairway.delay.models import DelayedMessage, DelayedMessageQuerySet
from fairway.delay.reports import NAMED, LateReport, Rhythm, tell_full
from fairway.errors import ChannelFull, LayerUnavailable, UsageError
from fairway.layers.base import Layer

logger = logging.getLogger("fairway.delay")

CHUNK = 50
"""Rows that are read at a time: as many bodies more than `batch_bytes` may be in memory."""


class Outcome:
    """What became of a batch."""

    def __init__(self) -> None:
        self.done: list[DelayedMessage] = []
        """Rows that are done with."""
        self.full: set[str] = set()
        """Channels that were found without room."""
        self.error: LayerUnavailable | None = None
        """What kept the rest from being sent."""


class Sender:
    """Sends what is due.

    Parameters:
        layer: what carries the messages.
        alias: its alias; only its rows are looked at.
        limits: what a batch may be, and how long a channel without room is left alone.
    """

    def __init__(self, layer: Layer, alias: str, limits: DelayLimits) -> None:
        self._layer = layer
        self._alias = alias
        self._limits = limits
        self._left_alone: dict[str, float] = {}
        """Channel that takes nothing -> until when (`time.monotonic`) it is left alone; the first of them first."""
        self._full_rhythm = Rhythm(limits.report_every)
        self._wrong_rhythm = Rhythm(limits.report_every)
        self.late = LateReport(limits)
        self.sent = 0
        """How many messages have left."""

    def send_due(self) -> int:
        """Send what is due, at most a batch of it; return how many rows were looked at.

        Raises:
            LayerUnavailable: the layer is away; what had been sent before is deleted.
            django.db.Error: the database is away. What had been sent is sent again, and the layer drops it.
        """
        using = database()
        locks = can_share(using)
        with locking(using, self._limits) if locks else contextlib.nullcontext():
            due = self._rows(using).filter(due_date__lte=timezone.now())
            rows = self._take(due.select_for_update(skip_locked=True) if locks else due)
            outcome = self._publish_all(rows)
            self._conclude(outcome.done, using)
        self.late.tell(time.monotonic())
        if outcome.error:
            raise outcome.error
        if outcome.full and self._full_rhythm.is_time(time.monotonic()):
            self._tell_full(outcome.full)
        return len(rows)

    def next_due(self) -> datetime | None:
        """Return when the next message is due, as far as its channel is not left alone."""
        return self._rows(database()).values_list("due_date", flat=True).first()

    def waiting(self) -> tuple[int, datetime | None]:
        """Return how many messages wait, and when the first of them is due."""
        rows = DelayedMessage.objects.using(database()).waiting().filter(layer=self._alias)
        found = rows.aggregate(count=Count("id"), first=Min("due_date"))
        return found["count"], found["first"]

    def try_again_at(self) -> float | None:
        """Return when (`time.monotonic`) a channel that is left alone is to be tried again; None when there is none."""
        now = time.monotonic()
        self._left_alone = {channel: until for channel, until in self._left_alone.items() if until > now}
        return min(self._left_alone.values(), default=None)

    def _rows(self, using: str) -> DelayedMessageQuerySet:
        self.try_again_at()
        rows = DelayedMessage.objects.using(using).filter(layer=self._alias).order_by("due_date", "id")
        return rows.exclude(channel_name__in=list(self._left_alone)) if self._left_alone else rows

    def _take(self, due: DelayedMessageQuerySet) -> list[DelayedMessage]:
        """Read a batch: so many, and not more bytes than may be held."""
        rows, size = [], 0
        with contextlib.closing(due[: self._limits.batch].iterator(chunk_size=CHUNK)) as found:  # type: ignore[type-var]  # a generator
            for row in found:
                rows.append(row)
                size += len(row.body or b"")
                if size >= self._limits.batch_bytes:
                    break
        return rows

    # --- to the layer ------------------------------------------------------------------------------------------------

    def _publish_all(self, rows: Sequence[DelayedMessage]) -> "Outcome":
        """Send rows, as far as they can be sent."""
        outcome = Outcome()
        end = time.monotonic() + self._limits.batch_time
        for row in rows:
            if time.monotonic() > end:
                break
            if row.body is None:
                outcome.done.append(row)
            elif row.channel_name not in self._left_alone and row.channel_name not in outcome.full:
                try:
                    self._publish(row)
                    outcome.done.append(row)
                except ChannelFull:
                    self._leave_alone(row.channel_name)
                    outcome.full.add(row.channel_name)
                except UsageError as wrong:
                    self._leave_alone(row.channel_name)
                    self._tell_wrong(row, wrong)
                except LayerUnavailable as away:
                    outcome.error = away
                    break
        return outcome

    def _publish(self, row: DelayedMessage) -> None:
        self._layer.publish(row.effect())
        self.sent += 1
        self.late.note((timezone.now() - row.due_date).total_seconds(), row.channel_name)

    def _leave_alone(self, channel: str) -> None:
        while len(self._left_alone) >= self._limits.full_channels:
            del self._left_alone[next(iter(self._left_alone))]
        self._left_alone[channel] = time.monotonic() + self._limits.full_pause

    def _tell_full(self, channels: Collection[str]) -> None:
        due = DelayedMessage.objects.using(database()).waiting().is_due()
        due = due.filter(layer=self._alias, channel_name__in=channels)
        counts = due.values_list("channel_name").annotate(waiting=Count("id")).order_by("-waiting", "channel_name")
        tell_full(counts[:NAMED], len(channels))

    def _tell_wrong(self, row: DelayedMessage, error: UsageError) -> None:
        if self._wrong_rhythm.is_time(time.monotonic()):
            text = "the delayed message with id %s cannot be sent, and stays in the table; correct it or delete it: %s"
            logger.error(text, row.pk, error)

    # --- out of the table --------------------------------------------------------------------------------------------

    def _conclude(self, rows: Collection[DelayedMessage], using: str) -> None:
        """Delete rows that are done with; those with a key leave a trace.

        By their names, since without locks another request may have taken the place of the one that was sent.
        """
        table = DelayedMessage.objects.using(using)
        gone = [row.name for row in rows if row.key is None or row.body is None]
        keyed = [row.name for row in rows if row.key is not None and row.body is not None]
        if not rows:
            return
        with transaction.atomic(using=using, savepoint=False):
            if gone:
                table.filter(name__in=gone).delete()
            if keyed:
                end = timezone.now() + timedelta(seconds=self._limits.tombstone)
                table.filter(name__in=keyed).update(body=None, reply_channel="", due_date=end)

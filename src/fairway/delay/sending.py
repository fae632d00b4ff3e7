"""Out of the table: what is due goes to the layer, and only then is it deleted.

Where the database can skip rows that others have locked, the rows are locked meanwhile, and several servers share the
work. Elsewhere two servers may send the same row; it goes by one id, so the layer takes it once.

What remains of a row with a key is its trace: no body, and due for deletion when no older request can come any more.
"""

import logging
import time
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, transaction
from django.utils import timezone

from fairway.delay.limits import DelayLimits
from fairway.delay.models import DelayedMessage, DelayedMessageQuerySet
from fairway.delay.storing import database
from fairway.errors import ChannelFull, LayerUnavailable, UsageError
from fairway.layers.base import Layer

logger = logging.getLogger("fairway.delay")


class Sender:
    """Sends what is due.

    Parameters:
        layer: what carries the messages.
        alias: its alias; only its rows are looked at.
    """

    def __init__(self, layer: Layer, alias: str, limits: DelayLimits) -> None:
        self._layer = layer
        self._alias = alias
        self._limits = limits
        self._full: dict[str, float] = {}
        """Channel without room -> until when it is left alone."""
        self.sent = 0
        """How many messages have left."""

    def send_due(self) -> bool:
        """Send what is due, at most a batch of it; return whether there may be more.

        Raises:
            LayerUnavailable: the layer is away; what had been sent before is deleted.
            django.db.Error: the database is away. What had been sent is sent again, and dropped by the layer.
        """
        using = database()
        locks = connections[using].features.has_select_for_update_skip_locked
        hold: AbstractContextManager[Any] = transaction.atomic(using=using) if locks else nullcontext()
        with hold:
            due = self._rows(using).filter(due_date__lte=timezone.now())
            if locks:
                due = due.select_for_update(skip_locked=True)
            rows = self._take(due)
            done, error = self._publish_all(rows)
            self._conclude(done, using)
        if error:
            raise error
        return bool(rows)

    def next_due(self) -> datetime | None:
        """Return when the next message is due, as far as its channel has room."""
        return self._rows(database()).values_list("due_date", flat=True).first()

    def full_until(self) -> float | None:
        """Return when (`time.monotonic`) a channel without room is to be tried again; None when there is none."""
        now = time.monotonic()
        self._full = {channel: until for channel, until in self._full.items() if until > now}
        return min(self._full.values(), default=None)

    def _rows(self, using: str) -> DelayedMessageQuerySet:
        self.full_until()
        rows = DelayedMessage.objects.using(using).filter(layer=self._alias).order_by("due_date", "id")
        return rows.exclude(channel_name__in=list(self._full)) if self._full else rows

    def _take(self, due: DelayedMessageQuerySet) -> list[DelayedMessage]:
        """Read a batch: so many, and not more bytes than may be held."""
        rows, size = [], 0
        for row in due[: self._limits.batch].iterator(chunk_size=50):
            rows.append(row)
            size += len(row.body or b"")
            if size >= self._limits.batch_bytes:
                break
        return rows

    def _publish_all(self, rows: Sequence[DelayedMessage]) -> tuple[list[DelayedMessage], LayerUnavailable | None]:
        """Send rows; return those that are done with, and what kept the rest from being sent."""
        done = []
        for row in rows:
            try:
                if row.body is None or self._publish(row):
                    done.append(row)
            except LayerUnavailable as error:
                return done, error
        return done, None

    def _publish(self, row: DelayedMessage) -> bool:
        if row.channel_name in self._full:
            return False
        try:
            self._layer.publish(row.effect())
        except (ChannelFull, UsageError) as error:
            self._leave_alone(row, error)
            return False
        self.sent += 1
        return True

    def _leave_alone(self, row: DelayedMessage, error: Exception) -> None:
        del error
        while len(self._full) >= self._limits.full_channels:
            del self._full[next(iter(self._full))]
        self._full[row.channel_name] = time.monotonic() + self._limits.full_pause

    def _conclude(self, rows: Collection[DelayedMessage], using: str) -> None:
        """Delete rows that were sent; those with a key leave a trace.

        By their names, since without locks another request may have taken the place of the one that was sent.
        """
        table = DelayedMessage.objects.using(using)
        gone = [row.name for row in rows if row.key is None or row.body is None]
        keyed = [row.name for row in rows if row.key is not None and row.body is not None]
        with transaction.atomic(using=using):
            if gone:
                table.filter(name__in=gone).delete()
            if keyed:
                end = timezone.now() + timedelta(seconds=self._limits.tombstone)
                table.filter(name__in=keyed).update(body=None, reply_channel="", due_date=end)

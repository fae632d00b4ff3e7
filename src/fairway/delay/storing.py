"""Into the table: what was asked for, in one transaction, so that all of it can be acknowledged.

A request that is stored twice is stored once, by its name. Under a key there is one row on a channel. It says when the
request that made it was sent, and an older one changes nothing: with several servers, or after a death, an older one
may well come last. When it was sent is what the sender's clock said. If the row's time is still to come, and that of
the request is not, some clock is wrong or was set, and the one that comes last holds.
"""

from collections.abc import Sequence
from datetime import timedelta

from django.db import OperationalError
from django.db.models import Q
from django.utils import timezone

from fairway.delay.database import database, locking
from fairway.delay.limits import DelayLimits
from fairway.delay.models import DelayedMessage, milliseconds_now, moment
from fairway.delay.parsing import Request

_TRIES = 3
"""How often the row of a key may go away while it is looked at."""


def store(requests: Sequence[Request], alias: str, limits: DelayLimits) -> None:
    """Store requests; all or nothing.

    Parameters:
        requests: in the order in which they came.
        alias: of the layer that carries the messages.

    Raises:
        DataError, IntegrityError: the database refuses one of them.
        django.db.Error: the database is not there.
    """
    using = database()
    plain = [_row(request, alias) for request in requests if request.key is None]
    # All servers take locks in one order; requests with the same key stay in theirs.
    keyed = sorted((request for request in requests if request.key is not None), key=_place)
    with locking(using, limits):
        if plain:
            DelayedMessage.objects.using(using).bulk_create(plain, ignore_conflicts=True)
        for request in keyed:
            _store_keyed(request, alias, using, limits)


def _place(request: Request) -> tuple[str, str]:
    return request.channel, request.key or ""


def _row(request: Request, alias: str) -> DelayedMessage:
    return DelayedMessage(
        layer=alias,
        due_date=moment(request.due),
        channel_name=request.channel,
        key=request.key,
        name=request.name,
        sent=request.sent,
        reply_channel=request.reply_channel,
        body=request.body,
    )


def _store_keyed(request: Request, alias: str, using: str, limits: DelayLimits) -> None:
    row = _row(request, alias)
    if request.body is None:
        row.due_date = timezone.now() + timedelta(seconds=limits.tombstone)
    rows = DelayedMessage.objects.using(using)
    same_key = Q(layer=alias, channel_name=request.channel, key=request.key)
    for _ in range(_TRIES):
        rows.bulk_create([row], ignore_conflicts=True)
        found = list(rows.select_for_update().filter(same_key | Q(name=request.name)))
        if any(other.name == request.name for other in found):
            return  # this very request, by now or before
        if found:
            _replace(found[0], row)
            return
        # What was in the way has just been deleted.
    raise OperationalError(f"the row of the key {request.key!r} on {request.channel!r} comes and goes; trying again")


def _replace(old: DelayedMessage, new: DelayedMessage) -> None:
    """Let a row hold what was sent later. It is locked."""
    now = milliseconds_now() * 1_000_000
    clocks_differ = new.sent <= now < old.sent
    if new.sent < old.sent and not clocks_differ:
        return
    for field in ("name", "due_date", "sent", "reply_channel", "body"):
        setattr(old, field, getattr(new, field))
    old.save(update_fields=["name", "due_date", "sent", "reply_channel", "body"])

"""Messages that wait for the database: they leave when the transaction is committed, and not when it is rolled back.

Django's own `transaction.on_commit` does the waiting, so its rules hold: what is sent in a savepoint that is rolled
back is dropped, and an error while a message leaves is raised where the transaction ends. The database is the default
one. Outside of a transaction a message leaves at once, and the database is not asked.
"""

from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from fairway.broker.effects import Effect
from fairway.conf import read_setting
from fairway.errors import InvalidSchedule
from fairway.layers.base import Layer
from fairway.worker.outbox import current_outbox, dispatch_effect

SETTING = "CHANNEL_SEND_ON_COMMIT"

VIEWS = "http.request"
"""The channel whose consumer runs views."""


def sends_on_commit() -> bool:
    """Return the setting `CHANNEL_SEND_ON_COMMIT`: what holds outside consumers where a send does not say.

    Raises:
        ImproperlyConfigured: it is no bool.
    """
    value: Any = read_setting(SETTING, default=False)
    if type(value) is not bool:
        raise ImproperlyConfigured(f"{SETTING} is True or False, not {value!r:.100}")
    return value


def waits_for_commit(on_commit: bool | None, *, immediately: bool) -> bool:  # noqa: FBT001  what the user said
    """Say whether a message that is sent now has to wait for the end of a transaction.

    In a consumer a message waits for its end as it is, so there the setting says nothing. A view is no consumer here,
    though a consumer runs it: what it sends should not depend on the server that it runs under.

    Parameters:
        on_commit: what the send says; None leaves it to the setting.
        immediately: whether it says that it leaves at once.

    Raises:
        InvalidSchedule: it says both.
        ImproperlyConfigured: as `sends_on_commit`.
    """
    if immediately:
        if on_commit:
            raise InvalidSchedule("immediately=True and on_commit=True contradict each other: keep one of the two")
        return False
    if on_commit is None:
        outbox = current_outbox.get()
        if outbox is not None and outbox.is_open and outbox.delivery.envelope.channel != VIEWS:
            return False
        on_commit = sends_on_commit()
    return on_commit and _is_in_transaction()


def dispatch(
    effect: Effect,
    layer: Layer,
    on_commit: bool | None,  # noqa: FBT001  what the user said
    *,
    immediately: bool = False,
    timeout: float = 0,
) -> None:
    """Let an effect leave when the running transaction is committed, if it has to wait for that; else as any does.

    Parameters:
        on_commit, immediately: as for `waits_for_commit`.
        timeout: how long what leaves at once may wait for room in a full channel, in seconds.

    Raises:
        InvalidSchedule, ImproperlyConfigured: as `waits_for_commit`.
        TransactionManagementError: it has to wait, and the project manages its transactions by hand.
    """
    if on_commit is not False and waits_for_commit(on_commit, immediately=immediately):
        # By then a consumer's outbox takes it, if one is open.
        transaction.on_commit(partial(dispatch_effect, effect, layer, timeout=timeout))
    else:
        dispatch_effect(effect, layer, immediately=immediately, timeout=timeout)


def _is_in_transaction() -> bool:
    connection = connections[DEFAULT_DB_ALIAS]
    # Without autocommit something may always wait for a commit. A connection that is not open has begun nothing.
    return connection.in_atomic_block or (connection.connection is not None and not connection.autocommit)

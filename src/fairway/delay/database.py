"""The database that has the table, and transactions that lock rows of it.

A host that loses its power says nothing, and PostgreSQL may take two hours to notice, with all rows locked that a delay
server there was at. So a transaction in which nothing happens for a while is ended by the database itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, router, transaction

from fairway.delay.limits import DelayLimits
from fairway.delay.models import DelayedMessage


def database() -> str:
    """Return the alias of the database that has the table."""
    return router.db_for_write(DelayedMessage)


def can_share(using: str) -> bool:
    """Whether several servers may lock rows side by side, each skipping those of the others."""
    return connections[using].features.has_select_for_update_skip_locked


@contextmanager
def locking(using: str, limits: DelayLimits) -> Iterator[None]:
    """A transaction whose locks do not outlive a server that stands still.

    On SQLite let it begin by writing: one that reads first cannot wait for another that writes.
    """
    connection = connections[using]
    with transaction.atomic(using=using):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = {limits.stall * 1000:.0f}")
        yield

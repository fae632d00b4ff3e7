"""The care of database connections around each message, as Django has it around each request.

Before and after a consumer, connections that are broken or older than `CONN_MAX_AGE` are closed; inside a transaction,
as in a test case, nothing is touched. Django looks through all databases of the settings each time. Here a thread
looks through the connections it has opened, which for a consumer without a query are none.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.cache import close_caches
from django.core.cache.backends.base import BaseCache
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connections, reset_queries
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.utils.module_loading import import_string


class _Opened(threading.local):
    """The connections of this thread, by alias."""

    def __init__(self) -> None:
        self.by_alias: dict[str, BaseDatabaseWrapper] = {}


_opened = _Opened()


def _note(connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    _opened.by_alias[connection.alias] = connection


connection_created.connect(_note, dispatch_uid="fairway.database")


def opened_connections() -> dict[str, BaseDatabaseWrapper]:
    """Return the connections that this thread has opened, by alias: the dict itself, which grows with them."""
    return _opened.by_alias


def tend_connections(opened: dict[str, BaseDatabaseWrapper]) -> None:
    """Forget old queries, and close those of this thread's connections that are broken or too old."""
    for connection in opened.values():
        if not connection.force_debug_cursor:  # a test that counts queries wants to see them
            connection.queries_log.clear()
        if _is_sound(connection):
            connection.health_check_done = False  # type: ignore[attr-defined]  # the stubs lack it
        else:
            connection.close_if_unusable_or_obsolete()


def close_broken_connections(opened: dict[str, BaseDatabaseWrapper]) -> None:
    """Close those of this thread's connections that are broken, and none because of its age.

    It may be in use: whoever uses it has lost it anyhow, and all others would fail with it, too.
    """
    for connection in opened.values():
        if connection.errors_occurred and connection.connection is not None and not connection.in_atomic_block:
            if connection.is_usable():
                connection.errors_occurred = False
            else:
                connection.close()


def _is_sound(connection: BaseDatabaseWrapper) -> bool:
    """Say whether Django would keep a connection as it is: its own looks take ten times as long, for each message."""
    if connection.in_atomic_block or connection.errors_occurred or connection.connection is None:
        return False
    if connection.autocommit != connection.settings_dict["AUTOCOMMIT"]:
        return False
    return connection.close_at is None or time.monotonic() < connection.close_at


@contextmanager
def care_by_message() -> Iterator[None]:
    """Let a worker process look after connections once a message; Django would do it again for each HTTP request.

    Its receivers look through all databases of the settings, three times a request: a fifth of a small view. So does
    one through all caches, which is let be where a cache has something to close after a request.
    """
    request_started.disconnect(reset_queries)
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    is_taken = not any(map(_closes_something, settings.CACHES.values())) and request_finished.disconnect(close_caches)
    try:
        yield
    finally:
        if is_taken:
            request_finished.connect(close_caches)
        request_started.connect(reset_queries)
        request_started.connect(close_old_connections)
        request_finished.connect(close_old_connections)


def _closes_something(cache: dict[str, Any]) -> bool:
    """Say whether the backend of a cache does anything at the end of a request; few do."""
    try:
        return import_string(cache["BACKEND"]).close is not BaseCache.close
    except (ImportError, KeyError, AttributeError):  # whoever uses it is told
        return True


def close_connections() -> None:
    """Close all connections of this thread: it runs no consumer any more."""
    connections.close_all()
    _opened.by_alias.clear()

"""Tools of the tests of delayed messages: a database that may go away, and somebody who listens."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from django.db import connection, connections

from fairway.broker.effects import Delivery
from fairway.delay.limits import DelayLimits
from fairway.delay.models import DelayedMessage
from fairway.layers.base import Layer
from fairway.layers.codec import decode_message

QUICK = DelayLimits(
    catch_up_pause=0.02, look=0.05, longest_wait=0.05, full_pause=0.05, others_pause=0.02, longest_pause=0.1
)
"""A server that looks often, so that a test waits for nothing."""

SQLITE = {"timeout": 0.2, "init_command": "PRAGMA synchronous=OFF"}


class Database:
    """The default database of a test, and how it goes away."""

    def __init__(self, vendor: str, settings: dict[str, Any]) -> None:
        self.vendor = vendor
        self.settings = settings

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """For the length of a `with` block nobody can write, and on PostgreSQL nobody has a connection either."""
        if self.vendor == "sqlite":
            with contextlib.closing(sqlite3.connect(self.settings["NAME"], timeout=10)) as other:
                other.execute("BEGIN EXCLUSIVE")
                yield
                other.rollback()
        else:
            self.execute("ALTER DATABASE postgres WITH ALLOW_CONNECTIONS false")
            self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres'")
            yield
            self.execute("ALTER DATABASE postgres WITH ALLOW_CONNECTIONS true")
            connection.close()

    def execute(self, statement: str) -> None:
        """Do something beside everyone else, on PostgreSQL."""
        to = f"host={self.settings['HOST']} user={self.settings['USER']} dbname=template1"
        with psycopg.connect(to, autocommit=True) as other:
            other.execute(statement)


@contextlib.contextmanager
def in_place(database: Database) -> Iterator[Database]:
    """Let a database be the default one, for all threads."""
    before, kept = connections.settings["default"], connections["default"]
    connections.settings["default"] = {**before, **database.settings}
    del connections["default"]
    try:
        with connection.schema_editor() as editor:
            editor.create_model(DelayedMessage)
        yield database
    finally:
        connection.close()
        connections.settings["default"] = before
        connections["default"] = kept


class Ears:
    """Reads a channel of a layer."""

    def __init__(self, layer: Layer, channel: str) -> None:
        self._reader = layer.reader([channel])

    def delivery(self, timeout: float = 20) -> Delivery:
        """The next delivery."""
        delivery = self._reader.receive(timeout)
        assert delivery is not None, f"nothing came within {timeout} s"
        self._reader.commit(delivery)
        return delivery

    def take(self) -> dict[str, Any]:
        """The next message."""
        return decode_message(self.delivery().body)

    def has_more(self) -> bool:
        """Whether anything else is there."""
        return self._reader.receive(0) is not None


def in_thread(function: Callable[[], object]) -> threading.Thread:
    """Run something beside the test."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread

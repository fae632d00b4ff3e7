"""Messages for later are scheduled while delay servers and workers die, and each of them is counted.

Each is delivered, once in effect, none before its time; what is late is told. On SQLite with one delay server, and on
PostgreSQL with two.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.later import Later, locked
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.waiting import wait_until

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

SHORT, SPAN, LIFE = 1_000, 8.0, 1.5
"""Messages, seconds in which they are due, seconds between two deaths."""
LONG, LONG_SPAN = 100_000, 30.0
"""The same in the long form."""
LATE = 2.0
"""Seconds after their time that are reported."""
AWAY = 10.0
"""Seconds for which a database goes away."""


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short name, for a Unix socket."""
    return tmp_path_factory.mktemp("d")


@contextlib.contextmanager
def project(kind: str, folder: Path) -> Iterator[Later]:
    """The project on one of the databases."""
    if kind == "sqlite":
        with Later(folder, {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "db.sqlite3")}) as later:
            yield later
    else:
        with postgres_server() as server, Later(folder, server.settings, servers=2) as later:
            yield later


KINDS = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])


@KINDS
def test_each_message_is_delivered_while_delay_servers_and_workers_die(kind, folder):
    with project(kind, folder) as later:
        with later.killing(LIFE) as deaths:
            later.schedule(SHORT, SPAN)
            later.wait_all()
            wait_until(lambda: len(deaths) >= 3, "three deaths", 60)
        later.check()


@KINDS
@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_each_of_very_many_messages_is_delivered(kind, folder):
    with project(kind, folder) as later:
        with later.killing(LIFE) as deaths:
            later.schedule(LONG, LONG_SPAN)
            later.wait_all()
        later.check()
    print(f"\n{later.sent} messages, {len(deaths)} deaths, the latest by {later.arrivals.latest:.1f} s")
    assert deaths


@KINDS
def test_what_was_due_while_no_delay_server_ran_is_sent_and_reported(kind, folder):
    with project(kind, folder) as later:
        later.schedule(1, 0)
        later.wait_all()
        for server in later.delay_servers:
            server.stop()
        later.schedule(20, 0.1)
        wait_until(lambda: later.arrivals.layer.statistics().channels["asgi.delay"].waiting == 20)
        let_pass(LATE)
        for server in later.delay_servers:
            server.start()
        later.wait_all()
        for server in later.delay_servers:
            server.wait_ready()
            server.stop(signal.SIGTERM)
        later.check()
        told = "".join(server.output() for server in later.delay_servers)
    assert "left more than 1 s after" in told
    assert "'due'" in told


@KINDS
def test_a_database_that_goes_away_for_ten_seconds(kind, folder):
    with contextlib.ExitStack() as life:
        if kind == "sqlite":
            path = folder / "db.sqlite3"
            later = life.enter_context(project(kind, folder))
            away = locked(path)
        else:
            server = life.enter_context(postgres_server())
            later = life.enter_context(Later(folder, server.settings, servers=2))
            away = stopped(server)
        later.schedule(100, 3)
        with away:
            later.schedule(100, 3)
            let_pass(AWAY)
        later.schedule(100, 3)
        later.wait_all()
        for one in later.delay_servers:
            one.stop(signal.SIGTERM)
        later.check()
        for one in later.delay_servers:
            assert one.output().count("the database is away") == one.output().count("the database is back after") == 1


def test_what_is_stored_outlives_the_layer(folder):
    with project("sqlite", folder) as later:
        later.schedule(50, 0)
        later.schedule_one(5)
        later.wait_for(50)
        later.schedule(50, 5)
        wait_until(later.is_stored, "all are stored")
        later.restart_hub()
        later.wait_all()
        later.check()


@contextlib.contextmanager
def stopped(server: PostgresServer) -> Iterator[None]:
    """Stop PostgreSQL for the length of a `with` block."""
    server.stop()
    yield
    server.start()


def let_pass(seconds: float) -> None:
    """Let time go by: it is what these tests are about."""
    threading.Event().wait(seconds)

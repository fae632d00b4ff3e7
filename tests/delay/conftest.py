"""What the tests of delayed messages share: a database that may go away, a layer, a delay server."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from fairway.delay.server import DelayServer
from fairway.layers.base import Layer
from fairway.layers.memory import MemoryLayer
from tests.delay.harness import QUICK, SQLITE, Database, Ears, in_place
from tests.support.postgres import postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[dict[str, object]]:
    """A PostgreSQL for all tests of this process."""
    with postgres() as settings:
        yield settings


@pytest.fixture
def sqlite(tmp_path: Path, django_db_setup: None, django_db_blocker: Any) -> Iterator[Database]:
    """A SQLite file with the table."""
    settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "d.sqlite3"), "OPTIONS": {**SQLITE}}
    with django_db_blocker.unblock(), in_place(Database("sqlite", settings)) as database:
        yield database


@pytest.fixture
def postgresql(postgres_server: dict[str, object], django_db_setup: None, django_db_blocker: Any) -> Iterator[Database]:
    """A PostgreSQL with the table."""
    settings = {"OPTIONS": {}, **postgres_server}
    with django_db_blocker.unblock(), in_place(Database("postgresql", settings)) as database:
        yield database
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """The default database, with the table; the test runs on each kind."""
    found: Database = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def layer() -> Iterator[Layer]:
    """A layer in this process."""
    layer = MemoryLayer()
    yield layer
    layer.close()


@pytest.fixture
def serve(layer: Layer, database: Database) -> Iterator[Callable[..., DelayServer]]:
    """Start delay servers, with limits that the test may change; they are stopped after it."""
    servers = []

    def start(**limits: Any) -> DelayServer:
        server = DelayServer(layer, limits=replace(QUICK, **limits))
        server.start()
        servers.append(server)
        return server

    yield start
    assert [server.stop() for server in servers] == [True] * len(servers)


@pytest.fixture
def ears(layer: Layer) -> Ears:
    """What arrives on the channel `reports`."""
    return Ears(layer, "reports")

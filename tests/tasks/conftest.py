"""Both databases for whoever takes `database`, and a project that runs its tasks on channels for `project`."""

import pytest
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor

from fairway.conf import channel_layers
from tests.support.postgres import postgres
from tests.tasks import jobs

APPS = ("fairway_tasks", "fairway_delay")
TASKS = {"default": {"BACKEND": "fairway.tasks.ChannelTaskBackend", "QUEUES": ["default", "mail"]}}
LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": "fairway.tasks.routing.task_routing"}}


@pytest.fixture(scope="session")
def postgres_server():
    with postgres() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path, django_db_setup, django_db_blocker):
    """A database with real transactions, that threads and processes may share; tables are made anew for each test."""
    if request.param == "postgres":
        wanted = request.getfixturevalue("postgres_server")
    else:
        wanted = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(tmp_path / "tasks.sqlite3"),
            "OPTIONS": {"timeout": 30},
        }
    before = connections.settings["default"]
    with django_db_blocker.unblock():
        kept = connections["default"]
        connections.settings["default"] = {
            **before,
            "OPTIONS": {"timeout": 30} if request.param == "sqlite" else {},
            **wanted,
        }
        del connections["default"]
        try:
            executor = MigrationExecutor(connection)
            executor.migrate([node for app in APPS for node in executor.loader.graph.leaf_nodes(app)])
            yield wanted
            if request.param == "postgres":
                with connection.cursor() as cursor:
                    cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        finally:
            connection.close()
            connections.settings["default"] = before
            connections["default"] = kept


@pytest.fixture
def project(database, settings):
    """Settings with tasks on a layer of this process, `database` to keep them in, and nothing seen yet."""
    settings.TASKS = TASKS
    settings.CHANNEL_LAYERS = LAYERS
    jobs.seen.clear()
    yield settings
    channel_layers.clear()


@pytest.fixture
def run_next(project, channel_client):
    """Have the next ticket of a queue consumed; asked with a number, so many."""

    def run(queue="default", times=1):
        for _ in range(times):
            channel_client.consume(f"tasks.{queue}")

    return run

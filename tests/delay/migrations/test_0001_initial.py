"""The migrations make what the models say."""

from django.apps import apps
from django.db import connection
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from fairway.delay.models import DelayedMessage


def test_nothing_is_missing():
    loader = MigrationLoader(None)
    changes = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps)).changes(loader.graph)
    assert "fairway_delay" not in changes


def test_they_make_the_table_and_take_it_away_again(database):
    with connection.schema_editor() as editor:
        editor.delete_model(DelayedMessage)
    MigrationExecutor(connection).migrate([("fairway_delay", "0001_initial")])
    DelayedMessage(channel_name="reports", content={"n": 1}, delay=1).save()
    assert DelayedMessage.objects.get().content == {"n": 1}

    MigrationExecutor(connection).migrate([("fairway_delay", None)])
    assert DelayedMessage._meta.db_table not in connection.introspection.table_names()
    with connection.schema_editor() as editor:
        editor.create_model(DelayedMessage)

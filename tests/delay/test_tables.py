"""Whether the table is there, asked before a delay server is started."""

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from fairway.delay.models import DelayedMessage
from fairway.delay.tables import why_not_migrated


def test_a_migration_that_is_missing_is_named_with_the_remedy(database):
    assert why_not_migrated() == (
        "the database 'default' lacks migrations of 'fairway.delay' (0001_initial): "
        "run `manage.py migrate fairway_delay`"
    )


def test_nothing_is_said_once_it_is_there(database):
    with connection.schema_editor() as editor:
        editor.delete_model(DelayedMessage)
    MigrationExecutor(connection).migrate([("fairway_delay", "0001_initial")])
    assert why_not_migrated() == ""


def test_nothing_is_said_while_the_database_is_away(database):
    connection.close()
    with database.away():
        assert why_not_migrated() == ""

"""Whether the table of messages for later is there: asked before a delay server is started."""

from django.db import Error as DatabaseFailure
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from fairway.delay.database import database
from fairway.scheduling import DELAY_APP

LABEL = "fairway_delay"


def why_not_migrated() -> str:
    """Say which migrations are missing, and the remedy; "" when there are none.

    A database that cannot be asked is no reason to say anything: a delay server waits for it.
    """
    using = database()
    try:
        missing = _missing(using)
    except DatabaseFailure:
        return ""
    if not missing:
        return ""
    names = ", ".join(missing)
    return f"the database {using!r} lacks migrations of {DELAY_APP!r} ({names}): run `manage.py migrate {LABEL}`"


def _missing(using: str) -> list[str]:
    executor = MigrationExecutor(connections[using])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes(LABEL))
    return [migration.name for migration, _ in plan if migration.app_label == LABEL]

"""What waits for the commit of a transaction that a test never commits.

`TestCase` runs each test in a transaction that it rolls back, so what `transaction.on_commit` was given would wait for
ever, and with it everything that is sent on commit: data binding, the end of a user's sockets. While no transaction but
the test's own is open, those hooks are due: outside of a test they would have run.
"""

import logging
from collections.abc import Callable
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("fairway.testing")


def run_commit_hooks() -> None:
    """Run the hooks that are due on this thread's connections, in their order; each runs once."""
    for connection in connections.all(initialized_only=True):
        while _is_due(connection) and connection.run_on_commit:
            entry: Any = connection.run_on_commit.pop(0)  # savepoints, the hook, and whether its errors are logged
            hook, is_robust = entry[1], entry[2]
            if is_robust:
                _run_robustly(hook)
            else:
                hook()


def drop_commit_hooks(using: str, seen: int) -> None:
    """Forget the hooks after the first `seen` of a database: somebody else has taken care of them."""
    connection = connections[using]
    del connection.run_on_commit[seen:]


def _is_due(connection: BaseDatabaseWrapper) -> bool:
    blocks: list[Any] = connection.atomic_blocks
    return bool(blocks) and not connection.needs_rollback and all(block._from_testcase for block in blocks)  # noqa: SLF001


def _run_robustly(hook: Callable[[], object]) -> None:
    try:
        hook()
    except Exception:
        # As Django does it.
        logger.exception("error in on_commit(..., robust=True)")

"""The child of `runserver` ends with its parent, however the parent ends, and whatever state the child's code is in.

Where the code cannot be loaded, Django runs its own `runserver` in the child and waits for a change; so this is begun
by the app's configuration, which is loaded before the code of other apps.
"""

import os
import shutil
import signal
import time
from collections.abc import Mapping

from fairway.devserver.config import GRACE
from fairway.devserver.orders import Orders
from fairway.supervisor.notify import Notifier

LEAVE_WAIT = GRACE + 1.0
"""Seconds from SIGTERM until the process is ended by force."""


def end_with_parent(environ: Mapping[str, str]) -> None:
    """End this process when its parent is gone: a thread waits for that. Where it is nobody's child, do nothing."""
    copy = dict(environ)
    orders = Orders.take(copy)
    if orders:
        Notifier(copy).when_supervisor_dies(lambda: _end(orders))


def _end(orders: Orders) -> None:
    if orders.folder:
        shutil.rmtree(orders.folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LEAVE_WAIT)
    os._exit(0)

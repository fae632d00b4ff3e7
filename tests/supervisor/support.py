"""Small children that behave in a chosen way, and a look at what a test's supervisor wrote."""

import sys
import textwrap
from typing import Any

from fairway.supervisor.process import Recipe

READY = """
import os, signal, sys, time
from fairway.supervisor.notify import Notifier
notifier = Notifier()
def stop(*_):
    print("bye", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
"""
WAIT = """
notifier.ready()
while True:
    signal.pause()
"""


def script(text: str) -> list[str]:
    """A command that runs Python; `READY` stands before it."""
    return [sys.executable, "-u", "-c", READY + textwrap.dedent(text)]


def recipe(text: str = WAIT, **options: Any) -> Recipe:
    """A child that runs `text`; without one it becomes ready and waits for SIGTERM."""
    return Recipe(**{"name": "child", "command": script(text), "grace": 5, "start_timeout": 10, **options})

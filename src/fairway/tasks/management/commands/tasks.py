"""`manage.py tasks`: how many there are, tell workers of those that wait, and delete those that have ended."""

import argparse
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from fairway.errors import BackendError
from fairway.tasks import upkeep
from fairway.tasks.backend import ChannelTaskBackend
from fairway.tasks.framework import task_backends

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
COLUMNS = ("BACKEND", "QUEUE", "STATUS", "TASKS")


class Command(BaseCommand):
    """Look after the tasks of all backends."""

    help = "Count the tasks that the database keeps, tell workers of those that wait, and delete those that have ended."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the three actions and their options."""
        actions = parser.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
        listing = _add(actions, "list", "Count them by backend, queue and status.", self._list)
        listing.add_argument("--json", action="store_true", help="Write JSON.")
        text = (
            "Send tickets for the tasks that are ready: after the layer has lost its memory, or the log has asked for "
            "it. A ticket too many does no harm."
        )
        resuming = _add(actions, "resume", text, self._resume)
        resuming.add_argument(
            "--running-longer-than",
            type=duration,
            metavar="TIME",
            help="Also run those again that seem to have been running for so long, such as 2h: their worker died "
            "together with the layer. One whose worker lives after all is run twice.",
        )
        pruning = _add(actions, "prune", "Delete tasks that have ended, with what they returned.", self._prune)
        pruning.add_argument(
            "--older-than", type=duration, required=True, metavar="TIME", help="Those that ended so long ago: 30m, 7d."
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do what is asked.

        Raises:
            CommandError: TASKS names no backend of ours, or the layer cannot be reached.
        """
        backends = [backend for backend in task_backends.all() if isinstance(backend, ChannelTaskBackend)]
        if not backends:
            raise CommandError("TASKS names no fairway.tasks.ChannelTaskBackend, so there is nothing to look after")
        options["act"](backends, options)

    def _list(self, backends: list[ChannelTaskBackend], options: dict[str, Any]) -> None:
        rows = [row for database in _databases(backends) for row in upkeep.count(database)]
        if options["json"]:
            keys = [column.lower() for column in COLUMNS]
            self.stdout.write(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        elif rows:
            self.stdout.write(_table(rows))
        else:
            self.stdout.write("There are no tasks.")

    def _resume(self, backends: list[ChannelTaskBackend], options: dict[str, Any]) -> None:
        count = 0
        for backend in backends:
            try:
                count += upkeep.resume(backend, options["running_longer_than"])
            except BackendError as error:
                raise CommandError(f"TASKS[{backend.alias!r}]: no ticket could be sent: {error}") from error
        self.stdout.write(self.style.SUCCESS(f"Workers were told of {count} {'task' if count == 1 else 'tasks'}."))

    def _prune(self, backends: list[ChannelTaskBackend], options: dict[str, Any]) -> None:
        count = sum(upkeep.prune(database, options["older_than"]) for database in _databases(backends))
        self.stdout.write(self.style.SUCCESS(f"{count} {'task' if count == 1 else 'tasks'} deleted."))


def duration(text: str) -> timedelta:
    """Read a time such as `90s`, `30m`, `12h` or `7d`."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text, re.ASCII)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 90s, 30m, 12h or 7d")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def _add(actions: Any, name: str, text: str, act: Callable[..., None]) -> CommandParser:
    parser: CommandParser = actions.add_parser(name, help=text, description=text)
    parser.set_defaults(act=act)
    return parser


def _databases(backends: list[ChannelTaskBackend]) -> list[str]:
    return list(dict.fromkeys(backend.database for backend in backends))


def _table(rows: list[upkeep.Row]) -> str:
    lines = [COLUMNS, *((row.backend, row.queue, row.status, str(row.tasks)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join([*map(str.ljust, line[:-1], widths), line[-1].rjust(widths[-1])]) for line in lines)

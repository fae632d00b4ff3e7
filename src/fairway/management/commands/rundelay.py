"""`manage.py rundelay`: keeps messages that are to be sent later, and sends them when they are due.

Here are the options and what is said about them; the work is done by `fairway.delay`.
"""

import argparse
import os
from dataclasses import replace
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

import fairway
from fairway.conf import channel_layers
from fairway.delay.limits import DelayLimits
from fairway.layers.base import Layer
from fairway.layers.redis.address import hide_passwords
from fairway.management.commands.runworker import describe_layer, get_layer, log_to_stderr
from fairway.management.worker_process import SAME_STOP, leave, stopped_by_signals
from fairway.scheduling import DELAY_APP
from fairway.supervisor.notify import Notifier
from fairway.supervisor.options import positive

DEFAULTS = DelayLimits()

LARGEST_BATCH = 10_000
"""Their names go into one statement, and databases limit what one may hold."""


class Command(BaseCommand):
    """Run a delay server until a signal comes."""

    help = (
        "Stores the messages that are to be sent later, and sends them when they are due. Several may run, on as many "
        "hosts as you like. SIGTERM and SIGINT stop it gently; a second one ends it at once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--layer",
            default=fairway.DEFAULT_CHANNEL_LAYER,
            metavar="ALIAS",
            help="Alias of the channel layer whose messages it keeps (%(default)s).",
        )
        parser.add_argument(
            "--batch",
            type=batch_size,
            default=DEFAULTS.batch,
            metavar="N",
            help=f"Messages in one transaction, at most (%(default)s; no more than {LARGEST_BATCH:,}).",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do what the options say.

        Raises:
            CommandError: the settings or the database do not allow it; the text says why, and the remedy.
            SystemExit: with 1, when the server died, or what was under way at the stop was cut off.
        """
        if not apps.is_installed(DELAY_APP):
            raise CommandError(f"INSTALLED_APPS has no {DELAY_APP!r}; add it, and run `manage.py migrate`")
        layer = get_layer(options["layer"])
        if reason := _why_not_migrated():
            raise CommandError(reason)
        log_to_stderr(options["verbosity"], "delay")
        if options["verbosity"]:
            self._say_start(options["layer"])
        if not self._run(layer, options):
            # The thread that has not ended must not be waited for.
            leave(1)
        channel_layers.clear()

    def _run(self, layer: Layer, options: dict[str, Any]) -> bool:
        from fairway.delay.process import DelayProcess
        from fairway.delay.server import DelayServer

        notifier = Notifier()
        server = DelayServer(layer, options["layer"], replace(DEFAULTS, batch=options["batch"]))
        process = DelayProcess(server, notifier)
        notifier.when_supervisor_dies(lambda: process.stop("the supervisor is gone"))
        with stopped_by_signals(process, SAME_STOP if notifier.has_supervisor else 0.0):
            return process.run()

    def _say_start(self, alias: str) -> None:
        layer = describe_layer(alias)
        shown = hide_passwords(str(layer["url"] or layer["backend"]))
        self.stdout.write(
            f"Fairway {fairway.__version__} delay server, process {os.getpid()}: layer {alias!r} ({shown})"
        )
        self.stdout.flush()


def batch_size(text: str) -> int:
    """Read `--batch`."""
    number = positive(text)
    if number > LARGEST_BATCH:
        raise argparse.ArgumentTypeError(f"{text!r} is too large a batch; {LARGEST_BATCH:,} or less")
    return number


def _why_not_migrated() -> str:
    from fairway.delay.tables import why_not_migrated

    reason = why_not_migrated()
    connections.close_all()  # this thread only waits from now on
    return reason

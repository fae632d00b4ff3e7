"""`manage.py runworker`: takes messages from the channel layers and runs the project's consumers and views.

Here are the options and what is said about them; the work is done by `fairway.worker.process`, and by
`fairway.management.keeper` where several processes are asked for.
"""

import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import autoreload

import fairway
from fairway.application import DjangoApplication, application_for
from fairway.conf import channel_layers
from fairway.errors import InvalidLayerSetting
from fairway.layers.base import Layer
from fairway.layers.redis.address import hide_passwords
from fairway.layers.registry import SCHEMES
from fairway.limits import UNLIMITED, ViewLimits, WorkerLimits
from fairway.management.selection import select_channels, split_patterns
from fairway.routing import Consumer
from fairway.supervisor.logs import make_handler
from fairway.supervisor.options import count, duration, positive, seconds
from fairway.worker.loop import Worker, default_threads

DEFAULTS = WorkerLimits()


class Command(BaseCommand):
    """Run workers until a signal comes."""

    help = (
        "Takes messages from a channel layer and runs the project's consumers and views. "
        "SIGTERM and SIGINT stop it gently; a second one ends it at once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        add = parser.add_argument
        add("--processes", type=positive, default=1, metavar="N", help="Worker processes, kept running (1).")
        add(
            "--threads",
            type=positive,
            default=default_threads(),
            metavar="N",
            help="Blocking consumers that run at once in one process (%(default)s on this machine).",
        )
        add(
            "--coroutines",
            type=positive,
            default=DEFAULTS.coroutines,
            metavar="N",
            help="Coroutine consumers that run at once in one process (%(default)s).",
        )
        add(
            "--view-threads",
            type=positive,
            default=ViewLimits().threads,
            metavar="N",
            help="Blocking views with a WebSocket that run at once in one process (%(default)s).",
        )
        add(
            "--layer",
            action="append",
            metavar="ALIAS",
            help="Alias of a channel layer to read; may be repeated (default: default).",
        )
        patterns: dict[str, Any] = {"action": "append", "metavar": "PATTERN"}
        add(
            "--only-channels",
            **patterns,
            help="Read only channels that match: a name or a pattern such as 'websocket.*'. May be repeated, "
            "or hold several with commas between.",
        )
        add("--exclude-channels", **patterns, help="Do not read channels that match. As --only-channels.")
        add(
            "--grace",
            type=duration,
            default=DEFAULTS.grace,
            metavar="SECONDS",
            help="At a stop, what runs may take so long to finish (%(default)g).",
        )
        add(
            "--time-limit",
            type=seconds,
            default=UNLIMITED,
            metavar="SECONDS",
            help="A consumer that runs longer is reported; a coroutine is cancelled, for a thread the whole process "
            "is replaced (no limit).",
        )
        add(
            "--max-messages",
            type=count,
            default=UNLIMITED,
            metavar="N",
            help="Replace a process after so many messages, and up to a tenth more (no limit).",
        )
        add(
            "--max-memory",
            type=count,
            default=UNLIMITED,
            metavar="MB",
            help="Replace a process that holds more memory, in MiB (no limit).",
        )
        add("--reload", action="store_true", help="Start again when the code changes: for development.")
        add(
            "--print-layer",
            action="store_true",
            help="Print each layer as one line of JSON (alias, backend, url, routing, and delay: whether fairway.delay "
            "is installed) and do nothing else.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do what the options say.

        Raises:
            CommandError: the settings or the options do not allow it; the text says why, and the remedy.
            SystemExit: with 1, when consumers were cut off at the stop.
        """
        self.verbosity: int = options["verbosity"]
        aliases = options["layer"] or [fairway.DEFAULT_CHANNEL_LAYER]
        if options["print_layer"]:
            for alias in aliases:
                self.stdout.write(json.dumps(describe_layer(alias)))
            return
        limits = limits_from(options)
        applications = make_applications(aliases, options)
        if options["processes"] > 1:
            self._keep(options)
        elif options["reload"]:
            autoreload.run_with_reloader(self._work, applications, limits, options)
        else:
            self._work(applications, limits, options)

    def _keep(self, options: dict[str, Any]) -> None:
        from fairway.management.keeper import keep_workers

        if options["reload"]:
            raise CommandError("--reload is for one process; leave --processes out")
        log_to_stderr(options["verbosity"])
        # The last one of an option that is given twice counts.
        command = [*autoreload.get_child_arguments(), "--processes=1"]
        self._say(f"{options['processes']} worker processes, kept running by process {os.getpid()}")
        sys.exit(keep_workers(command, options["processes"], options["grace"]))

    def _work(self, applications: dict[str, DjangoApplication], limits: WorkerLimits, options: dict[str, Any]) -> None:
        from fairway.management.worker_process import run_workers

        log_to_stderr(options["verbosity"])
        workers = [
            Worker(application.layer, application, threads=options["threads"], limits=limits)
            for application in applications.values()
        ]
        for alias, application in applications.items():
            self._say_layer(alias, application, options)
        code = run_workers(workers, limits)
        channel_layers.clear()
        if code:
            sys.exit(code)

    def _say_layer(self, alias: str, application: DjangoApplication, options: dict[str, Any]) -> None:
        layer = describe_layer(alias)
        shown = hide_passwords(str(layer["url"] or layer["backend"]))
        self._say(
            f"Fairway {fairway.__version__} worker, process {os.getpid()}: layer {alias!r} "
            f"({shown}), {options['threads']} threads, {options['coroutines']} coroutines"
        )
        self._say(f"  channels: {', '.join(application.channels)}")

    def _say(self, text: str) -> None:
        if self.verbosity:
            self.stdout.write(text)
            self.stdout.flush()


def limits_from(options: dict[str, Any]) -> WorkerLimits:
    """Return the limits that the options set."""
    memory = options["max_memory"]
    return replace(
        DEFAULTS,
        coroutines=options["coroutines"],
        coroutines_waiting=options["coroutines"],
        grace=options["grace"],
        time_limit=options["time_limit"],
        max_messages=options["max_messages"],
        max_memory=memory if memory == UNLIMITED else memory << 20,
    )


def make_applications(aliases: Sequence[str], options: dict[str, Any]) -> dict[str, DjangoApplication]:
    """Return what is to run, by the alias of its layer, with the channels that the options leave.

    Raises:
        CommandError: a layer that other processes cannot reach, or that is not there; a pattern that matches nothing.
    """
    only, exclude = split_patterns(options["only_channels"]), split_patterns(options["exclude_channels"])
    view_limits = ViewLimits(threads=options["view_threads"])
    found = {}
    for alias in dict.fromkeys(aliases):
        get_layer(alias)
        application = found[alias] = application_for(alias, http_consumer=http_consumer(), view_limits=view_limits)
        application.channels = select_channels(application.channels, only, exclude)
    return found


def get_layer(alias: str) -> Layer:
    """Return a layer that servers in other processes can reach too.

    Raises:
        CommandError: there is none.
    """
    try:
        if not list(channel_layers):
            raise CommandError(
                "CHANNEL_LAYERS is not set, so there is nothing to take messages from; "
                'set it, such as {"default": {"URL": "local://", "ROUTING": "mysite.routing.channel_routing"}}'
            )
        layer = channel_layers[alias]
    except InvalidLayerSetting as error:
        raise CommandError(str(error)) from error
    if not layer.is_shared:
        raise CommandError(
            f"CHANNEL_LAYERS[{alias!r}] is a {type(layer).__name__}, which lives in one process: workers of their own "
            "would never see a message. Use fairway.layers.LocalLayer (URL 'local://'), or runserver, which has "
            "workers in its own process"
        )
    return layer


def describe_layer(alias: str) -> dict[str, str | bool | None]:
    """Return what a program that starts us wants to know about a layer.

    Raises:
        CommandError: as `get_layer`, but for a layer of one process.
    """
    try:
        setting, layer = channel_layers.setting(alias), channel_layers[alias]
    except InvalidLayerSetting as error:
        raise CommandError(str(error)) from error
    plain = {backend: f"{scheme}://" for scheme, backend in SCHEMES.items()}
    return {
        "alias": alias,
        "backend": setting.backend,
        "url": getattr(getattr(layer, "address", None), "url", plain.get(setting.backend)),
        "routing": setting.routing if isinstance(setting.routing, str) else None,
        "delay": apps.is_installed("fairway.delay"),
    }


def http_consumer() -> Consumer:
    """Return what answers HTTP requests: Django's views, in development after the static files."""
    if settings.DEBUG and apps.is_installed("django.contrib.staticfiles"):
        from fairway.http.static import StaticFilesConsumer

        return StaticFilesConsumer()
    from fairway.http.consumers import ViewConsumer

    return ViewConsumer()


def log_to_stderr(verbosity: int, name: str = "worker") -> None:
    """Show what Fairway has to tell, unless the project's LOGGING says where it goes.

    Parameters:
        verbosity: Django's.
        name: what this process is called in each line.
    """
    logger = logging.getLogger("fairway")
    if logger.hasHandlers():
        return
    logger.addHandler(make_handler(name))
    logger.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG))

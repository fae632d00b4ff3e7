"""`manage.py runserver`, aware of WebSockets: server, layer and workers in one process.

Without `CHANNEL_LAYERS`, with `--noasgi`, or where the server extra is not installed, it is Django's own.
"""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.management.commands.runserver import Command as StaticFilesCommand
from django.core.management.base import CommandParser

import fairway
from fairway.checks import why_no_server
from fairway.conf import channel_layers
from fairway.errors import InvalidLayerSetting
from fairway.layers.memory import MemoryLayer


class Command(StaticFilesCommand):
    """Django's runserver, and what Fairway adds."""

    help = "Starts a development server for HTTP and WebSocket, with workers in the same process."
    protocol = "http"
    has_sockets = False
    threads = 0

    def add_arguments(self, parser: CommandParser) -> None:
        """Add Fairway's options to Django's."""
        super().add_arguments(parser)
        parser.add_argument(
            "--noasgi", action="store_false", dest="use_asgi", help="Use Django's own server, without WebSockets."
        )
        parser.add_argument(
            "--noworker", action="store_false", dest="run_worker", help="Run no workers in this process."
        )
        parser.add_argument(
            "--http_timeout", type=int, default=None, help="Seconds until an unanswered request gets a 504 (60)."
        )
        parser.add_argument(
            "--websocket_handshake_timeout",
            type=int,
            default=None,
            help="Seconds until a WebSocket that no consumer decides about gets a 504 (20).",
        )

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Run Django's command with the server that fits."""
        self.has_sockets = self.can_serve_sockets(**options)
        if self.has_sockets:
            self.server_cls = self.make_server_class(**options)
        super().inner_run(*args, **options)

    def can_serve_sockets(self, **options: Any) -> bool:
        """Say whether there is a layer to use, and a server; tell what is missing."""
        if not options["use_asgi"]:
            return False
        try:
            reason = "" if fairway.DEFAULT_CHANNEL_LAYER in channel_layers else "CHANNEL_LAYERS has no 'default'"
        except InvalidLayerSetting:
            return True  # the system checks that follow say what is wrong
        reason = reason or why_no_server()
        if reason:
            self.stderr.write(self.style.WARNING(f"WebSockets are not served: {reason}"))
        return not reason

    def make_server_class(self, **options: Any) -> type:
        """Return what Django's command makes its server from."""
        from fairway.devserver import DevOptions, dev_server_class, server_config
        from fairway.worker.loop import default_threads

        if options["run_worker"]:
            self.threads = default_threads() if options["use_threading"] else 1
        config = server_config(
            answer_timeout=options["http_timeout"], connect_timeout=options["websocket_handshake_timeout"]
        )
        return dev_server_class(DevOptions(threads=self.threads, config=config))

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """Return what answers HTTP requests: Fairway's consumer, or Django's WSGI handler."""
        has_static_files = apps.is_installed("django.contrib.staticfiles") and options["use_static_handler"]
        serves_static_files = has_static_files and (settings.DEBUG or options["insecure_serving"])
        if not self.has_sockets:
            base: Any = super() if serves_static_files else super(StaticFilesCommand, self)
            return base.get_handler(*args, **options)
        if serves_static_files:
            from fairway.http.static import StaticFilesConsumer

            return StaticFilesConsumer()
        from fairway.http.consumers import ViewConsumer

        return ViewConsumer()

    def on_bind(self, server_port: int) -> None:
        """Print Django's banner and a line of ours."""
        if self.has_sockets:
            threads = f"{self.threads or 'no'} worker thread{'' if self.threads == 1 else 's'}"
            self.stdout.write(f"Fairway {fairway.__version__} serves HTTP and WebSocket, with {threads}")
            if not self.threads and isinstance(channel_layers[fairway.DEFAULT_CHANNEL_LAYER], MemoryLayer):
                text = "--noworker: the layer 'default' lives in this process alone, so nobody will answer anything"
                self.stderr.write(self.style.WARNING(text))
        super().on_bind(server_port)

"""`manage.py runserver`, aware of WebSockets. With autoreload the sockets stay while the code changes.

It runs in up to three roles:

- *parent*: it has the sockets and starts the child, which runs the same command;
- *child*: it has the workers, and the system checks, the banner and autoreload of Django's command;
- *whole*: both in one process, with `--noreload`, with `--noworker`, and where the parts cannot meet: on Windows, and
  with a layer that lives in one process and is not ours.

Without `CHANNEL_LAYERS`, with `--noasgi`, or where the server extra is not installed, it is Django's own.
"""

import errno
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.management.commands.runserver import Command as StaticFilesCommand
from django.core.management.base import CommandParser

import fairway
from fairway.checks import why_no_server
from fairway.conf import channel_layers
from fairway.devserver.orders import Orders
from fairway.errors import InvalidLayerSetting
from fairway.layers.memory import MemoryLayer
from fairway.layers.registry import import_backend
from fairway.worker.loop import default_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairway.devserver.beside import Beside
    from fairway.devserver.child import DevChild
    from fairway.devserver.interface import Backing
    from fairway.server.config import ServerConfig

CANNOT_BIND = {
    errno.EACCES: "You don't have permission to access that port.",
    errno.EADDRINUSE: "That port is already in use.",
    errno.EADDRNOTAVAIL: "That IP address can't be assigned to.",
}
"""As Django's own command says it."""


class Command(StaticFilesCommand):
    """Django's runserver, and what Fairway adds."""

    help = "Starts a development server for HTTP and WebSocket. Sockets stay open while your code reloads."
    protocol = "http"
    has_sockets = False
    threads = 0
    child: "DevChild | None" = None
    # As Django's command sets them.
    addr: str
    port: str
    use_ipv6: bool

    def add_arguments(self, parser: CommandParser) -> None:
        """Add Fairway's options to Django's."""
        super().add_arguments(parser)
        parser.add_argument(
            "--noasgi", action="store_false", dest="use_asgi", help="Use Django's own server, without WebSockets."
        )
        parser.add_argument(
            "--noworker",
            action="store_false",
            dest="run_worker",
            help="Run no workers, and none of your code: runworker does.",
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
        parser.add_argument(
            "--multithreaded", action="store_true", help="Nothing: sockets and requests are always served side by side."
        )

    def run(self, **options: Any) -> None:
        """Run in the role that fits."""
        orders = Orders.take(os.environ)
        if orders:
            self.run_child(orders, **options)
        elif self.why_no_sockets(**options):
            super().run(**options)
        elif not options["run_worker"]:
            self.inner_run(None, **options)  # there is no code here that could change
        elif options["use_reloader"] and (backing := self.backing_apart()):
            self.run_parent(backing, **options)
        else:
            super().run(**options)

    def run_parent(self, backing: "Backing", **options: Any) -> None:
        """Hold the sockets, and keep a child running."""
        from fairway.devserver.config import bind_of
        from fairway.devserver.parent import serve

        bind = bind_of((self.addr, int(self.port)), ipv6=self.use_ipv6)
        config = replace(self.server_config(**options), binds=[bind])
        try:
            code = serve(config, backing, lambda text: self.stderr.write(self.style.WARNING(text)))
        except OSError as error:
            self.stderr.write(f"Error: {CANNOT_BIND.get(error.errno or 0, error)}")
            code = 1
        sys.exit(code)

    def run_child(self, orders: Orders, **options: Any) -> None:
        """Run the code for the parent, until a file changes or the parent ends us."""
        from fairway.devserver.child import DevChild
        from fairway.management.worker_process import leave

        self.child = DevChild(orders, self.count_threads(**options), self.make_delay_servers)
        self.child.prepare()
        code: Any = 0
        try:
            super().run(**options)
        except SystemExit as ending:
            code = ending.code
            raise
        finally:
            if not self.child.stop():
                leave(code)

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Run Django's command with the server that fits."""
        if self.child:
            from fairway.devserver.child import dev_worker_class

            self.has_sockets = True
            self.threads = self.child.threads
            worker_class: Any = dev_worker_class(self.child)
            self.server_cls = worker_class
            self.tell_changed_settings(self.child)
        elif reason := self.why_no_sockets(**options):
            if options["use_asgi"]:
                self.stderr.write(self.style.WARNING(f"WebSockets are not served: {reason}"))
        else:
            self.has_sockets = True
            self.server_cls = self.make_server_class(**options)
        super().inner_run(*args, **options)

    def why_no_sockets(self, **options: Any) -> str:
        """Say what is missing, a layer or a server; "" when WebSockets can be served."""
        if not options["use_asgi"]:
            return "--noasgi"
        try:
            if fairway.DEFAULT_CHANNEL_LAYER not in channel_layers:
                return "CHANNEL_LAYERS has no 'default'"
        except InvalidLayerSetting:
            return ""  # the system checks that follow say what is wrong
        return why_no_server()

    def backing_apart(self) -> "Backing | None":
        """Return what carries messages between a server here and workers elsewhere; None when nothing does."""
        from fairway.devserver.interface import HAS_HUB, back

        try:
            layer = channel_layers[fairway.DEFAULT_CHANNEL_LAYER]
        except InvalidLayerSetting:
            return None  # the system checks of Django's child say what is wrong
        return back(layer) if HAS_HUB and (layer.is_shared or isinstance(layer, MemoryLayer)) else None

    def count_threads(self, **options: Any) -> int:
        """Return how many worker threads there are to be."""
        if not options["run_worker"]:
            return 0
        return default_threads() if options["use_threading"] else 1

    def server_config(self, **options: Any) -> "ServerConfig":
        """Return how the server is to be, but for its address."""
        from fairway.devserver.config import server_config

        return server_config(
            answer_timeout=options["http_timeout"], connect_timeout=options["websocket_handshake_timeout"]
        )

    def make_server_class(self, **options: Any) -> type:
        """Return what Django's command makes its server from, where all is in one process."""
        from fairway.devserver.whole import DevOptions, dev_server_class

        self.threads = self.count_threads(**options)
        config = self.server_config(**options)
        return dev_server_class(
            DevOptions(threads=self.threads, config=config, make_beside=self.make_delay_servers),
        )

    def make_delay_servers(self) -> "Sequence[Beside]":
        """Return what delivers delayed messages where the workers are, if the project has some."""
        from fairway.management.delayed import make_delay_servers

        return make_delay_servers(self.stdout.write, lambda text: self.stderr.write(self.style.WARNING(text)))

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

    def tell_changed_settings(self, child: "DevChild") -> None:
        """Name the settings that the server, in the parent, does not know the new values of."""
        for name in child.orders.changed_settings():
            text = f"{name} has changed. The server has the old value: start runserver again."
            self.stderr.write(self.style.WARNING(text))

    def on_bind(self, server_port: int) -> None:
        """Print Django's banner and a line of ours."""
        if self.has_sockets:
            threads = f"{self.threads or 'no'} worker thread{'' if self.threads == 1 else 's'}"
            self.stdout.write(f"Fairway {fairway.__version__} serves HTTP and WebSocket, with {threads}")
            backend = import_backend(channel_layers.setting(fairway.DEFAULT_CHANNEL_LAYER))
            if not self.threads and not getattr(backend, "is_shared", False):
                text = "--noworker: the layer 'default' lives in this process alone, so nobody will answer anything"
                self.stderr.write(self.style.WARNING(text))
        super().on_bind(server_port)

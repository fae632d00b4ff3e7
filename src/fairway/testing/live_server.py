"""A live server for a test: a real interface server and a real worker, each in a process of its own.

The server is `fairway serve` with its hub in a private folder; the worker has the settings and the databases of the
test. While it runs, the layer of the test process is that hub too, so what the test sends reaches the sockets.
"""

import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Literal, Self

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test import modify_settings

from fairway.conf import channel_layers
from fairway.errors import MissingExtra
from fairway.layers.base import Layer
from fairway.layers.hub.client import LocalLayer
from fairway.testing.layers import PlacedLayers
from fairway.testing.live_processes import LiveProcess
from fairway.testing.live_settings import take_snapshot
from fairway.testing.live_worker import Failure, WorkerOrders, read_failures, run_worker

StartMethod = Literal["spawn", "fork"]


class WorkerFailed(AssertionError):
    """A consumer failed in a worker process, or the process ended. The text has the traceback from there."""


class LiveServer:
    """A context in which server and worker run.

    Parameters:
        host: where to listen; the port is a free one.
        worker_threads: blocking consumers that run at once.
        serve_static: serve static files as `runserver` does, where `django.contrib.staticfiles` is installed.
        start_method: "spawn" starts the worker from nothing, "fork" makes a copy of this process.

    Raises:
        ImproperlyConfigured: the databases or layers of the project do not allow it; the text has the remedy.
        StartFailed: a process did not become ready; with the last lines of its output.
        WorkerFailed: on leaving, when a consumer has failed.
    """

    def __init__(
        self,
        *,
        host: str = "localhost",
        worker_threads: int = 1,
        serve_static: bool = True,
        start_method: StartMethod = "spawn",
    ) -> None:
        if start_method not in ("spawn", "fork"):
            msg = f"worker_start_method is 'spawn' or 'fork', not {start_method!r}"
            raise ImproperlyConfigured(msg)
        self.host = host
        self.port = 0
        self._threads = worker_threads
        self._serve_static = serve_static
        self._start_method = start_method
        self._stack = ExitStack()
        self._folder = Path()
        self._worker: LiveProcess | None = None
        self._problems: list[str] = []
        self._seen = 0

    @property
    def url(self) -> str:
        """Where the server answers, such as `http://localhost:40001`."""
        return f"http://{self._authority}"

    @property
    def ws_url(self) -> str:
        """The same for WebSockets: `ws://localhost:40001`."""
        return f"ws://{self._authority}"

    @property
    def _authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def take_errors(self) -> list[str]:
        """Return what consumers raised since the last call, each with its traceback; it fails the test no more."""
        return [failure.text for failure in self._take_failures()]

    def _take_failures(self) -> list[Failure]:
        failures = read_failures(self._errors)
        new, self._seen = failures[self._seen :], len(failures)
        return new

    # --- its life ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        alias = check_project()
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(_private_folder()))
            hub = str(self._folder / "hub.sock")
            stack.enter_context(modify_settings(ALLOWED_HOSTS={"append": self.host}))
            server = LiveProcess("server", self._folder)
            stack.callback(server.stop)
            worker = self._worker = LiveProcess("worker", self._folder)
            stack.callback(self._stop_both, server, worker)
            self._start_server(server, hub)
            self._start_worker(worker, server, alias, hub)
            stack.enter_context(_HubPlaced([alias], hub))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        problems, self._problems = self._problems, []
        if problems:
            raise WorkerFailed("\n\n".join(problems))

    def _start_server(self, process: LiveProcess, hub: str) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # Bound here, so that the port is known, and nobody else takes it.
        with socket.create_server((self.host, 0), family=family) as listener:
            self.port = listener.getsockname()[1]
            options = [
                f"--bind=fd:{listener.fileno()}",
                f"--layer=local://{hub}",
                "--drain=0",
                "--drain-http=5",
                "--drain-layer=5",
                f"--root-path={(settings.FORCE_SCRIPT_NAME or '').rstrip('/')}",
                *(f"--trusted-origin={origin}" for origin in settings.CSRF_TRUSTED_ORIGINS),
            ]
            process.spawn([sys.executable, "-m", "fairway.testing.live_serve", *options], [listener.fileno()])
        process.wait_ready()

    def _start_worker(self, process: LiveProcess, server: LiveProcess, alias: str, hub: str) -> None:
        orders = WorkerOrders(
            alias=alias, hub=hub, errors=str(self._errors), threads=self._threads, serve_static=self._serve_static
        )
        if self._start_method == "fork":
            connections.close_all()  # a copy of an open connection would be used by both
            process.fork(lambda: run_worker(orders), [server])
        else:
            told = self._folder / "orders"
            told.write_bytes(msgspec.msgpack.encode((take_snapshot(), orders)))
            process.spawn([sys.executable, "-m", "fairway.testing.live_worker", str(told)])
        process.wait_ready()

    def _stop_both(self, server: LiveProcess, worker: LiveProcess) -> None:
        """Stop the server first: the worker is to consume that the sockets are closed."""
        self._problems = [
            "\n".join([f"the {process.name} process ended during the test:", *process.last_lines()])
            for process in (server, worker)
            if process.has_ended
        ]
        failures = self._take_failures()
        server.stop()
        worker.stop()
        # A response that its client has read, and that was not quite finished here when the hub went.
        failures += [failure for failure in self._take_failures() if failure.kind != "LayerUnavailable"]
        self._problems += [f"a consumer failed in the worker process:\n\n{failure.text}" for failure in failures]
        if worker.exit_code and not self._problems:
            self._problems.append("\n".join(["consumers were cut off at the end of the test:", *worker.last_lines()]))

    @property
    def _errors(self) -> Path:
        return self._folder / "errors"


class _HubPlaced(PlacedLayers):
    """The layer of a live server, in the test process.

    Parameters:
        aliases: the one that the project has.
        hub: where the hub is.
    """

    def __init__(self, aliases: list[str], hub: str) -> None:
        super().__init__(aliases)
        self._hub = hub

    def make(self, alias: str) -> Layer:
        """See `PlacedLayers.make`."""
        del alias
        return LocalLayer(self._hub)


def check_project() -> str:
    """Return the alias of the project's layer, if a live server can be used with the project at all.

    Raises:
        ImproperlyConfigured: it cannot; the text has the remedy.
    """
    for alias in connections:
        connection = connections[alias]
        if connection.vendor == "sqlite" and connection.is_in_memory_db():  # type: ignore[attr-defined]
            msg = (
                f"DATABASES[{alias!r}] is an in-memory SQLite database in the tests, which a worker process cannot "
                "reach; name a file, such as DATABASES[...]['TEST'] = {'NAME': BASE_DIR / 'test.sqlite3'}"
            )
            raise ImproperlyConfigured(msg)
    aliases = list(channel_layers)
    if len(aliases) != 1:
        named = ", ".join(map(repr, aliases)) or "none"
        msg = f"a live server has one channel layer, and CHANNEL_LAYERS names {named}; override it for this test"
        raise ImproperlyConfigured(msg)
    if channel_layers.setting(aliases[0]).routing is None:
        msg = f"CHANNEL_LAYERS[{aliases[0]!r}] has no 'ROUTING', so the worker would consume nothing; name one (or [])"
        raise ImproperlyConfigured(msg)
    return aliases[0]


def _private_folder() -> "TemporaryDirectory[str]":
    try:
        from fairway.devserver.interface import private_folder
    except ImportError as error:
        raise MissingExtra("a live server", "server") from error
    return private_folder()

"""Everything in one process, for development: interface server, memory layer and worker threads.

`DevServer` looks like the WSGI server that Django's `runserver` makes, binds, announces and runs; so Django's command
does all the rest: checks, the banner, its words for a port in use, and autoreload.
"""

import asyncio
import atexit
import contextlib
import signal
import threading
from dataclasses import dataclass
from typing import Any, ClassVar

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.application import application_for
from fairway.conf import channel_layers
from fairway.routing import Consumer
from fairway.server import Server, ServerConfig
from fairway.signals import worker_process_ready, worker_ready
from fairway.worker.loop import Worker

GRACE = 2.0
"""How long a stop may take in all: whoever edits code waits for it at each change."""


@dataclass(frozen=True, kw_only=True)
class DevOptions:
    """What the command was told.

    `threads` is 0 for no worker; `config` lacks only the address.
    """

    threads: int
    config: ServerConfig


class DevServer:
    """An interface server and a worker, behind the face of a `socketserver`.

    Raises:
        OSError: the address cannot be bound.
    """

    options: ClassVar[DevOptions]
    daemon_threads = True

    def __init__(self, address: tuple[str, int], _handler_class: type, *, ipv6: bool = False) -> None:
        host = "0.0.0.0" if address[0] == "0" else address[0]  # noqa: S104  the user asked for it
        bind = f"[{host}]:{address[1]}" if ipv6 and ":" in host else f"{host}:{address[1]}"
        self._layer = channel_layers[DEFAULT_CHANNEL_LAYER]
        self._server = Server(self.options.config.bound_to(bind), self._layer)
        self._runner = asyncio.Runner()
        self._ended = asyncio.Event()
        self._stopped = threading.Event()
        self._worker: Worker | None = None
        try:
            self._runner.run(self._server.start())
        except BaseException:
            self._runner.close()
            raise
        self.server_port: int = self._server.bound[0][1]

    def set_app(self, http_consumer: Consumer) -> None:
        """Take what answers `http.request`; the routing finds all other consumers."""
        if self.options.threads:
            application = application_for(http_consumer=http_consumer)
            self._worker = Worker(self._layer, application, threads=self.options.threads)

    def serve_forever(self) -> None:
        """Serve until Ctrl-C, SIGTERM or the end of the process."""
        atexit.register(self._stop_at_exit)
        try:
            if self._worker:
                worker_process_ready.send(self._worker)
                self._worker.start()
                worker_ready.send(self._worker)
            self._runner.run(self._serve())
        finally:
            if self._worker:
                self._worker.stop(GRACE)
            self._runner.close()
            self._stopped.set()
            atexit.unregister(self._stop_at_exit)

    async def _serve(self) -> None:
        if threading.current_thread() is threading.main_thread():
            with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._ended.set)
        try:
            await self._ended.wait()
        finally:
            await self._server.stop()

    def _stop_at_exit(self) -> None:
        """Close the sockets when autoreload ends the process: it runs us in a thread, where no signal arrives."""
        with contextlib.suppress(KeyboardInterrupt, RuntimeError):
            self._runner.get_loop().call_soon_threadsafe(self._ended.set)
            self._stopped.wait(GRACE * 2)


def dev_server_class(options: DevOptions) -> type[DevServer]:
    """Return the class for Django to make the server from."""
    return type("DevServer", (DevServer,), {"options": options})


def log_request(*_details: Any) -> None:
    """Placeholder."""

"""Everything in one process, for development: interface server, memory layer and worker threads.

`DevServer` looks like the WSGI server that Django's `runserver` makes, binds, announces and runs; so Django's command
does all the rest: checks, the banner, its words for a port in use, and autoreload.
"""

import asyncio
import atexit
import contextlib
import logging
import signal
import threading
import time
from dataclasses import dataclass, replace
from typing import ClassVar

from django.conf import settings

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.application import application_for
from fairway.conf import channel_layers
from fairway.limits import HttpLimits, ServerLimits, WebSocketLimits
from fairway.routing import Consumer
from fairway.server import Server, new_event_loop
from fairway.server.config import Access, ServerConfig
from fairway.signals import worker_process_ready, worker_ready
from fairway.worker.loop import Worker

logger = logging.getLogger("django.server")

_WORDS = {"connecting": "HANDSHAKING", "connected": "CONNECT", "rejected": "REJECT", "disconnected": "DISCONNECT"}

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
    """An interface server and workers, behind the face of a `socketserver`.

    The server's messages travel over the default layer; each other layer that is configured gets a worker too.

    Raises:
        OSError: the address cannot be bound.
    """

    options: ClassVar[DevOptions]
    daemon_threads = True

    def __init__(self, address: tuple[str, int], _handler_class: type, *, ipv6: bool = False) -> None:
        host = "0.0.0.0" if address[0] == "0" else address[0]  # noqa: S104  the user asked for it
        bind = f"[{host}]:{address[1]}" if ipv6 and ":" in host else f"{host}:{address[1]}"
        self._layer = channel_layers[DEFAULT_CHANNEL_LAYER]
        self._server = Server(replace(self.options.config, binds=[bind]), self._layer)
        self._runner = asyncio.Runner(loop_factory=new_event_loop)
        self._ended = asyncio.Event()
        self._stopped = threading.Event()
        self._workers: list[Worker] = []
        try:
            self._runner.run(self._server.start())
        except BaseException:
            self._runner.close()
            raise
        self.server_port: int = self._server.bound[0][1]

    def set_app(self, http_consumer: Consumer) -> None:
        """Take what answers `http.request`; the routing finds all other consumers."""
        if self.options.threads:
            for alias in channel_layers:
                application = application_for(alias, http_consumer=http_consumer)
                self._workers.append(Worker(application.layer, application, threads=self.options.threads))

    def serve_forever(self) -> None:
        """Serve until Ctrl-C, SIGTERM or the end of the process."""
        atexit.register(self._stop_at_exit)
        try:
            for worker in self._workers[:1]:
                worker_process_ready.send(worker)
            for worker in self._workers:
                worker.start()
                worker_ready.send(worker)
            self._runner.run(self._serve())
        finally:
            deadline = time.monotonic() + GRACE
            for worker in self._workers:
                worker.stop(max(0.0, deadline - time.monotonic()))
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
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    await self._server.stop()

    def _stop_at_exit(self) -> None:
        """Close the sockets when autoreload ends the process: it runs us in a thread, where no signal arrives."""
        with contextlib.suppress(KeyboardInterrupt, RuntimeError):
            self._runner.get_loop().call_soon_threadsafe(self._ended.set)
            self._stopped.wait(GRACE * 2)


def dev_server_class(options: DevOptions) -> type[DevServer]:
    """Return the class for Django to make the server from."""
    return type("DevServer", (DevServer,), {"options": options})


def server_config(*, answer_timeout: float | None = None, connect_timeout: float | None = None) -> ServerConfig:
    """Return what the project's settings say about a server, for development: a stop wastes nobody's time.

    Parameters:
        answer_timeout: seconds until an unanswered request gets a 504; the default when None.
        connect_timeout: the same for a WebSocket handshake.
    """
    http, websocket = HttpLimits(), WebSocketLimits()
    if answer_timeout is not None:
        http = replace(http, answer_timeout=answer_timeout)
    if connect_timeout is not None:
        websocket = replace(websocket, connect_timeout=connect_timeout)
    return ServerConfig(
        root_path=(settings.FORCE_SCRIPT_NAME or "").rstrip("/"),
        trusted_origins=settings.CSRF_TRUSTED_ORIGINS,
        access_log=log_access,
        limits=ServerLimits(http=http, websocket=websocket, drain=0, drain_http=GRACE / 2),
    )


def log_access(access: Access) -> None:
    """Write a line of the access log, through the logger (and so in the colours) of Django's own server."""
    path = access.path.encode("unicode_escape").decode("ascii")
    if access.action == "http":
        text = f"HTTP {access.method} {path} {access.status or '-'} [{access.seconds:.2f}, {access.client}]"
    else:
        text = f"WebSocket {_WORDS[access.action]} {path} [{access.client}]"
    level = logging.ERROR if access.status >= 500 else logging.WARNING if access.status >= 400 else logging.INFO
    details = {"status_code": access.status or 200, "server_time": time.strftime("%d/%b/%Y %H:%M:%S")}
    logger.log(level, "%s", text, extra=details)

"""Everything in one process, for development: interface server, broker and worker threads.

`DevServer` looks like the WSGI server that Django's `runserver` makes, binds, announces and runs.
"""

import asyncio
import atexit
import contextlib
import signal
import threading
import time
from dataclasses import dataclass, replace
from typing import ClassVar

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.application import application_for
from fairway.conf import channel_layers
from fairway.devserver import beside
from fairway.devserver.config import GRACE, bind_of
from fairway.devserver.interface import Interface, back
from fairway.routing import Consumer
from fairway.server import new_event_loop
from fairway.server.config import ServerConfig
from fairway.signals import worker_process_ready, worker_ready
from fairway.worker.loop import Worker


@dataclass(frozen=True, kw_only=True)
class DevOptions:
    """What the command was told.

    `threads` is 0 for no worker; `config` lacks only the address; `make_beside` makes what runs beside the workers,
    if there are any.
    """

    threads: int
    config: ServerConfig
    make_beside: beside.Make = beside.make_none


class DevServer:
    """An interface server and workers, behind the face of a `socketserver`.

    The server's messages travel over the default layer; each other layer that is configured gets a worker too. Where
    the default layer is a hub's, this process is that hub, and uses the broker inside it.

    Raises:
        OSError: the address cannot be bound, or the hub cannot be opened.
    """

    options: ClassVar[DevOptions]
    daemon_threads = True

    def __init__(self, address: tuple[str, int], _handler_class: type, *, ipv6: bool = False) -> None:
        backing = back(channel_layers[DEFAULT_CHANNEL_LAYER])
        config = replace(self.options.config, binds=[bind_of(address, ipv6=ipv6)])
        self._interface = Interface(config, backing)
        self._runner = asyncio.Runner(loop_factory=new_event_loop)
        self._ended = asyncio.Event()
        self._stopped = threading.Event()
        self._workers: list[Worker] = []
        try:
            self.server_port: int = self._runner.run(self._interface.start())
        except BaseException:
            self._runner.close()
            raise
        self._outside = channel_layers.set(DEFAULT_CHANNEL_LAYER, backing.layer)

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
            with beside.running(self.options.make_beside if self._workers else beside.make_none):
                self._runner.run(self._serve())
        finally:
            deadline = time.monotonic() + GRACE
            for worker in self._workers:
                worker.stop(max(0.0, deadline - time.monotonic()))
            self._runner.run(self._interface.close())
            self._runner.close()
            channel_layers.set(DEFAULT_CHANNEL_LAYER, self._outside)
            self._stopped.set()
            atexit.unregister(self._stop_at_exit)

    async def _serve(self) -> None:
        if threading.current_thread() is threading.main_thread():
            with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._ended.set)
        try:
            await self._ended.wait()
        finally:
            await self._interface.stop_serving()

    def _stop_at_exit(self) -> None:
        """Close the sockets when autoreload ends the process: it runs us in a thread, where no signal arrives."""
        with contextlib.suppress(KeyboardInterrupt, RuntimeError):
            self._runner.get_loop().call_soon_threadsafe(self._ended.set)
            self._stopped.wait(GRACE * 2)


def dev_server_class(options: DevOptions) -> type[DevServer]:
    """Return the class for Django to make the server from."""
    return type("DevServer", (DevServer,), {"options": options})

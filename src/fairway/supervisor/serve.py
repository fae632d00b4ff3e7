"""`fairway serve`: one process with the browsers' sockets, and with the hub where the layer is local.

The same process is a child of `serve --processes N`: then the hub is its parent's, and so are its listening sockets.
It does not die with its parent. It keeps its sockets, meets the hub of the next parent, leaves new connections to that
one's children, and goes when its last connection has gone.
"""

import argparse
import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, cast

import fairway
from fairway.layers.base import Layer
from fairway.server import Server, ServerConfig, new_event_loop
from fairway.server.access_log import AccessLogWriter, open_access_log
from fairway.server.admin import Admin
from fairway.server.descriptors import raise_open_files
from fairway.supervisor.control import ControlServer, Say, control_path, refuse_reload
from fairway.supervisor.layer import Backing, host_layer, layer_name, reach_layer
from fairway.supervisor.notify import Notifier
from fairway.supervisor.options import DEFAULT_BINDS, server_limits
from fairway.supervisor.signals import StopSignals
from fairway.supervisor.sockets import take_systemd_sockets

logger = logging.getLogger("fairway.supervisor")

LOOK_EVERY = 0.25
"""Seconds between two looks of an orphan for its last connection."""

REPORT_EVERY = 1.0
"""Seconds between two reports of a child to its parent."""


def run_server(given: argparse.Namespace) -> int:
    """Run a server process until it is told to stop; return its exit code.

    Raises:
        FairwayError: it cannot start; the text says why.
    """
    # A soft limit of 1,024 is the usual one, for the sake of programs that use select(2).
    raise_open_files()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(ServeProcess(given).run())


def binds_of(given: argparse.Namespace) -> list[str]:
    """Return where a server listens: what the options say, else what systemd hands over, else the default."""
    from_systemd = take_systemd_sockets()
    return given.bind or from_systemd or list(DEFAULT_BINDS)


def server_config(given: argparse.Namespace, binds: list[str], access_log: AccessLogWriter | None) -> ServerConfig:
    """Return what the options tell a server."""
    return ServerConfig(
        binds=binds,
        root_path=given.root_path,
        trusted_origins=given.trusted_origin or (),
        proxies=given.proxy or (),
        access_log=access_log,
        limits=server_limits(given),
    )


class ServeProcess:
    """A process that serves. Parameters: the options."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._is_child = bool(given.listen_on)
        self._notifier = Notifier()
        self._began = time.monotonic()
        self._state = "starting"
        self._access_log: AccessLogWriter | None = None
        self._server: Server
        self._layer: Layer
        self._backing: Backing | None = None
        self._signals: StopSignals
        self._tasks: list[asyncio.Task[None]] = []
        """Kept, because the loop does not keep them."""
        self._is_orphan = False

    async def run(self) -> int:
        """Serve until a signal, or, as an orphan, until nobody is left."""
        self._signals = StopSignals(on_hang_up=self._reopen_log)
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._state = ""
            self._notifier.ready()
            await self._signals.asked.wait()
            self._state = "draining"
            self._notifier.stopping()
        logger.info("stopped")
        return 0

    async def _start(self, stack: AsyncExitStack) -> None:
        """Start everything, the hub first: a second server of a project fails before it takes a port."""
        given = self._given
        if given.access_log != "off":
            self._access_log = open_access_log(given.access_log_format, given.access_log, asyncio.get_running_loop())
            stack.callback(self._access_log.close)
        if self._is_child:
            self._layer = reach_layer(given)
            stack.callback(self._layer.close)
        else:
            await self._host_layer(stack)
        binds = [f"fd:{number}" for number in given.listen_on] if self._is_child else binds_of(given)
        self._server = Server(server_config(given, binds, self._access_log), self._layer)
        if given.admin_bind and not self._is_child:
            admin = Admin(given.admin_bind, self._server.status, self._server.health)
            await stack.enter_async_context(started(admin))
        await self._server.start()
        stack.push_async_callback(self._server.stop)
        if self._is_child:
            # The server has copies. Were these left open, they would go on listening when it no longer does.
            for number in given.listen_on:
                os.close(number)
            self._follow_parent()
        else:
            layer = f"{layer_name(given)}{self._backing.name if self._backing else ''}"
            logger.info("serving %s, layer %s", ", ".join(self._bound(binds)), layer)
        if self._notifier.watchdog:
            self._tasks.append(asyncio.create_task(feed_watchdog(self._notifier)))

    async def _host_layer(self, stack: AsyncExitStack) -> None:
        self._backing = backing = host_layer(self._given)
        self._layer = backing.layer
        stack.callback(self._layer.close)
        if backing.hub:
            await backing.hub.start()
            stack.push_async_callback(backing.hub.stop, self._given.drain_layer)
        path = self._given.control or control_path(self._given.layer)
        alias = "" if self._given.control else control_path()
        commands = {"status": self._tell_status, "reload": refuse_reload}
        await stack.enter_async_context(started(ControlServer(path, commands, alias)))

    def _bound(self, binds: list[str]) -> list[str]:
        return [f"{host}:{port}" for host, port in self._server.bound] + [
            bind for bind in binds if bind.startswith("unix:")
        ]

    def _reopen_log(self) -> None:
        if self._access_log:
            self._access_log.reopen()

    # --- what it tells -----------------------------------------------------------------------------------------------

    async def _tell_status(self, say: Say) -> Mapping[str, Any]:
        del say
        return {"ok": True, **self.report()}

    def report(self) -> dict[str, Any]:
        """Return what `fairway status` shows."""
        status = {**self._server.status(), **(self._backing.report() if self._backing else {})}
        process = {
            "name": self._given.name,
            "pid": os.getpid(),
            "state": self._state or "ready",
            "restarts": 0,
            "uptime": time.monotonic() - self._began,
            "status": "",
            "connections": self._server.connections,
        }
        return {
            "program": "serve",
            "version": fairway.__version__,
            "pid": os.getpid(),
            "ready": not self._state,
            "uptime": time.monotonic() - self._began,
            "layer": layer_name(self._given),
            "server": status,
            "processes": [process],
        }

    # --- as a child --------------------------------------------------------------------------------------------------

    def _follow_parent(self) -> None:
        loop = asyncio.get_running_loop()
        # The layer of another process than the broker's tells when it has met a new broker.
        cast("Any", self._layer).on_renewed = lambda: _call(loop, self._on_renewed)
        self._notifier.when_supervisor_dies(lambda: _call(loop, self._on_orphaned))
        self._tasks.append(asyncio.create_task(self._report_to_parent()))

    async def _report_to_parent(self) -> None:
        while not self._is_orphan:
            self._notifier.report(self._server.status())
            await asyncio.sleep(REPORT_EVERY)

    def _on_orphaned(self) -> None:
        self._is_orphan = True
        logger.warning("the parent process is gone; serving on until a new one has taken its place")

    def _on_renewed(self) -> None:
        if self._is_orphan and self._state == "":
            logger.info("a new server has taken over; %d connections stay here", self._server.connections)
            self._state = "leaving"
            self._server.stop_listening()
            self._tasks.append(asyncio.create_task(self._leave_when_alone()))

    async def _leave_when_alone(self) -> None:
        while self._server.connections:  # noqa: ASYNC110  a plain count
            await asyncio.sleep(LOOK_EVERY)
        self._signals.stop()


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Call a function on the loop, from any thread; nothing happens when the loop has ended."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function)


async def feed_watchdog(notifier: Notifier) -> None:
    """Tell systemd again and again that the loop turns."""
    while notifier.watchdog:
        notifier.alive()
        await asyncio.sleep(notifier.watchdog)


class started:  # noqa: N801  used as a function
    """A context for what has `start` and `stop`."""

    def __init__(self, thing: Admin | ControlServer) -> None:
        self._thing = thing

    async def __aenter__(self) -> None:
        await self._thing.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self._thing.stop()

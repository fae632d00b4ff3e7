"""`fairway serve --processes N`: a parent with the hub and no browser's socket, and N children with the sockets.

The parent makes every listening socket and keeps it open, so a child that is started again finds the connections that
waited meanwhile. When the parent is killed, its children serve on; see `serve` for how they leave in the end.
"""

import argparse
import asyncio
import errno
import logging
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import fairway
from fairway.errors import CannotListen
from fairway.server import new_event_loop
from fairway.server.admin import Admin
from fairway.server.listener import layer_status
from fairway.supervisor.children import Child, start_all, stop_all
from fairway.supervisor.control import ControlServer, Say, control_path, refuse_reload
from fairway.supervisor.layer import Backing, host_layer, layer_environ, layer_name
from fairway.supervisor.notify import Notifier
from fairway.supervisor.options import arguments, server_limits, server_parser
from fairway.supervisor.process import Recipe
from fairway.supervisor.serve import binds_of, feed_watchdog, started
from fairway.supervisor.signals import StopSignals
from fairway.supervisor.sockets import SharedSockets

logger = logging.getLogger("fairway.supervisor")

TAKE_OVER = 10.0
"""Seconds to wait for the children of a parent that was killed to leave a Unix socket."""

SPARE = 15.0
"""Seconds that a child may take to stop, beyond what its drain takes."""

OWN = (
    "layer",
    "bind",
    "processes",
    "admin_bind",
    "control",
    "name",
    "listen_on",
    "capacity",
    "expiry",
    "layer_memory",
    "drain_layer",
    "hub_bind",
    "hub_certificate",
    "hub_key",
    "hub_secret_file",
)
"""Options that the parent does not pass on."""


def run_fleet(given: argparse.Namespace) -> int:
    """Run parent and children until told to stop; return the exit code.

    Raises:
        FairwayError: it cannot start; the text says why.
    """
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(Fleet(given).run())


class Fleet:
    """The parent. Parameters: the options."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._notifier = Notifier()
        self._began = time.monotonic()
        self._state = "starting"
        self._children: list[Child] = []
        self._backing: Backing
        self._watchdog: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Serve until a signal."""
        signals = StopSignals(on_hang_up=self._hang_up, on_hurry=self._kill)
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._state = ""
            self._notifier.ready()
            if self._notifier.watchdog:
                self._watchdog = asyncio.create_task(feed_watchdog(self._notifier))
            await signals.asked.wait()
            self._state = "draining"
            self._notifier.stopping()
        logger.info("stopped")
        return 0

    async def _start(self, stack: AsyncExitStack) -> None:
        given = self._given
        self._backing = host_layer(given)
        stack.callback(self._backing.layer.close)
        if self._backing.hub:
            await self._backing.hub.start()
            stack.push_async_callback(self._backing.hub.stop, given.drain_layer)
        path = given.control or control_path(given.layer)
        alias = "" if given.control else control_path()
        commands = {"status": self._tell_status, "reload": refuse_reload}
        await stack.enter_async_context(started(ControlServer(path, commands, alias)))
        sockets = await _open(binds_of(given), given.processes)
        self._children = [Child(self._recipe(number, sockets)) for number in range(given.processes)]
        stack.push_async_callback(stop_all, self._children)
        # Called before the children stop: from then on a new connection is refused and waits for nobody.
        stack.callback(sockets.close)
        await start_all(self._children)
        if given.admin_bind:
            await stack.enter_async_context(started(Admin(given.admin_bind, self.status, self.health)))
        names = ", ".join(sockets.bound)
        layer = f"{layer_name(given)}{self._backing.name}"
        logger.info("serving %s in %d processes, layer %s", names, given.processes, layer)

    def _recipe(self, number: int, sockets: SharedSockets) -> Recipe:
        descriptors = sockets.descriptors(number)
        name = f"{self._given.name}-{number + 1}"
        options = [f"--name={name}", *(f"--listen-on={descriptor}" for descriptor in descriptors)]
        limits = server_limits(self._given)
        return Recipe(
            name=name,
            command=serve_command([*arguments(server_parser(), self._given, leave_out=OWN), *options]),
            environ=layer_environ(self._given),
            descriptors=descriptors,
            outlives_us=True,
            grace=limits.drain + limits.drain_http + SPARE,
        )

    def _hang_up(self) -> None:
        for child in self._children:
            child.signal(signal.SIGHUP)

    def _kill(self) -> None:
        for child in self._children:
            child.kill()

    # --- what it tells -----------------------------------------------------------------------------------------------

    def health(self) -> str:
        """Return why nobody should send requests here; `""` when all is well."""
        if self._state:
            return self._state
        return "" if any(child.state == "ready" for child in self._children) else "no server process is ready"

    def status(self) -> dict[str, Any]:
        """Return the sum of what the children hold and have done, and the layer."""
        own = {
            "version": fairway.__version__,
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._began, 3),
            "health": self.health() or "ok",
            "draining": self._state == "draining",
        }
        reports = [child.process.report for child in self._children if child.process and child.state != "pausing"]
        status = {**sum_up(reports), **own, **self._backing.report()}
        return {**status, "layer": layer_status(self._backing.layer)} if self._backing.hub else status

    def report(self) -> dict[str, Any]:
        """Return what `fairway status` shows."""
        return {
            "program": "serve",
            "version": fairway.__version__,
            "pid": os.getpid(),
            "ready": not self._state and all(child.state == "ready" for child in self._children),
            "uptime": time.monotonic() - self._began,
            "layer": layer_name(self._given),
            "server": self.status(),
            "processes": [
                {**child.report(), "connections": _connections(child.process.report if child.process else {})}
                for child in self._children
            ],
        }

    async def _tell_status(self, say: Say) -> Mapping[str, Any]:
        del say
        return {"ok": True, **self.report()}


def serve_command(options: Sequence[str]) -> list[str]:
    """Return the command of a server process."""
    return [sys.executable, "-m", "fairway.cli", "serve", *options]


async def _open(binds: Sequence[str], processes: int) -> SharedSockets:
    end = time.monotonic() + TAKE_OVER
    while True:
        try:
            return SharedSockets(binds, processes)
        except CannotListen as error:
            if error.errno != errno.EADDRINUSE or not error.bind.startswith("unix:") or time.monotonic() > end:
                raise
        await asyncio.sleep(0.05)


def sum_up(reports: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the numbers of several reports, added up; what is no number is left out."""
    total: dict[str, Any] = {}
    for report in reports:
        for key, value in report.items():
            if isinstance(value, Mapping):
                total[key] = sum_up([total.get(key, {}), value])
            elif isinstance(value, int | float) and not isinstance(value, bool):
                total[key] = total.get(key, 0) + value
    return total


def _connections(report: Mapping[str, Any]) -> int:
    return sum(report.get("connections", {}).values())

"""`fairway up`: server and workers of one host under one supervisor, and deploys without a dropped socket.

The server is a process of its own (`fairway serve`): it outlives every deploy, and is restarted when it dies. Workers
are `manage.py runworker`, one process each; a project that has `fairway.delay` gets `manage.py rundelay` too. This
process loads none of the project's code.
"""

import argparse
import asyncio
import logging
import os
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import fairway
from fairway.errors import InvalidLayerSetting, StartFailed, UsageError
from fairway.supervisor.children import Child, start_all, stop_all
from fairway.supervisor.control import ControlServer, Say, aask, control_path
from fairway.supervisor.crew import Crew, deploy_and_tell
from fairway.supervisor.fleet import SPARE, serve_command
from fairway.supervisor.layer import layer_environ, layer_name
from fairway.supervisor.notify import Notifier
from fairway.supervisor.options import arguments, server_limits, server_parser
from fairway.supervisor.process import Recipe
from fairway.supervisor.project import Answer, Project, check_same_layer, find_project
from fairway.supervisor.serve import binds_of, feed_watchdog, started
from fairway.supervisor.signals import StopSignals

logger = logging.getLogger("fairway.supervisor")

WORKER_OPTIONS = ("threads", "coroutines", "view_threads", "grace", "time_limit", "max_messages", "max_memory")
"""Options that are passed on to `manage.py runworker` where they are given."""

GRACE = 30.0
"""Seconds that a worker has where no option says so, as `runworker` has it, and that a delay server has."""

LEAVE = 5.0
"""Seconds that a worker may take beyond its grace, before it is killed."""


def run_up(given: argparse.Namespace) -> int:
    """Run everything until told to stop; return the exit code.

    Raises:
        FairwayError: something cannot start; the text says why.
    """
    project = find_project(given)
    answer = project.ask()
    if given.layer:
        check_same_layer(given.layer, answer.layer)
    else:
        given.layer = answer.layer
    with asyncio.Runner() as runner:
        return runner.run(Up(given, project, answer).run())


class Up:
    """The supervisor. Parameters: the options, with the layer; the project, and what it told."""

    def __init__(self, given: argparse.Namespace, project: Project, answer: Answer) -> None:
        self._given = given
        self._project = project
        self._notifier = Notifier()
        self._began = time.monotonic()
        self._state = "starting"
        self._control = control_path(given.layer)
        self._server_control = self._control.removesuffix(".ctl") + ".server.ctl"
        self._server = Child(self._server_recipe())
        self._crew = Crew(self._worker_recipe(), given.workers)
        self._delay = Crew(self._delay_recipe(), self._count_delay_servers(answer), "delay server")
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self) -> int:
        """Run until a signal, or until something cannot start."""
        signals = StopSignals(on_hang_up=self._hang_up, on_hurry=self._kill)
        asked = asyncio.create_task(signals.asked.wait())
        running = asyncio.create_task(self._run(asked))
        await asyncio.wait([running, asked], return_when=asyncio.FIRST_COMPLETED)
        if not running.done() and self._state == "starting":
            running.cancel()
        asked_to_stop = asked.done()
        try:
            await running
        except asyncio.CancelledError:
            if not asked_to_stop:
                raise
        finally:
            asked.cancel()
        logger.info("stopped")
        return 0

    async def _run(self, asked: asyncio.Task[Any]) -> None:
        await self._check_alone()
        async with AsyncExitStack() as stack:
            commands = {"status": self._tell_status, "reload": self._reload}
            await stack.enter_async_context(started(ControlServer(self._control, commands, control_path())))
            stack.push_async_callback(self._stop)
            await start_all([self._server])
            await self._crew.start()
            self._state = ""
            self._notifier.ready()
            logger.info("%d workers are ready, layer %s", self._given.workers, layer_name(self._given))
            # The site does not wait for them: they wait for a database that is away, or for a migration.
            self._keep(self._delay.start_without_fail())
            if self._notifier.watchdog:
                self._keep(feed_watchdog(self._notifier))
            await asked

    async def _check_alone(self) -> None:
        """Look for a server that outlived an earlier supervisor: it has the port, and sockets not to be cut."""
        try:
            left = await aask(self._server_control, "status")
        except (OSError, ValueError):
            return
        msg = (
            "a server of an earlier `fairway up`, which was killed, still holds its sockets "
            f"(process {left.get('pid')}); when they may go, stop it: kill {left.get('pid')}"
        )
        raise UsageError(msg)

    async def _stop(self) -> None:
        """Stop in order: the server closes its sockets while the workers still answer; then the workers finish.

        Delay servers stop with the workers: what the hub still has for them is stored while the server leaves.
        """
        self._state = "stopping"
        self._notifier.stopping()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await stop_all([self._server])
        await asyncio.gather(self._crew.stop(), self._delay.stop())

    def _kill(self) -> None:
        self._server.kill()
        self._crew.kill()
        self._delay.kill()

    def _hang_up(self) -> None:
        self._server.signal(signal.SIGHUP)
        if not self._state:
            self._keep(self._deploy_on_hang_up())

    async def _deploy_on_hang_up(self) -> None:
        self._notifier.reloading()
        await self._deploy(lambda _text: None)
        self._notifier.ready()

    def _keep(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deploy(self, say: Say) -> Mapping[str, Any]:
        """Replace the workers, then the delay servers; return what the control socket answers."""
        done = await deploy_and_tell(self._crew, say)
        if not done["ok"] or not self._given.delay_servers:
            return done
        try:
            answer = await asyncio.to_thread(self._project.ask)
        except (StartFailed, InvalidLayerSetting) as error:
            problem = f"the workers have the new code, but nobody could ask it for delayed messages: {error}"
            logger.error(problem)  # noqa: TRY400
            return {"ok": False, "error": problem}
        self._delay.size = self._count_delay_servers(answer)
        return await deploy_and_tell(self._delay, say)

    def _count_delay_servers(self, answer: Answer) -> int:
        wanted: int = self._given.delay_servers
        return wanted if answer.has_delay else 0

    # --- how they are made -------------------------------------------------------------------------------------------

    def _server_recipe(self) -> Recipe:
        given = self._given
        binds = binds_of(given)
        leave_out = ("bind", "control", "name", "layer")
        options = [*arguments(server_parser(), given, leave_out), f"--control={self._server_control}"]
        options += [f"--bind={bind}" for bind in binds]
        limits = server_limits(given)
        return Recipe(
            name="server",
            command=serve_command(options),
            environ=layer_environ(given),
            descriptors=[int(bind.removeprefix("fd:")) for bind in binds if bind.startswith("fd:")],
            outlives_us=True,
            # The children of several server processes have as long, and the parent ends after them.
            grace=limits.drain + limits.drain_http + given.drain_layer + 2 * SPARE,
        )

    def _worker_recipe(self) -> Recipe:
        given = self._given
        options = [
            f"--{name.replace('_', '-')}={value}"
            for name in WORKER_OPTIONS
            if (value := getattr(given, name)) is not None
        ]
        for name in ("only_channels", "exclude_channels"):
            options += [f"--{name.replace('_', '-')}={value}" for value in getattr(given, name) or ()]
        return Recipe(
            name="worker",
            command=self._project.command("runworker", "--processes=1", *options),
            environ=self._project.environ,
            start_timeout=given.start_timeout,
            grace=(GRACE if given.grace is None else given.grace) + LEAVE,
        )

    def _delay_recipe(self) -> Recipe:
        return Recipe(
            name="delay",
            command=self._project.command("rundelay"),
            environ=self._project.environ,
            start_timeout=self._given.start_timeout,
            grace=GRACE,
        )

    # --- what it tells and does when asked ---------------------------------------------------------------------------

    async def _tell_status(self, say: Say) -> Mapping[str, Any]:
        del say
        try:
            server = await aask(self._server_control, "status")
        except (OSError, ValueError):
            server = {}
        return {
            "ok": True,
            "program": "up",
            "version": fairway.__version__,
            "pid": os.getpid(),
            "ready": self._is_ready(),
            "uptime": time.monotonic() - self._began,
            "layer": layer_name(self._given),
            "server": server.get("server", {}),
            "processes": server.get("processes", []) or [self._server.report()],
            "workers": self._crew.report(),
            "delay_servers": self._delay.report(),
        }

    def _is_ready(self) -> bool:
        return not self._state and self._server.state == "ready" and self._crew.ready and self._delay.ready

    async def _reload(self, say: Say) -> Mapping[str, Any]:
        if self._state:
            return {"ok": False, "error": f"not now, it is {self._state}; `fairway status` tells when it is ready"}
        self._notifier.reloading()
        try:
            return await self._deploy(say)
        finally:
            self._notifier.ready()

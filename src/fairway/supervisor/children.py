"""Keeps child processes running: starts them, starts them again when they end, stops them in peace.

A child that ends is started again after a pause that doubles, up to `LONGEST_PAUSE`; one that was well for a while
begins with a short pause again. One that retires itself (exit code 0 after some work) is followed at once.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Iterable
from typing import Any

from fairway.errors import StartFailed
from fairway.supervisor.process import ChildProcess, Recipe, describe_exit

logger = logging.getLogger("fairway.supervisor")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 30.0
HEALTHY = 30.0
"""Seconds after which a child counts as well: if it ends then, its pauses begin anew."""

SHORTEST_LIFE = 1.0
"""A child that retires earlier than that is followed only after a pause."""

LAST_WORDS = 200
"""Characters of the last line of a child that did not start, for a status."""

SAY_EVERY = 5.0
"""Seconds between two lines that tell what a stop waits for."""


class Child:
    """One child that is kept running.

    Parameters:
        recipe: how it is made.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.restarts = 0
        self._process: ChildProcess | None = None
        self._began = 0.0
        self._state = "stopped"
        self._pause = FIRST_PAUSE
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] | None = None
        """Whether the first life became ready."""

    @property
    def name(self) -> str:
        """What the log calls it."""
        return self.recipe.name

    @property
    def process(self) -> ChildProcess | None:
        """Its process, while there is one."""
        return self._process

    @property
    def state(self) -> str:
        """`starting`, `ready`, `pausing` (until it is started again), `stopping` or `stopped`."""
        return self._state

    def start(self) -> None:
        """Start it, and keep it running from now on."""
        loop = asyncio.get_running_loop()
        self._first = loop.create_future()
        self._task = loop.create_task(self._keep())

    async def wait_ready(self) -> None:
        """Wait until it is ready for the first time.

        Raises:
            StartFailed: its first life ended before that, or took too long. It is tried again all the same, until
                `stop`.
        """
        if self._first is None:
            msg = "start it first"
            raise RuntimeError(msg)
        await asyncio.shield(self._first)

    async def stop(self) -> None:
        """Ask it to stop, wait for its grace, and kill it if it is still there then. Says what it waits for."""
        is_first, process, task = not self._stopping.is_set(), self._process, self._task
        self._stopping.set()
        if process and process.exit_code is None:
            self._state = "stopping"
            if is_first:  # a second one would tell it to leave at once
                process.signal(signal.SIGTERM)
            await self._wait_end(process)
        if task:
            await task
        if self._first and self._first.done() and not self._first.cancelled():
            self._first.exception()  # looked at, so that nothing complains that nobody has
        elif self._first:
            self._first.cancel()
        self._state = "stopped"

    def kill(self) -> None:
        """Kill it, and do not start it again."""
        self._stopping.set()
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process:
            self._process.signal(number)

    def report(self) -> dict[str, Any]:
        """Return what a status shows of it."""
        process = self._process
        return {
            "name": self.name,
            "pid": process.pid if process and process.exit_code is None else None,
            "state": self._state,
            "restarts": self.restarts,
            "uptime": time.monotonic() - self._began if process else 0.0,
            "status": self._describe(process) if process else "",
        }

    def _describe(self, process: ChildProcess) -> str:
        """Return what it says that it does; while it waits for another try after one that failed, its last words."""
        if self._state == "pausing" and not process.ready.is_set() and process.tail:
            return process.tail[-1][:LAST_WORDS]
        return process.status

    # --- a life after the other --------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            self._began = time.monotonic()
            try:
                await self._live()
            except StartFailed as error:
                self._failed(error)
            if not self._stopping.is_set():
                await self._wait_pause()
        self._state = "stopped"

    async def _live(self) -> None:
        """Start the process and wait for its end."""
        self._state = "starting"
        try:
            process = self._process = ChildProcess(self.recipe)
        except OSError as error:
            raise StartFailed(self.name, f"cannot be started: {error}") from error
        if not await _wait_either(process, self.recipe.start_timeout):
            process.signal(signal.SIGKILL)
            await process.ended.wait()
            raise StartFailed(self.name, f"was not ready within {self.recipe.start_timeout:g} s", process.tail)
        if not process.ready.is_set():
            await process.ended.wait()
            raise StartFailed(self.name, f"ended before it was ready ({_how(process)})", process.tail)
        if not self._stopping.is_set():
            self._state = "ready"
        if self._first and not self._first.done():
            self._first.set_result(None)
        await process.ended.wait()
        if not self._stopping.is_set():
            self._set_pause(retired=process.exit_code == 0)
            level = logging.INFO if process.exit_code == 0 else logging.WARNING
            logger.log(level, "%s ended (%s); starting it again", self.name, _how(process))

    def _failed(self, error: StartFailed) -> None:
        if self._stopping.is_set():
            return
        self._set_pause(retired=False)
        if self._first and not self._first.done():
            self._first.set_exception(error)
            return  # whoever waits for it tells
        # Its last lines stand in the log above, each with its name.
        logger.error("%s %s; trying again in %g s", error.name, error.reason, self._pause)

    def _set_pause(self, *, retired: bool) -> None:
        lived = time.monotonic() - self._began
        if retired and lived >= SHORTEST_LIFE:
            self._pause = 0.0
        elif lived >= HEALTHY or not self._pause:
            self._pause = FIRST_PAUSE
        elif self.restarts:
            self._pause = min(LONGEST_PAUSE, self._pause * 2)

    async def _wait_pause(self) -> None:
        self._state = "pausing"
        if self._pause:
            try:
                async with asyncio.timeout(self._pause):
                    await self._stopping.wait()
            except TimeoutError:
                pass
        if not self._stopping.is_set():
            self.restarts += 1

    async def _wait_end(self, process: ChildProcess) -> None:
        end = time.monotonic() + self.recipe.grace
        while not await _wait_ended(process, min(SAY_EVERY, end - time.monotonic())):
            about = f"{self.name} (process {process.pid})"
            doing = f": {process.status}" if process.status else ""
            if time.monotonic() >= end:
                logger.error("%s did not stop in time; killed%s", about, doing)
                process.signal(signal.SIGKILL)
                await process.ended.wait()
                return
            logger.info("waiting for %s%s", about, doing)


async def start_all(children: Iterable[Child]) -> None:
    """Start children and wait until all are ready.

    Raises:
        StartFailed: the first that was not. The others go on; stop them.
    """
    children = tuple(children)
    for child in children:
        child.start()
    waits = [asyncio.ensure_future(child.wait_ready()) for child in children]
    try:
        await asyncio.gather(*waits)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def stop_all(children: Iterable[Child]) -> None:
    """Stop children, all at the same time."""
    await asyncio.gather(*(child.stop() for child in children))


async def _wait_either(process: ChildProcess, timeout: float) -> bool:
    """Wait until a process is ready or has ended; False when the time is over."""
    waits = [asyncio.ensure_future(event.wait()) for event in (process.ready, process.ended)]
    done, pending = await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    for wait in pending:
        wait.cancel()
    return bool(done)


def _how(process: ChildProcess) -> str:
    return f"process {process.pid}, {describe_exit(process.exit_code or 0)}"


async def _wait_ended(process: ChildProcess, timeout: float) -> bool:
    """Wait until a process has ended; False when the time is over."""
    try:
        async with asyncio.timeout(max(0.0, timeout)):
            await process.ended.wait()
    except TimeoutError:
        return False
    return True

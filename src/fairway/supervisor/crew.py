"""The workers of `fairway up`, and a deploy: new ones start and report ready, then the old ones finish and go.

Delay servers are another crew: two at a time do each other no harm.
"""

import asyncio
import logging
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fairway.errors import StartFailed
from fairway.supervisor.children import Child, start_all, stop_all
from fairway.supervisor.control import Say
from fairway.supervisor.process import Recipe

logger = logging.getLogger("fairway.supervisor")

SAY_EVERY = 5.0


class Crew:
    """A number of workers that are alike.

    Parameters:
        recipe: how one is made; its name gets a number.
        size: how many; may be 0.
        kind: what people call one of them.
    """

    def __init__(self, recipe: Recipe, size: int, kind: str = "worker") -> None:
        self._recipe = recipe
        self.size = size
        """How many the next start or deploy brings."""
        self.kind = kind
        self._number = 0
        self._workers: list[Child] = []
        self._others: list[Child] = []
        """New ones that are not ready, and old ones that finish."""
        self._deploying = asyncio.Lock()
        self._waiting: asyncio.Future[None] | None = None
        """The deploy that begins after the one that runs."""

    @property
    def ready(self) -> bool:
        """Whether every worker is ready."""
        return len(self._workers) == self.size and all(worker.state == "ready" for worker in self._workers)

    async def start(self) -> None:
        """Start the first workers.

        Raises:
            StartFailed: one of them does not start; none is left.
        """
        self._workers = await self._start_new()

    async def start_without_fail(self) -> None:
        """Start the first workers. One that does not start is told, and tried again for as long as need be."""
        self._workers = self._make_new()
        for worker in self._workers:
            worker.start()
        for worker in self._workers:
            try:
                await worker.wait_ready()
            except StartFailed as error:
                # Its last lines stand in the log above.
                logger.error("%s %s; it is tried again until it does start", error.name, error.reason)  # noqa: TRY400
            else:
                logger.info("%s is ready", worker.name)

    async def deploy(self, say: Say) -> None:
        """Start workers with the code of this moment; then let the old ones finish, and wait until they are gone.

        A deploy that is asked for while another runs begins after it; a third one is that second one.

        Raises:
            StartFailed: the new code does not start. The old workers go on.
        """
        if self._waiting:
            _tell(say, f"a deploy waits already; its {self.kind}s will have this code too")
            await asyncio.shield(self._waiting)
            return
        if self._deploying.locked():
            self._waiting = asyncio.ensure_future(self._deploy_later(say))
            await asyncio.shield(self._waiting)
            return
        await self._deploy(say)

    async def _deploy_later(self, say: Say) -> None:
        async with self._deploying:
            self._waiting = None
        await self._deploy(say)

    async def _deploy(self, say: Say) -> None:
        async with self._deploying:
            old = self._workers
            if self.size:
                _tell(say, f"starting {self.size} new {self.kind}{'' if self.size == 1 else 's'}")
            self._workers = await self._start_new()
            self._others += old
            if self._workers:
                names = ", ".join(worker.name for worker in self._workers)
                _tell(say, f"{names} ready{'; the old ones finish' if old else ''}")
            await self._dismiss(old, say)
            self._others = [worker for worker in self._others if worker not in old]
            if old:
                _tell(say, f"all old {self.kind}s are gone")

    async def stop(self) -> None:
        """Let all workers finish. A deploy that runs ends with them, one that waits does not begin."""
        if self._waiting:
            self._waiting.cancel()
        await stop_all([*self._workers, *self._others])

    def kill(self) -> None:
        """Kill all workers."""
        for worker in (*self._workers, *self._others):
            worker.signal(signal.SIGKILL)

    def report(self) -> list[dict[str, Any]]:
        """Return what a status shows of each worker; old ones that finish come last."""
        return [worker.report() for worker in (*self._workers, *self._others)]

    def _make_new(self) -> list[Child]:
        new = []
        for _ in range(self.size):
            self._number += 1
            new.append(Child(replace(self._recipe, name=f"{self._recipe.name}-{self._number}")))
        return new

    async def _start_new(self) -> list[Child]:
        new = self._make_new()
        self._others += new
        try:
            await start_all(new)
        except BaseException:
            await stop_all(new)
            raise
        finally:
            self._others = [worker for worker in self._others if worker not in new]
        return new

    async def _dismiss(self, old: Sequence[Child], say: Say) -> None:
        stopping = asyncio.ensure_future(stop_all(old))
        while not stopping.done():
            await asyncio.wait([stopping], timeout=SAY_EVERY)
            for worker in old:
                if worker.state == "stopping" and worker.process and worker.process.status:
                    # The log hears of it from the worker.
                    say(f"waiting for {worker.name}: {worker.process.status}")
        await stopping


async def deploy_and_tell(crew: Crew, say: Say) -> dict[str, Any]:
    """Deploy, and return what the control socket answers."""
    try:
        await crew.deploy(say)
    except StartFailed as error:
        # Its last lines stand in the log above.
        problem = f"the new code does not start, the old {crew.kind}s stay"
        logger.error("%s: %s %s", problem, error.name, error.reason)  # noqa: TRY400
        return {"ok": False, "error": f"{problem}: {error}"}
    return {"ok": True}


def _tell(say: Say, text: str) -> None:
    """Tell a step of a deploy to who asked for it, and to the log."""
    logger.info("deploy: %s", text)
    say(text)

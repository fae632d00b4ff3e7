"""Several worker processes under one parent, which does nothing but keep them running.

A child that ends is started again: at once when it has retired, after a pause when it has died. The parent's death
stops the children, gently: nothing is left behind.
"""

import asyncio
import logging
from collections.abc import Sequence

from fairway.errors import StartFailed
from fairway.supervisor.children import Child, start_all, stop_all
from fairway.supervisor.notify import Notifier
from fairway.supervisor.process import Recipe
from fairway.supervisor.signals import StopSignals

logger = logging.getLogger("fairway.supervisor")

START_TIMEOUT = 24 * 3600.0
"""A worker is not ready before it has reached its layer, and it waits for that as long as need be."""

EXTRA = 5.0
"""Seconds beyond the grace until a child is killed: it needs a moment to give up by itself."""


def keep_workers(command: Sequence[str], processes: int, grace: float) -> int:
    """Keep worker processes running until a signal comes; return the exit code.

    Parameters:
        command: what starts one.
        processes: how many.
        grace: how long what one runs may take to finish at a stop.
    """
    recipes = [
        Recipe(
            name=f"worker-{number}",
            command=command,
            outlives_us=True,  # it goes on writing its log while it finishes
            start_timeout=START_TIMEOUT,
            grace=grace + EXTRA,
        )
        for number in range(1, processes + 1)
    ]
    return asyncio.run(_keep([Child(recipe) for recipe in recipes]))


async def _keep(children: Sequence[Child]) -> int:
    notifier = Notifier()

    loop = asyncio.get_running_loop()

    def stop() -> None:
        signals.stop()

    def stop_from_thread() -> None:
        loop.call_soon_threadsafe(stop)

    def kill() -> None:
        for child in children:
            child.kill()

    signals = StopSignals(on_hang_up=stop, on_hurry=kill)
    notifier.when_supervisor_dies(stop_from_thread)
    starting = asyncio.ensure_future(start_all(children))
    asked = asyncio.ensure_future(signals.asked.wait())
    code = 0
    try:
        await asyncio.wait([starting, asked], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            notifier.ready()
            logger.info("all %d worker processes are ready", len(children))
            notifier.status(f"{len(children)} worker processes")
            await asked
    except StartFailed as error:
        logger.error("%s", error)  # noqa: TRY400  its text says it all
        code = 1
    starting.cancel()
    notifier.stopping()
    await stop_all(children)
    return code

"""The upstream as a hub sees it: whether it is there, and who acts on what the joined broker asks for.

Everything here runs on the hub's event loop. The verbs of a layer that have no asyncio form run in a few threads of
their own. When a call finds the upstream away, the log is told once; from then on one task asks it again and again, and
everybody else waits for `wait_up` or does without.
"""

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from fairway.broker.effects import Outward
from fairway.broker.joined import JoinedBroker
from fairway.broker.outward import (
    Announcing,
    Answering,
    Committed,
    Forward,
    ForwardSubmit,
    GivenBack,
    GroupCame,
    GroupLeft,
    Hungry,
    Marked,
    OwnerCame,
    OwnerLeft,
    SessionCame,
    SessionLeft,
    SessionPaused,
    Withdrawn,
)
from fairway.errors import FairwayError, LayerUnavailable
from fairway.layers.base import Layer, UpstreamStatistics
from fairway.layers.hub.joined.answers import Answers
from fairway.layers.hub.joined.forwarding import Forwarding
from fairway.layers.hub.joined.members import Members
from fairway.layers.hub.joined.owners import OwnerMirrors
from fairway.layers.hub.joined.sessions import SessionMirrors
from fairway.layers.memory import MemoryLayer

logger = logging.getLogger("fairway.upstream")

PROBE = "fairway.probe"
"""The group that is asked for to see whether the upstream answers. Nobody is in it."""

PROBE_TIMEOUT = 5.0
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""Between two attempts to reach it."""

START_TIMEOUT = 2.0
"""Seconds that a hub waits for its upstream before it starts without."""

STOP_TIMEOUT = 4.0
"""Seconds that a hub which stops gives what is under way to get there."""

LOOK_EVERY = 0.5
"""Seconds between two looks for messages that nobody here reads."""

THREADS = 8
"""For the verbs that have no asyncio form."""

P = ParamSpec("P")
T = TypeVar("T")


class Upstream:
    """The way from a hub to the layer that joins it with others.

    Parameters:
        layer: the upstream. It is closed with the hub.
        local: the layer of the hub's process.
        broker: the broker of that.
    """

    def __init__(self, layer: Layer, local: MemoryLayer, broker: JoinedBroker) -> None:
        self.layer = layer
        self.local = local
        self.locked = local.locked
        self.broker = broker
        self.name = f"hub.{secrets.token_hex(8)}!"
        """The prefix that this hub owns at the upstream: nobody else's, and new with each start."""
        self.loop: asyncio.AbstractEventLoop
        self._thread = 0
        self._up = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fairway-upstream")
        self.is_running = False
        """Whether the hub is open."""
        self._has_met = False
        self.forwarding = Forwarding(self)
        self.members = Members(self)
        self.owners = OwnerMirrors(self)
        self.sessions = SessionMirrors(self)
        self.answers = Answers(self)
        self._actions: dict[type[Outward], Callable[[Any], None]] = {
            Forward: self.forwarding.forward,
            Withdrawn: self.forwarding.withdraw,
            ForwardSubmit: self.owners.submit,
            OwnerCame: self.owners.came,
            OwnerLeft: self.owners.left,
            Marked: self.owners.mark,
            GroupCame: self.members.came,
            GroupLeft: self.members.left,
            Announcing: self.members.announcing,
            SessionCame: self.sessions.came,
            SessionPaused: self.sessions.pause,
            SessionLeft: self.sessions.left,
            Hungry: self.sessions.hungry,
            Committed: self.sessions.commit,
            GivenBack: self.sessions.give_back,
            Answering: self.sessions.answer,
        }

    # --- coming and going --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin, on the running loop. Without an upstream the hub works for its own host, until there is one."""
        self.loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.is_running = True
        for signal in self.locked.run(self._begin):
            self._act(signal)
        self.run(self._search(LayerUnavailable("it was not asked yet")))
        self.run(self._look())
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await self._up.wait()
        except TimeoutError:
            logger.warning("the hub starts without its upstream, and goes on looking for it")

    def _begin(self) -> list[Outward]:
        self.locked.on_outward = self.handle
        return self.broker.census()

    async def stop(self) -> None:
        """Leave: what is held of the upstream's goes to others. What is queued for it gets a moment to go out."""
        if not self.is_running:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT):
                await self.forwarding.drain()
                await self.sessions.drain()
        self.is_running = False
        self.broker.is_upstream_here = False
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.owners.close()
        self.members.close()
        await asyncio.to_thread(self.layer.close)
        self._pool.shutdown(wait=False)

    def run(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine until the hub stops."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("a part of the way to the upstream failed", exc_info=error)

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a verb that has no asyncio form."""
        return await self.loop.run_in_executor(self._pool, lambda: function(*args, **kwargs))

    async def ask(self, call: Awaitable[T]) -> T:
        """Return what a call of the upstream returns.

        Raises:
            LayerUnavailable: it is away, as is noted.
        """
        try:
            return await call
        except LayerUnavailable as error:
            if self.is_running:
                self.run(self.check(error))
            raise

    # --- the broker's signals ----------------------------------------------------------------------------------------

    def handle(self, signal: Outward) -> None:
        """Act on a signal, in the loop."""
        if threading.get_ident() == self._thread:
            self._act(signal)
            return
        try:
            self.loop.call_soon_threadsafe(self._act, signal)
        except RuntimeError:  # the loop is closed, and with it the hub
            logger.debug("something was to go upstream after the hub had stopped")

    def _act(self, signal: Outward) -> None:
        if self.is_running:
            self._actions[type(signal)](signal)

    # --- whether it is there -----------------------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether the upstream can be reached, as far as is known."""
        return self._up.is_set()

    async def wait_up(self) -> None:
        """Return when the upstream can be reached."""
        await self._up.wait()

    def note_away(self, error: LayerUnavailable) -> None:
        """A call has found it away."""
        if self._up.is_set() and self.is_running:
            logger.warning("the upstream is away: %s; this host goes on by itself until it is back", error)
            self._up.clear()
            self.broker.is_upstream_here = False
            self.run(self._search(error))

    async def check(self, error: LayerUnavailable) -> None:
        """Look whether the upstream is away after a call has failed: that may be the fault of one server alone."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                await self.layer.agroup_channels(PROBE)
        except (LayerUnavailable, TimeoutError):
            self.note_away(error)

    async def _search(self, error: LayerUnavailable) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with asyncio.timeout(PROBE_TIMEOUT):
                    await self.layer.agroup_channels(PROBE)
                self.members.open()
                self.owners.open()
                break
            except (FairwayError, TimeoutError, OSError) as again:
                if str(again) != str(error) and not self._has_met:
                    logger.warning("the upstream cannot be reached: %s", again)
                    error = LayerUnavailable(str(again))
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)
        if self._has_met:
            logger.warning("the upstream is back")
        self._has_met = True
        self._up.set()
        self.broker.is_upstream_here = True
        self.members.announce()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.locked.try_run(self.broker.forward_unread, self.loop.time())

    def statistics(self) -> UpstreamStatistics:
        """Return what is on its way."""
        return UpstreamStatistics(
            up=self.is_up,
            forwarded=self.forwarding.forwarded,
            waiting_bytes=self.forwarding.size,
            dropped=self.forwarding.dropped,
        )

"""The sessions of this hub at the upstream: each has a reader there, which fetches a message when it is idle here.

A message is fetched for one session, and leased to it at once. If something of this host has taken its idle thread
meanwhile, the message goes back. When the session ends, so does its reader, and what it held goes to others.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from fairway.broker.effects import Delivery
from fairway.broker.outward import (
    Answering,
    Committed,
    GivenBack,
    Hungry,
    SessionCame,
    SessionLeft,
    SessionPaused,
)
from fairway.broker.repeats import Repeats
from fairway.errors import DeliveryLost, FairwayError, LayerUnavailable
from fairway.layers.base import Reader

if TYPE_CHECKING:
    from fairway.layers.hub.joined.upstream import Upstream

logger = logging.getLogger("fairway.upstream")

T = TypeVar("T")

GONE_MEMORY = 600.0
GONE_COUNT = 10_000
"""How long, and how many, prefixes of processes that were here are remembered: their end is told here only once."""

PAUSE = 0.1
"""Seconds after a reader has ended by itself, before it is opened again."""

SHORT = 0.05
"""Seconds that a reader of one request's body has to last before it is worth while to make it known elsewhere."""


class SessionMirror:
    """One session of this hub, at the upstream."""

    def __init__(self, upstream: "Upstream", signal: SessionCame) -> None:
        self._upstream = upstream
        self._session = signal.session
        self.channels = signal.channels
        self._reader: Reader | None = None
        self._is_hungry = asyncio.Event()
        self._is_paused = False
        self.is_known = asyncio.Event()
        """Whether the upstream knows that its channels are read."""
        self._work: deque[Callable[[], Coroutine[Any, Any, None]]] = deque()
        self.working: asyncio.Task[None] | None = None
        """What does the work that is left."""
        self._wait: asyncio.Future[Any] | None = None
        self._task = upstream.run(self._fetch())

    # --- fetching ----------------------------------------------------------------------------------------------------

    async def _fetch(self) -> None:
        upstream = self._upstream
        while not self._is_paused:
            try:
                await self._interruptible(self._wait_open())
                if self._is_paused:
                    return
                if self._reader is None:
                    self._reader = await upstream.in_thread(upstream.layer.reader, self.channels)
                    self.is_known.set()
                delivery = await self._interruptible(self._receive(self._reader))
            except LayerUnavailable as error:
                upstream.note_away(error)
                await asyncio.sleep(PAUSE)
                continue
            if delivery:
                await self._lodge(self._reader, delivery)
            elif not self._is_paused:
                await self._end_reader()
                await asyncio.sleep(PAUSE)

    async def _wait_open(self) -> None:
        """Return when there is something to be fetched from, and it is worth while."""
        if self._reader is None and all("?" in channel for channel in self.channels):
            await asyncio.sleep(SHORT)
        await self._upstream.wait_up()

    async def _interruptible(self, wait: Coroutine[Any, Any, T]) -> T | None:
        """Wait for something that `_stop` may interrupt: never while a message is in our hands."""
        if self._is_paused:  # meanwhile
            wait.close()
            return None
        self._wait = task = asyncio.ensure_future(wait)
        try:
            return await task
        except asyncio.CancelledError:
            if task.cancelled() and self._is_paused:
                return None
            task.cancel()
            raise

    async def _stop(self) -> None:
        """Fetch no more; when this returns, what came at the last moment has gone back."""
        self._is_paused = True
        if self._wait:
            self._wait.cancel()
        await asyncio.wait([self._task])

    async def _receive(self, reader: Reader) -> Delivery | None:
        await self._wait_hungry()
        if self.working:  # what was given back goes before what it would be overtaken by
            await asyncio.wait([self.working])
        return await reader.areceive(None)

    async def _wait_hungry(self) -> None:
        """Return when an idle thread stands behind the session."""
        upstream = self._upstream
        self._is_hungry.clear()
        while not upstream.locked.try_run(upstream.broker.wants_more, self._session):
            await self._is_hungry.wait()
            self._is_hungry.clear()

    async def _lodge(self, reader: Reader, delivery: Delivery) -> None:
        upstream = self._upstream
        if not upstream.locked.try_run(upstream.broker.lodge, self._session, delivery):
            await upstream.in_thread(reader.release, delivery)

    def feed(self) -> None:
        """The session would take one now."""
        self._is_hungry.set()

    # --- what follows ------------------------------------------------------------------------------------------------

    def do(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something with the reader, after what was to be done before."""
        self._work.append(work)
        if len(self._work) == 1:
            self.working = self._upstream.run(self._do_all())

    async def _do_all(self) -> None:
        while self._work:
            try:
                await self._work[0]()
            except LayerUnavailable as error:
                self._upstream.note_away(error)
            except DeliveryLost:
                logger.info("a message of the upstream's was given to another meanwhile: nothing is published")
            except Exception:  # what follows has to be done all the same
                logger.exception("a message of the upstream's could not be ended")
            finally:
                self._work.popleft()
        self.working = None

    async def commit(self, signal: Committed) -> None:
        """End a delivery."""
        if self._reader:
            await self._reader.acommit(signal.delivery, signal.outbox, signal.ending)

    async def give_back(self, delivery: Delivery) -> None:
        """Give a delivery back."""
        if self._reader:
            await self._upstream.in_thread(self._reader.release, delivery)

    async def answer(self, signal: Answering) -> None:
        """Publish from inside a run, and tell how it ended."""
        upstream = self._upstream
        error: str | Exception = ""
        try:
            if self._reader is None:
                raise DeliveryLost("the upstream has given this message to another")
            timeout = max(0.0, signal.deadline - time.monotonic()) if signal.deadline else 0
            await self._reader.apublish(signal.delivery, signal.effect, timeout)
        except FairwayError as raised:
            error = raised
        finally:
            upstream.forwarding.answered(signal.token)
        upstream.locked.try_run(upstream.broker.settle, signal.token, error)

    # --- the end -----------------------------------------------------------------------------------------------------

    async def pause(self) -> None:
        """Fetch no more."""
        await self._stop()
        if self._reader:
            await self._upstream.in_thread(self._reader.pause)

    async def close(self) -> None:
        """End the reader: what it holds goes to others."""
        self.is_known.set()
        await self._stop()
        await self._end_reader()

    async def _end_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader:
            await self._upstream.in_thread(_close, reader)


def _close(reader: Reader) -> None:
    """End a reader. What nobody has begun goes back first: it has cost no worker its life."""
    with contextlib.suppress(LayerUnavailable):
        reader.pause()
    reader.close()


class SessionMirrors:
    """All sessions of a hub."""

    def __init__(self, upstream: "Upstream") -> None:
        self._upstream = upstream
        self._mirrors: dict[int, SessionMirror] = {}
        self._ending: list[SessionMirror] = []
        self._had = Repeats(GONE_MEMORY, GONE_COUNT)

    def came(self, signal: SessionCame) -> None:
        """A session has come."""
        self._mirrors[signal.session] = SessionMirror(self._upstream, signal)

    def pause(self, signal: SessionPaused) -> None:
        """A session takes no more."""
        if mirror := self._mirrors.get(signal.session):
            mirror.do(mirror.pause)

    def left(self, signal: SessionLeft) -> None:
        """A session is gone."""
        mirror = self._mirrors.pop(signal.session, None)
        if mirror:
            for channel in mirror.channels:
                if channel.endswith("!"):
                    self._had.seen(channel, self._upstream.loop.time())
            mirror.do(mirror.close)
            self._ending = [ending for ending in self._ending if ending.working] + [mirror]

    def had(self, prefix: str) -> bool:
        """Say whether the process that owned `prefix` was of this host, where its end is known already."""
        return prefix in self._had

    def hungry(self, signal: Hungry) -> None:
        """A session would take one now."""
        if mirror := self._mirrors.get(signal.session):
            mirror.feed()

    def commit(self, signal: Committed) -> None:
        """A delivery was consumed."""
        if mirror := self._mirrors.get(signal.session):
            mirror.do(lambda: mirror.commit(signal))

    def give_back(self, signal: GivenBack) -> None:
        """A delivery was not begun."""
        if mirror := self._mirrors.get(signal.session):
            mirror.do(lambda: mirror.give_back(signal.delivery))

    def answer(self, signal: Answering) -> None:
        """A delivery is answered from inside its run."""
        mirror = self._mirrors.get(signal.session)
        if mirror:
            self._upstream.forwarding.keep(signal.token, self._upstream.run(mirror.answer(signal)))

    async def drain(self) -> None:
        """Return when all sessions that have ended have ended at the upstream, too."""
        while ending := [work for mirror in self._ending if (work := mirror.working)]:
            await asyncio.wait(ending)

    async def wait_known(self, session: int) -> None:
        """Return when the upstream knows what a session reads, or cannot be reached."""
        mirror = self._mirrors.get(session)
        if mirror and self._upstream.is_up:
            await mirror.is_known.wait()

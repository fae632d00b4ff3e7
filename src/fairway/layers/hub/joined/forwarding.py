"""What leaves for the upstream: direct sends, which are told how they end, and effects, for which nobody waits.

**Policy.** Effects wait for the upstream in one line for each channel or group, so that what one sender sends to it
keeps its order. All lines together hold at most `QUEUE_BYTES`, and none of them anything for longer than `QUEUE_TIME`:
what is beyond is dropped, counted, and told in the log once a minute. An effect that the upstream has no room for is a
dead letter here. A direct send never waits for an upstream that is away; it raises `LayerUnavailable`.
"""

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from fairway.broker.effects import Effect, GroupSend, SaveState, Send
from fairway.broker.outward import Forward, Withdrawn
from fairway.errors import ChannelFull, FairwayError, LayerUnavailable

if TYPE_CHECKING:
    from fairway.layers.hub.joined.upstream import Upstream

logger = logging.getLogger("fairway.upstream")

QUEUE_BYTES = 64 * 1024 * 1024
QUEUE_TIME = 30.0
OVERHEAD = 512
"""Bytes that an effect costs here beside its body."""

AT_ONCE = 64
"""Calls of the upstream that are under way at a time for effects."""

TELL_EVERY = 60.0
"""Seconds between two lines in the log about what was dropped."""

DRAIN = 2.0
"""Seconds that a hub which stops gives its effects to go out."""


class Forwarding:
    """The queue of one hub."""

    def __init__(self, upstream: "Upstream") -> None:
        self._upstream = upstream
        self._lines: dict[str, deque[tuple[Effect, float]]] = {}
        self._direct: dict[int, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self.size = 0
        """Bytes that wait."""
        self.forwarded = self.dropped = 0
        self._told = float("-inf")
        self._untold = 0

    def forward(self, signal: Forward) -> None:
        """Take an effect."""
        if signal.token:
            self._direct[signal.token] = self._upstream.run(self._send(signal))
        else:
            self._queue(signal.effect)

    # --- direct sends ------------------------------------------------------------------------------------------------

    async def _send(self, signal: Forward) -> None:
        """Publish, and tell the sender how that ended."""
        upstream = self._upstream
        error: str | Exception = ""
        try:
            timeout = max(0.0, signal.deadline - time.monotonic()) if signal.deadline else 0
            await upstream.layer.apublish(signal.effect, timeout)
            self.forwarded += 1
        except FairwayError as raised:
            error = raised
            if isinstance(raised, LayerUnavailable):
                upstream.note_away(raised)
        finally:
            self._direct.pop(signal.token, None)
        upstream.locked.try_run(upstream.broker.settle, signal.token, error)

    def keep(self, token: int, task: asyncio.Task[None]) -> None:
        """Note what publishes the effect with a token, so that it can be withdrawn."""
        self._direct[token] = task

    def answered(self, token: int) -> None:
        """Forget a token."""
        self._direct.pop(token, None)

    def withdraw(self, signal: Withdrawn) -> None:
        """Its sender waits no more."""
        task = self._direct.pop(signal.token, None)
        if task:
            task.cancel()

    # --- effects -----------------------------------------------------------------------------------------------------

    def _queue(self, effect: Effect) -> None:
        size = _size(effect)
        if self.size + size > QUEUE_BYTES:
            self._drop()
            return
        self.size += size
        key = effect.group if isinstance(effect, GroupSend) else effect.channel
        line = self._lines.get(key)
        entry = effect, time.monotonic() + QUEUE_TIME
        if line is None:
            self._lines[key] = line = deque((entry,))
            self._upstream.run(self._run(key, line))
        else:
            line.append(entry)

    async def _run(self, key: str, line: deque[tuple[Effect, float]]) -> None:
        while line:
            effect, deadline = line[0]
            try:
                await self._deliver(effect, deadline)
            finally:
                line.popleft()
                self.size -= _size(effect)
        del self._lines[key]

    async def _deliver(self, effect: Effect, deadline: float) -> None:
        upstream = self._upstream
        while True:
            try:
                if not upstream.is_up:
                    async with asyncio.timeout(deadline - time.monotonic()):
                        await upstream.wait_up()
                async with self._room:
                    await upstream.layer.apublish(effect, upstream.broker.limits.commit_wait)
            except TimeoutError:
                self._drop()
            except LayerUnavailable as error:
                upstream.note_away(error)
                continue
            except ChannelFull:
                if isinstance(effect, Send):
                    upstream.locked.try_run(upstream.broker.refuse_forward, effect, time.monotonic())
            except FairwayError as error:
                logger.error("the upstream refuses an effect: %s", error)  # noqa: TRY400  told
            else:
                self.forwarded += 1
            return

    def _drop(self) -> None:
        self.dropped += 1
        self._untold += 1
        now = time.monotonic()
        if now - self._told >= TELL_EVERY:
            logger.error(
                "%d effects for other hosts were dropped: the upstream is away, or too slow for %d bytes",
                self._untold,
                QUEUE_BYTES,
            )
            self._told, self._untold = now, 0

    async def drain(self) -> None:
        """Give what is queued a moment to go out; what is left is lost, and told."""
        end = time.monotonic() + DRAIN
        while self._lines and self._upstream.is_up and time.monotonic() < end:  # noqa: ASYNC110  once, at the end
            await asyncio.sleep(0.01)
        left = sum(map(len, self._lines.values()))
        if left:
            logger.warning("the hub stops, and %d effects for other hosts are lost with it", left)


def _size(effect: Effect) -> int:
    if isinstance(effect, Send | GroupSend):
        return len(effect.body) + OVERHEAD
    if isinstance(effect, SaveState):
        return sum(len(key) + len(value or b"") for key, value in effect.changes.items()) + OVERHEAD
    return OVERHEAD

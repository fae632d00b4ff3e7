"""A worker's end of its sessions in Redis: many threads take deliveries and commit, as they do at a hub.

Taking deliveries, giving them back and stopping are the hub reader's. What differs is what follows a delivery: a commit
that concerns one shard only is written and forgotten; one that concerns others takes several steps, and is waited for.
"""

import asyncio
import logging
import threading
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from fairway.broker.effects import Delivery, Effect, End, Ending
from fairway.layers.hub.line import LineLost
from fairway.layers.hub.reader import GENERATION_SHIFT, LocalReader, is_answer, no_longer_held
from fairway.layers.redis.calls import Publishing, give_up_on_error
from fairway.layers.redis.commands import Lease
from fairway.layers.redis.operations import Steps, commit, single_commit
from fairway.layers.redis.sessions import Sessions
from fairway.wire.hub import Frame, Open

if TYPE_CHECKING:
    from fairway.layers.redis.layer import RedisLayer

logger = logging.getLogger("fairway.layer")

COMMIT_TIMEOUT = 1.0
"""Seconds that a reader which is closed waits for commits that have begun."""

_RECEIPT = (1 << GENERATION_SHIFT) - 1


class RedisReader(LocalReader):
    """The sessions of one reader, in all shards."""

    _nothing: Any = ()
    _takes_back = True  # what is released takes along what was leased after it

    def __init__(self, layer: "RedisLayer", number: int, channels: list[str], window: int, threads: int) -> None:
        super().__init__(layer, number, channels, window, threads)  # type: ignore[arg-type]
        self._redis = layer
        self._pack = self._requests
        opening = self.opening(0)
        assert isinstance(opening, Open)  # noqa: S101
        self.sessions = Sessions(layer.commands, opening)
        self._committing = threading.Condition()
        self._commits = 0
        """Commits of several steps that have begun."""

    @property
    def is_stopped(self) -> bool:
        """Whether it takes no deliveries any more."""
        return self._stopped

    def _requests(self, frame: Frame) -> list[Any]:
        return self._redis.requests(self.sessions, frame)

    def commit(self, delivery: Delivery, outbox: Sequence[Effect] = (), ending: End = Ending.DONE) -> None:
        """See `Reader.commit`."""
        lease = self._give_up(delivery)
        generation = delivery.receipt >> GENERATION_SHIFT
        try:
            single = self._single(lease, delivery, outbox, ending)
            if single:
                self._redis.line.write(single, generation)
            else:
                self._redis.calls.run(lambda: self._several(lease, delivery, outbox, ending), 0, generation)
        except LineLost as error:
            raise no_longer_held(delivery) from error

    async def acommit(self, delivery: Delivery, outbox: Sequence[Effect] = (), ending: End = Ending.DONE) -> None:
        """See `Reader.acommit`."""
        lease = self._give_up(delivery)
        generation = delivery.receipt >> GENERATION_SHIFT
        try:
            single = self._single(lease, delivery, outbox, ending)
            if single:
                await self._redis.line.awrite(single, generation)
            else:
                await _to_the_end(
                    self._redis.calls.arun(lambda: self._several(lease, delivery, outbox, ending), 0, generation)
                )
        except LineLost as error:
            raise no_longer_held(delivery) from error

    def _give_up(self, delivery: Delivery) -> Lease:
        """Hold a delivery no more, as far as this process knows; return where it is held."""
        try:
            self._held.remove(delivery.receipt)
        except KeyError:
            raise no_longer_held(delivery) from None
        lease = self.sessions.take_lease(delivery.receipt & _RECEIPT)
        if lease is None:
            raise no_longer_held(delivery)
        return lease

    def _single(self, lease: Lease, delivery: Delivery, outbox: Sequence[Effect], ending: End) -> list[Any]:
        more = self.sessions.place_after_commit
        command = single_commit(self._redis.commands, lease, delivery, outbox, ending, more)
        return [self._redis.line.request(command, _check_committed)] if command else []

    def _several(self, lease: Lease, delivery: Delivery, outbox: Sequence[Effect], ending: End) -> Steps:
        more = self.sessions.place_after_commit
        with self._committing:
            self._commits += 1
        try:
            yield from commit(self._redis.commands, lease, delivery, outbox, ending, more)
        finally:
            with self._committing:
                self._commits -= 1
                self._committing.notify_all()

    def close(self) -> None:
        """See `Reader.close`. A commit that is half-way is let through first."""
        with self._committing:
            self._committing.wait_for(lambda: not self._commits, COMMIT_TIMEOUT)
        super().close()

    def _answering(self, delivery: Delivery, effect: Effect, timeout: float) -> Publishing | None:
        """Return what answers the delivery's own connection; None for any other effect."""
        if not is_answer(effect, delivery):
            return None
        lease = self.sessions.lease(delivery.receipt & _RECEIPT)
        if delivery.receipt not in self._held or lease is None:
            raise no_longer_held(delivery)
        token = self._redis.calls.new_token()
        return Publishing.answer(self._redis.commands, lease, delivery, effect, token, timeout)

    def publish(self, delivery: Delivery, effect: Effect, timeout: float = 0) -> None:
        """See `Reader.publish`."""
        steps = self._answering(delivery, effect, timeout)
        if steps is None:
            self._redis.publish(effect, timeout)
            return
        try:
            self._redis.calls.run(steps, timeout, delivery.receipt >> GENERATION_SHIFT)
        except LineLost as error:
            raise no_longer_held(delivery) from error

    async def apublish(self, delivery: Delivery, effect: Effect, timeout: float = 0) -> None:
        """See `Reader.apublish`."""
        steps = self._answering(delivery, effect, timeout)
        if steps is None:
            await self._redis.apublish(effect, timeout)
            return
        try:
            await self._redis.calls.arun(steps, timeout, delivery.receipt >> GENERATION_SHIFT)
        except LineLost as error:
            raise no_longer_held(delivery) from error


async def _to_the_end(commit: Coroutine[Any, Any, None]) -> None:
    """Await a commit of several steps. Cancelled in the middle it is let through first: half of it is out already."""
    task = asyncio.ensure_future(commit)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # nobody else asks for it
        raise


def _check_committed(result: Any) -> None:
    """See what became of a commit that nobody waits for."""
    give_up_on_error(result)  # then the message is delivered again
    if result == b"lost":
        logger.warning("a commit came too late: another reader has the message, or had it")

"""The layer inside one process: threads and coroutines of any number of event loops share it at once.

Each verb is a command of the broker, run under one lock (`locked`), in a blocking and in an asyncio form.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from fairway.broker.core import Broker
from fairway.broker.effects import Effect
from fairway.errors import LayerUnavailable
from fairway.layers.base import ChannelStatistics, DeadLetter, Inbox, Layer, LayerStatistics
from fairway.layers.codec import DEFAULT_LIMITS
from fairway.layers.locked import LockedBroker
from fairway.layers.memory_ends import MemoryInbox, MemoryReader
from fairway.layers.waiters import UNSETTLED, BlockingWaiter, LoopWaiter, Waiter
from fairway.limits import BrokerLimits, MessageLimits
from fairway.names import check_channel, check_group, check_prefix

ANSWER_TIMEOUT = 5.0
"""Seconds that a server may take to answer a question about its connections."""

W = TypeVar("W", BlockingWaiter, LoopWaiter)


class MemoryLayer(Layer):
    """Channels and groups for everything that runs in this process.

    Parameters:
        limits: what the broker may hold.
        message_limits: what one message may be.
        answer_timeout: seconds that a server may take to answer a question about its connections.
    """

    is_shared = False

    broker_kind: Callable[[str, BrokerLimits | None], Broker] = Broker
    """What makes the broker."""

    def __init__(
        self,
        limits: BrokerLimits | None = None,
        message_limits: MessageLimits = DEFAULT_LIMITS,
        *,
        answer_timeout: float = ANSWER_TIMEOUT,
    ) -> None:
        self.message_limits = message_limits
        self.answer_timeout = answer_timeout
        self.locked = LockedBroker(limits, self.broker_kind)
        """The broker and its lock; a hub opens it to other processes."""
        self.broker = self.locked.broker

    @property
    def closed(self) -> bool:
        """Whether the layer is closed."""
        return self.locked.closed

    # --- sending -----------------------------------------------------------------------------------------------------

    def publish(self, effect: Effect, timeout: float = 0) -> None:
        """See `Layer.publish`."""
        self.locked.publish(self.broker.publish, (effect,), effect, timeout)

    async def apublish(self, effect: Effect, timeout: float = 0) -> None:
        """See `Layer.apublish`."""
        await self.locked.apublish(self.broker.publish, (effect,), effect, timeout)

    # --- groups and questions ----------------------------------------------------------------------------------------

    def group_add(self, group: str, channel: str) -> None:
        """See `Layer.group_add`."""
        self.locked.run(self.broker.owners.add, check_group(group), check_channel(channel))

    async def agroup_add(self, group: str, channel: str) -> None:
        """See `Layer.agroup_add`."""
        self.group_add(group, channel)

    def group_discard(self, group: str, channel: str) -> None:
        """See `Layer.group_discard`."""
        self.locked.run(self.broker.owners.discard, check_group(group), check_channel(channel))

    async def agroup_discard(self, group: str, channel: str) -> None:
        """See `Layer.agroup_discard`."""
        self.group_discard(group, channel)

    def group_channels(self, group: str) -> list[str]:
        """See `Layer.group_channels`."""
        found, waiters = self.locked.run(self._ask_members, check_group(group), BlockingWaiter)
        end = time.monotonic() + self.answer_timeout
        try:
            for waiter in waiters.values():
                waiter.wait(end - time.monotonic())
                found += self._check_answer(waiter) or []
        finally:
            self.locked.forget(waiters)
        return found

    async def agroup_channels(self, group: str) -> list[str]:
        """See `Layer.agroup_channels`."""
        found, waiters = self.locked.run(self._ask_members, check_group(group), LoopWaiter)
        end = time.monotonic() + self.answer_timeout
        try:
            for waiter in waiters.values():
                await waiter.wait(end - time.monotonic())
                found += self._check_answer(waiter) or []
        finally:
            self.locked.forget(waiters)
        return found

    def state(self, reply_channel: str) -> dict[str, bytes]:
        """See `Layer.state`."""
        waiters = self.locked.run(self._ask_state, check_channel(reply_channel), BlockingWaiter)
        try:
            for waiter in waiters.values():
                waiter.wait(self.answer_timeout)
                return self._check_answer(waiter) or {}
        finally:
            self.locked.forget(waiters)
        return {}

    async def astate(self, reply_channel: str) -> dict[str, bytes]:
        """See `Layer.astate`."""
        waiters = self.locked.run(self._ask_state, check_channel(reply_channel), LoopWaiter)
        try:
            for waiter in waiters.values():
                await waiter.wait(self.answer_timeout)
                return self._check_answer(waiter) or {}
        finally:
            self.locked.forget(waiters)
        return {}

    def _ask_members(self, group: str, kind: type[W]) -> tuple[list[str], dict[int, W]]:
        found, tokens = self.broker.owners.ask_members(group)
        return found, self.locked.ask(tokens, kind)

    def _ask_state(self, channel: str, kind: type[W]) -> dict[int, W]:
        token = self.broker.owners.ask_state(channel)
        return self.locked.ask([token] if token else [], kind)

    def _check_answer(self, waiter: Waiter) -> Any:
        """Return an owner's answer to a question; None when the owner is gone."""
        if waiter.result is UNSETTLED:
            msg = f"a server did not answer a question about its connections within {self.answer_timeout:g} s"
            raise LayerUnavailable(msg)
        if waiter.result is LayerUnavailable:
            msg = "the layer was closed while a server was asked about its connections"
            raise LayerUnavailable(msg)
        return waiter.result

    # --- both ends ---------------------------------------------------------------------------------------------------

    def reader(self, channels: Collection[str], window: int = 1, threads: int | None = None) -> MemoryReader:
        """See `Layer.reader`. Nothing is fetched ahead in one process, so only who waits here is handed anything."""
        del window, threads
        return self.locked.run(self._open_reader, channels)

    def _open_reader(self, channels: Collection[str]) -> MemoryReader:
        session = self.broker.open_session(channels)
        reader = self.locked.readers[session] = MemoryReader(self.locked, session)
        return reader

    def inbox(self, prefixes: Sequence[str], on_readable: Callable[[], None]) -> Inbox:
        """See `Layer.inbox`."""
        for prefix in prefixes:
            check_prefix(prefix)
        return self.locked.run(self._open_inbox, prefixes, on_readable)

    def _open_inbox(self, prefixes: Sequence[str], on_readable: Callable[[], None]) -> Inbox:
        owner = self.broker.owners.open(prefixes)
        self.locked.callbacks[owner] = on_readable
        return MemoryInbox(self.locked, owner)

    # --- the whole ---------------------------------------------------------------------------------------------------

    def statistics(self) -> LayerStatistics:
        """See `Layer.statistics`."""
        return self.locked.run(self._statistics)

    def _statistics(self) -> LayerStatistics:
        broker = self.broker
        leased: dict[str, int] = {}
        for session in broker.sessions:
            for delivery in session.leases.values():
                leased[delivery.envelope.channel] = leased.get(delivery.envelope.channel, 0) + 1
        channels = {
            name: ChannelStatistics(
                waiting=len(box.letters),
                waiting_bytes=box.size,
                leased=leased.get(name, 0),
                readers=broker.post.readers(name),
            )
            for name, box in broker.post.boxes().items()
        }
        return LayerStatistics(
            channels=channels,
            groups=len(broker.owners.directory),
            sessions=len(broker.sessions),
            owners=len(broker.owners),
            held_bytes=broker.post.held,
            dead_letters=len(broker.post.dead),
            delivered=broker.delivered,
            committed=broker.committed,
            repeats_dropped=broker.repeats_dropped,
            group_sends_dropped=broker.group_sends_dropped,
            expired=broker.post.expired,
        )

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """See `Layer.dead_letters`."""
        return self.locked.run(self._dead_letters, limit)

    def _dead_letters(self, limit: int) -> list[DeadLetter]:
        now = time.monotonic()
        return [
            DeadLetter(
                id=dead.envelope.id,
                channel=dead.envelope.channel,
                reply_channel=dead.envelope.reply_channel,
                reason=dead.reason,
                attempts=dead.envelope.attempt,
                retries=dead.envelope.retries,
                age=now - dead.since,
                body=dead.body,
            )
            for dead in self.broker.post.dead.newest(limit)
        ]

    def requeue_dead(self, ids: Collection[str]) -> int:
        """See `Layer.requeue_dead`."""
        return self.locked.run(self.broker.requeue_dead, ids)

    def drop_dead(self, ids: Collection[str]) -> int:
        """See `Layer.drop_dead`."""
        return self.locked.run(self.broker.drop_dead, ids)

    def flush(self) -> None:
        """See `Layer.flush`."""
        self.locked.run(self.broker.flush)

    def close(self) -> None:
        """See `Layer.close`."""
        self.locked.close()

"""The layer inside one process: a broker behind one lock.

Threads and coroutines of any number of event loops share it at once. The lock is held for the length of a broker
command and never while anybody is woken, so a callback may call the layer again. A thread that waits sleeps on a lock
of its own; a coroutine on a future of its own loop (`waiters`).

A timekeeper thread exists from the first moment something waits for time to pass (a send that waits for room, a
message put back by `ConsumeLater`) until the layer is closed.
"""

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from fairway.broker.core import Broker
from fairway.broker.effects import Answered, Deliver, Effect, Envelope, Mislaid, Readable, Send, Settled, Signal
from fairway.errors import ChannelFull, InvalidName, LayerUnavailable
from fairway.layers.base import ChannelStatistics, Inbox, Layer, LayerStatistics
from fairway.layers.memory_ends import MemoryInbox, MemoryReader
from fairway.layers.waiters import UNSETTLED, BlockingWaiter, LoopWaiter, Waiter
from fairway.limits import BrokerLimits
from fairway.names import check_channel, check_group

logger = logging.getLogger("fairway.layer")

ANSWER_TIMEOUT = 5.0
"""Seconds that a server may take to answer a question about its connections."""

T = TypeVar("T")
W = TypeVar("W", BlockingWaiter, LoopWaiter)


class MemoryLayer(Layer):
    """Channels and groups for everything that runs in this process.

    Parameters:
        limits: what the broker may hold.
        answer_timeout: seconds that a server may take to answer a question about its connections.
    """

    def __init__(self, limits: BrokerLimits | None = None, *, answer_timeout: float = ANSWER_TIMEOUT) -> None:
        self._answer_timeout = answer_timeout
        self.broker = Broker(secrets.token_hex(4), limits)
        self._lock = threading.Lock()
        self._readers: dict[int, MemoryReader] = {}
        self._inboxes: dict[int, Callable[[], None]] = {}
        self._waiting: dict[int, Waiter] = {}
        self._timekeeper: threading.Thread | None = None
        self._alarm = threading.Event()
        self._alarm_at = math.inf
        """When the timekeeper wakes by itself."""
        self.closed = False

    # --- the lock, and what follows a command ------------------------------------------------------------------------

    def run(self, command: Callable[..., T], *args: Any) -> T:
        """Run a broker command under the lock, then do what it asks for.

        Raises:
            LayerUnavailable: the layer is closed.
        """
        calls: list[Callable[[], object]] = []
        broker = self.broker
        try:
            with self._lock:
                if self.closed:
                    msg = "the layer is closed"
                    raise LayerUnavailable(msg)
                try:
                    return command(*args)
                finally:
                    signals = broker.take_signals()
                    if signals:
                        self._follow(signals, calls)
                    if broker.due is not None and broker.due < self._alarm_at:
                        self._set_alarm(broker.due)
        finally:
            for call in calls:
                try:
                    call()
                except Exception:
                    logger.exception("a callback of the layer failed")

    def try_run(self, command: Callable[..., T], *args: Any) -> T | None:
        """Do as `run`, or nothing when the layer is closed: there is nothing left to end or to give back."""
        try:
            return self.run(command, *args)
        except LayerUnavailable:
            return None

    def _follow(self, signals: list[Signal], calls: list[Callable[[], object]]) -> None:
        """Settle what the signals settle, and note what is to be called once the lock is free."""
        for signal in signals:
            kind = type(signal)
            if kind is Deliver:
                self._readers[signal.session].settle(signal.delivery, calls)  # type: ignore[union-attr]
            elif kind is Readable:
                calls.append(self._inboxes[signal.owner])  # type: ignore[union-attr]
            elif isinstance(signal, Mislaid):
                calls.append(partial(_log_mislaid, signal.envelope, signal.reason))
            elif isinstance(signal, Settled | Answered):
                waiter = self._waiting.pop(signal.token, None)
                if waiter:
                    waiter.result = signal.error if isinstance(signal, Settled) else signal.answer
                    calls.append(waiter.wake)

    def _set_alarm(self, due: float) -> None:
        self._alarm_at = due
        if self._timekeeper is None:
            self._timekeeper = threading.Thread(target=self._keep_time, name="fairway-time", daemon=True)
            self._timekeeper.start()
        self._alarm.set()

    def _keep_time(self) -> None:
        due: float | None = None
        while not self.closed:
            self._alarm.wait(None if due is None else max(0.0, due - time.monotonic()))
            self._alarm.clear()
            due = self.try_run(self._tick)

    def _tick(self) -> float | None:
        broker = self.broker
        now = time.monotonic()
        if broker.due is not None and broker.due <= now:
            broker.tick(now)
        self._alarm_at = math.inf if broker.due is None else broker.due
        return broker.due

    # --- sending -----------------------------------------------------------------------------------------------------

    def publish(self, effect: Effect, timeout: float = 0) -> None:
        """See `Layer.publish`."""
        self.begin_wait(self.broker.publish, (effect,), effect, timeout)

    async def apublish(self, effect: Effect, timeout: float = 0) -> None:
        """See `Layer.apublish`."""
        await self.abegin_wait(self.broker.publish, (effect,), effect, timeout)

    def begin_wait(self, publish: Callable[..., int], args: tuple[Any, ...], effect: Effect, timeout: float) -> None:
        """Publish, and wait in this thread while there is no room."""
        token, waiter = self.run(self._start, publish, args, timeout, BlockingWaiter)
        if waiter is None:
            return
        try:
            waiter.wait()
        except BaseException:
            self._withdraw(effect, token)
            raise
        _check_settled(effect, waiter)

    async def abegin_wait(
        self, publish: Callable[..., int], args: tuple[Any, ...], effect: Effect, timeout: float
    ) -> None:
        """Publish, and wait in this coroutine while there is no room."""
        token, waiter = self.run(self._start, publish, args, timeout, LoopWaiter)
        if waiter is None:
            return
        try:
            await waiter.wait()
        except BaseException:
            self._withdraw(effect, token)
            raise
        _check_settled(effect, waiter)

    def _start(
        self, publish: Callable[..., int], args: tuple[Any, ...], timeout: float, kind: type[W]
    ) -> tuple[int, W | None]:
        now = time.monotonic()
        token = publish(*args, now, now + timeout if timeout > 0 else None)
        if not token:
            return 0, None
        waiter = kind()
        self._waiting[token] = waiter
        return token, waiter

    def _withdraw(self, effect: Effect, token: int) -> None:
        """Take an interrupted publish back, if it has not happened yet."""
        self._waiting.pop(token, None)
        if isinstance(effect, Send):
            self.try_run(self.broker.withdraw, effect.channel, token)

    # --- groups and questions ----------------------------------------------------------------------------------------

    def group_add(self, group: str, channel: str) -> None:
        """See `Layer.group_add`."""
        self.run(self.broker.owners.add, check_group(group), check_channel(channel))

    async def agroup_add(self, group: str, channel: str) -> None:
        """See `Layer.agroup_add`."""
        self.group_add(group, channel)

    def group_discard(self, group: str, channel: str) -> None:
        """See `Layer.group_discard`."""
        self.run(self.broker.owners.discard, check_group(group), check_channel(channel))

    async def agroup_discard(self, group: str, channel: str) -> None:
        """See `Layer.agroup_discard`."""
        self.group_discard(group, channel)

    def group_channels(self, group: str) -> list[str]:
        """See `Layer.group_channels`."""
        found, waiters = self.run(self._ask_members, check_group(group), BlockingWaiter)
        end = time.monotonic() + self._answer_timeout
        try:
            for waiter in waiters.values():
                waiter.wait(end - time.monotonic())
                found += self._check_answer(waiter) or []
        finally:
            self._forget(waiters)
        return found

    async def agroup_channels(self, group: str) -> list[str]:
        """See `Layer.agroup_channels`."""
        found, waiters = self.run(self._ask_members, check_group(group), LoopWaiter)
        end = time.monotonic() + self._answer_timeout
        try:
            for waiter in waiters.values():
                await waiter.wait(end - time.monotonic())
                found += self._check_answer(waiter) or []
        finally:
            self._forget(waiters)
        return found

    def state(self, reply_channel: str) -> dict[str, bytes]:
        """See `Layer.state`."""
        waiters = self.run(self._ask_state, check_channel(reply_channel), BlockingWaiter)
        try:
            for waiter in waiters.values():
                waiter.wait(self._answer_timeout)
                return self._check_answer(waiter) or {}
        finally:
            self._forget(waiters)
        return {}

    async def astate(self, reply_channel: str) -> dict[str, bytes]:
        """See `Layer.astate`."""
        waiters = self.run(self._ask_state, check_channel(reply_channel), LoopWaiter)
        try:
            for waiter in waiters.values():
                await waiter.wait(self._answer_timeout)
                return self._check_answer(waiter) or {}
        finally:
            self._forget(waiters)
        return {}

    def _ask_members(self, group: str, kind: type[W]) -> tuple[list[str], dict[int, W]]:
        found, tokens = self.broker.owners.ask_members(group)
        waiters = {token: kind() for token in tokens}
        self._waiting.update(waiters)
        return found, waiters

    def _ask_state(self, channel: str, kind: type[W]) -> dict[int, W]:
        token = self.broker.owners.ask_state(channel)
        waiters = {token: kind()} if token else {}
        self._waiting.update(waiters)
        return waiters

    def _check_answer(self, waiter: Waiter) -> Any:
        """Return an owner's answer to a question; None when the owner is gone."""
        if waiter.result is UNSETTLED:
            msg = f"a server did not answer a question about its connections within {self._answer_timeout:g} s"
            raise LayerUnavailable(msg)
        if waiter.result is LayerUnavailable:
            msg = "the layer was closed while a server was asked about its connections"
            raise LayerUnavailable(msg)
        return waiter.result

    def _forget(self, tokens: Iterable[int]) -> None:
        for token in tokens:
            self._waiting.pop(token, None)

    # --- both ends ---------------------------------------------------------------------------------------------------

    def reader(self, channels: Collection[str], window: int = 1) -> MemoryReader:
        """See `Layer.reader`. Nothing is fetched ahead in one process, so `window` changes nothing here."""
        del window
        return self.run(self._open_reader, channels)

    def _open_reader(self, channels: Collection[str]) -> MemoryReader:
        session = self.broker.open_session(channels)
        reader = self._readers[session] = MemoryReader(self, session)
        return reader

    def inbox(self, prefixes: Sequence[str], on_readable: Callable[[], None]) -> Inbox:
        """See `Layer.inbox`."""
        for prefix in prefixes:
            if not check_channel(prefix).endswith("!"):
                msg = f"an owner's prefix ends in '!', and {prefix!r} does not"
                raise InvalidName(msg)
        return self.run(self._open_inbox, prefixes, on_readable)

    def _open_inbox(self, prefixes: Sequence[str], on_readable: Callable[[], None]) -> Inbox:
        owner = self.broker.owners.open(prefixes)
        self._inboxes[owner] = on_readable
        return MemoryInbox(self, owner)

    def forget_reader(self, session: int) -> list[Callable[[], object]]:
        """Close a session, under the lock; return what wakes those who wait for it."""
        self.broker.close_session(session)
        reader = self._readers.pop(session, None)
        return reader.dismiss() if reader else []

    def forget_inbox(self, owner: int) -> None:
        """Close an owner, under the lock."""
        self.broker.owners.close(owner)
        self._inboxes.pop(owner, None)

    # --- the whole ---------------------------------------------------------------------------------------------------

    def statistics(self) -> LayerStatistics:
        """See `Layer.statistics`."""
        return self.run(self._statistics)

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

    def flush(self) -> None:
        """See `Layer.flush`."""
        self.run(self.broker.flush)

    def close(self) -> None:
        """See `Layer.close`."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            calls: list[Callable[[], object]] = []
            for waiter in self._waiting.values():
                waiter.result = LayerUnavailable
                calls.append(waiter.wake)
            for reader in self._readers.values():
                calls += reader.dismiss()
            self._waiting.clear()
            self._readers.clear()
            self._inboxes.clear()
        for call in calls:
            call()
        self._alarm.set()


def _check_settled(effect: Effect, waiter: Waiter) -> None:
    """Raise what a publish that waited for room has come to, unless it is done."""
    if waiter.result is LayerUnavailable:
        msg = "the layer was closed while a message waited for room"
        raise LayerUnavailable(msg)
    if waiter.result and isinstance(effect, Send):
        raise ChannelFull(effect.channel, waiter.result)


def _log_mislaid(envelope: Envelope, reason: str) -> None:
    texts = {
        "lost": "its worker is gone and it may not run twice",
        "attempts": f"its worker was lost {envelope.attempt} times; it is a dead letter now",
        "retries": f"ConsumeLater was raised {envelope.retries} times; it is a dead letter now",
        "full": f"channel {envelope.channel!r} had no room for it; it is a dead letter now",
    }
    logger.error("message %s on %s was not consumed: %s", envelope.id, envelope.channel, texts[reason])

"""The layer inside one process: a broker behind one lock.

Threads and coroutines of any number of event loops share it at once. The lock is held for the length of a broker
command and never while anybody is woken, so a callback may call the layer again. A thread that waits sleeps on a lock
of its own; a coroutine on a future of its own loop (`waiters`).

A timekeeper thread exists from the first moment something waits for time to pass (a send that waits for room, a
message put back by `ConsumeLater`) until the layer is closed.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Sequence
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
"""How long a server may take to answer a question about its connections."""

T = TypeVar("T")
W = TypeVar("W", BlockingWaiter, LoopWaiter)


class MemoryLayer(Layer):
    """Channels and groups for everything that runs in this process.

    Parameters:
        limits: what the broker may hold.
    """

    def __init__(self, limits: BrokerLimits | None = None) -> None:
        self.broker = Broker(secrets.token_hex(4), limits)
        self._lock = threading.Lock()
        self._readers: dict[int, MemoryReader] = {}
        self._inboxes: dict[int, Callable[[], None]] = {}
        self._waiting: dict[int, Waiter] = {}
        self._timekeeper: threading.Thread | None = None
        self._alarm = threading.Event()
        self.closed = False

    # --- the lock, and what follows a command ------------------------------------------------------------------------

    def run(self, command: Callable[..., T], *args: Any) -> T:
        """Run a broker command under the lock, then do what it asks for.

        Raises:
            LayerUnavailable: the layer is closed.
        """
        calls: list[Callable[[], None]] = []
        broker = self.broker
        try:
            with self._lock:
                if self.closed:
                    msg = "the layer is closed"
                    raise LayerUnavailable(msg)
                try:
                    return command(*args)
                finally:
                    if broker.signals:
                        self._follow(broker.take_signals(), calls)
        finally:
            for call in calls:
                call()
            if broker.due is not None and not self.closed:
                self._ring()

    def _follow(self, signals: list[Signal], calls: list[Callable[[], None]]) -> None:
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

    def _ring(self) -> None:
        with self._lock:
            if self._timekeeper is None:
                self._timekeeper = threading.Thread(target=self._keep_time, name="fairway-time", daemon=True)
                self._timekeeper.start()
        self._alarm.set()

    def _keep_time(self) -> None:
        while not self.closed:
            due = self.broker.due
            self._alarm.wait(None if due is None else max(0.0, due - time.monotonic()))
            self._alarm.clear()
            due = self.broker.due
            if due is not None and due <= time.monotonic() and not self.closed:
                self.run(self.broker.tick, time.monotonic())

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
        finally:
            self._finish(effect, token, waiter)

    async def abegin_wait(
        self, publish: Callable[..., int], args: tuple[Any, ...], effect: Effect, timeout: float
    ) -> None:
        """Publish, and wait in this coroutine while there is no room."""
        token, waiter = self.run(self._start, publish, args, timeout, LoopWaiter)
        if waiter is None:
            return
        try:
            await waiter.wait()
        finally:
            self._finish(effect, token, waiter)

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

    def _finish(self, effect: Effect, token: int, waiter: Waiter) -> None:
        """Look how a wait ended. An interrupted one is taken back, so that it happened or did not."""
        if waiter.result is UNSETTLED:
            self._waiting.pop(token, None)
            if not self.closed and isinstance(effect, Send):
                self.run(self.broker.withdraw, effect.channel, token)
        elif waiter.result is LayerUnavailable:
            msg = "the layer was closed while a message waited for room"
            raise LayerUnavailable(msg)
        elif waiter.result and isinstance(effect, Send):
            raise ChannelFull(effect.channel, waiter.result)

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
        for token, waiter in waiters.items():
            waiter.wait(ANSWER_TIMEOUT)
            found += self._answered(token, waiter)
        return found

    async def agroup_channels(self, group: str) -> list[str]:
        """See `Layer.agroup_channels`."""
        found, waiters = self.run(self._ask_members, check_group(group), LoopWaiter)
        for token, waiter in waiters.items():
            await waiter.wait(ANSWER_TIMEOUT)
            found += self._answered(token, waiter)
        return found

    def state(self, reply_channel: str) -> dict[str, bytes]:
        """See `Layer.state`."""
        token, waiter = self.run(self._ask_state, check_channel(reply_channel), BlockingWaiter)
        if waiter is None:
            return {}
        waiter.wait(ANSWER_TIMEOUT)
        return self._answered(token, waiter) or {}

    async def astate(self, reply_channel: str) -> dict[str, bytes]:
        """See `Layer.astate`."""
        token, waiter = self.run(self._ask_state, check_channel(reply_channel), LoopWaiter)
        if waiter is None:
            return {}
        await waiter.wait(ANSWER_TIMEOUT)
        return self._answered(token, waiter) or {}

    def _ask_members(self, group: str, kind: type[W]) -> tuple[list[str], dict[int, W]]:
        found, tokens = self.broker.ask_members(group)
        waiters = {token: kind() for token in tokens}
        self._waiting.update(waiters)
        return found, waiters

    def _ask_state(self, channel: str, kind: type[W]) -> tuple[int, W | None]:
        token = self.broker.ask_state(channel)
        if not token:
            return 0, None
        waiter = kind()
        self._waiting[token] = waiter
        return token, waiter

    def _answered(self, token: int, waiter: Waiter) -> Any:
        self._waiting.pop(token, None)
        if waiter.result is UNSETTLED or waiter.result is LayerUnavailable:
            msg = f"a server did not answer a question about its connections within {ANSWER_TIMEOUT:g} s"
            raise LayerUnavailable(msg)
        return waiter.result

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
        owner = self.broker.open_owner(prefixes)
        self._inboxes[owner] = on_readable
        return MemoryInbox(self, owner)

    def forget_reader(self, session: int) -> None:
        """Close a session. Its signals have been followed by then."""
        self.run(self.broker.close_session, session)
        self._readers.pop(session, None)

    def forget_inbox(self, owner: int) -> None:
        """Close an owner."""
        self.run(self.broker.owners.close, owner)
        self._inboxes.pop(owner, None)

    def submit(self, owner: int, envelope: Envelope, body: bytes) -> None:
        """See `Inbox.submit`."""
        self.run(self.broker.submit, owner, envelope, body, time.monotonic())

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
            waiting = list(self._waiting.values())
            self._waiting.clear()
            readers = list(self._readers.values())
            self._readers.clear()
        for waiter in waiting:
            waiter.result = LayerUnavailable
            waiter.wake()
        for reader in readers:
            reader.dismiss()
        self._alarm.set()


def _log_mislaid(envelope: Envelope, reason: str) -> None:
    texts = {
        "lost": "its worker is gone and it may not run twice",
        "attempts": f"its worker was lost {envelope.attempt} times; it is a dead letter now",
        "retries": f"ConsumeLater was raised {envelope.retries} times; it is a dead letter now",
        "full": f"channel {envelope.channel!r} had no room for it; it is a dead letter now",
    }
    logger.error("message %s on %s was not consumed: %s", envelope.id, envelope.channel, texts[reason])

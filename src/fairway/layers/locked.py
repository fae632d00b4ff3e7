"""A broker behind one lock, for everything that runs in this process.

The lock is held for the length of a broker command and never while anybody is woken, so a callback may call again. A
thread that waits sleeps on a lock of its own; a coroutine on a future of its own loop (`waiters`).

A timekeeper thread exists from the first moment something waits for time to pass (a send that waits for room, a
message put back by `ConsumeLater`) until the broker is closed.
"""

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fairway.broker.core import Broker
from fairway.broker.effects import (
    Answered,
    Deliver,
    Delivery,
    Effect,
    Envelope,
    Mislaid,
    Outward,
    Readable,
    Send,
    Settled,
    Signal,
)
from fairway.errors import ChannelFull, FairwayError, LayerUnavailable
from fairway.layers.waiters import BlockingWaiter, LoopWaiter, Waiter
from fairway.limits import BrokerLimits

if TYPE_CHECKING:
    from fairway.layers.hub.joined.upstream import Upstream

logger = logging.getLogger("fairway.layer")

T = TypeVar("T")
W = TypeVar("W", BlockingWaiter, LoopWaiter)

Calls = list[Callable[[], object]]
"""What is to be called once the lock is free."""


class Waiters(Protocol):
    """Those who wait for the deliveries of one session. Called under the lock."""

    def settle(self, delivery: Delivery, calls: Calls) -> None:
        """Give one of them a delivery."""

    def dismiss(self) -> Calls:
        """Let none of them wait any more; return what wakes them."""


class Awaiter(Protocol):
    """Whoever waits for something to be settled or answered: a thread, a coroutine, or the client of a hub."""

    result: Any

    def wake(self) -> bool:
        """Let it go on; return whether it still waits."""


class LockedBroker:
    """The broker, its lock, and who waits for what.

    Parameters:
        limits: what the broker may hold.
        kind: makes the broker from its epoch and the limits.
    """

    def __init__(
        self, limits: BrokerLimits | None, kind: Callable[[str, BrokerLimits | None], Broker] = Broker
    ) -> None:
        self.broker = kind(secrets.token_hex(4), limits)
        self.on_outward: Callable[[Outward], object] = _ignore
        """What acts on the signals of a joined broker. Called with no lock held, in whatever thread."""
        self.joined: Upstream | None = None
        """The way to other hubs, of a hub that is joined with them."""
        self.readers: dict[int, Waiters] = {}
        """Session -> who waits for its deliveries."""
        self.callbacks: dict[int, Callable[[], None]] = {}
        """Owner -> what is called when its inbox stops being empty."""
        self.waiting: dict[int, Awaiter] = {}
        """Token -> who waits for it to be settled or answered."""
        self.closed = False
        self._lock = threading.Lock()
        self._timekeeper: threading.Thread | None = None
        self._alarm = threading.Event()
        self._alarm_at = math.inf
        """When the timekeeper wakes by itself."""

    def run(self, command: Callable[..., T], *args: Any) -> T:
        """Run a broker command under the lock, then do what it asks for.

        Raises:
            LayerUnavailable: the layer is closed.
        """
        calls: Calls = []
        broker = self.broker
        try:
            with self._lock:
                if self.closed:
                    msg = "the layer is closed"
                    raise LayerUnavailable(msg)
                try:
                    return command(*args)
                finally:
                    if broker.signals or broker.post.starved:
                        self._follow(broker.take_signals(), calls)
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

    def _follow(self, signals: list[Signal], calls: Calls) -> None:
        """Settle what the signals settle, and note what is to be called once the lock is free."""
        for signal in signals:
            kind = type(signal)
            if kind is Deliver:
                self.readers[signal.session].settle(signal.delivery, calls)  # type: ignore[union-attr]
            elif kind is Readable:
                calls.append(self.callbacks[signal.owner])  # type: ignore[union-attr]
            elif isinstance(signal, Mislaid):
                calls.append(partial(_log_mislaid, signal.envelope, signal.reason))
            elif isinstance(signal, Settled | Answered):
                waiter = self.waiting.pop(signal.token, None)
                if waiter:
                    waiter.result = signal.error if isinstance(signal, Settled) else signal.answer
                    calls.append(waiter.wake)
            else:
                calls.append(partial(self.on_outward, signal))  # type: ignore[arg-type]  # nothing else is left

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

    # --- waiting -----------------------------------------------------------------------------------------------------

    def publish(self, publish: Callable[..., int], args: tuple[Any, ...], effect: Effect, timeout: float) -> None:
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

    async def apublish(
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
        self.waiting[token] = waiter
        return token, waiter

    def _withdraw(self, effect: Effect, token: int) -> None:
        """Take an interrupted publish back, if it has not happened yet."""
        self.waiting.pop(token, None)
        if isinstance(effect, Send):
            self.try_run(self.broker.withdraw, effect.channel, token)

    def ask(self, tokens: Iterable[int], kind: type[W]) -> dict[int, W]:
        """Return a waiter for each question. Called under the lock; take them back with `forget`."""
        waiters = {token: kind() for token in tokens}
        self.waiting.update(waiters)
        return waiters

    def forget(self, tokens: Iterable[int]) -> None:
        """Wait for these no more."""
        for token in tokens:
            self.waiting.pop(token, None)

    def close(self) -> None:
        """Let everyone who waits go."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            calls = [wake for reader in self.readers.values() for wake in reader.dismiss()]
            for waiter in self.waiting.values():
                waiter.result = LayerUnavailable
                calls.append(waiter.wake)
            self.waiting.clear()
            self.readers.clear()
            self.callbacks.clear()
        for call in calls:
            call()
        self._alarm.set()


def _check_settled(effect: Effect, waiter: Waiter) -> None:
    """Raise what a publish that waited for room has come to, unless it is done."""
    if waiter.result is LayerUnavailable:
        msg = "the layer was closed while a message waited for room"
        raise LayerUnavailable(msg)
    if isinstance(waiter.result, FairwayError):
        raise waiter.result
    if waiter.result and isinstance(effect, Send):
        raise ChannelFull(effect.channel, waiter.result)


def _ignore(signal: Outward) -> None:
    """Do nothing: a broker that is not joined gives no such signals."""


def _log_mislaid(envelope: Envelope, reason: str) -> None:
    texts = {
        "lost": "its worker is gone and it may not run twice",
        "attempts": f"its worker was lost {envelope.attempt} times; it is a dead letter now",
        "retries": f"ConsumeLater was raised {envelope.retries} times; it is a dead letter now",
        "full": f"channel {envelope.channel!r} had no room for it; it is a dead letter now",
    }
    text = texts.get(reason) or f"{reason}; it is a dead letter now"
    logger.error("message %s on %s was not consumed: %s", envelope.id, envelope.channel, text)

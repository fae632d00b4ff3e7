"""The two ends of a memory layer: the reader that a worker holds, and the inbox that a server holds."""

import time
from collections import deque
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from fairway.broker.effects import Delivery, Effect, End, Ending, Envelope, Item
from fairway.broker.inbox import Mark
from fairway.layers.base import Inbox, Reader
from fairway.layers.locked import Calls, LockedBroker
from fairway.layers.waiters import UNSETTLED, BlockingWaiter, LoopWaiter, Waiter


class MemoryReader(Reader):
    """A session of a memory layer. Each thread or coroutine that waits here is one delivery of demand."""

    def __init__(self, locked: LockedBroker, session: int) -> None:
        self._locked = locked
        self._broker = locked.broker
        self._session = session
        self._idle: deque[Waiter] = deque()
        self._stopped = False

    # --- called under the layer's lock -------------------------------------------------------------------------------

    def settle(self, delivery: Delivery, calls: Calls) -> None:
        """Give a delivery to the one who has waited longest. There is one: the broker hands out on demand only."""
        waiter = self._idle.popleft()
        waiter.result = delivery
        calls.append(partial(self._wake, waiter))

    def dismiss(self) -> Calls:
        """Let nobody wait here any more; return what wakes those who do, with nothing."""
        self._stopped = True
        waiters, self._idle = self._idle, deque()
        for waiter in waiters:
            waiter.result = None
        return [waiter.wake for waiter in waiters]

    def _queue_up(self, waiter: Waiter) -> bool:
        if self._stopped:
            return False
        self._idle.append(waiter)
        self._broker.demand(self._session, 1, time.monotonic())
        return True

    def _leave_queue(self, waiter: Waiter) -> None:
        if waiter.result is UNSETTLED:
            self._idle.remove(waiter)
            self._broker.demand(self._session, -1, time.monotonic())

    def _pause(self) -> Calls:
        self._broker.pause(self._session)
        return self.dismiss()

    def _close(self) -> Calls:
        self._broker.close_session(self._session, time.monotonic())
        self._locked.readers.pop(self._session, None)
        return self.dismiss()

    # --- receiving ---------------------------------------------------------------------------------------------------

    def receive(self, timeout: float | None = None) -> Delivery | None:
        """See `Reader.receive`."""
        waiter = BlockingWaiter()
        if not self._stand_in(waiter):
            return None
        try:
            waiter.wait(timeout)
        except BaseException:
            self._give_up(waiter)
            raise
        return self._step_out(waiter)

    async def areceive(self, timeout: float | None = None) -> Delivery | None:
        """See `Reader.areceive`."""
        waiter = LoopWaiter()
        if not self._stand_in(waiter):
            return None
        try:
            await waiter.wait(timeout)
        except BaseException:
            self._give_up(waiter)
            raise
        return self._step_out(waiter)

    def _stand_in(self, waiter: Waiter) -> bool:
        if self._stopped:
            return False
        return self._locked.try_run(self._queue_up, waiter) or False

    def _step_out(self, waiter: Waiter) -> Delivery | None:
        if waiter.result is UNSETTLED:
            self._locked.try_run(self._leave_queue, waiter)
        result = waiter.result
        return None if result is UNSETTLED else result

    def _wake(self, waiter: Waiter) -> None:
        """Tell a waiter about its delivery; when its event loop is closed nobody waits, and the delivery goes back."""
        if not waiter.wake():
            self.release(waiter.result)

    def _give_up(self, waiter: Waiter) -> None:
        """End an interrupted wait: a delivery that came all the same goes back."""
        delivery = self._step_out(waiter)
        if delivery is not None:
            self.release(delivery)

    # --- what follows a delivery -------------------------------------------------------------------------------------

    def commit(self, delivery: Delivery, outbox: Sequence[Effect] = (), ending: End = Ending.DONE) -> None:
        """See `Reader.commit`."""
        self._locked.run(self._broker.commit, self._session, delivery.receipt, outbox, ending, time.monotonic())

    async def acommit(self, delivery: Delivery, outbox: Sequence[Effect] = (), ending: End = Ending.DONE) -> None:
        """See `Reader.acommit`."""
        self.commit(delivery, outbox, ending)

    def publish(self, delivery: Delivery, effect: Effect, timeout: float = 0) -> None:
        """See `Reader.publish`."""
        args = (self._session, delivery, effect)
        self._locked.publish(self._broker.publish_during, args, effect, timeout)

    async def apublish(self, delivery: Delivery, effect: Effect, timeout: float = 0) -> None:
        """See `Reader.apublish`."""
        args = (self._session, delivery, effect)
        await self._locked.apublish(self._broker.publish_during, args, effect, timeout)

    def release(self, delivery: Delivery) -> None:
        """See `Reader.release`."""
        self._locked.try_run(self._broker.release, self._session, delivery.receipt)

    def widen(self, more: int) -> None:
        """See `Reader.widen`. Whoever waits here is handed a delivery, so there is no window to widen."""

    # --- stopping ----------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """See `Reader.pause`."""
        for wake in self._locked.try_run(self._pause) or ():
            wake()

    def close(self) -> None:
        """See `Reader.close`."""
        for wake in self._locked.try_run(self._close) or ():
            wake()


class MemoryInbox(Inbox):
    """An owner's end of a memory layer."""

    def __init__(self, locked: LockedBroker, owner: int) -> None:
        self._locked = locked
        self._owners = locked.broker.owners
        self._owner = owner

    def drain(self) -> list[Item]:
        """See `Inbox.drain`."""
        return self._locked.try_run(self._owners.drain, self._owner) or []

    def submit(self, envelope: Envelope, body: bytes) -> None:
        """See `Inbox.submit`."""
        self._locked.run(self._locked.broker.submit, self._owner, envelope, body, time.monotonic())

    def announce(self, groups: Collection[str]) -> None:
        """See `Inbox.announce`."""
        self._locked.try_run(self._owners.announce, self._owner, groups)

    def leave(self, group: str, generation: int) -> None:
        """See `Inbox.leave`."""
        self._locked.try_run(self._owners.leave, self._owner, group, generation)

    def answer(self, token: int, answer: Any) -> None:
        """See `Inbox.answer`."""
        self._locked.try_run(self._owners.answer, self._owner, token, answer)

    def congest(self, channel: str) -> None:
        """See `Inbox.congest`."""
        self._locked.try_run(self._owners.mark, self._owner, channel, Mark.CONGESTED)

    def depart(self, channel: str) -> None:
        """See `Inbox.depart`."""
        self._locked.try_run(self._owners.mark, self._owner, channel, Mark.DEPARTED)

    def relieve(self, channel: str) -> None:
        """See `Inbox.relieve`."""
        self._locked.try_run(self._owners.mark, self._owner, channel, None)

    def has_reader(self, channel: str) -> bool:
        """See `Inbox.has_reader`."""
        return self._locked.broker.sessions.has_reader(channel)

    def close(self) -> None:
        """See `Inbox.close`."""
        self._locked.try_run(self._close)

    def _close(self) -> None:
        self._owners.close(self._owner)
        self._locked.callbacks.pop(self._owner, None)

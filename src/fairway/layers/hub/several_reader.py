"""A session at several hubs: one for whoever waits, with a part at each hub.

A thread waits for all of them at once and takes what came first. What follows a delivery goes to the hub that gave it:
the numbers of its connections tell which one that is. Each hub may send as much ahead as the session's window holds.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fairway.broker.effects import Delivery, Effect, End, Ending
from fairway.errors import LayerUnavailable
from fairway.layers.hub.reader import GENERATION_SHIFT, LocalReader
from fairway.layers.hub.turns import Takers
from fairway.layers.waiters import LoopWaiter
from fairway.wire.hub import Pause, Shut, pack

if TYPE_CHECKING:
    from fairway.layers.hub.several import Branch, SeveralLayer


class Part(LocalReader):
    """What a session has at one hub. Who waits for it waits for the whole."""

    _takes_back = True  # one hub gives what all were asked for, and between hubs there is no order

    def __init__(self, whole: "SeveralReader", branch: "Branch", number: int) -> None:
        self._whole = whole
        self.branch = branch
        super().__init__(branch, number, whole.channels, whole.window, whole.threads)

    @property
    def taker(self) -> Takers:
        """See `LocalReader.taker`."""
        return self._whole

    @property
    def _waiting(self) -> int:
        return self._whole.waiting

    @_waiting.setter
    def _waiting(self, number: int) -> None:
        self._whole.waiting = number

    @property
    def _awaiting(self) -> deque[LoopWaiter]:
        return self._whole.awaiting

    @_awaiting.setter
    def _awaiting(self, waiters: deque[LoopWaiter]) -> None:
        """There is one list of them, and it is the whole's."""

    def put(self, delivery: Delivery, now: float, calls: list[Callable[[], object]]) -> None:
        """See `LocalReader.put`."""
        self.branch.learn(delivery.envelope.reply_channel)
        super().put(delivery, now, calls)

    @property
    def since(self) -> float:
        """When the first delivery came that nobody has begun; there is one."""
        return self._ready[0][1]

    def take(self) -> Delivery:
        """Take it. Called under the mutex."""
        return self._ready.popleft()[0]

    def demand(self) -> None:
        """Tell the hub how many more can be held. Called under the mutex."""
        self._demand()

    def halt(self) -> None:
        """Open no session any more. Called under the mutex."""
        self._stopped = True

    def hold_back(self) -> None:
        """Have the hub send no more, and give back what nobody has begun."""
        branch, number = self.branch, self._number
        if branch.line.is_up:
            with contextlib.suppress(LayerUnavailable):
                branch.call(lambda token: Pause(number, token), 0, branch.line.generation)
        with self._turns.mutex:
            if self._ready:
                self._give_back([])
        self._line.write_posted()

    def shut(self) -> None:
        """End the session here."""
        with self._turns.mutex:
            self.lose()
        self.branch.drop_reader(self._number)
        if self._line.is_up:
            self._line.post(pack(Shut(self._number)))
            self._line.write_posted()


class SeveralReader(LocalReader):
    """The whole of a session at several hubs."""

    def __init__(self, layer: "SeveralLayer", number: int, channels: list[str], window: int, threads: int) -> None:
        super().__init__(layer, number, channels, window, threads)  # type: ignore[arg-type]  # as far as it is used
        self.channels, self.window, self.threads = channels, window, threads
        self.waiting = 0
        self.awaiting: deque[LoopWaiter] = deque()
        self.parts = [Part(self, branch, number) for branch in layer.branches]

    # The waiting of the base is that of all parts, which know it by these names.

    @property
    def _waiting(self) -> int:
        return self.waiting

    @_waiting.setter
    def _waiting(self, number: int) -> None:
        self.waiting = number

    @property
    def _awaiting(self) -> deque[LoopWaiter]:
        return self.awaiting

    @_awaiting.setter
    def _awaiting(self, waiters: deque[LoopWaiter]) -> None:
        self.awaiting = waiters

    @property
    def renewals(self) -> int:  # type: ignore[override]
        """See `Reader.renewals`: each part is a session."""
        return sum(part.renewals for part in self.parts)

    def part_of(self, delivery: Delivery) -> Part:
        """Return the part that a delivery came to."""
        return self.parts[(delivery.receipt >> GENERATION_SHIFT) % len(self.parts)]

    # --- receiving ---------------------------------------------------------------------------------------------------

    @property
    def has_ready(self) -> bool:
        """See `LocalReader.has_ready`."""
        return any(part.has_ready for part in self.parts)

    def give_back(self, before: float) -> None:
        """See `LocalReader.give_back`."""
        for part in self.parts:
            part.give_back(before)

    def _take(self) -> Delivery | None:
        if self._stopped:
            return None
        ready = [part for part in self.parts if part.has_ready]
        if not ready:
            return None
        delivery = min(ready, key=lambda part: part.since).take()
        self._turns.note_take(time.monotonic(), self if self.has_ready else None)
        return delivery

    def _demand(self) -> None:
        for part in self.parts:
            part.demand()

    def _wait(self, deadline: float | None) -> Delivery | None:
        delivery = super()._wait(deadline)
        if delivery is not None:
            self._ask_less()
        return delivery

    def _step_out(self, waiter: LoopWaiter) -> Delivery | None:
        delivery = super()._step_out(waiter)
        if delivery is not None:
            self._ask_less()
        return delivery

    def _ask_less(self) -> None:
        """One hub has given what all were asked for."""
        if self._is_exact:
            with self._turns.mutex:
                self._demand()
            self._line.write_posted()

    def _end_waiting(self) -> None:
        with self._turns.mutex:
            self._waiting -= 1
            if self.has_ready:  # it came for the one that leaves
                self._turns.notice()
            self._demand()
            self._turns.leave()
        self._line.write_posted()

    # --- what follows a delivery -------------------------------------------------------------------------------------

    def commit(self, delivery: Delivery, outbox: Sequence[Effect] = (), ending: End = Ending.DONE) -> None:
        """See `Reader.commit`."""
        self.part_of(delivery).commit(delivery, outbox, ending)

    async def acommit(self, delivery: Delivery, outbox: Sequence[Effect] = (), ending: End = Ending.DONE) -> None:
        """See `Reader.acommit`."""
        await self.part_of(delivery).acommit(delivery, outbox, ending)

    def publish(self, delivery: Delivery, effect: Effect, timeout: float = 0) -> None:
        """See `Reader.publish`."""
        self.part_of(delivery).publish(delivery, effect, timeout)

    async def apublish(self, delivery: Delivery, effect: Effect, timeout: float = 0) -> None:
        """See `Reader.apublish`."""
        await self.part_of(delivery).apublish(delivery, effect, timeout)

    def release(self, delivery: Delivery) -> None:
        """See `Reader.release`."""
        self.part_of(delivery).release(delivery)

    def widen(self, more: int) -> None:
        """See `Reader.widen`."""
        for part in self.parts:
            part.widen(more)

    # --- stopping ----------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """See `Reader.pause`."""
        with self._turns.mutex:
            if self._stopped:
                return
            self._halt()
        self._dismiss()
        for part in self.parts:
            part.hold_back()

    def close(self) -> None:
        """See `Reader.close`."""
        with self._turns.mutex:
            self._halt()
        self._dismiss()
        if self._layer.drop_reader(self._number):
            for part in self.parts:
                part.shut()

    def stop(self) -> None:
        """See `LocalReader.stop`."""
        with self._turns.mutex:
            self._halt()
        self._dismiss()

    def _halt(self) -> None:
        self._stopped = True
        for part in self.parts:
            part.halt()

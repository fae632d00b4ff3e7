"""A session of a hub, as a worker holds it: many threads take deliveries from it, and commit over the same line.

A session of a worker says how many threads it has, and is sent up to its window ahead of them: no thread waits for the
hub between two messages. Any other session is *exact*: it is sent one delivery for each thread or coroutine that waits,
as if the broker were in this process.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard

from fairway.broker.effects import Again, Delivery, Effect, End, Ending, Send
from fairway.errors import DeliveryLost, LayerUnavailable
from fairway.layers.base import Reader
from fairway.layers.hub.line import FIRST_PAUSE, LONGEST_PAUSE, LineLost
from fairway.layers.hub.turns import Sleeper, Takers
from fairway.layers.waiters import UNSETTLED, LoopWaiter
from fairway.wire.hub import Commit, Demand, Frame, Open, Pause, PublishDuring, Release, Shut, pack

if TYPE_CHECKING:
    from fairway.layers.hub.client import HubLayer

GENERATION_SHIFT = 40
"""Receipts of different connections must not be taken for each other: each has its connection's number above these
bits."""

_RECEIPT = (1 << GENERATION_SHIFT) - 1


class LocalReader(Reader):
    """A session of a hub. When the hub comes back after it was away, the session is opened again."""

    _pack: Callable[[Frame], Any] = staticmethod(pack)
    """Makes of a frame what the line writes; lines of other kinds write other things."""
    _nothing: Any = b""
    _takes_back = False
    """Whether an exact session takes back what was asked for by one who left. At one hub it does not: the delivery may
    be on its way, the next one who waits would ask for the one after it, too, and that one would overtake it."""

    def __init__(self, layer: "HubLayer", number: int, channels: list[str], window: int, threads: int) -> None:
        self._layer = layer
        self._line = layer.line
        self._turns = layer.turns
        self._number = number
        self._channels = channels
        self._is_exact = not threads
        self._window = window if threads else 0
        self._threads = threads
        self._ready: deque[tuple[Delivery, float]] = deque()
        """Deliveries that nobody has begun, and when they came."""
        self._awaiting: deque[LoopWaiter] = deque()
        """Coroutines that wait for a delivery."""
        self._held: set[int] = set()
        """The receipts that this session holds, as far as it knows."""
        self._owed = 0
        """Places in the window that `Release` has left taken."""
        self._waiting = 0
        """Threads and coroutines that wait for a delivery."""
        self._asked = 0
        """Exact sessions: deliveries that were asked for and have not come."""
        self._stopped = False

    # --- called by the layer -----------------------------------------------------------------------------------------

    def opening(self, token: int) -> Frame:
        """Return the frame that opens this session."""
        return Open(self._number, token, self._channels, self._window, self._threads)

    def renew(self) -> Any:
        """Begin anew on another line; return what opens the session again. Called under the mutex."""
        self._owed = 0
        self.renewals += 1
        if self._stopped:
            return self._nothing
        self._asked = self._waiting if self._is_exact else 0
        opening = self._pack(self.opening(0))
        return opening + self._pack(Demand(self._number, self._asked)) if self._asked else opening

    def disown(self) -> None:
        """This is a forked process, and the session is the parent's."""
        self._stopped = True
        self.lose()
        self._awaiting.clear()

    def lose(self) -> None:
        """The line is lost, and with it all that was held. Called under the mutex."""
        self._held = set()
        self._ready.clear()

    def put(self, delivery: Delivery, now: float, calls: list[Callable[[], object]]) -> None:
        """Take a delivery in. Called under the mutex."""
        delivery.receipt += self._line.generation << GENERATION_SHIFT
        self._held.add(delivery.receipt)
        self._asked = max(0, self._asked - 1)
        while self._awaiting:
            waiter = self._awaiting.popleft()
            if waiter.result is UNSETTLED:
                waiter.result = delivery
                self._waiting -= 1
                calls.append(partial(self._wake, waiter))
                return
        self._ready.append((delivery, now))
        if len(self._ready) > self._waiting:  # nobody waits for it (any more): soon it goes back
            self._turns.notice()

    def recall(self, receipts: list[int]) -> None:
        """These deliveries are none any more. Called under the mutex."""
        base = self._line.generation << GENERATION_SHIFT
        gone = {receipt + base for receipt in receipts}
        self._held -= gone
        for entry in [entry for entry in self._ready if entry[0].receipt in gone]:
            self._ready.remove(entry)

    @property
    def taker(self) -> Takers:
        """Whom the threads that wait for these deliveries wait for: a session at several hubs has a part at each."""
        return self

    @property
    def has_ready(self) -> bool:
        """Whether there is a delivery that nobody has begun."""
        return bool(self._ready)

    def give_back(self, before: float) -> None:
        """Give back what nobody has begun, since all threads are busy, if the first of it came before that time."""
        with self._turns.mutex:
            if self._ready and self._ready[0][1] < before:
                self._give_back([])
        self._line.write_posted()

    # --- receiving ---------------------------------------------------------------------------------------------------

    def receive(self, timeout: float | None = None) -> Delivery | None:
        """See `Reader.receive`. While the hub is away it waits for it."""
        with self._turns.mutex:
            delivery = self._take()
            if self._stopped or (delivery is not None and not self._is_exact):
                return delivery
            if delivery is None:
                self._waiting += 1
            self._demand()
        self._line.write_posted()
        if delivery is not None:
            return delivery
        try:
            delivery = self._wait(None if timeout is None else time.monotonic() + timeout)
        finally:
            if delivery is None:
                self._end_waiting()
        return delivery

    def _wait(self, deadline: float | None) -> Delivery | None:
        """Wait for a delivery, and for the line while it is away, taking turns in reading it."""
        turns = self._turns
        pause = FIRST_PAUSE
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            with turns.mutex:
                delivery = self._take()
                if delivery is not None:
                    self._waiting -= 1
                    return delivery
                if self._stopped or (left is not None and left <= 0):
                    return None
                sleeper = None if turns.try_to_lead() else Sleeper(self)
                if sleeper:
                    turns.followers.append(sleeper)
            if sleeper:
                self._sleep(sleeper, left)
            elif self._line.is_up:
                turns.lead(left, self)
                pause = FIRST_PAUSE
            else:
                pause = self._reconnect(pause, left)

    def _take(self) -> Delivery | None:
        """Take a delivery that is there. Called under the mutex."""
        if self._stopped or not self._ready:
            return None
        delivery = self._ready.popleft()[0]
        self._turns.note_take(time.monotonic(), self if self._ready else None)
        return delivery

    def _demand(self) -> None:
        """Tell the hub how many deliveries more can be held. Called under the mutex.

        An exact session asks for one delivery for each who waits and has none here. Any other asks for what it has
        released, once somebody waits.
        """
        if self._is_exact:
            more = max(0, self._waiting - len(self._ready)) - self._asked
            if more < 0 and not self._takes_back:
                more = 0
            self._asked += more
        else:
            more = self._owed if self._waiting else 0
            self._owed -= more
        if more:
            self._line.post(self._pack(Demand(self._number, more)))

    def _end_waiting(self) -> None:
        """One waits no more, and got nothing."""
        with self._turns.mutex:
            self._waiting -= 1
            if len(self._ready) > self._waiting:  # it came for the one that leaves
                self._turns.notice()
            self._demand()
            self._turns.leave()
        self._line.write_posted()

    def _sleep(self, sleeper: Sleeper, timeout: float | None) -> None:
        try:
            sleeper.sleep(timeout)
        finally:
            with self._turns.mutex:
                self._turns.step_out(sleeper)

    def _reconnect(self, pause: float, left: float | None) -> float:
        """Try to reach the hub, as the leader; return how long to wait after the next failure."""
        try:
            self._turns.reconnect(pause if left is None else min(pause, left))
        finally:
            with self._turns.mutex:
                self._turns.is_attended = False
        return min(LONGEST_PAUSE, pause * 2)

    async def areceive(self, timeout: float | None = None) -> Delivery | None:
        """See `Reader.areceive`."""
        turns = self._turns
        with turns.mutex:
            delivery = self._take()
            if self._stopped or (delivery is not None and not self._is_exact):
                return delivery
            waiter = LoopWaiter()
            if delivery is None:
                self._waiting += 1
                self._awaiting.append(waiter)
                turns.coroutines += 1
            self._demand()
        self._line.write_posted()
        if delivery is not None:
            return delivery
        turns.watch()
        try:
            await waiter.wait(timeout)
        except BaseException:
            delivery = self._step_out(waiter)
            if delivery is not None:
                self.release(delivery)
            raise
        return self._step_out(waiter)

    def _step_out(self, waiter: LoopWaiter) -> Delivery | None:
        """A coroutine waits no more; return what it got."""
        with self._turns.mutex:
            self._turns.coroutines -= 1
            if waiter.result is not UNSETTLED:
                return waiter.result  # type: ignore[no-any-return]
            waiter.result = None
            self._awaiting.remove(waiter)
        self._end_waiting()
        return None

    def _wake(self, waiter: LoopWaiter) -> None:
        """Tell a waiter about its delivery; when its event loop is closed nobody waits, and the delivery goes back."""
        if not waiter.wake():
            self.release(waiter.result)

    # --- what follows a delivery -------------------------------------------------------------------------------------

    def commit(self, delivery: Delivery, outbox: Sequence[Effect] = (), ending: End = Ending.DONE) -> None:
        """See `Reader.commit`. It is written when this returns."""
        data = self._commit_frame(delivery, outbox, ending)
        try:
            self._line.write(data, delivery.receipt >> GENERATION_SHIFT)
        except LineLost as error:
            raise no_longer_held(delivery) from error

    async def acommit(self, delivery: Delivery, outbox: Sequence[Effect] = (), ending: End = Ending.DONE) -> None:
        """See `Reader.acommit`."""
        data = self._commit_frame(delivery, outbox, ending)
        try:
            await self._line.awrite(data, delivery.receipt >> GENERATION_SHIFT)
        except LineLost as error:
            raise no_longer_held(delivery) from error

    def _commit_frame(self, delivery: Delivery, outbox: Sequence[Effect], ending: End) -> Any:
        receipt = delivery.receipt & _RECEIPT
        if isinstance(ending, Again):
            data = self._pack(Commit(self._number, receipt, Ending.LATER, outbox, ending))
        else:
            data = self._pack(Commit(self._number, receipt, ending, outbox))
        try:
            self._held.remove(delivery.receipt)
        except KeyError:
            raise no_longer_held(delivery) from None
        return data

    def publish(self, delivery: Delivery, effect: Effect, timeout: float = 0) -> None:
        """See `Reader.publish`."""
        if not is_answer(effect, delivery):
            self._layer.publish(effect, timeout)
            return
        self._check_held(delivery)
        make = partial(self._publishing, delivery, effect, timeout)
        try:
            self._layer.call(make, timeout, delivery.receipt >> GENERATION_SHIFT)
        except LineLost as error:
            raise no_longer_held(delivery) from error

    async def apublish(self, delivery: Delivery, effect: Effect, timeout: float = 0) -> None:
        """See `Reader.apublish`."""
        if not is_answer(effect, delivery):
            await self._layer.apublish(effect, timeout)
            return
        self._check_held(delivery)
        make = partial(self._publishing, delivery, effect, timeout)
        try:
            await self._layer.acall(make, timeout, delivery.receipt >> GENERATION_SHIFT)
        except LineLost as error:
            raise no_longer_held(delivery) from error

    def _publishing(self, delivery: Delivery, effect: Effect, timeout: float, token: int) -> Frame:
        return PublishDuring(self._number, delivery.receipt & _RECEIPT, token, effect, timeout)

    def _check_held(self, delivery: Delivery) -> None:
        if delivery.receipt not in self._held:
            raise no_longer_held(delivery)

    def release(self, delivery: Delivery) -> None:
        """See `Reader.release`."""
        with self._turns.mutex:
            if delivery.receipt in self._held:
                self._give_back([delivery.receipt])
        self._line.write_posted()

    def _give_back(self, receipts: list[int]) -> None:
        """Give back these and all that came after them, or they would be overtaken. Called under the mutex."""
        receipts += [ready.receipt for ready, _ in self._ready]
        self._ready.clear()
        self._held.difference_update(receipts)
        self._line.post(self._pack(Release(self._number, [receipt & _RECEIPT for receipt in receipts])))
        if not self._is_exact:
            self._owed += len(receipts)
        self._demand()

    def widen(self, more: int) -> None:
        """See `Reader.widen`."""
        if not self._is_exact:
            with self._turns.mutex:
                self._window += more
                self._line.post(self._pack(Demand(self._number, more, more)))
            self._line.write_posted()

    # --- stopping ----------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """See `Reader.pause`."""
        with self._turns.mutex:
            if self._stopped:
                return
            self._stopped = True
        self._dismiss()
        if self._line.is_up:
            with contextlib.suppress(LayerUnavailable):  # a hub that is away takes nothing for held that it gave us
                self._layer.call(lambda token: Pause(self._number, token), 0)
        with self._turns.mutex:
            if self._ready:
                self._give_back([])
        self._line.write_posted()

    def close(self) -> None:
        """See `Reader.close`."""
        with self._turns.mutex:
            self._stopped = True
            self.lose()
        self._dismiss()
        if self._layer.drop_reader(self._number):
            self._line.post(self._pack(Shut(self._number)))
            self._line.write_posted()

    def stop(self) -> None:
        """The layer is closed: nobody waits here any more."""
        self._stopped = True
        self._dismiss()

    def _dismiss(self) -> None:
        """Let nobody wait here any more."""
        calls: list[Callable[[], Any]] = []
        with self._turns.mutex:
            while self._turns.wake_taker(self):
                pass
            for waiter in self._awaiting:
                waiter.result = None
                self._waiting -= 1
                calls.append(waiter.wake)
            self._awaiting.clear()
        for call in calls:
            call()
        self._layer.nudge()


def is_answer(effect: Effect, delivery: Delivery) -> TypeGuard[Send]:
    """Say whether an effect answers the connection that a delivery came from."""
    return isinstance(effect, Send) and effect.channel == delivery.envelope.reply_channel


def no_longer_held(delivery: Delivery) -> DeliveryLost:
    """Return the error about a delivery that this process does not hold any more."""
    msg = f"receipt {delivery.receipt} is no longer held; another reader has the message, or had it"
    return DeliveryLost(msg)

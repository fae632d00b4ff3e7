"""The sessions of one client of the hub: what it reads, what it holds, and what it commits.

A client numbers its readers itself; each is a seat here, and a session of the broker. A client may be behind: frames
for a reader that is gone, and for deliveries that are no longer held, change nothing.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from fairway.broker.effects import Delivery
from fairway.broker.sessions import Session
from fairway.errors import DeliveryLost, FairwayError
from fairway.layers.hub.calls import failure, tell_when_known
from fairway.layers.locked import Calls, LockedBroker
from fairway.wire.hub import (
    Answer,
    Commit,
    Delivered,
    Demand,
    Frame,
    FrameBroken,
    Open,
    Pause,
    Recalled,
    Release,
    Shut,
    pack,
)

logger = logging.getLogger("fairway.hub")

MOST_SESSIONS = 100
"""Sessions of one line. A process has one for each layer alias that reads; more are an accident."""

MOST_WINDOW = 10_000
"""Deliveries that one session may hold."""


class Client(Protocol):
    """A peer, as far as its sessions know it."""

    name: str
    version: int
    outgoing: deque[bytes]
    is_flushing: bool

    def put(self, frame: Frame) -> None:
        """Send a frame."""

    def schedule(self) -> None:
        """Have `outgoing` sent."""

    def dismiss_soon(self) -> None:
        """End the line since the layer is closed."""


class Seat:
    """A session of a peer, as the broker's shell sees it."""

    __slots__ = ("_client", "number", "refill", "session")

    def __init__(self, client: Client, number: int, session: int, refill: int) -> None:
        self._client = client
        self.number = number
        self.session = session
        self.refill = refill
        """How many deliveries more a commit makes room for."""

    def settle(self, delivery: Delivery, calls: Calls) -> None:  # noqa: ARG002
        """Send a delivery on."""
        client = self._client
        client.outgoing.append(pack(Delivered(self.number, delivery)))
        if not client.is_flushing:
            client.schedule()

    def dismiss(self) -> Calls:
        """The layer closes: the line ends with it."""
        return [self._client.dismiss_soon]


class Seats:
    """All sessions of one line. What handles a frame is called by the line itself.

    Parameters:
        client: whose sessions these are.
        locked: the broker.
        tell_readers: called when sessions have come, paused or gone.
    """

    __slots__ = ("_broker", "_client", "_locked", "_tell_readers", "taken")

    def __init__(self, client: Client, locked: LockedBroker, tell_readers: Callable[[], None]) -> None:
        self._client = client
        self._locked = locked
        self._broker = locked.broker
        self._tell_readers = tell_readers
        self.taken: dict[int, Seat] = {}
        """The client's number of a reader -> its seat."""

    def open(self, frame: Open) -> None:
        """Begin a session.

        Raises:
            FrameBroken: there are too many.
            LayerUnavailable: the layer is closed.
        """
        if frame.reader in self.taken:  # its client opened it again while it was about to open it for the first time
            self._client.put(Answer(frame.token))
            return
        if len(self.taken) >= MOST_SESSIONS:
            msg = f"there are {MOST_SESSIONS} sessions on this line"
            raise FrameBroken(msg)
        self._locked.run(self._open_session, frame)
        seat = self.taken.get(frame.reader)
        if seat:
            self._tell_readers()
            if self._is_to_be_known(frame):
                tell_when_known(self._client, self._locked, frame.token, "sessions", seat.session)

    def _open_session(self, frame: Open) -> None:
        window = max(0, min(frame.window, MOST_WINDOW))
        reserve = window - frame.threads if 0 < frame.threads < window else 0
        try:
            session = self._broker.open_session(frame.channels, reserve)
        except FairwayError as error:
            self._client.put(failure(frame.token, error))
            return
        seat = Seat(self._client, frame.reader, session, int(window > 0))
        self.taken[frame.reader] = self._locked.readers[session] = seat
        if not self._is_to_be_known(frame):
            self._client.put(Answer(frame.token))
        self._broker.demand(session, window, time.monotonic())

    def _is_to_be_known(self, frame: Open) -> bool:
        """Whether other hosts have to know of the session first: what is sent to a channel that nobody owns is lost."""
        return self._locked.joined is not None and any(name.endswith("!") for name in frame.channels)

    def commit(self, frames: Sequence[Commit]) -> None:
        """End deliveries, and publish what came of them: all that came at once, under one lock."""
        self._locked.run(self._commit_deliveries, frames)

    def _commit_deliveries(self, frames: Sequence[Commit]) -> None:
        now = time.monotonic()
        commit, taken = self._broker.commit, self.taken
        for frame in frames:
            seat = taken.get(frame.reader)
            if seat is None:
                continue
            try:
                commit(seat.session, frame.receipt, frame.outbox, frame.again or frame.ending, now, seat.refill)
            except DeliveryLost:
                name = self._client.name
                logger.info("%s committed a delivery that it does not hold any more: nothing is published", name)

    def release(self, frame: Release) -> None:
        """Put deliveries back."""
        seat = self.taken.get(frame.reader)
        if seat:
            self._locked.run(self._broker.release, seat.session, *frame.receipts)

    def demand(self, frame: Demand) -> None:
        """Let a session hold more, or less."""
        seat = self.taken.get(frame.reader)
        if seat:
            self._locked.run(self._demand_more, self._broker.sessions[seat.session], frame)

    def _demand_more(self, session: Session, frame: Demand) -> None:
        most = MOST_WINDOW - len(session.leases) - session.demand
        session.reserve = max(0, min(session.reserve + frame.ahead, MOST_WINDOW))
        self._broker.demand(session.id, max(-MOST_WINDOW, min(frame.more, most)), time.monotonic())

    def pause(self, frame: Pause) -> None:
        """Deliver nothing more to a session."""
        seat = self.taken.get(frame.reader)
        if seat:
            self._locked.run(self._broker.pause, seat.session)
            self._tell_readers()
        self._client.put(Answer(frame.token))

    def shut(self, frame: Shut) -> None:
        """End a session."""
        seat = self.taken.get(frame.reader)
        if seat:
            self._end_session(seat)

    def end(self) -> None:
        """End all sessions: what they hold is delivered to others."""
        for seat in tuple(self.taken.values()):
            self._end_session(seat)

    def _end_session(self, seat: Seat) -> None:
        del self.taken[seat.number]
        self._locked.readers.pop(seat.session, None)
        self._locked.try_run(self._broker.close_session, seat.session, time.monotonic())
        self._tell_readers()

    def find(self, reader: int, receipt: int) -> tuple[Session | None, Delivery | None]:
        """Return a session and a delivery that it holds; None for what is not there (any more)."""
        seat = self.taken.get(reader)
        session = self._broker.sessions.get(seat.session) if seat else None
        return session, session.leases.get(receipt) if session else None

    # --- when the hub is emptied -------------------------------------------------------------------------------------

    def held(self) -> list[tuple[Seat, list[int]]]:
        """Return the receipts of all that is held. Called under the lock."""
        sessions = self._broker.sessions
        return [(seat, list(sessions[seat.session].leases)) for seat in self.taken.values()]

    def recall(self, held: list[tuple[Seat, list[int]]]) -> None:
        """Take deliveries back that are none any more. Called under the lock."""
        for seat, receipts in held:
            if receipts and self._client.version >= 2:
                self._client.put(Recalled(seat.number, receipts))
            if receipts and seat.refill:
                self._broker.demand(seat.session, len(receipts), time.monotonic())

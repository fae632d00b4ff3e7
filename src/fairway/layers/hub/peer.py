"""One client of the hub: its frames become commands of the broker, and what the broker has for it becomes frames.

Everything for a peer that comes up in one turn of the event loop leaves in one write. What a peer does not read stays
bounded: deliveries by its window, inbox items by the inbox's limit, and answers because a peer that does not read is
not read either.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from fairway.broker.effects import Delivery
from fairway.broker.inbox import Mark as ConnectionMark
from fairway.broker.sessions import Session
from fairway.errors import DeliveryLost, FairwayError, LayerUnavailable
from fairway.layers.hub import calls
from fairway.layers.locked import Calls
from fairway.names import check_channel
from fairway.wire.hub import (
    FRAME_LIMIT,
    MAGIC,
    Announce,
    Answer,
    Call,
    Commit,
    Delivered,
    Demand,
    Frame,
    FrameBroken,
    FrameReader,
    FromClient,
    Hello,
    Leave,
    Mark,
    Open,
    Own,
    Pause,
    Ping,
    Pong,
    Publish,
    PublishDuring,
    Readers,
    Recalled,
    Refusal,
    Release,
    Reply,
    Shut,
    Submit,
    Welcome,
    Withdraw,
    pack,
    pack_items,
)

if TYPE_CHECKING:
    from fairway.layers.hub.server import HubServer

logger = logging.getLogger("fairway.hub")

MARKS = {"congested": ConnectionMark.CONGESTED, "departed": ConnectionMark.DEPARTED, "": None}
MOST_SESSIONS = 100
"""Sessions of one line. A process has one for each layer alias that reads; more are an accident."""

MOST_WINDOW = 10_000
"""Deliveries that one session may hold."""

MOST_PUBLISHES = 10_000
"""Publishes of one line that may wait for room; the next ones do not wait."""

HIGH_WATER = 1024 * 1024
"""Bytes that wait for a peer before it is read no further, and before its inbox items are left where they are."""

LARGE_ANSWER = 64 * 1024
"""An answer that is written before the next question is looked at: many such questions fit into a few bytes."""

OWNER_PATIENCE = 6
"""A server process has so many times longer to read on: with its line all it has at the hub is forgotten."""

CLOSE_TIMEOUT = 1.0
"""Seconds for the last words to leave."""


class Seat:
    """A session of a peer, as the broker's shell sees it."""

    __slots__ = ("number", "peer", "refill", "session")

    def __init__(self, peer: "Peer", number: int, session: int, refill: int) -> None:
        self.peer = peer
        self.number = number
        self.session = session
        self.refill = refill
        """How many deliveries more a commit makes room for."""

    def settle(self, delivery: Delivery, calls: Calls) -> None:  # noqa: ARG002
        """Send a delivery on."""
        peer = self.peer
        peer.outgoing.append(pack(Delivered(self.number, delivery)))
        if not peer.is_flushing:
            peer.schedule()

    def dismiss(self) -> Calls:
        """The layer closes: the line ends with it."""
        return [self.peer.dismiss_soon]


class Peer(asyncio.Protocol):
    """A line to one client."""

    def __init__(self, hub: "HubServer") -> None:
        self._hub = hub
        self._locked = hub.locked
        self._broker = hub.locked.broker
        self._transport = cast("asyncio.Transport", None)
        self._frames: FrameReader[Any] = FrameReader(FromClient)
        self.outgoing: deque[bytes] = deque()
        """Frames that leave at the end of this turn."""
        self.is_flushing = False
        self._is_slow = False
        self._is_cut = False
        self._is_news = False
        """Whether the owner has not been told yet who is read."""
        self._backlog: list[Frame] = []
        """Frames that came with those whose answers the peer does not read."""
        self._unread = 0
        self._since = self._heard = hub.loop.time()
        self._version = 0
        self.name = "a client"
        self.seats: dict[int, Seat] = {}
        self.owner = 0
        """The number of this peer's inbox; 0 without one."""
        self.publishing: dict[int, tuple[str, int]] = {}
        """Token of the client -> channel and token of the broker, for publishes that wait for room."""
        self._handlers: dict[type[Frame], Callable[[Any], None]] = {Hello: self._greet}

    def _handlers_after_hello(self) -> dict[type[Frame], Callable[[Any], None]]:
        return {
            Commit: self._commit,
            Submit: self._submit,
            Release: self._release,
            Demand: self._demand,
            Open: self._open,
            Pause: self._pause,
            Shut: self._shut,
            PublishDuring: self._publish_during,
            Publish: self._publish,
            Withdraw: self._withdraw,
            Call: self._call,
            Ping: self._ping,
            Own: self._own,
            Leave: self._leave,
            Reply: self._reply,
            Mark: self._mark,
            Announce: self._announce,
        }

    # --- the line ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the hello."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        try:
            self._hub.welcome(self)
        except LayerUnavailable as error:
            self.dismiss(str(error))

    def data_received(self, data: bytes) -> None:
        """Act on the frames that these bytes complete."""
        self._heard = self._hub.loop.time()
        try:
            frames = self._frames.receive(data)
        except FrameBroken as error:
            self.cut(error.reason if self._version else f"it does not speak the protocol of a hub: {error.reason}")
        else:
            self._act(frames)

    def _act(self, frames: list[Frame]) -> None:
        try:
            for frame in frames:
                if self._is_slow:
                    self._backlog.append(frame)
                    continue
                handler = self._handlers.get(type(frame))
                if handler is None:
                    msg = f"a {type(frame).__name__} frame has no place here"
                    raise FrameBroken(msg)
                handler(frame)
        except FairwayError as error:
            self.cut(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything: what was held is delivered to others."""
        if exc is not None:
            # A process that has ended its sessions and goes may leave something unread; that breaks a line, too.
            logger.log(logging.INFO if self.seats else logging.DEBUG, "the line of %s broke: %s", self.name, exc)
        elif self._frames.is_unfinished and not self._is_cut:
            logger.warning("the line of %s ended within a frame", self.name)
        self._hub.leave(self)
        for seat in tuple(self.seats.values()):
            self._end_session(seat)
        publishing = tuple(self.publishing.values())
        self.publishing.clear()
        for channel, token in publishing:
            self._locked.waiting.pop(token, None)
            self._locked.try_run(self._broker.withdraw, channel, token)
        if self.owner:
            self._locked.callbacks.pop(self.owner, None)
            self._locked.try_run(self._broker.owners.close, self.owner)

    def pause_writing(self) -> None:
        """Read a peer that does not read no further."""
        self._is_slow = True
        self._since = self._hub.loop.time()
        self._unread = self._transport.get_write_buffer_size()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on, and send what had to wait."""
        self._is_slow = False
        self._heard = self._hub.loop.time()
        backlog, self._backlog = self._backlog, []
        self._act(backlog)
        if not self._is_slow:
            self._transport.resume_reading()
            self.schedule()

    def forgive(self, now: float) -> None:
        """The hub itself has slept: silence until now proves nothing."""
        self._heard = self._since = now

    def fault(self, now: float, silence: float, hello_timeout: float) -> str:
        """Return why this line has to end, or ""."""
        if not self._version:
            return f"no hello within {hello_timeout:g} s" if now - self._since > hello_timeout else ""
        if self._is_slow:
            unread = self._transport.get_write_buffer_size()
            if unread < self._unread:
                self._since = now
            self._unread = unread
            patience = silence * OWNER_PATIENCE if self.owner else silence
            return f"it has read nothing for {patience:g} s" if now - self._since > patience else ""
        if now - self._heard > silence:
            if self._frames.is_unfinished:
                return f"a frame that it has begun did not go on for {silence:g} s"
            if self.seats:
                return f"no sign of life for {silence:g} s"
        return ""

    def cut(self, reason: str) -> None:
        """End the line at once, with a line in the log."""
        if self._transport.is_closing():
            return
        logger.warning("the hub cuts %s off: %.300s", self.name, reason)
        self._is_cut = True
        self.dismiss(reason)

    def dismiss(self, reason: str) -> None:
        """End the line, telling why."""
        if self._transport.is_closing():
            return
        self._flush()
        if self._is_slow:
            self._transport.abort()
            return
        self._transport.write(pack(Refusal(reason[:1000])))
        self._transport.close()
        self._hub.loop.call_later(CLOSE_TIMEOUT, self._transport.abort)

    def dismiss_soon(self) -> None:
        """End the line since the layer is closed, in whatever thread that happens."""
        self._hub.call(partial(self.dismiss, "the layer is closed"))

    # --- to the client -----------------------------------------------------------------------------------------------

    def put(self, frame: Frame) -> None:
        """Send a frame with everything else of this turn. May be called from any thread."""
        self.outgoing.append(pack(frame))
        if not self.is_flushing:
            self.schedule()

    def schedule(self) -> None:
        """Have everything sent that is there at the end of this turn."""
        self.is_flushing = True
        self._hub.call(self._flush)

    def _flush(self) -> None:
        self.is_flushing = False
        outgoing = self.outgoing
        if self._transport.is_closing():
            outgoing.clear()
            return
        if self.owner and not self._is_slow:
            if self._is_news:
                self._is_news = False
                outgoing.append(pack(Readers(self._hub.readers())))
            items = self._locked.try_run(self._broker.owners.drain, self.owner)
            if items:
                outgoing.extend(pack_items(items))
        if outgoing:
            parts = []
            while outgoing:
                parts.append(outgoing.popleft())
            self._transport.write(b"".join(parts) if len(parts) > 1 else parts[0])

    def tell_readers(self) -> None:
        """Tell the owner which channels are read, once it reads on."""
        if self._version >= 2:
            self._is_news = True
            self.schedule()

    # --- hello -------------------------------------------------------------------------------------------------------

    def _greet(self, hello: Hello) -> None:
        """Agree on a version, or refuse."""
        oldest, newest = self._hub.versions
        self.name = "".join(char if char.isprintable() else "?" for char in hello.name[:80]) or self.name
        if hello.magic != MAGIC:
            self.cut("its hello is of another protocol")
        elif hello.newest < oldest or hello.oldest > newest:
            self.cut(
                f"it speaks versions {hello.oldest} to {hello.newest} of the protocol, this hub {oldest} to {newest}; "
                "upgrade the older of the two"
            )
        else:
            self._version = min(hello.newest, newest)
            self._frames.limit = FRAME_LIMIT
            self._handlers = self._handlers_after_hello()
            self.put(Welcome(self._version, self._broker.epoch))

    # --- sessions ----------------------------------------------------------------------------------------------------

    def _open(self, frame: Open) -> None:
        if frame.reader in self.seats:  # its client opened it again while it was about to open it for the first time
            self.put(Answer(frame.token))
            return
        if len(self.seats) >= MOST_SESSIONS:
            msg = f"there are {MOST_SESSIONS} sessions on this line"
            raise FrameBroken(msg)
        self._locked.run(self._open_session, frame)
        if frame.reader in self.seats:
            self._hub.tell_readers()

    def _open_session(self, frame: Open) -> None:
        window = max(0, min(frame.window, MOST_WINDOW))
        reserve = window - frame.threads if 0 < frame.threads < window else 0
        try:
            session = self._broker.open_session(frame.channels, reserve)
        except FairwayError as error:
            self.put(calls.failure(frame.token, error))
            return
        self.seats[frame.reader] = self._locked.readers[session] = Seat(self, frame.reader, session, int(window > 0))
        self.put(Answer(frame.token))
        self._broker.demand(session, window, time.monotonic())

    def _commit(self, frame: Commit) -> None:
        seat = self.seats.get(frame.reader)
        if seat:
            self._locked.run(self._commit_delivery, seat, frame)

    def _commit_delivery(self, seat: Seat, frame: Commit) -> None:
        now = time.monotonic()
        try:
            self._broker.commit(seat.session, frame.receipt, frame.outbox, frame.ending, now)
        except DeliveryLost:
            logger.info("%s committed a delivery that it does not hold any more: nothing is published", self.name)
        else:
            if seat.refill:
                self._broker.demand(seat.session, 1, now)

    def _release(self, frame: Release) -> None:
        seat = self.seats.get(frame.reader)
        if seat:
            self._locked.run(self._broker.release, seat.session, *frame.receipts)

    def _demand(self, frame: Demand) -> None:
        seat = self.seats.get(frame.reader)
        if seat:
            self._locked.run(self._demand_more, self._broker.sessions[seat.session], frame)

    def _demand_more(self, session: Session, frame: Demand) -> None:
        most = MOST_WINDOW - len(session.leases) - session.demand
        session.reserve = max(0, min(session.reserve + frame.ahead, MOST_WINDOW))
        self._broker.demand(session.id, max(-MOST_WINDOW, min(frame.more, most)), time.monotonic())

    def _pause(self, frame: Pause) -> None:
        seat = self.seats.get(frame.reader)
        if seat:
            self._locked.run(self._broker.pause, seat.session)
            self._hub.tell_readers()
        self.put(Answer(frame.token))

    def _shut(self, frame: Shut) -> None:
        seat = self.seats.get(frame.reader)
        if seat:
            self._end_session(seat)

    def _end_session(self, seat: Seat) -> None:
        del self.seats[seat.number]
        self._locked.readers.pop(seat.session, None)
        self._locked.try_run(self._broker.close_session, seat.session, time.monotonic())
        self._hub.tell_readers()

    # --- calls -------------------------------------------------------------------------------------------------------

    def _publish(self, frame: Publish) -> None:
        timeout = self._check_wait(frame)
        calls.publish(self, self._locked, frame.token, frame.effect, timeout, self._broker.publish, frame.effect)

    def _check_wait(self, frame: Publish | PublishDuring) -> float:
        """Return how long a publish may wait for room."""
        if frame.token in self.publishing:
            msg = f"token {frame.token} is of another publish, which still waits"
            raise FrameBroken(msg)
        return frame.timeout if len(self.publishing) < MOST_PUBLISHES else 0

    def _publish_during(self, frame: PublishDuring) -> None:
        seat = self.seats.get(frame.reader)
        session = self._broker.sessions.get(seat.session) if seat else None
        delivery = session.leases.get(frame.receipt) if session else None
        if session is None or delivery is None:
            error = DeliveryLost(f"receipt {frame.receipt} is no longer held, so its connection is not answered")
            self.put(calls.failure(frame.token, error))
            return
        command = partial(self._broker.publish_during, session.id, delivery)
        calls.publish(self, self._locked, frame.token, frame.effect, self._check_wait(frame), command, frame.effect)

    def _withdraw(self, frame: Withdraw) -> None:
        channel, token = self.publishing.pop(frame.token, ("", 0))
        if token:
            self._locked.waiting.pop(token, None)
            self._locked.run(self._broker.withdraw, channel, token)

    def _call(self, frame: Call) -> None:
        calls.call(self, self._hub.layer, frame)
        if self.outgoing and len(self.outgoing[-1]) > LARGE_ANSWER:
            self._flush()

    def empty_hub(self) -> None:
        """Drop all messages; tell every client which of its deliveries are none any more. Called under the lock."""
        held = [
            (peer, seat, list(self._broker.sessions[seat.session].leases))
            for peer in self._hub.peers
            for seat in peer.seats.values()
        ]
        self._broker.flush()
        for peer, seat, receipts in held:
            if receipts:
                peer.recall(seat, receipts)

    def recall(self, seat: Seat, receipts: list[int]) -> None:
        """Take deliveries back that are none any more. Called under the lock."""
        if self._version >= 2:
            self.put(Recalled(seat.number, receipts))
        if seat.refill:
            self._broker.demand(seat.session, len(receipts), time.monotonic())

    def _ping(self, _frame: Ping) -> None:
        self.put(Pong())

    # --- owners ------------------------------------------------------------------------------------------------------

    def _own(self, frame: Own) -> None:
        if self.owner or not frame.prefixes or not all(prefix.endswith("!") for prefix in frame.prefixes):
            msg = "a line owns one inbox, with prefixes that end in '!'"
            raise FrameBroken(msg)
        self.owner = self._locked.run(self._open_owner, [check_channel(prefix) for prefix in frame.prefixes])
        self.put(Answer(frame.token))
        self.tell_readers()

    def _open_owner(self, prefixes: list[str]) -> int:
        owner = self._broker.owners.open(prefixes)
        self._locked.callbacks[owner] = self.schedule
        return owner

    def _submit(self, frame: Submit) -> None:
        self._locked.run(self._broker.submit, self.owner, frame.envelope, frame.body, time.monotonic())

    def _leave(self, frame: Leave) -> None:
        self._locked.run(self._broker.owners.leave, self.owner, frame.group, frame.generation)

    def _reply(self, frame: Reply) -> None:
        self._locked.run(self._broker.owners.answer, self.owner, frame.token, frame.answer)

    def _mark(self, frame: Mark) -> None:
        self._locked.run(self._broker.owners.mark, self.owner, frame.channel, MARKS[frame.mark])

    def _announce(self, frame: Announce) -> None:
        self._locked.run(self._broker.owners.announce, self.owner, frame.groups)

"""One client of the hub: its line, its publishes and calls, and its inbox. Its sessions are `seats`.

Its frames become commands of the broker, and what the broker has for it becomes frames.

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
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

from fairway.broker.inbox import Mark as ConnectionMark
from fairway.broker.wills import Will as Testament
from fairway.errors import DeliveryLost, FairwayError, LayerUnavailable
from fairway.layers.hub import calls
from fairway.layers.hub.estates import Estate, process_of
from fairway.layers.hub.seats import Seats
from fairway.names import check_channel
from fairway.wire.hub import (
    FRAME_LIMIT,
    MAGIC,
    Announce,
    Call,
    Commit,
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
    Refusal,
    Release,
    Reply,
    Shut,
    Submit,
    Welcome,
    Will,
    Withdraw,
    pack,
    pack_items,
)

if TYPE_CHECKING:
    from fairway.layers.hub.server import HubServer

logger = logging.getLogger("fairway.hub")

MARKS = {"congested": ConnectionMark.CONGESTED, "departed": ConnectionMark.DEPARTED, "": None}

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
        self.version = 0
        """Of the protocol; 0 before the hello."""
        self.name = "a client"
        self._proof = b""
        self.seats = Seats(self, hub.locked, hub.tell_readers)
        self._process = 0
        self.owner = 0
        """The number of this peer's inbox; 0 without one."""
        self.publishing: dict[int, tuple[str, int]] = {}
        """Token of the client -> channel and token of the broker, for publishes that wait for room."""
        self._handlers: dict[type[Frame], Callable[[Any], None]] = {Hello: self._greet}

    def _handlers_after_hello(self) -> dict[type[Frame], Callable[[Any], None]]:
        seats = self.seats
        return {
            Submit: self._submit,
            Release: seats.release,
            Demand: seats.demand,
            Open: seats.open,
            Pause: seats.pause,
            Shut: seats.shut,
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
            Will: self._will,
        }

    # --- the line ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the hello."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self._process = process_of(transport.get_extra_info("socket"))
        try:
            self._hub.welcome(self)
        except LayerUnavailable as error:
            self.dismiss(str(error))

    def take_over(self, transport: asyncio.Transport, hello: Hello, proof: bytes) -> None:
        """Go on with a client that has shown over TCP that it knows the secret, as `proof` shows that we do."""
        transport.set_protocol(self)
        self._proof = proof
        self.connection_made(transport)
        if not transport.is_closing():
            self._act([hello])

    def data_received(self, data: bytes) -> None:
        """Act on the frames that these bytes complete."""
        self._heard = self._hub.loop.time()
        try:
            frames = self._frames.receive(data)
        except FrameBroken as error:
            self.cut(error.reason if self.version else f"it does not speak the protocol of a hub: {error.reason}")
        else:
            self._act(frames)

    def _act(self, frames: list[Frame]) -> None:
        try:
            for kind, same in groupby(frames, type):
                if kind is Commit and self.version and not self._is_slow:
                    self.seats.commit(list(same))  # type: ignore[arg-type]  # they are of this kind
                    continue
                for frame in same:
                    self._handle(frame)
        except FairwayError as error:
            self.cut(str(error))

    def _handle(self, frame: Frame) -> None:
        if self._is_slow:
            self._backlog.append(frame)
            return
        handler = self._handlers.get(type(frame))
        if handler is None:
            msg = f"a {type(frame).__name__} frame has no place here"
            raise FrameBroken(msg)
        handler(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything: what was held is delivered to others."""
        if exc is not None:
            # A process that has ended its sessions and goes may leave something unread; that breaks a line, too.
            logger.log(logging.INFO if self.seats.taken else logging.DEBUG, "the line of %s broke: %s", self.name, exc)
        elif self._frames.is_unfinished and not self._is_cut:
            logger.warning("the line of %s ended within a frame", self.name)
        self._hub.leave(self)
        self.seats.end()
        publishing = tuple(self.publishing.values())
        self.publishing.clear()
        for channel, token in publishing:
            self._locked.waiting.pop(token, None)
            self._locked.try_run(self._broker.withdraw, channel, token)
        if self.owner:
            self._locked.callbacks.pop(self.owner, None)
            inbox = self._broker.owners.by_number(self.owner)
            if inbox:
                self._hub.inherit(Estate(inbox.prefixes[0], inbox.wills, self._process, self._hub.loop.time()))
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
        if not self.version:
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
            if self.seats.taken:
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
        if self.version >= 2:
            self._is_news = True
            self.schedule()

    # --- hello -------------------------------------------------------------------------------------------------------

    def _greet(self, hello: Hello) -> None:
        """Agree on a version, or refuse."""
        oldest, newest = self._hub.versions
        self.name = "".join(char if char.isprintable() else "?" for char in hello.name[:160]) or self.name
        if hello.magic != MAGIC:
            self.cut("its hello is of another protocol")
        elif hello.newest < oldest or hello.oldest > newest:
            self.cut(
                f"it speaks versions {hello.oldest} to {hello.newest} of the protocol, this hub {oldest} to {newest}; "
                "upgrade the older of the two"
            )
        else:
            self.version = min(hello.newest, newest)
            self._frames.limit = FRAME_LIMIT
            self._handlers = self._handlers_after_hello()
            self.put(Welcome(self.version, self._broker.epoch, [], self._proof))

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
        session, delivery = self.seats.find(frame.reader, frame.receipt)
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
        held = [(peer.seats, peer.seats.held()) for peer in self._hub.peers]
        self._broker.flush()
        for seats, receipts in held:
            seats.recall(receipts)

    def _ping(self, _frame: Ping) -> None:
        self.put(Pong())

    # --- owners ------------------------------------------------------------------------------------------------------

    def _own(self, frame: Own) -> None:
        if self.owner or not frame.prefixes or not all(prefix.endswith("!") for prefix in frame.prefixes):
            msg = "a line owns one inbox, with prefixes that end in '!'"
            raise FrameBroken(msg)
        self.owner = self._locked.run(self._open_owner, [check_channel(prefix) for prefix in frame.prefixes])
        calls.tell_when_known(self, self._locked, frame.token, "owners", self.owner)
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

    def _will(self, frame: Will) -> None:
        will = Testament(frame.body, frame.order, frame.state)
        self._locked.run(self._broker.owners.will, self.owner, frame.channel, will)

    def _announce(self, frame: Announce) -> None:
        self._locked.run(self._broker.owners.announce, self.owner, frame.groups)

"""The gateway: a server's connections on one side, its inbox of the layer on the other.

It gives every connection its reply channel, turns what arrives into messages, and takes each item of the inbox to the
connection it is for. It runs on the server's event loop and never awaits: the layer wakes it once for a batch of items.

It keeps what is under way until it is done. When the broker is lost, new messages wait here (`Severed`); when there is
one again, the groups are announced to it and all that is not done is sent again (`Renewed`).
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol

from fairway.broker.effects import (
    Abandoned,
    Add,
    Announced,
    Ask,
    Credit,
    Discard,
    Done,
    Envelope,
    Frame,
    GroupFrame,
    Item,
    OwnerGone,
    Policy,
    Refused,
    Renewed,
    Severed,
    State,
)
from fairway.errors import LayerUnavailable
from fairway.layers.base import Layer
from fairway.names import random_part
from fairway.server.config import ServerConfig
from fairway.server.deadlines import Deadlines
from fairway.server.fanout import Fanout, Member
from fairway.server.gaps import Gaps
from fairway.server.underway import Answering, Entry, after, renew, without

logger = logging.getLogger("fairway.server")

ONCE = Policy.ONCE
"""Micro-optimization: looking a member up on its class costs more than the comparison."""

NO_STATE: dict[str, bytes] = {}
"""The state of a connection that has none: one object for all of them, and never changed."""


class Stream(Member, Answering, Protocol):
    """A connection as the gateway knows it: a WebSocket, or one HTTP exchange."""

    channel: str
    state: dict[str, bytes]
    receive_channel: str | None

    def on_frame(self, body: bytes) -> None:
        """Take a message from a worker."""

    def on_done(self, order: int) -> None:
        """Learn that the messages up to `order` are consumed."""

    def on_abandoned(self, item: Abandoned) -> None:
        """Learn that a message will not be consumed."""

    def on_refused(self, item: Refused) -> None:
        """Learn that a message found no room."""

    def on_credit(self, size: int) -> None:
        """Send so many more body bytes."""

    def on_owner_gone(self) -> None:
        """Learn that the process this connection is pinned to has died."""

    def file_will(self) -> None:
        """Tell the broker what the workers are to hear of this connection if this process dies."""


class Gateway:
    """The registry of connections, and the way between them and the layer. Made in the thread of its event loop."""

    def __init__(self, layer: Layer, config: ServerConfig, loop: asyncio.AbstractEventLoop) -> None:
        self.config = config
        self.limits = config.limits
        self.loop = loop
        self.deadlines = Deadlines(loop)
        self.trouble = ""
        self.gaps = Gaps()
        """Why the layer cannot be reached; empty while it can."""
        self._streams: dict[str, Stream] = {}
        self._underway: dict[str, Entry] = {}
        """Reply channel -> what is not done."""
        self._departed: set[str] = set()
        self._congested: set[str] = set()
        self._attempt = 1
        """The attempt of a new message; 0 while the broker is away, since none is made."""
        self._thread = threading.get_ident()
        server = random_part()
        self._socket_prefix = f"websocket.send.{server}!"
        self._http_prefix = f"http.response.{server}!"
        self._number = 0
        self.inbox = layer.inbox([self._socket_prefix, self._http_prefix], self._wake)
        self.fanout = Fanout(self.inbox, config.limits.websocket.compress_from)
        self._actions: dict[type, Callable[[Any], None]] = {
            Frame: self._frame,
            GroupFrame: self.fanout.deliver,
            Done: self._done,
            Add: self._add,
            Discard: self._discard,
            State: self._state,
            Abandoned: self._abandoned,
            Refused: self._refused,
            Credit: self._credit,
            OwnerGone: self._owner_gone,
            Ask: self._ask,
            Announced: self.fanout.announced,
            Severed: self._severed,
            Renewed: self._renewed,
        }

    def __len__(self) -> int:
        return len(self._streams)

    # --- connections -------------------------------------------------------------------------------------------------

    def open_socket(self, stream: Stream) -> str:
        """Register a WebSocket and return its reply channel."""
        return self._open(stream, self._socket_prefix)

    def open_http(self, stream: Stream) -> str:
        """Register an HTTP exchange and return its reply channel."""
        return self._open(stream, self._http_prefix)

    def _open(self, stream: Stream, prefix: str) -> str:
        self._number += 1
        channel = f"{prefix}{self._number:x}"
        self._streams[channel] = stream
        return channel

    def replace(self, stream: Stream) -> None:
        """Let another stream stand for a connection from now on."""
        self._streams[stream.channel] = stream

    def forget(self, stream: Stream) -> None:
        """Keep nothing about a connection any more."""
        self._streams.pop(stream.channel, None)
        self.fanout.forget(stream)

    def depart(self, channel: str) -> None:
        """Tell the consumer of a connection's message that the connection has ended, until it is done."""
        entry = self._underway.get(channel)
        if entry and not entry[0].attempt:
            del self._underway[channel]  # no consumer has it, and now none needs it
            return
        self._departed.add(channel)
        self.inbox.depart(channel)

    def congest(self, channel: str) -> None:
        """Let direct sends to a connection wait, since its client reads slowly."""
        self._congested.add(channel)
        self.inbox.congest(channel)

    def relieve(self, channel: str) -> None:
        """Take `congest` back."""
        self._congested.discard(channel)
        self.inbox.relieve(channel)

    def submit(self, channel: str, stream: Stream, order: int, body: bytes, policy: Policy = Policy.AGAIN) -> None:
        """Send a connection's message to the workers, and keep it until it is done."""
        reply, attempt, underway = stream.channel, self._attempt, self._underway
        envelope = Envelope(f"{reply}.{order}", channel, reply, order, attempt, policy, None, stream.state)
        if attempt:
            try:
                self.inbox.submit(envelope, body)
            except LayerUnavailable:
                logger.error("a message for %s cannot be sent: the layer is closed", channel)  # noqa: TRY400
                self.loop.call_soon(stream.on_refused, Refused(reply, order, channel, "capacity"))
                return
            if policy is ONCE:
                body = b""
        underway[reply] = envelope, body, underway.get(reply)

    def submit_extra(self, envelope: Envelope, body: bytes) -> None:
        """Send what nobody waits for to the end: a part of a request body, or the news that a request is over.

        It is not kept. A request that misses a part of its body is taken for one that a lost worker had.
        """
        if self._attempt:
            with suppress(LayerUnavailable):
                self.inbox.submit(envelope, body)
        elif entry := self._underway.get(envelope.reply_channel):
            entry[0].attempt = 1

    # --- items -------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        # Micro-optimization: the thread-safe call costs a system call, and most items come from our own thread.
        call = self.loop.call_soon if threading.get_ident() == self._thread else self.loop.call_soon_threadsafe
        try:
            call(self.drain)
        except RuntimeError:  # the loop is closed: a worker outlived its server
            logger.debug("an item came after the server had stopped")

    def drain(self) -> None:
        """Act on everything in the inbox. What fails for one connection is logged and harms no other."""
        self._act_on(self.inbox.drain())

    def _act_on(self, items: Iterable[Item]) -> None:
        actions = self._actions
        for item in items:
            try:
                actions[type(item)](item)
            except Exception:
                logger.exception("an item for a connection failed: %.200r", _describe(item))

    def _frame(self, item: Frame) -> None:
        stream = self._streams.get(item.channel)
        if stream:
            stream.on_frame(item.body)

    def _done(self, item: Done) -> None:
        channel = item.channel
        entry = self._underway.pop(channel, None)
        if entry and entry[0].order > item.order:
            self._keep(channel, after(entry, item.order))
        stream = self._streams.get(channel)
        if stream:
            stream.on_done(item.order)
        if channel in self._departed:
            self._relieve_departed(channel)

    def _keep(self, channel: str, entry: Entry | None) -> None:
        """Keep what is left under way of a connection."""
        if entry:
            self._underway[channel] = entry

    def _drop(self, channel: str, order: int) -> None:
        """Keep one message no more: it will not be consumed."""
        entry = self._underway.pop(channel, None)
        if entry:
            self._keep(channel, without(entry, order))

    def _add(self, item: Add) -> None:
        self.fanout.add(item, self._streams.get(item.channel))

    def _discard(self, item: Discard) -> None:
        stream = self._streams.get(item.channel)
        if stream:
            self.fanout.discard(item, stream)

    def _state(self, item: State) -> None:
        stream = self._streams.get(item.channel)
        if stream is None:
            return
        # A new dict each time: messages that are under way share the old one.
        state = {**stream.state, **{key: value for key, value in item.changes.items() if value is not None}}
        for key, value in item.changes.items():
            if value is None:
                state.pop(key, None)
        stream.state = state or NO_STATE

    def _abandoned(self, item: Abandoned) -> None:
        self._drop(item.channel, item.order)
        stream = self._streams.get(item.channel)
        if stream:
            stream.on_abandoned(item)
        self._relieve_departed(item.channel)

    def _refused(self, item: Refused) -> None:
        self._drop(item.channel, item.order)
        stream = self._streams.get(item.channel)
        if stream:
            stream.on_refused(item)

    def _credit(self, item: Credit) -> None:
        stream = self._streams.get(item.channel)
        if stream:
            stream.on_credit(item.size)

    def _owner_gone(self, item: OwnerGone) -> None:
        for stream in tuple(self._streams.values()):
            if stream.receive_channel and stream.receive_channel.startswith(item.prefix):
                stream.on_owner_gone()

    def _ask(self, item: Ask) -> None:
        if item.question == "members":
            members: Any = [member.channel for member in self.fanout.members(item.about)]  # type: ignore[attr-defined]
        else:
            stream = self._streams.get(item.about)
            members = stream.state if stream else {}
        self.inbox.answer(item.token, members)

    def _relieve_departed(self, channel: str) -> None:
        if channel in self._departed:
            self._departed.discard(channel)
            self.inbox.relieve(channel)

    # --- the broker goes and comes -----------------------------------------------------------------------------------

    def _severed(self, item: Severed) -> None:  # noqa: ARG002
        self._attempt = 0
        self.gaps.begin(self.loop.time())
        self.trouble = "the layer's broker is away; messages wait for it"

    def _renewed(self, item: Renewed) -> None:  # noqa: ARG002
        """Make ourselves known to a broker that has never heard of us, and send what is not done once more."""
        self._attempt = 1
        self.trouble = ""
        self.gaps.end(self.loop.time())
        groups = self.fanout.renew()
        if groups:
            self.inbox.announce(groups)
        renewal = renew(self._underway, self._streams)
        self._underway = renewal.kept
        self._departed.difference_update(renewal.forgotten)
        for channel in self._congested:
            self.inbox.congest(channel)
        for channel in self._departed:
            self.inbox.depart(channel)
        for stream in self._streams.values():
            stream.file_will()
        for envelope, body in renewal.again:
            with suppress(LayerUnavailable):
                self.inbox.submit(envelope, body)
        counts = len(groups), len(renewal.again), len(renewal.lost)
        logger.warning("the broker is back: %d groups announced, %d messages sent again, %d requests lost", *counts)
        self._act_on(renewal.lost)

    def close(self) -> None:
        """Give the reply channels up."""
        self.deadlines.close()
        self.inbox.close()


def _describe(item: Item) -> str:
    return f"{type(item).__name__} for {getattr(item, 'channel', getattr(item, 'group', ''))}"

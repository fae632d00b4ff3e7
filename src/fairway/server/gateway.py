"""The gateway: a server's connections on one side, its inbox of the layer on the other.

It gives every connection its reply channel, turns what arrives into messages, and takes each item of the inbox to the
connection it is for. It runs on the server's event loop and never awaits: the layer wakes it once for a batch of items.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from fairway.broker.effects import (
    Abandoned,
    Add,
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
    State,
)
from fairway.errors import LayerUnavailable
from fairway.layers.base import Layer
from fairway.names import random_part
from fairway.server.config import ServerConfig
from fairway.server.deadlines import Deadlines
from fairway.server.fanout import Fanout, Member

logger = logging.getLogger("fairway.server")

NO_STATE: dict[str, bytes] = {}
"""The state of a connection that has none: one object for all of them, and never changed."""


class Stream(Member, Protocol):
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


class Gateway:
    """The registry of connections, and the way between them and the layer."""

    def __init__(self, layer: Layer, config: ServerConfig, loop: asyncio.AbstractEventLoop) -> None:
        self.config = config
        self.limits = config.limits
        self.loop = loop
        self.deadlines = Deadlines(loop)
        self.trouble = ""
        """Why the layer cannot be reached; empty while it can."""
        self._streams: dict[str, Stream] = {}
        self._departed: set[str] = set()
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
        self._departed.add(channel)
        self.inbox.depart(channel)

    def submit(self, channel: str, stream: Stream, order: int, body: bytes, policy: Policy = Policy.AGAIN) -> None:
        """Send a connection's message to the workers."""
        envelope = Envelope(f"{stream.channel}.{order}", channel, stream.channel, order, 1, policy, None, stream.state)
        try:
            self.inbox.submit(envelope, body)
        except LayerUnavailable:
            logger.error("a message for %s cannot be sent: the layer is closed", channel)  # noqa: TRY400
            self.loop.call_soon(stream.on_refused, Refused(stream.channel, order, channel, "capacity"))

    def submit_extra(self, envelope: Envelope, body: bytes) -> None:
        """Send what nobody waits for to the end: a part of a request body, or the news that a request is over."""
        with suppress(LayerUnavailable):
            self.inbox.submit(envelope, body)

    # --- items -------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        try:
            self.loop.call_soon_threadsafe(self.drain)
        except RuntimeError:  # the loop is closed: a worker outlived its server
            logger.debug("an item came after the server had stopped")

    def drain(self) -> None:
        """Act on everything in the inbox. What fails for one connection is logged and harms no other."""
        actions = self._actions
        for item in self.inbox.drain():
            try:
                actions[type(item)](item)
            except Exception:
                logger.exception("an item for a connection failed: %.200r", _describe(item))

    def _frame(self, item: Frame) -> None:
        stream = self._streams.get(item.channel)
        if stream:
            stream.on_frame(item.body)

    def _done(self, item: Done) -> None:
        stream = self._streams.get(item.channel)
        if stream:
            stream.on_done(item.order)
        self._relieve_departed(item.channel)

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
        stream = self._streams.get(item.channel)
        if stream:
            stream.on_abandoned(item)
        self._relieve_departed(item.channel)

    def _refused(self, item: Refused) -> None:
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

    def close(self) -> None:
        """Give the reply channels up."""
        self.deadlines.close()
        self.inbox.close()


def _describe(item: Item) -> str:
    return f"{type(item).__name__} for {getattr(item, 'channel', getattr(item, 'group', ''))}"

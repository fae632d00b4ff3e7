"""A server process's inbox at a hub in another process: on the server's event loop, over a line of its own.

Nothing here waits, as the contract says. While the hub is away, `Severed` tells the gateway, and what is written is
dropped: the gateway keeps what matters. When the hub is back, the prefixes are owned again, and `Renewed` tells it to
announce its groups and to send again.
"""

import asyncio
import logging
import random
import socket
from collections import deque
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, cast

from fairway.broker.effects import Envelope, Item, Renewed, Severed
from fairway.errors import LayerUnavailable
from fairway.layers.base import Inbox
from fairway.layers.hub.greeting import HubRefuses, check_welcome
from fairway.layers.hub.line import FIRST_PAUSE, LONGEST_PAUSE
from fairway.layers.hub.link import Link
from fairway.layers.hub.meeting import meet
from fairway.wire.hub import (
    Announce,
    Answer,
    Frame,
    FrameBroken,
    Items,
    Leave,
    Mark,
    Own,
    Readers,
    Refusal,
    Reply,
    Submit,
    Welcome,
    Will,
    pack,
)

if TYPE_CHECKING:
    from fairway.layers.hub.client import HubLayer

logger = logging.getLogger("fairway.layer")

GREETING_TIMEOUT = 5.0
READERS_SINCE = 2
"""The version in which hubs began to tell who is read."""

UNSENT = 64 * 1024 * 1024
"""Bytes that wait for a hub which does not read. Beyond it the line is cut: it is as good as lost."""


class LocalInbox(Inbox):
    """What the owner of reply channels in another process than the hub's reads and writes.

    Raises:
        LayerUnavailable: the hub cannot be reached now. Later on it may come and go.
    """

    def __init__(self, layer: "HubLayer", prefixes: list[str], on_readable: Callable[[], None]) -> None:
        self._layer = layer
        self._prefixes = prefixes
        self._on_readable = on_readable
        self._loop = asyncio.get_running_loop()
        self._items: deque[Item] = deque()
        self._read: frozenset[str] = frozenset()
        """The channels that somebody reads."""
        self._version = 0
        self._refusal = ""
        """The refusal that the log has told about."""
        self._epoch = ""
        self._closed = False
        self._outgoing: list[bytes] = []
        self._line: _InboxLine | None = None
        link, welcome = meet(layer.address, layer.versions)
        self._made = link.socket
        try:
            line = _InboxLine(self, link)
            self.welcomed(line, welcome)
            line.own()
        except BaseException:
            link.socket.close()
            raise
        self._task = self._loop.create_task(self._adopt(line))

    async def _adopt(self, line: "_InboxLine") -> None:
        """Let the event loop read and write a line from now on."""
        made = line.link.socket
        made.setblocking(False)  # noqa: FBT003
        try:
            if made.family == socket.AF_UNIX:
                await self._loop.create_unix_connection(lambda: line, sock=made)
            else:
                await self._loop.create_connection(lambda: line, sock=made)
        except OSError as error:
            made.close()
            self.severed(str(error))

    # --- called by the line ------------------------------------------------------------------------------------------

    @property
    def owning(self) -> bytes:
        """What makes this inbox the owner of its prefixes."""
        return pack(Own(1, self._prefixes))

    @property
    def path(self) -> str:
        """The hub, for a person to read."""
        return self._layer.address.name

    def welcomed(self, line: "_InboxLine", welcome: Welcome) -> None:
        """Learn which hub this is, and use this line from now on."""
        self._line = line
        self._version = welcome.version
        self._refusal = ""
        before, self._epoch = self._epoch, welcome.epoch
        if before:
            logger.warning("the hub at %s is back", self.path)
            self._put([Renewed()])
            if before != welcome.epoch and self._layer.on_renewed:
                self._layer.on_renewed()

    def take(self, frame: Frame) -> None:
        """Take a frame in."""
        if isinstance(frame, Items):
            self._put(frame.items)
        elif isinstance(frame, Readers):
            self._read = frozenset(frame.channels)
        elif isinstance(frame, Answer) and frame.error:
            logger.error("the hub at %s does not let us own %s: %s", self.path, self._prefixes, frame.error)

    def severed(self, reason: str) -> None:
        """Learn that the line is lost: tell the owner, and try to make it again."""
        self._line = None
        self._outgoing.clear()
        self._read = frozenset()
        if not self._closed:
            logger.warning("the hub at %s is away (%s); its items wait until it is back", self.path, reason)
            self._put([Severed()])
            self._task = self._loop.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        pause = FIRST_PAUSE
        while not self._closed:
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
            pause = min(LONGEST_PAUSE, pause * 2)
            try:
                link, welcome = await asyncio.to_thread(self._meet)
            except LayerUnavailable as error:
                self._note_refusal(error)
            else:
                line = _InboxLine(self, link)
                # Owned first, so that everything that `Renewed` brings about finds an owner.
                line.write(self.owning)
                self.welcomed(line, welcome)
                line.take_all(link.early)
                await self._adopt(line)
                return

    def _meet(self) -> tuple[Link, Welcome]:
        """Meet the hub again, in a thread, which nobody may wait for any more at the end of it."""
        link, welcome = meet(self._layer.address, self._layer.versions)
        self._made = link.socket
        if self._closed:
            link.socket.close()
        return link, welcome

    def _note_refusal(self, error: Exception) -> None:
        if isinstance(error, HubRefuses) and str(error) != self._refusal:
            self._refusal = str(error)
            logger.warning("%s", error)

    # --- the contract ------------------------------------------------------------------------------------------------

    def _put(self, items: list[Item]) -> None:
        was_empty = not self._items
        self._items.extend(items)
        if was_empty and items:
            self._on_readable()

    def drain(self) -> list[Item]:
        """See `Inbox.drain`."""
        items = list(self._items)
        self._items.clear()
        return items

    def submit(self, envelope: Envelope, body: bytes) -> None:
        """See `Inbox.submit`."""
        if self._closed:
            msg = "the inbox is closed"
            raise LayerUnavailable(msg)
        self._write(Submit(envelope, body))

    def leave(self, group: str, generation: int) -> None:
        """See `Inbox.leave`."""
        self._write(Leave(group, generation))

    def answer(self, token: int, answer: Any) -> None:
        """See `Inbox.answer`."""
        self._write(Reply(token, answer))

    def announce(self, groups: Collection[str]) -> None:
        """See `Inbox.announce`."""
        self._write(Announce(list(groups)))

    def will(self, channel: str, body: bytes, order: int, state: dict[str, bytes] | None) -> None:
        """See `Inbox.will`."""
        if self._version >= 2:
            self._write(Will(channel, body, order, state))

    def congest(self, channel: str) -> None:
        """See `Inbox.congest`."""
        self._write(Mark(channel, "congested"))

    def depart(self, channel: str) -> None:
        """See `Inbox.depart`."""
        self._write(Mark(channel, "departed"))

    def relieve(self, channel: str) -> None:
        """See `Inbox.relieve`."""
        self._write(Mark(channel, ""))

    def has_reader(self, channel: str) -> bool:
        """See `Inbox.has_reader`. A hub of version 1 does not tell; there may be one."""
        return channel in self._read or self._version < READERS_SINCE

    def _write(self, frame: Frame) -> None:
        """Have a frame sent with everything else of this turn."""
        if self._line is None:
            return
        self._outgoing.append(pack(frame))
        if len(self._outgoing) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        if self._line and data:
            self._line.write(data)

    def close(self) -> None:
        """See `Inbox.close`."""
        if self._closed:
            return
        self._closed = True
        self._items.clear()
        self._layer.drop_inbox(self)
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if is_here:
            self._end()
        elif not self._loop.is_closed():  # the layer is closed in another thread
            self._loop.call_soon_threadsafe(self._end)
        else:
            self._made.close()

    def _end(self) -> None:
        self._flush()
        if self._line is None or not self._line.end():
            self._task.cancel()
            self._made.close()


class _InboxLine(asyncio.Protocol):
    """One connection of an inbox to its hub."""

    def __init__(self, inbox: LocalInbox, link: Link) -> None:
        self.link = link
        self._inbox = inbox
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        """What is written before the event loop has taken the connection over."""
        self._reason = "it hung up"
        self._ended = False

    def own(self) -> None:
        """Own the prefixes, waiting for the hub.

        Raises:
            LayerUnavailable: it does not answer.
        """
        link = self.link
        try:
            link.socket.settimeout(GREETING_TIMEOUT)
            link.socket.sendall(self._closed(self._inbox.owning))
            received, link.early = link.early, []
            while not any(isinstance(frame, Answer | Refusal) for frame in received):
                frames = link.receive()
                received += [Refusal("it hung up")] if frames is None else frames
        except (OSError, FrameBroken) as error:
            msg = f"the hub at {self._inbox.path} did not greet: {error}"
            raise LayerUnavailable(msg) from error
        for frame in received:
            if isinstance(frame, Refusal):
                check_welcome(frame, self._inbox.path)
        self.take_all(received)

    def _closed(self, data: bytes) -> bytes:
        return data if self.link.seal is None else self.link.seal.close(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Write what had to wait."""
        self._transport = cast("asyncio.Transport", transport)
        if self._ended:
            self._transport.abort()
            return
        early = b"".join(self._early)
        self._early.clear()
        if early:
            self._transport.write(self._closed(early))

    def data_received(self, data: bytes) -> None:
        """Take frames in."""
        link = self.link
        try:
            self.take_all(link.frames.receive(data if link.seal is None else link.seal.open(data)))
        except (FrameBroken, OSError) as error:
            self._reason = str(error)
            self.abandon()

    def take_all(self, frames: list[Frame]) -> None:
        """Take frames in."""
        for frame in frames:
            if isinstance(frame, Refusal):
                self._reason = frame.reason
            else:
                self._inbox.take(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the inbox, unless it has given this line up."""
        if not self._ended:
            self._ended = True
            self._inbox.severed(str(exc) if exc else self._reason)

    def write(self, data: bytes) -> None:
        """Write bytes; a hub that has stopped reading is given up."""
        transport = self._transport
        if transport is None:
            self._early.append(data)
        elif transport.get_write_buffer_size() > UNSENT:
            self._reason = "it has stopped reading"
            transport.abort()
        elif not transport.is_closing():
            transport.write(self._closed(data))

    def end(self) -> bool:
        """Close, once everything is written. Return False when the event loop has not taken the connection over."""
        self._ended = True
        if self._transport:
            self._transport.close()
        return self._transport is not None

    def abandon(self) -> None:
        """Close now."""
        if self._transport:
            self._transport.abort()

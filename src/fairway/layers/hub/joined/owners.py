"""The owners of this hub at the upstream: each has an inbox there with its own prefixes, and what comes is relayed.

So frames, states, credits and marks from other hosts reach a connection, and so does what becomes of its messages that
are consumed elsewhere. A membership that is made on another host becomes one here: the hub joins the group, and then
the owner's own place there is given up.
"""

import asyncio
from typing import TYPE_CHECKING

from fairway.broker.effects import Add, Ask, GroupFrame, Item, OwnerGone, Refused, Renewed, Severed
from fairway.broker.inbox import Mark
from fairway.broker.outward import ForwardSubmit, Marked, OwnerCame, OwnerLeft
from fairway.errors import LayerUnavailable
from fairway.layers.base import Inbox
from fairway.layers.hub.joined.members import SYNC
from fairway.layers.memory import MemoryLayer

if TYPE_CHECKING:
    from fairway.layers.hub.joined.upstream import Upstream

LOOK_AGAIN = 0.05
"""Seconds until an owner that was too far behind is looked at again."""


class OwnerMirror:
    """One owner of this hub, at the upstream."""

    def __init__(self, upstream: "Upstream", signal: OwnerCame) -> None:
        self._upstream = upstream
        self._owner = signal.owner
        self._prefixes = signal.prefixes
        self._adding: set[asyncio.Task[None]] = set()
        self.inbox: Inbox | None = None
        self.is_known: asyncio.Event = asyncio.Event()

    def open(self) -> None:
        """Own the prefixes there, unless that is done.

        Raises:
            LayerUnavailable: the upstream is away.
        """
        if self.inbox is None:
            self.inbox = self._upstream.layer.inbox(self._prefixes, self._wake)
            self.is_known.set()

    def close(self) -> None:
        """Give the prefixes up."""
        self.is_known.set()
        if self.inbox:
            self.inbox.close()

    def _wake(self) -> None:
        self._upstream.loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        """Relay what has come. What an owner is too far behind for stays where it is, and is bounded there."""
        upstream = self._upstream
        inbox = upstream.broker.owners.by_number(self._owner)
        if self.inbox is None or inbox is None:
            return
        if inbox.is_full:
            upstream.loop.call_later(LOOK_AGAIN, self._drain)
            return
        plain: list[Item] = []
        for item in self.inbox.drain():
            if isinstance(item, GroupFrame | Add | Ask | Severed | Renewed):
                plain = self._relay(plain)
                self._take(item)
            elif not (isinstance(item, OwnerGone) and upstream.sessions.had(item.prefix)):
                plain.append(item)
        self._relay(plain)

    def _relay(self, items: list[Item]) -> list[Item]:
        if items:
            self._upstream.locked.try_run(self._upstream.broker.relay, self._owner, items)
        return []

    def _take(self, item: Item) -> None:
        upstream = self._upstream
        if isinstance(item, GroupFrame):
            upstream.locked.try_run(upstream.broker.deliver_group, item, upstream.loop.time())
        elif isinstance(item, Add):
            self._add(item)
        elif isinstance(item, Ask):
            upstream.run(self._answer(item))
        elif isinstance(item, Renewed):
            self._renew(item)

    def _renew(self, item: Renewed) -> None:
        """Tell an upstream that knows nothing of this owner any more what it has to know."""
        owners = self._upstream.broker.owners
        inbox = owners.by_number(self._owner)
        for channel, mark in tuple(inbox.marks.items()) if inbox else ():
            if mark is Mark.CONGESTED:
                self.mark(channel, mark)
        if owners.outside.get(self._owner):
            self._relay([item])  # messages of its connections were there: it sends them again

    def _add(self, item: Add) -> None:
        upstream = self._upstream
        try:
            upstream.locked.run(upstream.broker.owners.add, item.group, item.channel)
        except LayerUnavailable:
            return  # the owner does not read, and whoever has added waits for SYNC in vain
        task = upstream.run(self._settle(item))
        self._adding.add(task)
        task.add_done_callback(self._adding.discard)

    async def _settle(self, item: Add) -> None:
        """Once the hub is in the group, the owner's own place there has served."""
        await self._upstream.members.wait_joined(item.group)
        if self.inbox:
            self.inbox.leave(item.group, item.generation)

    async def _answer(self, ask: Ask) -> None:
        answer: object = []  # of a group the hub is asked
        if ask.question == "state" and ask.about.endswith(SYNC):
            if self._adding:
                await asyncio.wait(tuple(self._adding))
            answer = {}
        elif ask.question == "state":
            answer = await self._upstream.owners.ask_state(ask.about)
        if answer is not None and self.inbox:
            self.inbox.answer(ask.token, answer)

    def mark(self, channel: str, mark: Mark | None) -> None:
        """Tell senders elsewhere how a connection is."""
        if self.inbox is None:
            return
        if mark is Mark.CONGESTED:
            self.inbox.congest(channel)
        elif mark is Mark.DEPARTED:
            self.inbox.depart(channel)
        else:
            self.inbox.relieve(channel)


class OwnerMirrors:
    """All owners of a hub."""

    def __init__(self, upstream: "Upstream") -> None:
        self._upstream = upstream
        self._mirrors: dict[int, OwnerMirror] = {}

    def open(self) -> None:
        """Make those known that came while the upstream was away.

        Raises:
            LayerUnavailable: it is away again.
        """
        for mirror in tuple(self._mirrors.values()):
            mirror.open()

    def close(self) -> None:
        """Give all prefixes up."""
        for mirror in self._mirrors.values():
            mirror.close()

    def came(self, signal: OwnerCame) -> None:
        """An owner has come."""
        mirror = self._mirrors[signal.owner] = OwnerMirror(self._upstream, signal)
        if self._upstream.is_up:
            try:
                mirror.open()
            except LayerUnavailable as error:
                self._upstream.note_away(error)

    def left(self, signal: OwnerLeft) -> None:
        """An owner is gone."""
        mirror = self._mirrors.pop(signal.owner, None)
        if mirror:
            mirror.close()

    def submit(self, signal: ForwardSubmit) -> None:
        """Send a connection's message to workers elsewhere."""
        mirror, envelope = self._mirrors.get(signal.owner), signal.envelope
        if mirror and mirror.inbox:
            mirror.inbox.submit(envelope, signal.body)
            self._upstream.forwarding.forwarded += 1
        elif mirror:  # the upstream has just gone
            refused = Refused(envelope.reply_channel, envelope.order, envelope.channel, "capacity")
            self._upstream.locked.try_run(self._upstream.broker.relay, signal.owner, [refused])

    def mark(self, signal: Marked) -> None:
        """Pass on what an owner says about a connection."""
        mirror = self._mirrors.get(signal.owner)
        if mirror:
            mirror.mark(signal.channel, signal.mark)

    async def wait_known(self, owner: int) -> None:
        """Return when the upstream knows an owner, or cannot be reached."""
        mirror = self._mirrors.get(owner)
        if mirror and self._upstream.is_up:
            await mirror.is_known.wait()

    async def ask_members(self, group: str) -> list[str] | None:
        """Return the members of a group here, None when an owner does not answer."""
        try:
            return await MemoryLayer.agroup_channels(self._upstream.local, group)
        except LayerUnavailable:
            return None

    async def ask_state(self, channel: str) -> dict[str, bytes] | None:
        """Return the state of a connection here, None when its owner does not answer."""
        try:
            return await MemoryLayer.astate(self._upstream.local, channel)
        except LayerUnavailable:
            return None

"""The groups that have members here: for all of them together, the hub itself is one member at the upstream.

A group that gets its first member here is joined there, and `wait_joined` returns when that is sure; when its last
member here has left, the hub leaves it, naming the generation of its last add, as any owner does. Groups that came
while the upstream was away are announced when it is back.
"""

import asyncio
from typing import TYPE_CHECKING

from fairway.broker.effects import Add, Announced, Ask, GroupFrame, Item, Renewed, Severed
from fairway.broker.outward import Announcing, GroupCame, GroupLeft
from fairway.errors import LayerUnavailable
from fairway.layers.base import Inbox

if TYPE_CHECKING:
    from fairway.layers.hub.joined.upstream import Upstream

PAUSE = 0.1
"""Seconds between two attempts to join a group."""

SYNC = "fairway.sync"
"""A connection that no owner has: its hub answers for its state itself, once all adds that came before are done."""


class _Place:
    """The hub's membership of one group."""

    __slots__ = ("adding", "generation")

    def __init__(self) -> None:
        self.generation = 0
        self.adding: asyncio.Task[None] | None = None


class Members:
    """The hub's own inbox at the upstream, and its memberships."""

    def __init__(self, upstream: "Upstream") -> None:
        self._upstream = upstream
        self._places: dict[str, _Place] = {}
        self._inbox: Inbox | None = None

    def open(self) -> None:
        """Own the hub's prefix, unless that is done.

        Raises:
            LayerUnavailable: the upstream is away.
        """
        if self._inbox is None:
            self._inbox = self._upstream.layer.inbox([self._upstream.name], self._wake)

    def close(self) -> None:
        """Give the prefix up."""
        if self._inbox:
            self._inbox.close()

    # --- memberships -------------------------------------------------------------------------------------------------

    def came(self, signal: GroupCame) -> None:
        """A group has its first member here."""
        place = self._places[signal.group] = _Place()
        if self._upstream.is_up:
            place.adding = self._upstream.run(self._add(signal.group))

    async def _add(self, group: str) -> None:
        """Join a group, unless the upstream is away: then it is announced with all others once that is back."""
        upstream = self._upstream
        while upstream.is_up and group in self._places:
            try:
                await upstream.layer.agroup_add(group, f"{upstream.name}m")
            except LayerUnavailable as error:
                await upstream.check(error)
                await asyncio.sleep(PAUSE)
            else:
                return

    async def wait_joined(self, group: str) -> None:
        """Return when every send from elsewhere that begins later reaches this hub, or the upstream is away."""
        place = self._places.get(group)
        if place and place.adding:
            await asyncio.wait([place.adding])

    def left(self, signal: GroupLeft) -> None:
        """A group has no member here any more."""
        place = self._places.pop(signal.group, None)
        if place and place.generation and self._inbox:
            self._inbox.leave(signal.group, place.generation)

    def announcing(self, signal: Announcing) -> None:
        """An owner has said again which groups it is in."""
        self._upstream.run(self._tell_announced(signal))

    async def _tell_announced(self, signal: Announcing) -> None:
        for group in signal.groups:
            await self.wait_joined(group)
        upstream = self._upstream
        upstream.locked.try_run(upstream.broker.owners.tell_announced, signal.owner, signal.groups)

    def announce(self) -> None:
        """Make all groups known to an upstream that may have forgotten them."""
        if self._places and self._inbox:
            self._inbox.announce(list(self._places))

    # --- what comes --------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._upstream.loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        upstream = self._upstream
        for item in self._inbox.drain() if self._inbox else ():
            if isinstance(item, GroupFrame):
                upstream.locked.try_run(upstream.broker.deliver_group, item, upstream.loop.time())
            else:
                self._take(item)

    def _take(self, item: Item) -> None:
        if isinstance(item, Add | Announced):
            place = self._places.get(item.group)
            if place:
                place.generation = item.generation
            elif self._inbox:
                self._inbox.leave(item.group, item.generation)
        elif isinstance(item, Ask):
            self._upstream.run(self._answer(item))
        elif isinstance(item, Severed):
            self._upstream.note_away(LayerUnavailable("its line broke"))
        elif isinstance(item, Renewed):
            self.announce()

    async def _answer(self, ask: Ask) -> None:
        """Ask the owners here; a question that they do not answer is not answered."""
        found = await self._upstream.owners.ask_members(ask.about)
        if found is not None and self._inbox:
            self._inbox.answer(ask.token, found)

"""The verbs of a joined hub: what its clients ask for, answered for this host and for all others."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from fairway.errors import LayerUnavailable
from fairway.layers.base import ChannelStatistics, DeadLetter, LayerStatistics
from fairway.layers.hub.joined.members import SYNC
from fairway.layers.memory import MemoryLayer
from fairway.names import check_channel, check_group, owner_prefix

if TYPE_CHECKING:
    from fairway.layers.hub.joined.upstream import Upstream


class Answers:
    """Each verb as a coroutine of the hub's event loop. See `Layer` for what they do, and raise."""

    def __init__(self, upstream: "Upstream") -> None:
        self._upstream = upstream
        self._local = upstream.local

    # --- groups ------------------------------------------------------------------------------------------------------

    async def group_add(self, group: str, channel: str) -> None:
        """Add a connection of this host, which makes the hub a member; or any other channel at the upstream."""
        upstream = self._upstream
        if upstream.broker.owners.of(check_channel(channel)):
            MemoryLayer.group_add(self._local, group, channel)
            await upstream.members.wait_joined(group)
            return
        await upstream.ask(upstream.layer.agroup_add(check_group(group), channel))
        if owner_prefix(channel):
            # The hub that holds the connection takes it in before it answers this.
            await upstream.ask(upstream.layer.astate(f"{owner_prefix(channel)}{SYNC}"))

    async def group_discard(self, group: str, channel: str) -> None:
        """End a membership, here or at the upstream."""
        if self._upstream.broker.owners.of(check_channel(channel)):
            MemoryLayer.group_discard(self._local, group, channel)
        else:
            await self._upstream.ask(self._upstream.layer.agroup_discard(check_group(group), channel))

    async def group_channels(self, group: str) -> list[str]:
        """Ask the upstream, which asks each hub that has members, this one, too."""
        await self._upstream.members.wait_joined(check_group(group))
        return await self._upstream.ask(self._upstream.layer.agroup_channels(group))

    async def state(self, reply_channel: str) -> dict[str, bytes]:
        """Ask the connection's server, wherever it is."""
        if self._upstream.broker.owners.of(check_channel(reply_channel)):
            return await MemoryLayer.astate(self._local, reply_channel)
        return await self._upstream.ask(self._upstream.layer.astate(reply_channel))

    # --- the whole ---------------------------------------------------------------------------------------------------

    async def statistics(self) -> LayerStatistics:
        """Return what is held here, and what all hubs share; only the former while the upstream is away."""
        upstream = self._upstream
        theirs: LayerStatistics | None = None
        if upstream.is_up:
            try:
                theirs = await upstream.in_thread(upstream.layer.statistics)
            except LayerUnavailable as error:
                upstream.note_away(error)
        ours = self._local.statistics()
        return _sum(ours, theirs, upstream.broker.guest_bytes) if theirs else ours

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """Return the newest of both."""
        upstream = self._upstream
        theirs = await upstream.ask(upstream.in_thread(upstream.layer.dead_letters, limit))
        ours = MemoryLayer.dead_letters(self._local, limit)
        return sorted([*ours, *theirs], key=lambda letter: letter.age)[: max(0, limit)]

    async def requeue_dead(self, ids: Collection[str]) -> int:
        """Put letters back where they are."""
        upstream = self._upstream
        here = MemoryLayer.requeue_dead(self._local, ids)
        return here + await upstream.ask(upstream.in_thread(upstream.layer.requeue_dead, ids))

    async def drop_dead(self, ids: Collection[str]) -> int:
        """Drop letters where they are."""
        upstream = self._upstream
        here = MemoryLayer.drop_dead(self._local, ids)
        return here + await upstream.ask(upstream.in_thread(upstream.layer.drop_dead, ids))

    async def flush(self) -> None:
        """Empty the upstream; the hub's own memory is its clients' business."""
        await self._upstream.ask(self._upstream.in_thread(self._upstream.layer.flush))


def _sum(ours: LayerStatistics, theirs: LayerStatistics, guests: int) -> LayerStatistics:
    """Add up what waits; what runs, and who is there, is told of this host."""
    channels = dict(ours.channels)
    for name, channel in theirs.channels.items():
        here = channels.get(name) or ChannelStatistics(waiting=0, waiting_bytes=0, leased=0, readers=0)
        channels[name] = ChannelStatistics(
            waiting=here.waiting + channel.waiting,
            waiting_bytes=here.waiting_bytes + channel.waiting_bytes,
            leased=here.leased,
            readers=here.readers,
        )
    return LayerStatistics(
        channels=channels,
        groups=max(ours.groups, theirs.groups),
        sessions=ours.sessions,
        owners=ours.owners,
        held_bytes=ours.held_bytes + max(0, theirs.held_bytes - guests),
        dead_letters=ours.dead_letters + theirs.dead_letters,
        delivered=ours.delivered,
        committed=ours.committed,
        repeats_dropped=ours.repeats_dropped + theirs.repeats_dropped,
        group_sends_dropped=ours.group_sends_dropped + theirs.group_sends_dropped,
        expired=ours.expired + theirs.expired,
        upstream=ours.upstream,
    )

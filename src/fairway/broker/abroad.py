"""The owners of a joined broker: they are known to the upstream as well, and so is which groups have members here.

The local directory holds the owners of this broker alone. Whatever else is a member lives in the upstream.
"""

from collections.abc import Iterable, Iterator

from fairway.broker.effects import Signal
from fairway.broker.groups import Directory
from fairway.broker.inbox import Inbox, Mark
from fairway.broker.outward import Announcing, GroupCame, GroupLeft, Marked, OwnerCame, OwnerLeft
from fairway.broker.owners import Owners
from fairway.broker.post import Post
from fairway.limits import BrokerLimits


class WatchedDirectory(Directory):
    """A directory that tells when a group gets its first member, and when it has lost the last one."""

    __slots__ = ("_signals",)

    def __init__(self, signals: list[Signal]) -> None:
        super().__init__()
        self._signals = signals

    def __iter__(self) -> Iterator[str]:
        """Iterate over the groups that have members here."""
        return iter(self._members)

    def add(self, group: str, member: str) -> int:
        """Note a member; see `Directory.add`."""
        if group not in self._members:
            self._signals.append(GroupCame(group))
        return super().add(group, member)

    def remove(self, group: str, member: str, generation: int | None = None) -> bool:
        """Remove a membership; see `Directory.remove`."""
        has_gone = super().remove(group, member, generation)
        if has_gone and group not in self._members:
            self._signals.append(GroupLeft(group))
        return has_gone

    def clear(self) -> None:
        """Forget everything."""
        self._signals += [GroupLeft(group) for group in self._members]
        super().clear()


class JoinedOwners(Owners):
    """All inboxes of a joined broker."""

    __slots__ = ("outside",)

    directory: WatchedDirectory

    def __init__(self, limits: BrokerLimits, post: Post, signals: list[Signal], numbers: Iterator[int]) -> None:
        super().__init__(limits, post, signals, numbers)
        self.directory = WatchedDirectory(signals)
        self.outside: dict[int, set[str]] = {}
        """Owner -> its connections of which a message is at the upstream."""

    def __iter__(self) -> Iterator[Inbox]:
        """Iterate over the inboxes."""
        return iter(self._inboxes.values())

    def open(self, prefixes: Iterable[str]) -> int:
        """Give the channels below `prefixes` to a new owner; see `Owners.open`. It may be an old one that is back."""
        prefixes = tuple(prefixes)
        before = [self._by_prefix[prefix].id for prefix in prefixes if prefix in self._by_prefix]
        outside = {channel for owner in before for channel in self.outside.get(owner, ())}
        owner = super().open(prefixes)
        if outside:
            self.outside[owner] = outside
        self._signals.append(OwnerCame(owner, self._inboxes[owner].prefixes))
        return owner

    def close(self, owner: int) -> None:
        """Forget an owner; see `Owners.close`."""
        if owner in self._inboxes:
            self._signals.append(OwnerLeft(owner))
        self.outside.pop(owner, None)
        super().close(owner)

    def mark(self, owner: int, channel: str, mark: Mark | None) -> None:
        """Note what an owner says about one of its connections; senders elsewhere may have to know, too."""
        inbox = self._inboxes.get(owner)
        if inbox is None:
            return
        before = inbox.marks.get(channel)
        super().mark(owner, channel, mark)
        is_outside = channel in self.outside.get(owner, ())
        if Mark.CONGESTED in (before, mark) or is_outside:
            self._signals.append(Marked(owner, channel, mark))

    def announce(self, owner: int, groups: Iterable[str]) -> None:
        """Put an owner into the directory again; it is told once the upstream knows of its groups, too."""
        inbox = self._inboxes.get(owner)
        if inbox:
            groups = tuple(groups)
            for group in groups:
                self.directory.add(group, inbox.prefixes[0])
            self._signals.append(Announcing(owner, groups))

    def tell_announced(self, owner: int, groups: Iterable[str]) -> None:
        """Tell an owner the generations of groups that are known everywhere. In between it may have left some."""
        super().announce(owner, groups)

    def add(self, group: str, channel: str) -> None:
        """Make a connection of an owner here a member; nothing happens for any other channel."""
        if self.of(channel):
            super().add(group, channel)

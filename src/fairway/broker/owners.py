"""The owners of connections: their inboxes, and the groups that their connections are in.

An owner is an interface server. The broker passes it what its connections are sent; which of them is in which group
only the owner knows (`groups.Directory`).
"""

from collections.abc import Iterable

from fairway.broker.effects import Add, Ask, Discard, GroupFrame, Item, OwnerGone, Readable, Send, Settled, Signal
from fairway.broker.groups import Directory
from fairway.broker.inbox import Inbox, Mark
from fairway.broker.mailbox import Waiting
from fairway.broker.post import Post
from fairway.limits import BrokerLimits
from fairway.names import owner_prefix


class Owners:
    """All inboxes of a broker. Signals go to the list that the broker shares with it."""

    __slots__ = ("_by_prefix", "_inboxes", "_limits", "_post", "_signals", "directory")

    def __init__(self, limits: BrokerLimits, post: Post, signals: list[Signal]) -> None:
        self._limits = limits
        self._post = post
        self._signals = signals
        self._inboxes: dict[int, Inbox] = {}
        self._by_prefix: dict[str, Inbox] = {}
        self.directory = Directory()

    def __len__(self) -> int:
        return len(self._inboxes)

    def open(self, owner: int, prefixes: Iterable[str]) -> None:
        """Give the channels below `prefixes` to a new owner."""
        inbox = self._inboxes[owner] = Inbox(owner, tuple(prefixes), self._limits)
        for prefix in inbox.prefixes:
            self._by_prefix[prefix] = inbox

    def close(self, owner: int) -> None:
        """Forget an owner, its memberships and what it has not read. Who waits for room there need wait no more."""
        inbox = self._inboxes.pop(owner, None)
        if inbox is None:
            return
        for prefix in inbox.prefixes:
            del self._by_prefix[prefix]
        self.directory.forget(inbox.prefixes[0])
        self._post.held -= inbox.size
        self._signals += [Settled(waiting.token, "") for queue in inbox.waiting.values() for waiting in queue]

    def of(self, channel: str) -> Inbox | None:
        """Return the inbox of the owner of a process-specific channel, or None."""
        cut = channel.find("!")
        return self._by_prefix.get(channel[: cut + 1]) if cut > 0 else None

    def by_number(self, owner: int) -> Inbox:
        """Return an owner's inbox."""
        return self._inboxes[owner]

    def by_prefix(self, prefix: str) -> Inbox | None:
        """Return the inbox of the owner of `prefix`, or None."""
        return self._by_prefix.get(prefix)

    def drain(self, owner: int) -> list[Item]:
        """Hand an owner its items."""
        inbox = self._inboxes[owner]
        items, size = inbox.drain()
        self._post.held -= size
        if inbox.waiting:
            self._admit(inbox)
        return items

    def tell(self, inbox: Inbox, item: Item) -> None:
        """Append an item."""
        if not inbox.items:
            self._signals.append(Readable(inbox.id))
        inbox.items.append(item)

    def frame(self, inbox: Inbox, effect: Send) -> None:
        """Append a message for one connection."""
        if not inbox.items:
            self._signals.append(Readable(inbox.id))
        inbox.put_frame(effect.channel, effect.body)
        self._post.held += len(effect.body)

    def group_frame(self, inbox: Inbox, frame: GroupFrame) -> bool:
        """Append a group message, or return False: the owner, or the whole broker, has no room."""
        if self._post.held >= self._limits.total or not inbox.put_group(frame):
            return False
        self._post.held += len(frame.body)
        if len(inbox.items) == 1:
            self._signals.append(Readable(inbox.id))
        return True

    def wait(self, inbox: Inbox, channel: str, waiting: Waiting) -> None:
        """Let a direct send wait until its connection has room."""
        self._post.held += len(waiting.letter[1])
        inbox.wait(channel, waiting)

    def mark(self, owner: int, channel: str, mark: Mark | None) -> None:
        """Note what an owner says about one of its connections; None takes it back."""
        inbox = self._inboxes[owner]
        if mark is not None:
            inbox.marks[channel] = mark
        else:
            inbox.marks.pop(channel, None)
        if channel in inbox.waiting and mark is not Mark.CONGESTED:
            self._admit(inbox)

    def add(self, group: str, channel: str) -> None:
        """Make `channel` a member. A connection whose owner is unknown is gone, and nothing happens."""
        prefix = owner_prefix(channel)
        inbox = self._by_prefix.get(prefix)
        if inbox:
            # One entry for an owner, whichever of its prefixes: a group send reaches each inbox once.
            self.tell(inbox, Add(group, channel, self.directory.add(group, inbox.prefixes[0])))
        elif not prefix:
            self.directory.add(group, channel)

    def discard(self, group: str, channel: str) -> None:
        """End a membership; for a connection its owner does it."""
        inbox = self.of(channel)
        if inbox:
            self.tell(inbox, Discard(group, channel))
        else:
            self.directory.remove(group, channel)

    def leave(self, owner: int, group: str, generation: int) -> None:
        """Take an owner out of a group, unless one of its connections was added after `generation`."""
        self.directory.remove(group, self._inboxes[owner].prefixes[0], generation)

    def ask(self, inbox: Inbox, token: int, question: str, about: str) -> int:
        """Ask an owner what only it knows; return the token that the answer will carry."""
        self.tell(inbox, Ask(token, question, about))
        return token

    def tell_all_gone(self, prefix: str) -> None:
        """Tell every owner that the process that owned `prefix` has died."""
        for inbox in self._inboxes.values():
            self.tell(inbox, OwnerGone(prefix))

    def overdue(self, now: float) -> list[Waiting]:
        """Remove and return the direct sends that waited too long."""
        return [waiting for inbox in self._inboxes.values() if inbox.waiting for waiting in inbox.overdue(now)]

    def deadlines(self) -> list[float]:
        """Return the deadlines of all direct sends that wait."""
        queues = [queue for inbox in self._inboxes.values() for queue in inbox.waiting.values()]
        return [waiting.deadline for queue in queues for waiting in queue]

    def clear(self) -> list[Waiting]:
        """Drop all memberships and items; return the sends that waited."""
        self.directory.clear()
        dropped = []
        for inbox in self._inboxes.values():
            inbox.drain()
            dropped += [waiting for queue in inbox.waiting.values() for waiting in queue]
            inbox.waiting.clear()
            inbox.size = 0
        return dropped

    def _admit(self, inbox: Inbox) -> None:
        was_empty = not inbox.items
        self._signals += [Settled(waiting.token, "") for waiting in inbox.admit()]
        if was_empty and inbox.items:
            self._signals.append(Readable(inbox.id))

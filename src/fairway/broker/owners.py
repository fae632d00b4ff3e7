"""The owners of connections: their inboxes, and the groups that their connections are in.

An owner is an interface server. The broker passes it what its connections are sent; which of them is in which group
only the owner knows (`groups.Directory`). An owner may have several prefixes for one inbox; in the directory it stands
under the first of them, so that a group message reaches it once. A command of an owner that is closed does nothing.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from fairway.broker.effects import (
    Add,
    Announced,
    Answered,
    Ask,
    Discard,
    GroupFrame,
    Item,
    OwnerGone,
    Readable,
    Settled,
    Signal,
)
from fairway.broker.groups import Directory
from fairway.broker.inbox import Inbox, Mark
from fairway.broker.mailbox import Waiting
from fairway.broker.post import Post
from fairway.broker.wills import Will
from fairway.errors import LayerUnavailable
from fairway.limits import BrokerLimits
from fairway.names import owner_prefix


class Owners:
    """All inboxes of a broker. Signals go to the list, and numbers come from the counter, that it shares with this."""

    __slots__ = ("_by_prefix", "_inboxes", "_limits", "_numbers", "_post", "_signals", "directory")

    def __init__(self, limits: BrokerLimits, post: Post, signals: list[Signal], numbers: Iterator[int]) -> None:
        self._limits = limits
        self._post = post
        self._signals = signals
        self._numbers = numbers
        self._inboxes: dict[int, Inbox] = {}
        self._by_prefix: dict[str, Inbox] = {}
        self.directory = Directory()

    def __len__(self) -> int:
        return len(self._inboxes)

    # --- coming and going --------------------------------------------------------------------------------------------

    def open(self, prefixes: Iterable[str]) -> int:
        """Give the channels below `prefixes` to a new owner; return its number.

        An owner that has one of them already is closed: a server whose line was cut comes back before it is missed.
        """
        owner = next(self._numbers)
        inbox = Inbox(owner, tuple(dict.fromkeys(prefixes)), self._limits)
        for prefix in inbox.prefixes:
            if prefix in self._by_prefix:
                self.close(self._by_prefix[prefix].id)
            self._by_prefix[prefix] = inbox
        self._inboxes[owner] = inbox
        return owner

    def close(self, owner: int) -> None:
        """Forget an owner, its memberships and what it has not read. Whoever waits for it need wait no more."""
        inbox = self._inboxes.pop(owner, None)
        if inbox is None:
            return
        for prefix in inbox.prefixes:
            del self._by_prefix[prefix]
        self.directory.forget(inbox.prefixes[0])
        self._post.held -= inbox.size
        self._post.crowd -= inbox.waiting_size()
        self._signals += [Settled(waiting.token, "") for queue in inbox.waiting.values() for waiting in queue]
        self._signals += [Answered(token, None) for token in inbox.asked]

    def will(self, owner: int, channel: str, will: Will) -> None:
        """Keep what the workers are told of a connection if its owner dies."""
        inbox = self._inboxes.get(owner)
        if inbox is None:
            return
        if not will.body:
            inbox.wills.pop(channel, None)
        elif len(inbox.wills) < self._limits.wills:
            inbox.wills[channel] = will

    def of(self, channel: str) -> Inbox | None:
        """Return the inbox of the owner of a process-specific channel, or None."""
        cut = channel.find("!")
        return self._by_prefix.get(channel[: cut + 1]) if cut > 0 else None

    def by_number(self, owner: int) -> Inbox | None:
        """Return an owner's inbox, or None when it is closed."""
        return self._inboxes.get(owner)

    def by_prefix(self, prefix: str) -> Inbox | None:
        """Return the inbox of the owner of `prefix`, or None."""
        return self._by_prefix.get(prefix)

    # --- items -------------------------------------------------------------------------------------------------------

    def drain(self, owner: int) -> list[Item]:
        """Hand an owner its items."""
        inbox = self._inboxes.get(owner)
        if inbox is None:
            return []
        items, size = inbox.drain()
        self._post.held -= size
        if inbox.waiting:
            self._admit(inbox)
        return items

    def tell(self, inbox: Inbox, item: Item) -> None:
        """Append an item that has no body."""
        if not inbox.items:
            self._signals.append(Readable(inbox.id))
        inbox.items.append(item)

    def tell_all_gone(self, prefix: str) -> None:
        """Tell every owner that the process that owned `prefix` has died."""
        for inbox in self._inboxes.values():
            self.tell(inbox, OwnerGone(prefix))

    def frame(self, inbox: Inbox, channel: str, body: bytes) -> None:
        """Append a message for one connection."""
        if not inbox.items:
            self._signals.append(Readable(inbox.id))
        inbox.put_frame(channel, body)
        self._post.held += len(body)

    def state(self, inbox: Inbox, channel: str, changes: dict[str, bytes | None]) -> None:
        """Append changes to a connection's state."""
        if not inbox.items:
            self._signals.append(Readable(inbox.id))
        self._post.held += inbox.put_state(channel, changes)

    def group_frame(self, inbox: Inbox, frame: GroupFrame) -> bool:
        """Append a group message, or return False: the owner, or the whole broker, has no room."""
        if not self._post.has_memory or not inbox.put_group(frame):
            return False
        self._post.held += len(frame.body)
        if len(inbox.items) == 1:
            self._signals.append(Readable(inbox.id))
        return True

    # --- who waits for room ------------------------------------------------------------------------------------------

    def wait(self, inbox: Inbox, channel: str, waiting: Waiting) -> None:
        """Let a direct send wait until its connection has room."""
        self._post.crowd_in(waiting)
        inbox.wait(channel, waiting)

    def mark(self, owner: int, channel: str, mark: Mark | None) -> None:
        """Note what an owner says about one of its connections; None takes it back."""
        inbox = self._inboxes.get(owner)
        if inbox is None:
            return
        if mark is not None:
            inbox.marks[channel] = mark
        else:
            inbox.marks.pop(channel, None)
        if channel in inbox.waiting:
            self._admit(inbox)

    def admit_all(self) -> None:
        """Let in what waited for nothing but memory."""
        for inbox in self._inboxes.values():
            if inbox.waiting:
                self._admit(inbox)

    def overdue(self, now: float) -> list[Waiting]:
        """Remove and return the direct sends that waited too long."""
        return [waiting for inbox in self._inboxes.values() if inbox.waiting for waiting in inbox.overdue(now)]

    def next_due(self) -> float | None:
        """Return when the first direct send has waited too long, or None."""
        queues = (queue for inbox in self._inboxes.values() for queue in inbox.waiting.values())
        return min((waiting.deadline for queue in queues for waiting in queue), default=None)

    def _admit(self, inbox: Inbox) -> None:
        post = self._post
        for channel in tuple(inbox.waiting):
            while channel in inbox.waiting and not inbox.is_slow(channel):
                if not post.has_memory:
                    post.starved = True
                    return
                if not inbox.items:
                    self._signals.append(Readable(inbox.id))
                waiting = inbox.admit(channel)
                post.crowd -= len(waiting.letter[1])
                self._signals.append(Settled(waiting.token, ""))

    # --- groups ------------------------------------------------------------------------------------------------------

    def add(self, group: str, channel: str) -> None:
        """Make `channel` a member. A connection whose owner is unknown is gone, and nothing happens.

        Raises:
            LayerUnavailable: the connection's server does not read its inbox; so also `discard`, and the questions.
        """
        inbox = self.of(channel)
        if inbox:
            _check_room(inbox)
            self.tell(inbox, Add(group, channel, self.directory.add(group, inbox.prefixes[0])))
        elif not owner_prefix(channel) or self._post.readers(owner_prefix(channel)):
            self.directory.add(group, channel)

    def announce(self, owner: int, groups: Iterable[str]) -> None:
        """Put an owner that has members in these groups into the directory again; it is told the generations."""
        inbox = self._inboxes.get(owner)
        if inbox:
            for group in groups:
                self.tell(inbox, Announced(group, self.directory.add(group, inbox.prefixes[0])))

    def discard(self, group: str, channel: str) -> None:
        """End a membership; for a connection its owner does it."""
        inbox = self.of(channel)
        if inbox:
            _check_room(inbox)
            self.tell(inbox, Discard(group, channel))
        else:
            self.directory.remove(group, channel)

    def leave(self, owner: int, group: str, generation: int) -> None:
        """Take an owner out of a group, unless one of its connections was added after `generation`."""
        inbox = self._inboxes.get(owner)
        if inbox:
            self.directory.remove(group, inbox.prefixes[0], generation)

    # --- questions ---------------------------------------------------------------------------------------------------

    def ask_members(self, group: str) -> tuple[list[str], list[int]]:
        """Return the channels in `group` that the broker knows, and a token for each owner that was asked for its."""
        found: list[str] = []
        tokens: list[int] = []
        for member in self.directory.members(group):
            inbox = self._by_prefix.get(member)
            if inbox:
                tokens.append(self._ask(inbox, "members", group))
            else:
                found.append(member)
        return found, tokens

    def ask_state(self, channel: str) -> int:
        """Ask a connection's owner for its state; return the token, or 0 when there is no such owner."""
        inbox = self.of(channel)
        return self._ask(inbox, "state", channel) if inbox else 0

    def answer(self, owner: int, token: int, answer: Any) -> None:
        """Pass an owner's answer on to whoever asked; nothing when it was not asked, or answers twice."""
        inbox = self._inboxes.get(owner)
        if inbox and token in inbox.asked:
            inbox.asked.remove(token)
            self._signals.append(Answered(token, answer))

    def _ask(self, inbox: Inbox, question: str, about: str) -> int:
        _check_room(inbox)
        token = next(self._numbers)
        inbox.asked.add(token)
        self.tell(inbox, Ask(token, question, about))
        return token

    # --- the end -----------------------------------------------------------------------------------------------------

    def clear(self) -> list[Waiting]:
        """Drop all memberships and items; return the sends that waited. Questions are answered with nothing."""
        self.directory.clear()
        dropped = []
        for inbox in self._inboxes.values():
            inbox.drain()
            dropped += [waiting for queue in inbox.waiting.values() for waiting in queue]
            inbox.waiting.clear()
            inbox.size = 0
            self._signals += [Answered(token, None) for token in inbox.asked]
            inbox.asked.clear()
        return dropped


def _check_room(inbox: Inbox) -> None:
    if inbox.is_full:
        msg = (
            f"the server of {inbox.prefixes[0]!r} has {len(inbox.items)} items with {inbox.size} bytes unread, "
            "more than its bound (BrokerLimits.inbox and inbox_items): it is stuck, or needs more time"
        )
        raise LayerUnavailable(msg)

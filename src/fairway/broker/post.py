"""All mailboxes of a broker, the rules for them, the bytes held, and the dead letters.

A mailbox exists while a session reads its channel (it is pinned) or while something is in it; so channels that come and
go leave no trace.

Memory is bounded twice by `BrokerLimits.total`: what waits for a reader or is leased, and what waits for room.
"""

import re
from fnmatch import translate

from fairway.broker.dead import DeadLetters
from fairway.broker.mailbox import Letter, Mailbox, Waiting
from fairway.limits import BrokerLimits, ChannelRule
from fairway.names import owner_prefix


class Post:
    """Channel name -> mailbox, and what holds for all of them together."""

    __slots__ = ("_boxes", "_limits", "_pins", "_rules", "crowd", "dead", "expired", "held", "starved")

    def __init__(self, limits: BrokerLimits) -> None:
        self._limits = limits
        self._rules = [(re.compile(translate(pattern)).match, rule) for pattern, rule in limits.rules]
        self._boxes: dict[str, Mailbox] = {}
        self._pins: dict[str, int] = {}
        self.dead = DeadLetters(limits.dead_letters, limits.dead_letter_bytes)
        self.held = 0
        """Bytes of all bodies that wait anywhere or are leased. Dead letters have a bound of their own."""
        self.crowd = 0
        """The part of `held` that waits for room."""
        self.starved = False
        """Somebody waits for nothing but memory, so that the broker has to look when some comes free."""
        self.expired = 0

    @property
    def has_memory(self) -> bool:
        """Whether one more body may come in. What waits for room does not count, or it would wait for itself."""
        return self.held - self.crowd < self._limits.total

    @property
    def is_crowded(self) -> bool:
        """Whether so much waits for room that nobody else may."""
        return self.crowd >= self._limits.total

    def rule(self, channel: str) -> ChannelRule:
        """Return the first rule that matches the channel's name."""
        box = self._boxes.get(channel)
        if box:
            return box.rule
        return next((rule for match, rule in self._rules if match(channel)), ChannelRule())

    def box(self, channel: str) -> Mailbox:
        """Return the channel's mailbox, made when there is none."""
        box = self._boxes.get(channel)
        if box is None:
            box = self._boxes[channel] = Mailbox(self.rule(channel))
        return box

    def boxes(self) -> dict[str, Mailbox]:
        """Return all mailboxes by channel. Not to be changed by the caller."""
        return self._boxes

    # --- who reads ---------------------------------------------------------------------------------------------------

    def pin(self, channel: str) -> Mailbox:
        """Keep the channel's mailbox while somebody reads it, and return it."""
        self._pins[channel] = self._pins.get(channel, 0) + 1
        return self.box(channel)

    def unpin(self, channel: str) -> bool:
        """Take one `pin` back; return whether it was the last."""
        pins = self._pins.pop(channel) - 1
        if pins:
            self._pins[channel] = pins
            return False
        self.forget_box(channel)
        return True

    def readers(self, channel: str) -> int:
        """Return how many sessions read the channel."""
        return self._pins.get(channel, 0)

    def is_gone(self, name: str) -> bool:
        """Whether the process that alone reads the queue `name` is gone: nobody will ever read it."""
        return name.endswith("!") and name not in self._pins

    def forget_box(self, channel: str) -> None:
        """Forget a mailbox that is empty and that nobody reads."""
        box = self._boxes.get(channel)
        if box and not box.letters and not box.waiting and channel not in self._pins:
            del self._boxes[channel]

    def abolish(self, channel: str) -> tuple[list[Letter], list[Waiting]]:
        """Remove a mailbox whose only possible reader is gone; return what was in it, and who waits."""
        box = self._boxes.pop(channel, None)
        if box is None:
            return [], []
        waiting = list(box.waiting)
        self.held -= box.size
        self.crowd -= size_of(waiting)
        return list(box.letters), waiting

    # --- who waits for room ------------------------------------------------------------------------------------------

    def wait(self, channel: str, waiting: Waiting) -> None:
        """Let a message wait for room until its deadline."""
        self.crowd_in(waiting)
        self.box(channel).wait(waiting)

    def crowd_in(self, waiting: Waiting) -> None:
        """Count a message that waits for room, here or at an owner's inbox."""
        self.held += len(waiting.letter[1])
        self.crowd += len(waiting.letter[1])
        self.starved = self.starved or not self.has_memory

    def admit(self, box: Mailbox) -> list[Waiting]:
        """Move waiting messages up while there is room; return those that moved, so that their senders are told."""
        admitted = []
        while box.waiting and len(box.letters) < box.rule.capacity:
            if not self.has_memory:
                self.starved = True
                break
            waiting = box.admit()
            self.crowd -= len(waiting.letter[1])
            admitted.append(waiting)
        return admitted

    def withdraw(self, channel: str, token: int) -> Waiting | None:
        """Remove and return a waiting message."""
        box = self._boxes.get(channel)
        waiting = box.withdraw(token) if box else None
        self.forget_box(channel)
        return waiting

    # --- time --------------------------------------------------------------------------------------------------------

    def drop_expired(self, letter: Letter, now: float) -> bool:
        """Drop a message that reached its reader too late; return whether it was.

        A single-reader channel that is being read loses nothing: a stream with a hole would be worse than a late one.
        """
        if not letter[0].is_expired(now) or "?" in letter[0].channel:
            return False
        self.held -= len(letter[1])
        self.expired += 1
        return True

    def sweep(self, now: float) -> list[tuple[str, list[Letter]]]:
        """Drop what has expired unread; return it by channel.

        Of a single-reader channel that nobody reads all goes when its first message has expired.
        """
        swept: list[tuple[str, list[Letter]]] = []
        for channel, box in self._boxes.items():
            if box.sweep is None or box.sweep > now:
                continue
            if "?" not in channel:
                gone = box.drop_expired(now)
            elif channel not in self._pins:
                gone, box.sweep = list(box.letters), None
                box.letters.clear()
                box.size -= sum(len(letter[1]) for letter in gone)
            else:
                gone, box.sweep = [], now + max(1.0, box.rule.expiry)
            self.held -= sum(len(letter[1]) for letter in gone)
            self.expired += len(gone)
            swept.append((channel, gone))
        return swept

    def overdue(self, now: float) -> list[Waiting]:
        """Remove and return what has waited for room too long."""
        late = []
        for channel, box in tuple(self._boxes.items()):
            if box.waiting:
                late += box.overdue(now)
                self.forget_box(channel)
        return late

    def next_due(self) -> float | None:
        """Return when something here has waited too long, or None."""
        boxes = self._boxes.values()
        deadlines = (waiting.deadline for box in boxes for waiting in box.waiting)
        sweeps = (box.sweep for box in boxes if box.sweep is not None)
        return min((*deadlines, *sweeps), default=None)

    # --- the end -----------------------------------------------------------------------------------------------------

    def clear(self) -> list[Waiting]:
        """Drop all messages; return those whose senders wait."""
        waiting = [waiting for box in self._boxes.values() for waiting in box.waiting]
        self._boxes = {channel: box for channel, box in self._boxes.items() if channel in self._pins}
        for box in self._boxes.values():
            box.letters.clear()
            box.waiting.clear()
            box.size = 0
            box.sweep = None
        self.dead.clear()
        self.held = self.crowd = 0
        self.starved = False
        return waiting


def size_of(waiting: list[Waiting]) -> int:
    """Return the bytes of messages that wait."""
    return sum(len(one.letter[1]) for one in waiting)


def queue_name(channel: str) -> str:
    """Return the name of the queue that a channel's messages stand in."""
    return owner_prefix(channel) or channel

"""All mailboxes of a broker, the rules for them, the bytes held, and the dead letters.

A mailbox exists while a session reads its channel (it is pinned) or while something is in it; so channels that come and
go leave no trace.
"""

import re
from collections import deque
from fnmatch import translate

from msgspec import Struct

from fairway.broker.effects import Envelope
from fairway.broker.mailbox import Letter, Mailbox, Waiting
from fairway.limits import BrokerLimits, ChannelRule


class DeadLetter(Struct, gc=False):
    """A message that nobody could consume: `reason` is "attempts", "retries", or "full"."""

    envelope: Envelope
    body: bytes
    reason: str


class Post:
    """Channel name -> mailbox, and what holds for all of them together."""

    __slots__ = ("_boxes", "_pins", "_rules", "dead", "expired", "held")

    def __init__(self, limits: BrokerLimits) -> None:
        self._rules = [(re.compile(translate(pattern)).match, rule) for pattern, rule in limits.rules]
        self._boxes: dict[str, Mailbox] = {}
        self._pins: dict[str, int] = {}
        self.dead: deque[DeadLetter] = deque(maxlen=limits.dead_letters)
        self.held = 0
        """Bytes of all bodies that wait anywhere or are leased. Dead letters are bounded by their number."""
        self.expired = 0

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

    def pin(self, channel: str) -> Mailbox:
        """Keep the channel's mailbox while somebody reads it, and return it."""
        self._pins[channel] = self._pins.get(channel, 0) + 1
        return self.box(channel)

    def unpin(self, channel: str) -> None:
        """Take one `pin` back."""
        pins = self._pins.pop(channel) - 1
        if pins:
            self._pins[channel] = pins
        else:
            self.forget_box(channel)

    def readers(self, channel: str) -> int:
        """Return how many sessions read the channel."""
        return self._pins.get(channel, 0)

    def forget_box(self, channel: str) -> None:
        """Forget a mailbox that is empty and that nobody reads."""
        box = self._boxes.get(channel)
        if box and not box.letters and not box.waiting and channel not in self._pins:
            del self._boxes[channel]

    def drop_expired(self, letter: Letter, now: float) -> bool:
        """Drop a message that was not begun in time; return whether it was."""
        expires = letter[0].expires
        if expires is None or expires > now:
            return False
        self.held -= len(letter[1])
        self.expired += 1
        return True

    def overdue(self, now: float) -> list[Waiting]:
        """Remove and return what has waited for room too long."""
        late = []
        for channel, box in tuple(self._boxes.items()):
            if box.waiting:
                late += box.overdue(now)
                self.forget_box(channel)
        return late

    def deadlines(self) -> list[float]:
        """Return the deadlines of all that waits for room."""
        return [waiting.deadline for box in self._boxes.values() for waiting in box.waiting]

    def withdraw(self, channel: str, token: int) -> Waiting | None:
        """Remove and return a waiting message."""
        box = self._boxes.get(channel)
        waiting = box.withdraw(token) if box else None
        self.forget_box(channel)
        return waiting

    def clear(self) -> list[Waiting]:
        """Drop all messages; return those whose senders wait."""
        waiting = [waiting for box in self._boxes.values() for waiting in box.waiting]
        self._boxes = {channel: box for channel, box in self._boxes.items() if channel in self._pins}
        for box in self._boxes.values():
            box.letters.clear()
            box.waiting.clear()
            box.size = 0
        self.dead.clear()
        self.held = 0
        return waiting

"""A bounded FIFO for one normal channel, with a named answer to every way it can be full.

Three places a message may be in::

    letters    waits for a reader; at most `rule.capacity` of them
    waiting    found no room, and its sender gave it some time: moves up as letters leave, in order
    (leased)   handed to a session; the broker keeps those, and `put_back` returns them to the front

Policies: a message that finds no room is refused at once or at its deadline (the sender chooses); one whose expiry is
over is dropped, when it reaches the front or at the next sweep.
"""

from collections import deque
from dataclasses import dataclass

from fairway.broker.effects import Envelope
from fairway.limits import ChannelRule

Letter = tuple[Envelope, bytes]


@dataclass(slots=True, frozen=True)
class Waiting:
    """A message that waits for room. `token` is what its sender waits on; 0 for an effect of a commit."""

    letter: Letter
    deadline: float
    token: int


class Mailbox:
    """One normal channel of a broker."""

    __slots__ = ("letters", "rule", "size", "sweep", "waiting")

    def __init__(self, rule: ChannelRule) -> None:
        self.rule = rule
        self.letters: deque[Letter] = deque()
        self.waiting: deque[Waiting] = deque()
        self.size = 0
        """Bytes of all bodies in `letters` and `waiting`."""
        self.sweep: float | None = None
        """When to look for expired letters: no letter here expires before that. None when none expires."""

    @property
    def full(self) -> bool:
        """Whether one more message has to wait or is refused. Who waits already goes first."""
        return bool(self.waiting) or len(self.letters) >= self.rule.capacity

    def put(self, letter: Letter) -> None:
        """Append a message; the caller has looked at `full`."""
        self.letters.append(letter)
        self.size += len(letter[1])
        self._watch(letter)

    def put_back(self, letter: Letter) -> None:
        """Return a message to the front, whatever the capacity: it had its place already."""
        self.letters.appendleft(letter)
        self.size += len(letter[1])
        self._watch(letter)

    def wait(self, waiting: Waiting) -> None:
        """Let a message wait for room until its deadline."""
        self.waiting.append(waiting)
        self.size += len(waiting.letter[1])

    def take(self) -> Letter:
        """Remove and return the first message. The caller then calls `admit`."""
        letter = self.letters.popleft()
        self.size -= len(letter[1])
        return letter

    def admit(self) -> Waiting:
        """Move the first waiting message up; the caller has seen that there is one, and room for it."""
        waiting = self.waiting.popleft()
        self.letters.append(waiting.letter)
        self._watch(waiting.letter)
        return waiting

    def drop_expired(self, now: float) -> list[Letter]:
        """Remove and return the letters that have expired, wherever they stand."""
        gone = [letter for letter in self.letters if letter[0].is_expired(now)]
        if gone:
            self.letters = deque(letter for letter in self.letters if not letter[0].is_expired(now))
            self.size -= sum(len(letter[1]) for letter in gone)
        self.sweep = min((letter[0].expires for letter in self.letters if letter[0].expires is not None), default=None)
        return gone

    def overdue(self, now: float) -> list[Waiting]:
        """Remove and return the waiting messages whose deadline is over."""
        late = [waiting for waiting in self.waiting if waiting.deadline <= now]
        if late:
            self.waiting = deque(waiting for waiting in self.waiting if waiting.deadline > now)
            self.size -= sum(len(waiting.letter[1]) for waiting in late)
        return late

    def withdraw(self, token: int) -> Waiting | None:
        """Remove and return the waiting message with this token; its sender does not wait any more."""
        for waiting in self.waiting:
            if waiting.token == token:
                self.waiting.remove(waiting)
                self.size -= len(waiting.letter[1])
                return waiting
        return None

    def _watch(self, letter: Letter) -> None:
        expires = letter[0].expires
        if expires is not None and (self.sweep is None or expires < self.sweep):
            self.sweep = expires

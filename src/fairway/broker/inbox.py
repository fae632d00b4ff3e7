"""What one owner of connections has not read yet, in order, bounded in all and per connection.

Policies. A commit's effects always go in: the server that reads them knows best what its connection can bear. A group
send that finds the inbox above its bound is dropped and counted: nobody can be made to wait for the slowest server. A
direct send to a connection with too much unread, or whose client reads slowly (`congest`), waits or is refused. An
add, a discard or a question that finds the inbox above its bound is refused with `LayerUnavailable`: its server does
not read.
"""

from collections import deque
from enum import IntEnum

from fairway.broker.effects import Frame, GroupFrame, Item, State
from fairway.broker.mailbox import Waiting
from fairway.broker.wills import Will
from fairway.limits import BrokerLimits


class Mark(IntEnum):
    """What an owner has said about one of its connections."""

    CONGESTED = 1
    DEPARTED = 2


class Inbox:
    """The items for one owner."""

    __slots__ = ("_limits", "asked", "id", "items", "known", "marks", "prefixes", "size", "unread", "waiting", "wills")

    def __init__(self, owner: int, prefixes: tuple[str, ...], limits: BrokerLimits) -> None:
        self.id = owner
        self.prefixes = prefixes
        self._limits = limits
        self.items: list[Item] = []
        self.size = 0
        """Bytes of the bodies and states in `items` and `waiting`."""
        self.unread: dict[str, int] = {}
        self.marks: dict[str, Mark] = {}
        self.waiting: dict[str, deque[Waiting]] = {}
        self.asked: set[int] = set()
        """Tokens of the questions that the owner has not answered."""
        self.known: set[str] | None = None
        """The ids of its messages that the broker had when the owner first sent one again; None before that."""
        self.wills: dict[str, Will] = {}
        """Reply channel -> what the workers are told of that connection if the owner dies."""

    @property
    def is_full(self) -> bool:
        """Whether the owner is too far behind for anything that can be refused."""
        return self.size >= self._limits.inbox or len(self.items) >= self._limits.inbox_items

    def full_for(self, channel: str) -> bool:
        """Whether a direct send to this connection has to wait."""
        return channel in self.waiting or self.is_slow(channel)

    def is_slow(self, channel: str) -> bool:
        """Whether the connection has more before it than it takes now."""
        if self.marks.get(channel) is Mark.CONGESTED:
            return True
        return self.unread.get(channel, 0) >= self._limits.unread_per_connection

    def put_frame(self, channel: str, body: bytes) -> None:
        """Append a message for one connection."""
        self.items.append(Frame(channel, body))
        self.size += len(body)
        self.unread[channel] = self.unread.get(channel, 0) + len(body)

    def put_state(self, channel: str, changes: dict[str, bytes | None]) -> int:
        """Append changes to a connection's state; return their bytes."""
        size = sum(len(key) + len(value or b"") for key, value in changes.items())
        self.items.append(State(channel, changes))
        self.size += size
        return size

    def put_group(self, frame: GroupFrame) -> bool:
        """Append a group message, or return False when the owner is too far behind."""
        if self.is_full:
            return False
        self.items.append(frame)
        self.size += len(frame.body)
        return True

    def wait(self, channel: str, waiting: Waiting) -> None:
        """Let a direct send wait until the connection's client has read on."""
        self.waiting.setdefault(channel, deque()).append(waiting)
        self.size += len(waiting.letter[1])

    def waiting_size(self) -> int:
        """Return the bytes of the direct sends that wait."""
        return sum(len(waiting.letter[1]) for queue in self.waiting.values() for waiting in queue)

    def drain(self) -> tuple[list[Item], int]:
        """Hand all items over; return them and the bytes they held."""
        items = self.items
        waiting = self.waiting_size() if self.waiting else 0
        size = self.size - waiting
        self.items, self.size, self.unread = [], waiting, {}
        return items, size

    def admit(self, channel: str) -> Waiting:
        """Move the connection's first waiting send in; the caller has seen that there is one, and room for it."""
        waiting = self.waiting[channel][0]
        self._remove(waiting)
        self.put_frame(channel, waiting.letter[1])
        return waiting

    def overdue(self, now: float) -> list[Waiting]:
        """Remove and return the waiting sends whose deadline is over."""
        late = [waiting for queue in self.waiting.values() for waiting in queue if waiting.deadline <= now]
        for waiting in late:
            self._remove(waiting)
        return late

    def withdraw(self, token: int) -> Waiting | None:
        """Remove and return the waiting send with this token."""
        for queue in self.waiting.values():
            for waiting in queue:
                if waiting.token == token:
                    self._remove(waiting)
                    return waiting
        return None

    def _remove(self, waiting: Waiting) -> None:
        channel = waiting.letter[0].channel
        queue = self.waiting[channel]
        queue.remove(waiting)
        self.size -= len(waiting.letter[1])
        if not queue:
            del self.waiting[channel]

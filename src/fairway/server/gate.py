"""The gate: at most one message of a connection is being consumed, and the next goes out when it is done.

Receive, event and disconnect share one numbering. The worker's `done` is cumulative. A connection that is pinned to one
process (`receive_channel`) has a wider window; everything else has a window of one.
"""

from collections import deque
from enum import IntEnum


class Kind(IntEnum):
    """What a message at the gate is."""

    TEXT = 0
    BYTES = 1
    EVENT = 2
    DISCONNECT = 3


Waiting = tuple[Kind, str | bytes | int]
"""A message before it has its number: text, bytes, an encoded event, or a close code."""


class Gate:
    """The numbering of one connection, and what waits its turn."""

    __slots__ = ("done", "events", "sent", "size", "waiting", "window")

    def __init__(self) -> None:
        self.sent = -1
        """The number of the last message that went out."""
        self.done = -1
        """The number of the last message that is consumed, with all before it."""
        self.window = 1
        self.size = 0
        """Bytes (or characters) that wait."""
        self.events = 0
        """Group events that wait."""
        self.waiting: deque[Waiting] | None = None
        """What waits its turn; None rather than empty."""

    def __len__(self) -> int:
        return len(self.waiting) if self.waiting else 0

    @property
    def open(self) -> bool:
        """Whether a message may go out now."""
        return self.sent - self.done < self.window and not self.waiting

    def number(self) -> int:
        """Take the number for a message that goes out."""
        self.sent += 1
        return self.sent

    def wait(self, kind: Kind, payload: str | bytes | int) -> None:
        """Let a message wait its turn."""
        if self.waiting is None:
            self.waiting = deque()
        self.waiting.append((kind, payload))
        self.size += _size(payload)
        self.events += kind is Kind.EVENT

    def drop(self) -> None:
        """Forget what waits: it is for nobody any more."""
        self.waiting = None
        self.size = self.events = 0

    def finish(self, order: int) -> None:
        """Note that all messages up to and including `order` are consumed."""
        if self.done < order <= self.sent:
            self.done = order

    def next(self) -> Waiting | None:
        """Take the message whose turn it is, or None. An idle connection keeps no queue."""
        if not self.waiting or self.sent - self.done >= self.window:
            return None
        kind, payload = self.waiting.popleft()
        self.size -= _size(payload)
        self.events -= kind is Kind.EVENT
        if not self.waiting:
            self.waiting = None
        return kind, payload


def _size(payload: str | bytes | int) -> int:
    return 0 if isinstance(payload, int) else len(payload)

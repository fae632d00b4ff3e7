"""What comes to an inbox, as its owner is to see it. Pure: entries in, items out."""

from collections.abc import Sequence
from typing import Any

from fairway.broker.effects import Abandoned, Ask, Item, Refused
from fairway.layers.redis.entries import Asked, Readers, items_of, size_of

QUESTIONS = 10_000
"""Questions that wait for an answer; the oldest is forgotten first, since whoever asked has given up."""

Entry = Sequence[Any]
"""An id, and fields and values."""


class Arrivals:
    """What has come since the prefixes were owned.

    Attributes:
        readers: the channels that somebody reads.
        wills: the connections whose wills are filed.
        unacked: how many entries have come that are not acknowledged.
        unacked_bytes: their size.
        unread_bytes: the size of what the owner has not taken.
    """

    def __init__(self) -> None:
        self.readers: frozenset[str] = frozenset()
        self.wills: set[str] = set()
        self.unacked = 0
        self.unacked_bytes = 0
        self.unread_bytes = 0
        self._questions: dict[int, str] = {}
        self._question = 0

    def take(self, entries: Sequence[Entry]) -> list[Item]:
        """Return the items of entries that have come."""
        found: list[Item] = []
        size = 0
        for _, fields in entries:
            size += size_of(fields)
            for item in items_of(fields):
                if type(item) in _LOOKED_AT:
                    self._look_at(item, found)
                else:
                    found.append(item)
        self.unacked += len(entries)
        self.unacked_bytes += size
        self.unread_bytes += size
        return found

    def _look_at(self, item: Any, found: list[Item]) -> None:
        """Take in what is for the inbox itself, or concerns it, too."""
        if isinstance(item, Readers):
            self.readers = frozenset(item.channels)
        elif isinstance(item, Asked):
            self._question += 1
            if len(self._questions) >= QUESTIONS:
                del self._questions[next(iter(self._questions))]
            self._questions[self._question] = item.token
            found.append(Ask(self._question, item.question, item.about))
        else:
            # No consumer saw the connection's first message, so none is told of its end.
            if item.reason == "expired" or (item.order == 0 and isinstance(item, Refused)):
                self.wills.discard(item.channel)
            found.append(item)

    def take_question(self, token: int) -> str:
        """Return the token by which its asker knows a question; "" when nobody waits for its answer."""
        return self._questions.pop(token, "")

    def take_unacked(self) -> tuple[int, int]:
        """Return how many entries are to be acknowledged now, and their size."""
        unacked = self.unacked, self.unacked_bytes
        self.unacked = self.unacked_bytes = 0
        return unacked


_LOOKED_AT = frozenset({Readers, Asked, Refused, Abandoned})


def items_left(entries: Sequence[Entry]) -> list[Item]:
    """Return the items of entries that had come before the prefixes were owned anew; nobody waits for answers."""
    found = [item for _, fields in entries for item in items_of(fields)]
    return [item for item in found if not isinstance(item, Readers | Asked)]

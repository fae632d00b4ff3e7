"""Dead letters: what nobody could consume, kept until somebody decides about it.

Bounded in number and in bytes of bodies; the oldest go first, because the newest tell what is wrong now.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import islice

from msgspec import Struct

from fairway.broker.effects import Envelope
from fairway.broker.mailbox import Letter


class DeadLetter(Struct, gc=False):
    """A message that nobody could consume: `reason` is "attempts", "retries", or "full"; `since` when it died."""

    envelope: Envelope
    body: bytes
    reason: str
    since: float


class DeadLetters:
    """The dead letters of a broker, the oldest first.

    Parameters:
        count: how many are kept.
        size: how many bytes of bodies are kept.
    """

    __slots__ = ("_count", "_letters", "_size", "size")

    def __init__(self, count: int, size: int) -> None:
        self._count = count
        self._size = size
        self._letters: deque[DeadLetter] = deque()
        self.size = 0
        """Bytes of the bodies."""

    def __len__(self) -> int:
        return len(self._letters)

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(self._letters)

    def bury(self, letter: Letter, reason: str, now: float) -> None:
        """Keep a letter; the oldest ones go when there are too many."""
        self._letters.append(DeadLetter(letter[0], letter[1], reason, now))
        self.size += len(letter[1])
        while self._letters and (len(self._letters) > self._count or self.size > self._size):
            self.size -= len(self._letters.popleft().body)

    def newest(self, limit: int) -> list[DeadLetter]:
        """Return at most `limit` letters, the newest first."""
        return list(islice(reversed(self._letters), max(0, limit)))

    def remove(self, ids: Collection[str], may_go: Callable[[DeadLetter], bool]) -> int:
        """Remove those with these ids that `may_go` says yes to, the oldest first; return how many went."""
        wanted = set(ids)
        kept: deque[DeadLetter] = deque()
        before = len(self._letters)
        for dead in self._letters:
            if dead.envelope.id in wanted and may_go(dead):
                self.size -= len(dead.body)
            else:
                kept.append(dead)
        self._letters = kept
        return before - len(kept)

    def clear(self) -> None:
        """Forget all."""
        self._letters.clear()
        self.size = 0

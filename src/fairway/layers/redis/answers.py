"""Answers that shards and owners give under tokens, and who waits for them.

An answer comes in a stream, over another connection than the reply which says that there is one to wait for: either may
be first.
"""

from collections.abc import Callable, Sequence
from typing import Any

from fairway.layers.redis.operations import Await

EARLY = 1_000
"""Answers that are kept though nobody waits for them yet; the oldest goes first."""

OnAnswer = Callable[[Any], None]


class Answers:
    """The answers to one process, as long as its connections last. Touched by the thread that reads them."""

    def __init__(self) -> None:
        self._awaited: dict[tuple[str, str], OnAnswer] = {}
        self._early: dict[tuple[str, str], bytes] = {}

    def expect(self, awaited: Await, on_answer: OnAnswer) -> bool:
        """Wait for an answer; return False when it was there, and has been given."""
        known = _known(awaited)
        if known in self._early:
            on_answer(self._early.pop(known))
            return False
        self._awaited[known] = on_answer
        return True

    def take(self, shard: str, fields: Sequence[bytes]) -> None:
        """Take an entry of the stream of a shard: numbers of tokens, and the answer to each."""
        for place in range(0, len(fields), 2):
            self._take((shard, fields[place].decode()), fields[place + 1])

    def _take(self, known: tuple[str, str], answer: bytes) -> None:
        on_answer = self._awaited.pop(known, None)
        if on_answer:
            on_answer(answer)
            return
        self._early[known] = answer  # it has overtaken, or nobody waits any more
        if len(self._early) > EARLY:
            del self._early[next(iter(self._early))]

    def forget(self, awaited: Await) -> None:
        """Nobody waits for this answer any more."""
        self._awaited.pop(_known(awaited), None)

    def clear(self) -> None:
        """The connections are lost, and with them what was on its way."""
        self._awaited.clear()
        self._early.clear()


def _known(awaited: Await) -> tuple[str, str]:
    """Return what an answer is known by: the shard that gives it, and the number of the token."""
    return awaited.shard, awaited.token.rpartition("/")[2]

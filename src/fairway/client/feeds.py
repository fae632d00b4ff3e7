"""What the server sends unasked, for whoever iterates over it: a bounded buffer with a named policy.

The reader of the socket never waits for a feed, because the answers to requests come on the same socket. So a feed that
nobody takes from drops what is oldest, or gives up; it says which, and how much was lost.
"""

import asyncio
import logging
from collections import deque
from enum import Enum
from typing import Generic, Self, TypeVar

from fairway.errors import QueueFull
from fairway.limits import ClientLimits

logger = logging.getLogger("fairway.client")

Item = TypeVar("Item")


class Overflow(Enum):
    """What a feed does when it is full."""

    DROP_OLDEST = "drop-oldest"
    """The oldest goes: news supersede one another. `dropped` counts them, and the first is logged."""

    FAIL = "fail"
    """The feed ends: after what it holds, the iteration raises `QueueFull`. For whoever must not miss anything."""


class Feed(Generic[Item]):
    """An asynchronous iterator over what arrives from now on, until it is closed, or its client is.

    After a normal close of the client the iteration ends, after any other it raises `ClientClosed`. A feed may be
    closed at any time, and a `with` does so; one that nobody holds any more is forgotten.

    Parameters:
        name: what messages call it.
        limits: how much it holds.
        overflow: what happens to the rest.
    """

    def __init__(self, name: str, limits: ClientLimits, overflow: Overflow = Overflow.DROP_OLDEST) -> None:
        self.dropped = 0
        self._name = name
        self._limits = limits
        self._overflow = overflow
        self._items: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._has_ended = False
        self._error: Exception | None = None
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:
        return True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        while not self._items:
            if self._error is not None:
                raise self._error
            if self._has_ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        item, size = self._items.popleft()
        self._bytes -= size
        return item

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, and drop what it holds."""
        self._items.clear()
        self._bytes = 0
        self._error = None
        self._has_ended = True
        self._news.set()

    def put(self, item: Item, size: int) -> None:
        """Take what has arrived, of so many bytes."""
        if self._has_ended:
            return
        if self._items and self._is_full(size):
            if self._overflow is Overflow.FAIL:
                self.end(QueueFull(f"{self._name}: nobody took what came; {self._held()}"))
                return
            while self._items and self._is_full(size):
                self._drop()
        self._items.append((item, size))
        self._bytes += size
        self._news.set()

    def end(self, error: Exception | None = None) -> None:
        """Take nothing any more; what is there can still be taken, and then the iteration ends or raises."""
        if not self._has_ended:
            self._has_ended = True
            self._error = error
            self._news.set()

    def _is_full(self, size: int) -> bool:
        return len(self._items) >= self._limits.max_feed or self._bytes + size > self._limits.max_feed_bytes

    def _drop(self) -> None:
        if not self.dropped:
            logger.warning("%s: nobody takes what comes, so the oldest is dropped; %s", self._name, self._held())
        self.dropped += 1
        self._bytes -= self._items.popleft()[1]

    def _held(self) -> str:
        limits = self._limits
        return (
            f"it holds {len(self._items):,} (max_feed is {limits.max_feed:,}) of {self._bytes:,} bytes"
            f" (max_feed_bytes is {limits.max_feed_bytes:,})"
        )

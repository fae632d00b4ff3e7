"""A server process's inbox in Redis: on the server's event loop, over lines of its own.

Nothing here waits, as the contract says. What is done in one turn of the loop is one write, and all messages that are
submitted in it are one call of a script. The entries of the owner's stream are read by an `XREAD` that is always under
way, and acknowledged a moment later. A sign every few seconds says that we live; with it, the shard is looked after.

When a line is lost, or Redis does not know us any more, `Severed` tells the gateway, and what is written is dropped:
the gateway keeps what matters. Once the prefixes are owned again, under another incarnation, so that nothing that is
left of the old line counts, `Renewed` tells it to announce its groups and to send again.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from fairway.broker.effects import Envelope, Item, Renewed, Severed
from fairway.errors import LayerUnavailable
from fairway.layers.base import Inbox
from fairway.layers.redis.inbox_arrivals import items_left
from fairway.layers.redis.inbox_opening import InboxLayer, Lines, Ownership, Parting, open_lines
from fairway.layers.redis.inbox_reopening import Reopening, in_thread
from fairway.layers.redis.inbox_tenure import Tenure

logger = logging.getLogger("fairway.layer")

UNREAD = 10_000
UNREAD_BYTES = 16 * 1024 * 1024
"""Items that the owner has not taken. Beyond it nothing more is read: it stays in Redis, which has a bound for it."""

LEAVING = 10_000
"""Groups whose leaving is kept in mind while Redis is away. Beyond it our memberships are all made anew."""


class RedisInbox(Inbox):
    """What the owner of reply channels reads and writes.

    Parameters:
        layer: whose inbox it is.
        prefixes: what the channels begin with; the first names the shard.
        on_readable: called on the event loop when there are items and were none.

    Raises:
        LayerUnavailable: Redis cannot be reached now. Later on it may come and go.
    """

    def __init__(self, layer: InboxLayer, prefixes: Sequence[str], on_readable: Callable[[], None]) -> None:
        self.layer = layer
        self.prefixes = list(prefixes)
        self.loop = asyncio.get_running_loop()
        self.told_at = -1e9
        self._on_readable = on_readable
        self._items: deque[Item] = deque()
        self._closed = False
        self._leaving: dict[str, int] = {}
        """Groups that were left, though Redis has not said yet that it knows: group -> generation."""
        self._ownership = Ownership(secrets.token_hex(8))
        self._reopening = Reopening(layer, self.prefixes, self._ownership, self.loop, self._reopened)
        self._tenure: Tenure | None = None
        self._begin(open_lines(layer, self.prefixes, self._ownership))

    # --- lines come and go -------------------------------------------------------------------------------------------

    def _begin(self, lines: Lines) -> Tenure:
        """Use these lines from now on."""
        self._tenure = tenure = Tenure(self, lines)
        tenure.begin()
        return tenure

    def severed(self, reason: str) -> None:
        """Learn that a line is lost, or worth nothing: tell the owner, and try to be known again."""
        tenure = self._tenure
        if tenure is None:
            return
        self._tenure = None
        self._ownership.position = tenure.position
        tenure.end()
        logger.warning("the Redis at %s is away (%s); its items wait until it is back", tenure.node, reason)
        self._reopening.start()
        self.put([Severed()])

    def _reopened(self, lines: Lines) -> None:
        """Learn that the prefixes are owned again."""
        if self._closed:
            in_thread(Parting(self.layer, self.prefixes, lines).run)
            return
        self.put(items_left(lines.left))
        tenure = self._begin(lines)
        if tenure.is_over:  # already
            return
        logger.warning("the Redis at %s is back", tenure.node)
        if lines.is_known:
            for group, generation in self._leaving.items():
                tenure.leave(group, generation, partial(self._left, group, generation))
        else:
            self._leaving.clear()
        self.put([Renewed()])
        if not lines.is_known and self.layer.on_renewed:
            self.layer.on_renewed()

    # --- the contract ------------------------------------------------------------------------------------------------

    def put(self, items: list[Item]) -> None:
        """Take items in, and tell the owner if there were none."""
        was_empty = not self._items
        self._items.extend(items)
        if was_empty and items:
            self._on_readable()

    def has_room(self) -> bool:
        """Whether more is to be read."""
        return len(self._items) < UNREAD and (self._tenure is None or self._tenure.arrivals.unread_bytes < UNREAD_BYTES)

    def drain(self) -> list[Item]:
        """See `Inbox.drain`."""
        items = list(self._items)
        self._items.clear()
        if self._tenure:
            self._tenure.arrivals.unread_bytes = 0
            self._tenure.read_on()
        return items

    def submit(self, envelope: Envelope, body: bytes) -> None:
        """See `Inbox.submit`."""
        if self._tenure:
            self._tenure.submit(envelope, body)
        elif self._closed:
            msg = "the inbox is closed"
            raise LayerUnavailable(msg)

    def leave(self, group: str, generation: int) -> None:
        """See `Inbox.leave`."""
        if len(self._leaving) >= LEAVING:  # Redis is away
            self._leaving.clear()
            self._ownership.has_left_groups = True
        self._leaving[group] = generation
        if self._tenure:
            self._tenure.leave(group, generation, partial(self._left, group, generation))

    def _left(self, group: str, generation: int, result: Any) -> None:  # noqa: ARG002
        if self._leaving.get(group) == generation:
            del self._leaving[group]

    def answer(self, token: int, answer: Any) -> None:
        """See `Inbox.answer`."""
        if self._tenure:
            self._tenure.answer(token, answer)

    def announce(self, groups: Collection[str]) -> None:
        """See `Inbox.announce`."""
        if self._tenure:
            self._tenure.announce(groups)

    def will(self, channel: str, body: bytes, order: int, state: dict[str, bytes] | None) -> None:
        """See `Inbox.will`."""
        if self._tenure:
            self._tenure.will(channel, body, order, state)

    def congest(self, channel: str) -> None:
        """See `Inbox.congest`."""
        if self._tenure:
            self._tenure.mark(channel, "c")

    def depart(self, channel: str) -> None:
        """See `Inbox.depart`."""
        if self._tenure:
            self._tenure.mark(channel, "d")

    def relieve(self, channel: str) -> None:
        """See `Inbox.relieve`."""
        if self._tenure:
            self._tenure.mark(channel, "")

    def has_reader(self, channel: str) -> bool:
        """See `Inbox.has_reader`."""
        return self._tenure is not None and channel in self._tenure.arrivals.readers

    # --- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """See `Inbox.close`."""
        if self._closed:
            return
        self._closed = True
        self._reopening.stop()
        self._items.clear()
        self.layer.drop_inbox(self)
        try:
            is_here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            is_here = False
        if is_here or self.loop.is_closed():
            self._end()
        else:  # the layer is closed in another thread
            self.loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        """Leave the lines to a thread that says the last words over them."""
        tenure, self._tenure = self._tenure, None
        if tenure:
            parting = Parting(self.layer, self.prefixes, tenure.lines)
            parting.unsent = tenure.let_go()
            in_thread(parting.run)

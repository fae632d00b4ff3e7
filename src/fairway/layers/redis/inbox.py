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

from fairway.broker.effects import Abandoned, Announced, Ask, Envelope, Item, Refused, Renewed, Severed
from fairway.errors import LayerUnavailable
from fairway.layers.base import Inbox
from fairway.layers.redis.address import Node
from fairway.layers.redis.commands import Argument, Command
from fairway.layers.redis.entries import Asked, Readers, items_of, pack, pack_state, size_of
from fairway.layers.redis.inbox_line import CommandLine, MailLine
from fairway.layers.redis.inbox_opening import InboxLayer, Lines, Ownership, Parting, open_lines, pack_alias
from fairway.layers.redis.inbox_reopening import Reopening, in_thread
from fairway.layers.redis.troubles import Trouble, trouble
from fairway.layers.redis.wire import Reply, ReplyError

logger = logging.getLogger("fairway.layer")

SIGN_EVERY = 3.0
"""Seconds between two signs of life."""

SIGNS = 0.3
"""The same as a part of the silence after which we are taken for dead."""

PATIENCE = 10.0
"""Seconds that an answer may take. Then the line is cut: Redis is stuck, or has gone without a word."""

BATCH_BYTES = 4 * 1024 * 1024
BATCH = 500
"""What one call of the script takes at most, in bytes of bodies and in messages, so that others have their turn."""

PER_MESSAGE = 11
"""Arguments of one message."""

ACK_WITHIN = 0.05
"""Seconds within which entries are acknowledged that were read."""

ACK_COUNT = 64
ACK_BYTES = 256 * 1024
"""From here on they are acknowledged with the next write."""

UNREAD = 10_000
UNREAD_BYTES = 16 * 1024 * 1024
"""Items that the owner has not taken. Beyond it nothing more is read: it stays in Redis, which has a bound for it."""

QUESTIONS = 10_000
"""Questions that wait for an answer; the oldest is forgotten first, since whoever asked has given up."""

LEAVING = 10_000
"""Groups whose leaving is kept in mind while Redis is away. Beyond it our memberships are all made anew."""

TELL_AGAIN = 60.0
"""Seconds between two log lines about commands that Redis refuses."""

DISCONNECT = "websocket.disconnect"


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
        self._layer = layer
        self._commands = layer.commands
        self._shards = layer.shards
        self._prefixes = list(prefixes)
        self._shard = self._prefixes[0]
        self._on_readable = on_readable
        self._loop = asyncio.get_running_loop()
        self._items: deque[Item] = deque()
        self._unread_bytes = 0
        self._ownership = Ownership(secrets.token_hex(8))
        self._reopening = Reopening(layer, self._prefixes, self._ownership, self._loop, self._reopened)
        self._sign_every = min(SIGN_EVERY, self._commands.silence / 1000 * SIGNS)
        self._told_at = -TELL_AGAIN
        self._closed = False
        self._leaving: dict[str, int] = {}
        """Groups that were left, though Redis has not said yet that it knows: group -> generation."""
        self._reset()
        self._adopt(open_lines(layer, self._prefixes, self._ownership))

    def _reset(self) -> None:
        """Know nothing of Redis."""
        self._lines: Lines | None = None
        self._command_lines: dict[Node, CommandLine] = {}
        self._read: frozenset[str] = frozenset()
        """The channels that somebody reads."""
        self._wills: set[str] = set()
        self._batch: list[Argument] = []
        self._batch_bytes = 0
        self._last: list[Command] = []
        """What goes out after the messages of this turn."""
        self._announcing: deque[tuple[str, list[int]]] = deque()
        self._questions: dict[int, str] = {}
        self._question = 0
        self._is_scheduled = False
        self._unacked = 0
        self._unacked_bytes = 0
        self._is_ack_due = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        """When something is to be done: a sign of life, an acknowledgement, and what is due in a shard."""

    # --- lines come and go -------------------------------------------------------------------------------------------

    def _adopt(self, lines: Lines) -> None:
        """Use these lines from now on."""
        self._lines = lines
        for node, wire in lines.wires.items():
            self._command_lines[node] = CommandLine(self._loop, wire, self._shards, self._severed)
        self._home = self._command_lines[lines.nodes[self._shard]]
        assert lines.mail  # noqa: S101
        key = self._shards.key(self._shard, "in")
        self._mail = MailLine(self._loop, lines.mail, key, self._take_entries, self._severed)
        for shard, reply in lines.results:
            self._take_result(shard, None, reply)
        self._timers["sign"] = self._loop.call_later(self._sign_every, self._sign)
        self._mail.read()

    def _severed(self, reason: str) -> None:
        """Learn that a line is lost, or worth nothing: tell the owner, and try to be known again."""
        if self._lines is None or self._closed:
            return
        where = self._home.wire.node
        self._ownership.position = self._mail.position.decode()
        self._hang_up()
        logger.warning("the Redis at %s is away (%s); its items wait until it is back", where, reason)
        self._reopening.start()
        self._put([Severed()])

    def _hang_up(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        for line in (*self._command_lines.values(), self._mail):
            line.close()
        self._reset()

    def _reopened(self, lines: Lines) -> None:
        """Learn that the prefixes are owned again."""
        if self._closed:
            in_thread(Parting(self._layer, self._prefixes, lines).run)
            return
        self._adopt(lines)
        logger.warning("the Redis at %s is back", self._home.wire.node)
        left = [item for _, fields in lines.left for item in items_of(fields)]
        if lines.is_known:
            for group, generation in self._leaving.items():
                self._leave(group, generation)
        else:
            self._leaving.clear()
        self._put([*(item for item in left if not isinstance(item, Readers | Asked)), Renewed()])
        if not lines.is_known and self._layer.on_renewed:
            self._layer.on_renewed()

    # --- what comes --------------------------------------------------------------------------------------------------

    def _take_entries(self, entries: list[Any]) -> None:
        found: list[Item] = []
        size = 0
        for _, fields in entries:
            size += size_of(fields)
            for item in items_of(fields):
                if type(item) in _LOOKED_AT:
                    self._look_at(item, found)
                else:
                    found.append(item)
        if entries:
            self._unread_bytes += size
            self._note_unacked(len(entries), size)
            self._put(found)
        if len(self._items) < UNREAD and self._unread_bytes < UNREAD_BYTES:
            self._mail.read()

    def _look_at(self, item: Any, found: list[Item]) -> None:
        """Take in what is for the inbox itself, or concerns it, too."""
        if isinstance(item, Readers):
            self._read = frozenset(item.channels)
        elif isinstance(item, Asked):
            self._question += 1
            if len(self._questions) >= QUESTIONS:
                del self._questions[next(iter(self._questions))]
            self._questions[self._question] = item.token
            found.append(Ask(self._question, item.question, item.about))
        else:
            # No consumer saw the connection's first message, so none is told of its end.
            if (item.order == 0 and isinstance(item, Refused)) or item.reason == "expired":
                self._wills.discard(item.channel)
            found.append(item)

    def _put(self, items: list[Item]) -> None:
        was_empty = not self._items
        self._items.extend(items)
        if was_empty and items:
            self._on_readable()

    def _note_unacked(self, count: int, size: int) -> None:
        if not self._unacked:
            self._timers["ack"] = self._loop.call_later(ACK_WITHIN, self._ack)
        self._unacked += count
        self._unacked_bytes += size
        if self._unacked >= ACK_COUNT or self._unacked_bytes >= ACK_BYTES:
            self._ack()

    def _ack(self) -> None:
        self._is_ack_due = True
        self._schedule()

    def drain(self) -> list[Item]:
        """See `Inbox.drain`."""
        items = list(self._items)
        self._items.clear()
        self._unread_bytes = 0
        if self._lines:
            self._mail.read()
        return items

    # --- what the replies say ----------------------------------------------------------------------------------------

    def _call(self, command: Command, on_result: Callable[[Any], None] | None = None) -> None:
        assert self._lines  # noqa: S101
        line = self._command_lines[self._lines.nodes[command.shard]]
        line.call(command, partial(self._take_result, command.shard, on_result))
        self._schedule()

    def _take_result(self, shard: str, on_result: Callable[[Any], None] | None, reply: Reply) -> None:
        if isinstance(reply, ReplyError):
            self._take_error(on_result, reply)
            return
        due, result, losses = reply
        if losses:
            self._layer.log_losses(losses)
        if due >= 0:
            self._look_after(shard, due / 1000)
        if result == b"gone":
            self._severed(f"it does not know us as the owner of {shard!r}")
        elif on_result:
            on_result(result)

    def _take_error(self, on_result: Callable[[Any], None] | None, error: ReplyError) -> None:
        """A command was refused: what it was about is refused, or Redis cannot be used as it is."""
        what = trouble(error)
        if what not in (Trouble.FULL, Trouble.BUG):
            self._severed(str(error))
            return
        now = self._loop.time()
        if now - self._told_at >= TELL_AGAIN:
            self._told_at = now
            logger.error("the Redis at %s refuses what this server tells it: %s", self._home.wire.node, error)
        if on_result:
            on_result(error)

    def _submitted(self, batch: list[Any], result: Any) -> None:
        if isinstance(result, ReplyError):
            starts = range(0, len(batch), PER_MESSAGE)
            self._put([Refused(batch[at + 3], batch[at + 4], batch[at + 5], "capacity") for at in starts])

    def _announced(self, generation: list[int], result: Any) -> None:
        if isinstance(result, ReplyError):
            self._severed(str(result))
            return
        generation.append(result)
        found: list[Item] = []
        while self._announcing and self._announcing[0][1]:
            group, [known] = self._announcing.popleft()
            found.append(Announced(group, known))
        self._put(found)

    def _ticked(self, result: Any) -> None:
        """Take what processes that are gone have left in the groups out of them."""
        if not isinstance(result, ReplyError):
            for prefix in result[1]:
                for command in self._commands.forget(prefix.decode()):
                    self._call(command)

    # --- what is to be done in time ----------------------------------------------------------------------------------

    def _sign(self) -> None:
        """Say that we live, and see whether Redis does."""
        for line in (*self._command_lines.values(), self._mail):
            line.lose_if_silent(PATIENCE)
        if self._lines is None:
            return
        self._timers["sign"] = self._loop.call_later(self._sign_every, self._sign)
        for prefix in self._prefixes[1:]:
            line = self._command_lines[self._lines.nodes[prefix]]
            line.add(pack_alias(self._shards, prefix, self._shard), self._take_plain)
        self._tick(self._shard)

    def _take_plain(self, reply: Reply) -> None:
        if isinstance(reply, ReplyError):
            self._take_error(None, reply)

    def _look_after(self, shard: str, delay: float) -> None:
        """Do what is due in a shard when it is."""
        at = self._loop.time() + max(0.001, delay)
        timer = self._timers.get(shard)
        if timer:
            if timer.when() <= at:
                return
            timer.cancel()
        self._timers[shard] = self._loop.call_at(at, self._tick, shard)

    def _tick(self, shard: str) -> None:
        timer = self._timers.pop(shard, None)
        if timer:
            timer.cancel()
        if shard == self._shard:
            # First: who looks for the dead after a long sleep must not find itself among them.
            self._own_call("sign", self._commands.silence)
        self._call(self._commands.tick(shard, ()), self._ticked)

    # --- what is said ------------------------------------------------------------------------------------------------

    def submit(self, envelope: Envelope, body: bytes) -> None:
        """See `Inbox.submit`."""
        if self._lines is None:
            if self._closed:
                msg = "the inbox is closed"
                raise LayerUnavailable(msg)
            return
        will = ""
        if envelope.reply_channel in self._wills:
            will = "n"
            if envelope.channel == DISCONNECT:
                will = "e"
                self._wills.discard(envelope.reply_channel)
        self._batch += self._commands.submission(envelope, body, will)
        self._batch_bytes += len(body)
        if self._batch_bytes >= BATCH_BYTES or len(self._batch) >= BATCH * PER_MESSAGE:
            self._end_batch()
        if not self._is_scheduled:
            self._schedule()

    def _end_batch(self) -> None:
        assert self._lines  # noqa: S101
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        command = self._commands.call(self._shard, "submit", self._lines.incarnation, *batch)
        self._home.call(command, partial(self._take_result, self._shard, partial(self._submitted, batch)))

    def _own_call(self, verb: str, *arguments: Argument) -> None:
        if self._lines:
            self._call(self._commands.owner(self._shard, verb, self._lines.incarnation, *arguments))

    def _own_call_last(self, verb: str, *arguments: Argument) -> None:
        """Call something after the messages of this turn: it may be about one of them."""
        if self._lines:
            self._last.append(self._commands.owner(self._shard, verb, self._lines.incarnation, *arguments))
            self._schedule()

    def leave(self, group: str, generation: int) -> None:
        """See `Inbox.leave`."""
        if len(self._leaving) >= LEAVING:  # Redis is away
            self._leaving.clear()
            self._ownership.has_left_groups = True
        self._leaving[group] = generation
        if self._lines:
            self._leave(group, generation)

    def _leave(self, group: str, generation: int) -> None:
        command = self._commands.group("remove", group, self._shard, str(generation))
        self._call(command, partial(self._left, group, generation))

    def _left(self, group: str, generation: int, result: Any) -> None:  # noqa: ARG002
        if self._leaving.get(group) == generation:
            del self._leaving[group]

    def announce(self, groups: Collection[str]) -> None:
        """See `Inbox.announce`."""
        if self._lines:
            for group in groups:
                generation: list[int] = []
                self._announcing.append((group, generation))
                self._call(self._commands.group("add", group, self._shard), partial(self._announced, generation))

    def answer(self, token: int, answer: Any) -> None:
        """See `Inbox.answer`."""
        asked = self._questions.pop(token, None)
        if asked:
            self._own_call_last("answer", asked, pack(answer))

    def will(self, channel: str, body: bytes, order: int, state: dict[str, bytes] | None) -> None:
        """See `Inbox.will`."""
        if not self._lines:
            return
        if not body:
            self._wills.discard(channel)
            self._own_call_last("will", channel, b"")
        elif channel in self._wills or len(self._wills) < self._commands.limits.wills:
            self._wills.add(channel)
            # Before the messages of this turn: those that are submitted from now on are noted with it.
            self._own_call("will", channel, body, order, pack_state(state))

    def congest(self, channel: str) -> None:
        """See `Inbox.congest`."""
        self._own_call_last("mark", channel, "c")

    def depart(self, channel: str) -> None:
        """See `Inbox.depart`."""
        self._own_call_last("mark", channel, "d")

    def relieve(self, channel: str) -> None:
        """See `Inbox.relieve`."""
        self._own_call_last("mark", channel, "")

    def has_reader(self, channel: str) -> bool:
        """See `Inbox.has_reader`."""
        return channel in self._read

    def _schedule(self) -> None:
        """Have everything written at the end of this turn of the loop."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._lines:
            self._gather()
            for line in tuple(self._command_lines.values()):
                line.flush()

    def _gather(self) -> None:
        """Put everything in its order."""
        if self._batch:
            self._end_batch()
        for command in self._last:
            self._call(command)
        self._last.clear()
        if self._is_ack_due and self._unacked:
            count, size = self._unacked, self._unacked_bytes
            self._own_call("ack", self._mail.position, count, size)
            self._unacked = self._unacked_bytes = 0
            self._timers.pop("ack").cancel()
        self._is_ack_due = False
        self._is_scheduled = False

    # --- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """See `Inbox.close`."""
        if self._closed:
            return
        self._closed = True
        self._reopening.stop()
        self._items.clear()
        self._layer.drop_inbox(self)
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if is_here or self._loop.is_closed():
            self._end()
        else:  # the layer is closed in another thread
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        """Leave the lines to a thread that says the last words over them."""
        lines = self._lines
        if lines is None:
            return
        self._gather()
        parting = Parting(self._layer, self._prefixes, lines)
        for timer in self._timers.values():
            timer.cancel()
        self._mail.let_go()
        for node, line in self._command_lines.items():
            parting.unsent[node] = line.take_back()
        self._reset()
        in_thread(parting.run)


_LOOKED_AT = frozenset({Readers, Asked, Refused, Abandoned})

"""The time in which an inbox owns its prefixes over the same connections: what it says, and what the replies say.

What is said in one turn of the event loop is one write: first what later messages depend on (wills, groups), then the
messages in as few calls of a script as their bounds allow, then what may be about one of them (marks, answers).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Protocol

from fairway.broker.effects import Announced, Envelope, Item, Refused
from fairway.layers.redis.address import Node
from fairway.layers.redis.commands import Argument, Command
from fairway.layers.redis.entries import pack, pack_state
from fairway.layers.redis.inbox_arrivals import Arrivals, Entry
from fairway.layers.redis.inbox_line import CommandLine, MailLine
from fairway.layers.redis.inbox_opening import InboxLayer, Lines, pack_alias
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
"""What one call of a script takes, in bytes of bodies and in messages, so that others have their turn at Redis."""

PER_MESSAGE = 12
REPLY_CHANNEL, ORDER, SOURCE = 3, 4, 6
"""How many arguments one message has (`Commands.submission`), and which of them its sender knows it by."""

ACK_WITHIN = 0.05
"""Seconds within which entries are acknowledged that were read."""

ACK_COUNT = 64
ACK_BYTES = 256 * 1024
"""From here on they are acknowledged with the next write."""

TELL_AGAIN = 60.0
"""Seconds between two log lines about commands that Redis refuses."""

DISCONNECT = "websocket.disconnect"

OnResult = Callable[[Any], None] | None
"""Called with the result of a script, or with the error that it ended with."""


class Owner(Protocol):
    """The inbox, as its tenure knows it."""

    layer: InboxLayer
    prefixes: list[str]
    loop: asyncio.AbstractEventLoop
    told_at: float
    """When the log was told last of commands that Redis refuses."""

    def put(self, items: list[Item]) -> None:
        """Take items in."""

    def has_room(self) -> bool:
        """Whether more is to be read."""

    def severed(self, reason: str) -> None:
        """End the tenure: a connection is lost, or worth nothing."""


class Tenure:
    """From owning to losing.

    Parameters:
        owner: whose it is.
        lines: the connections over which the prefixes were owned.
    """

    def __init__(self, owner: Owner, lines: Lines) -> None:
        self.lines = lines
        self.arrivals = Arrivals()
        self.is_over = False
        self._owner = owner
        self._loop = owner.loop
        self._layer = owner.layer
        self._commands = owner.layer.commands
        self._shards = owner.layer.shards
        self._shard = shard = owner.prefixes[0]
        self._batch: list[Argument] = []
        self._batch_bytes = 0
        self._last: list[Command] = []
        """What goes out after the messages of this turn."""
        self._is_scheduled = False
        self._is_ack_due = False
        self._announcing: deque[tuple[str, list[int]]] = deque()
        """Groups that were announced, each with its generation once that is known."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        """When something is to be done: a sign of life, an acknowledgement, and what is due in a shard."""
        self._command_lines = {
            node: CommandLine(self._loop, wire, self._shards, owner.severed) for node, wire in lines.wires.items()
        }
        self._home = self._command_lines[lines.nodes[shard]]
        key = self._shards.key(shard, "in")
        self._mail = MailLine(self._loop, lines.take_mail(), key, self._take_entries, owner.severed)
        self._mail.position = lines.position
        self.arrivals.unacked, self.arrivals.unacked_bytes = lines.unacked

    def begin(self) -> None:
        """Read, and give signs of life."""
        every = min(SIGN_EVERY, self._commands.silence / 1000 * SIGNS)
        self._timers["sign"] = self._loop.call_later(every, self._sign, every)
        if self.arrivals.unacked:
            self._timers["ack"] = self._loop.call_later(ACK_WITHIN, self._ack)
        self._mail.read()
        for shard, reply in self.lines.results:
            self._take_result(shard, None, reply)

    @property
    def node(self) -> Node:
        """The server that has the shard."""
        return self._home.wire.node

    @property
    def position(self) -> str:
        """The id of the last entry that was read."""
        return self._mail.position.decode()

    # --- what comes --------------------------------------------------------------------------------------------------

    def _take_entries(self, entries: list[Entry]) -> None:
        if entries:
            arrivals = self.arrivals
            if not arrivals.unacked:
                self._timers["ack"] = self._loop.call_later(ACK_WITHIN, self._ack)
            items = arrivals.take(entries)
            if arrivals.unacked >= ACK_COUNT or arrivals.unacked_bytes >= ACK_BYTES:
                self._ack()
            self._owner.put(items)
        if self._owner.has_room():
            self._mail.read()

    def read_on(self) -> None:
        """Read what comes next, unless that is under way: there is room for it."""
        self._mail.read()

    def _ack(self) -> None:
        self._is_ack_due = True
        self._schedule()

    # --- what the replies say ----------------------------------------------------------------------------------------

    def call(self, command: Command, on_result: OnResult = None) -> None:
        """Call a script with the rest of this turn."""
        line = self._command_lines[self.lines.nodes[command.shard]]
        line.call(command, partial(self._take_result, command.shard, on_result))
        self._schedule()

    def _take_result(self, shard: str, on_result: OnResult, reply: Reply) -> None:
        if isinstance(reply, ReplyError):
            self._take_error(on_result, reply)
            return
        due, result, losses = reply
        if losses:
            self._layer.log_losses(losses)
        if due >= 0:
            self._look_after(shard, due / 1000)
        if result == b"gone":
            self._owner.severed(f"it does not know us as the owner of {shard!r}")
        elif on_result:
            on_result(result)

    def _take_error(self, on_result: OnResult, error: ReplyError) -> None:
        """A command was refused: what it was about is refused, or Redis cannot be used as it is."""
        if trouble(error) not in (Trouble.FULL, Trouble.BUG):
            self._owner.severed(str(error))
            return
        now = self._loop.time()
        if now - self._owner.told_at >= TELL_AGAIN:
            self._owner.told_at = now
            logger.error("the Redis at %s refuses what this server tells it: %s", self.node, error)
        if on_result:
            on_result(error)

    def _submitted(self, batch: list[Any], result: Any) -> None:
        if isinstance(result, ReplyError):
            messages = [batch[at : at + PER_MESSAGE] for at in range(0, len(batch), PER_MESSAGE)]
            self._owner.put([Refused(one[REPLY_CHANNEL], one[ORDER], one[SOURCE], "capacity") for one in messages])

    def _announced(self, generation: list[int], result: Any) -> None:
        if isinstance(result, ReplyError):  # a membership that is not known would be missed by nobody
            self._owner.severed(str(result))
            return
        generation.append(result)
        found: list[Item] = []
        while self._announcing and self._announcing[0][1]:
            group, [known] = self._announcing.popleft()
            found.append(Announced(group, known))
        self._owner.put(found)

    def _ticked(self, result: Any) -> None:
        """Take what processes that are gone have left in the groups out of them."""
        if not isinstance(result, ReplyError):
            for prefix in result[1]:
                for command in self._commands.forget(prefix.decode()):
                    self.call(command)

    # --- what is to be done in time ----------------------------------------------------------------------------------

    def _sign(self, every: float) -> None:
        """Say that we live, and see whether Redis does."""
        for line in (*self._command_lines.values(), self._mail):
            line.lose_if_silent(PATIENCE)
        if self.is_over:
            return
        self._timers["sign"] = self._loop.call_later(every, self._sign, every)
        for prefix in self._owner.prefixes[1:]:
            line = self._command_lines[self.lines.nodes[prefix]]
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
            self.call(self._as_owner("sign", self._commands.silence))
        self.call(self._commands.tick(shard, ()), self._ticked)

    # --- what is said ------------------------------------------------------------------------------------------------

    def submit(self, envelope: Envelope, body: bytes) -> None:
        """See `Inbox.submit`."""
        will = ""
        if envelope.reply_channel in self.arrivals.wills:
            will = "n"
            if envelope.channel == DISCONNECT:
                will = "e"
                self.arrivals.wills.discard(envelope.reply_channel)
        self._batch += self._commands.submission(envelope, body, will)
        self._batch_bytes += len(body)
        if self._batch_bytes >= BATCH_BYTES or len(self._batch) >= BATCH * PER_MESSAGE:
            self._end_batch()
        if not self._is_scheduled:
            self._schedule()

    def _end_batch(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self.call(
            self._commands.call(self._shard, "submit", self.lines.incarnation, *batch), partial(self._submitted, batch)
        )

    def announce(self, groups: Collection[str]) -> None:
        """See `Inbox.announce`."""
        for group in groups:
            generation: list[int] = []
            self._announcing.append((group, generation))
            self.call(self._commands.group("add", group, self._shard), partial(self._announced, generation))

    def leave(self, group: str, generation: int, on_result: Callable[[Any], None]) -> None:
        """See `Inbox.leave`."""
        self.call(self._commands.group("remove", group, self._shard, str(generation)), on_result)

    def answer(self, token: int, answer: Any) -> None:
        """See `Inbox.answer`."""
        asked = self.arrivals.take_question(token)
        if asked:
            self._call_last(self._as_owner("answer", asked, pack(answer)))

    def will(self, channel: str, body: bytes, order: int, state: dict[str, bytes] | None) -> None:
        """See `Inbox.will`."""
        wills = self.arrivals.wills
        if not body:
            wills.discard(channel)
            self._call_last(self._as_owner("will", channel, b""))
        elif channel in wills or len(wills) < self._commands.limits.wills:
            wills.add(channel)
            self.call(self._as_owner("will", channel, body, order, pack_state(state)))

    def mark(self, channel: str, mark: str) -> None:
        """Mark a connection: "c" (congested), "d" (departed) or ""."""
        self._call_last(self._as_owner("mark", channel, mark))

    def _as_owner(self, verb: str, *arguments: Argument) -> Command:
        return self._commands.owner(self._shard, verb, self.lines.incarnation, *arguments)

    def _call_last(self, command: Command) -> None:
        """Call a script after the messages of this turn: it may be about one of them."""
        self._last.append(command)
        self._schedule()

    def _schedule(self) -> None:
        """Have everything written at the end of this turn of the loop."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if not self.is_over:
            self._gather()
            for line in self._command_lines.values():
                line.flush()

    def _gather(self) -> None:
        """Put everything in its order."""
        if self._batch:
            self._end_batch()
        for command in self._last:
            self.call(command)
        self._last.clear()
        if self._is_ack_due and self.arrivals.unacked:
            self.call(self._as_owner("ack", self._mail.position, *self.arrivals.take_unacked()))
            self._timers.pop("ack").cancel()
        self._is_ack_due = self._is_scheduled = False

    # --- the end -----------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Hang up."""
        self._stop()
        for line in (*self._command_lines.values(), self._mail):
            line.close()

    def let_go(self) -> dict[Node, tuple[bytes, int]]:
        """Leave the lines to somebody else; return what is not sent, and how many replies are still to come."""
        self._gather()
        self._stop()
        self._mail.let_go()
        return {node: line.take_back() for node, line in self._command_lines.items()}

    def _stop(self) -> None:
        self.is_over = True
        for timer in self._timers.values():
            timer.cancel()

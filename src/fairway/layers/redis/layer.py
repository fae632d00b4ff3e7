"""The layer of a process that reaches Redis: workers, views, commands, and the servers' own publishes.

One line carries everything but inboxes. A call that finds Redis away waits a little for it, and raises
`LayerUnavailable` when it stays away.
"""

import itertools
import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar

from fairway.broker.effects import Effect
from fairway.errors import LayerUnavailable
from fairway.layers.base import DeadLetter, Inbox, Layer, LayerStatistics
from fairway.layers.codec import DEFAULT_LIMITS
from fairway.layers.forks import at_fork
from fairway.layers.hub.turns import Takers, Turns, settle
from fairway.layers.redis import operations, overview
from fairway.layers.redis.address import RedisAddress, parse_redis_url
from fairway.layers.redis.attendance import Attendance
from fairway.layers.redis.calls import ANSWER_TIMEOUT, Asking, Calls, Publishing
from fairway.layers.redis.clock import Clock
from fairway.layers.redis.commands import SILENCE, Commands
from fairway.layers.redis.inbox import RedisInbox
from fairway.layers.redis.line import Callbacks, RedisLine
from fairway.layers.redis.link import Request
from fairway.layers.redis.nodes import Nodes
from fairway.layers.redis.operations import Steps
from fairway.layers.redis.reader import RedisReader
from fairway.layers.redis.sessions import Sessions
from fairway.layers.redis.shards import Shards
from fairway.limits import BrokerLimits, MessageLimits
from fairway.names import check_channel, check_group, check_prefix, check_readable
from fairway.wire.hub import Delivered, Shut

logger = logging.getLogger("fairway.layer")

WAIT = 2.0
"""Seconds that a call waits for a Redis that is away."""

QUESTION_TIMEOUT = 5.0
"""Seconds that a server may take to answer a question about its connections."""

LOSSES = {
    "lost": "its worker is gone and it may not run twice",
    "attempts": "its workers were lost as often as it may be tried; it is a dead letter now",
    "retries": "ConsumeLater was raised too often; it is a dead letter now",
    "full": "its channel had no room for it; it is a dead letter now",
}
"""Why a message ended without being consumed -> what the log says."""


class _Turns(Turns):
    """Takes turns at reading; signs of life are the clock's business."""

    def _ping(self) -> None:
        self._ping_due = time.monotonic() + 60.0


class RedisLayer(Layer):
    """Channels and groups in Redis.

    Parameters:
        url: where Redis is (see `address`).
        limits: what a shard may hold, and the rules of the channels to which this process sends.
        wait: seconds that calls wait for a Redis that is away, counted from when it was missed.
        message_limits: what one message may be.
        answer_timeout: seconds that a server may take to answer a question about its connections.
        silence: seconds without a sign after which a process is taken for dead; the same in all processes.
    """

    is_shared: ClassVar[bool] = True

    def __init__(
        self,
        url: str,
        *,
        limits: BrokerLimits | None = None,
        wait: float = WAIT,
        message_limits: MessageLimits = DEFAULT_LIMITS,
        answer_timeout: float = QUESTION_TIMEOUT,
        silence: float = SILENCE,
    ) -> None:
        self.address: RedisAddress = parse_redis_url(url)
        self.message_limits = message_limits
        self.on_renewed: Callable[[], None] | None = None
        """Called when an inbox of this layer has had to own its prefixes again."""
        self.shards = Shards(self.address.prefix, self.address.shards)
        self.commands = Commands(self.shards, limits or BrokerLimits(), silence)
        self.nodes = Nodes(self.address)
        self._answer_timeout = answer_timeout
        self._numbers = itertools.count(1)
        self._readers: dict[int, RedisReader] = {}
        self._inboxes: list[RedisInbox] = []
        self._clock = Clock(self._tick, self._sign, min(3.0, silence / 3))
        self.line = RedisLine(
            self.nodes,
            self.shards,
            Callbacks(self._made, self._lost, self._clock.note, self.log_losses),
        )
        self.turns = _Turns(self.line, self._dispatch)  # type: ignore[arg-type]
        self.calls = Calls(self.line, self.turns, self.commands, wait)
        self._wait = wait
        self._attendance = Attendance(self.line, self.calls, self.commands, self._clock, self._sessions)
        at_fork(self)

    @property
    def closed(self) -> bool:
        """Whether the layer is closed."""
        return self.line.closed

    def log_losses(self, losses: list[bytes]) -> None:
        """Tell the log of messages that ended without being consumed: id, channel and reason of each."""
        words = [part.decode() for part in losses]
        for name, channel, reason in zip(words[::3], words[1::3], words[2::3], strict=True):
            logger.error("message %s on %s was not consumed: %s", name, channel, LOSSES.get(reason, reason))

    # --- the line ----------------------------------------------------------------------------------------------------

    def _made(self) -> None:
        """Open all sessions again: the line is new. What they wait for does not change meanwhile."""
        requests: list[Request] = []
        with self.turns.mutex:
            for reader in self._readers.values():
                requests += self._attendance.ending(reader.sessions)
                if not reader.is_stopped:
                    requests += self._attendance.reopening(reader.sessions)
                    requests += reader.renew()
        if requests:
            self.line.send_soon(requests)
            self._attendance.watch_all()

    def _lost(self) -> None:
        """Let everyone go who waits for an answer, and forget what was held."""
        calls: list[Callable[[], object]] = []
        with self.turns.mutex:
            for reader in self._readers.values():
                reader.lose()
            for waiter in self.turns.callers.values():
                settle(waiter, LayerUnavailable, calls)
            self.turns.callers.clear()
            while self.turns.wake_follower():
                pass
        for call in calls:
            call()

    def _dispatch(self, arrived: list[Any], mine: Takers | None) -> list[Callable[[], object]]:
        """Put what has come where it belongs. Called under the mutex."""
        calls: list[Callable[[], object]] = []
        now = time.monotonic()
        others: dict[RedisReader, None] = {}
        for one in arrived:
            if type(one) is Delivered:
                reader = self._readers.get(one.reader)
                if reader:
                    reader.put(one.delivery, now, calls)
                    if reader is not mine:
                        others[reader] = None
            else:
                token, run = one
                waiter = self.turns.callers.get(token)
                if waiter:
                    settle(waiter, run, calls)
        for reader in others:
            if reader.has_ready:
                self.turns.wake_taker(reader)
        return calls

    def nudge(self) -> None:
        """Have Redis send something, so that the thread that reads looks up."""
        self.line.nudge()

    def _sign(self) -> None:
        self._read_what_nobody_waits_for()
        self._attendance.sign()

    def _read_what_nobody_waits_for(self) -> None:
        """See to it that what lies there unread is not taken for silence, in a process where nobody waits."""
        with self.turns.mutex:
            is_leader = self.turns.try_to_lead()
        if is_leader:
            self.turns.lead(0)
            with self.turns.mutex:
                self.turns.leave()

    def _tick(self, shard: str) -> None:
        self._attendance.tick(shard)

    def _ask(self, operation: Callable[..., Steps], *arguments: Any) -> Any:
        return self.calls.run(lambda: operation(self.commands, *arguments))

    async def _aask(self, operation: Callable[..., Steps], *arguments: Any) -> Any:
        return await self.calls.arun(lambda: operation(self.commands, *arguments))

    # --- sending -----------------------------------------------------------------------------------------------------

    def publish(self, effect: Effect, timeout: float = 0) -> None:
        """See `Layer.publish`."""
        self.calls.run(Publishing(self.commands, effect, self.calls.new_token(), timeout), timeout)

    async def apublish(self, effect: Effect, timeout: float = 0) -> None:
        """See `Layer.apublish`."""
        await self.calls.arun(Publishing(self.commands, effect, self.calls.new_token(), timeout), timeout)

    # --- groups and questions ----------------------------------------------------------------------------------------

    def group_add(self, group: str, channel: str) -> None:
        """See `Layer.group_add`."""
        self._ask(operations.group_add, check_group(group), check_channel(channel))

    async def agroup_add(self, group: str, channel: str) -> None:
        """See `Layer.agroup_add`."""
        await self._aask(operations.group_add, check_group(group), check_channel(channel))

    def group_discard(self, group: str, channel: str) -> None:
        """See `Layer.group_discard`."""
        self._ask(operations.group_discard, check_group(group), check_channel(channel))

    async def agroup_discard(self, group: str, channel: str) -> None:
        """See `Layer.agroup_discard`."""
        await self._aask(operations.group_discard, check_group(group), check_channel(channel))

    def group_channels(self, group: str) -> list[str]:
        """See `Layer.group_channels`."""
        return self._question(operations.group_channels, check_group(group))  # type: ignore[no-any-return]

    async def agroup_channels(self, group: str) -> list[str]:
        """See `Layer.agroup_channels`."""
        return await self._aquestion(operations.group_channels, check_group(group))  # type: ignore[no-any-return]

    def state(self, reply_channel: str) -> dict[str, bytes]:
        """See `Layer.state`."""
        return self._question(operations.connection_state, check_channel(reply_channel))  # type: ignore[no-any-return]

    async def astate(self, reply_channel: str) -> dict[str, bytes]:
        """See `Layer.astate`."""
        return await self._aquestion(operations.connection_state, check_channel(reply_channel))  # type: ignore[no-any-return]

    def _question(self, operation: Callable[..., Steps], about: str) -> Any:
        return self.calls.run(self._asking(operation, about), self._answer_timeout - ANSWER_TIMEOUT)

    async def _aquestion(self, operation: Callable[..., Steps], about: str) -> Any:
        return await self.calls.arun(self._asking(operation, about), self._answer_timeout - ANSWER_TIMEOUT)

    def _asking(self, operation: Callable[..., Steps], about: str) -> Asking:
        return Asking(self.commands, operation, about, self.calls.new_token, self._answer_timeout)

    # --- both ends ---------------------------------------------------------------------------------------------------

    def reader(self, channels: Collection[str], window: int = 1, threads: int | None = None) -> RedisReader:
        """See `Layer.reader`."""
        names = [check_readable(channel) for channel in dict.fromkeys(channels)]
        number = next(self._numbers)
        reader = RedisReader(self, number, names, window, threads or 0)
        self.line.ensure(self._wait)
        with self.turns.mutex:
            self._readers[number] = reader
            self.turns.readers.append(reader)
        try:
            self.calls.run(lambda: self._attendance.opening(reader.sessions))
        except BaseException:
            reader.close()
            raise
        self.turns.watch()
        return reader

    def drop_reader(self, number: int) -> bool:
        """Forget a reader; return whether it was known."""
        with self.turns.mutex:
            reader = self._readers.pop(number, None)
            if reader:
                self.turns.readers.remove(reader)
        return reader is not None

    def _sessions(self) -> list[Sessions]:
        return [reader.sessions for reader in tuple(self._readers.values())]

    def requests(self, sessions: Sessions, frame: Any) -> list[Request]:
        """Return what a reader's frame is to Redis."""
        return self._attendance.requests(sessions, frame)

    def call(self, make: Callable[[int], Any], timeout: float, generation: int = 0) -> Any:
        """Do what a reader asks its broker for and waits for: to pause."""
        sessions = self._readers[make(0).reader].sessions

        def pause() -> Steps:
            shards = sessions.shards
            held = yield sessions.end("pause")
            yield sessions.give_back_unread(shards, held)

        return self.calls.run(pause, timeout, generation)

    def inbox(self, prefixes: Sequence[str], on_readable: Callable[[], None]) -> Inbox:
        """See `Layer.inbox`. Belongs to the running event loop, and has connections of its own."""
        for prefix in prefixes:
            check_prefix(prefix)
        inbox = RedisInbox(self, list(dict.fromkeys(prefixes)), on_readable)
        self._inboxes.append(inbox)
        return inbox

    def drop_inbox(self, inbox: RedisInbox) -> None:
        """Forget an inbox that is closed."""
        if inbox in self._inboxes:
            self._inboxes.remove(inbox)

    # --- the whole ---------------------------------------------------------------------------------------------------

    def statistics(self) -> LayerStatistics:
        """See `Layer.statistics`."""
        return self._ask(overview.statistics)  # type: ignore[no-any-return]

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """See `Layer.dead_letters`."""
        return self._ask(overview.dead_letters, limit)  # type: ignore[no-any-return]

    def requeue_dead(self, ids: Collection[str]) -> int:
        """See `Layer.requeue_dead`."""
        return self._ask(overview.requeue_dead, list(ids))  # type: ignore[no-any-return]

    def drop_dead(self, ids: Collection[str]) -> int:
        """See `Layer.drop_dead`."""
        return self._ask(overview.drop_dead, list(ids))  # type: ignore[no-any-return]

    def flush(self) -> None:
        """See `Layer.flush`."""
        self._ask(overview.flush)

    def close(self) -> None:
        """See `Layer.close`. What this process holds is delivered again."""
        if self.line.closed:
            return
        self._clock.close()
        for reader in tuple(self._readers.values()):
            reader.stop()
            self.line.post(self.requests(reader.sessions, Shut(reader.sessions.number)))
        self.line.write_posted()
        self.line.close()
        self.turns.close()
        for inbox in tuple(self._inboxes):
            inbox.close()

    def start_anew(self) -> None:
        """Forget the line in a forked process: it is the parent's. Sessions and inboxes stay with the parent."""
        self.nodes.start_anew()
        self.commands.start_anew()
        self.line.start_anew()
        self._clock.start_anew()
        self.turns.forget()
        for reader in self._readers.values():
            reader.disown()
        self._readers.clear()
        self._inboxes.clear()

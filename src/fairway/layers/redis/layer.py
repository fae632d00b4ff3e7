"""The layer of a process that reaches Redis: workers, views, commands, and the servers' own publishes.

One line carries everything but inboxes. A call that finds Redis away waits a little for it, and raises
`LayerUnavailable` when it stays away.
"""

import asyncio
import itertools
import logging
import os
import secrets
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from fairway.broker.effects import Delivery, Effect, Send
from fairway.errors import InvalidName, LayerUnavailable
from fairway.layers.base import DeadLetter, Inbox, Layer, LayerStatistics
from fairway.layers.codec import DEFAULT_LIMITS
from fairway.layers.hub.line import FIRST_PAUSE, LONGEST_PAUSE, LineLost
from fairway.layers.hub.turns import Sleeper, Takers, Turns
from fairway.layers.redis import operations
from fairway.layers.redis.address import RedisAddress, parse_redis_url
from fairway.layers.redis.clock import Clock
from fairway.layers.redis.commands import SILENCE, Command, Commands
from fairway.layers.redis.line import RedisLine, Request
from fairway.layers.redis.nodes import Nodes
from fairway.layers.redis.operations import Steps
from fairway.layers.redis.reader import RedisReader
from fairway.layers.redis.runs import Run
from fairway.layers.redis.sessions import Sessions
from fairway.layers.redis.shards import ROOT, Shards
from fairway.layers.waiters import LoopWaiter
from fairway.limits import BrokerLimits, MessageLimits
from fairway.names import check_channel, check_group, check_readable
from fairway.wire.hub import Delivered, Demand, Frame, Pause, Release, Shut

logger = logging.getLogger("fairway.layer")

WAIT = 2.0
"""Seconds that a call waits for a Redis that is away."""

ANSWER_TIMEOUT = 10.0
"""Seconds, beside those that a publish may wait for room, that Redis may take to answer."""

QUESTION_TIMEOUT = 5.0
"""Seconds that a server may take to answer a question about its connections."""

if TYPE_CHECKING:
    from fairway.layers.redis.inbox import RedisInbox

_open_layers: "weakref.WeakSet[RedisLayer]" = weakref.WeakSet()


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
        """Called when an inbox of this layer has found Redis without its memory."""
        self.shards = Shards(self.address.prefix, self.address.shards)
        self.commands = Commands(self.shards, limits or BrokerLimits(), silence)
        self.nodes = Nodes(self.address)
        self.client = secrets.token_hex(6)
        self._wait = wait
        self._answer_timeout = answer_timeout
        self._tokens = itertools.count(1)
        self._numbers = itertools.count(1)
        self._readers: dict[int, RedisReader] = {}
        self._inboxes: "list[RedisInbox]" = []
        self._servers: set[str] = set()
        """The shards of servers that are known."""
        self._idle: dict[str, float] = {}
        """Shards without an owner or a message, and since when."""
        self._silence = silence
        self._clock = Clock(self._tick, self._sign, min(3.0, silence / 3))
        self.line = RedisLine(
            self.nodes,
            self.shards,
            self.client,
            on_made=self._made,
            on_lost=self._lost,
            on_due=self._clock.note,
            on_losses=self.log_losses,
        )
        self.turns = _Turns(self.line, self._dispatch)  # type: ignore[arg-type]
        _open_layers.add(self)

    @property
    def closed(self) -> bool:
        """Whether the layer is closed."""
        return self.line.closed

    def new_token(self) -> str:
        """Return a token by which an answer is known."""
        return f"{self.client}/{next(self._tokens)}"

    def log_losses(self, losses: list[bytes]) -> None:
        """Tell the log of messages that ended without being consumed."""
        for name, channel, reason in zip(*[iter(part.decode() for part in losses)] * 3, strict=True):
            logger.error("message %s on %s was not consumed: %s", name, channel, LOSSES.get(reason, reason))

    # --- the line ----------------------------------------------------------------------------------------------------

    def _made(self) -> None:
        """Open all sessions again: the line is new. What they wait for does not change meanwhile."""
        requests: list[Request] = []
        opened: list[tuple[Sessions, str]] = []
        with self.turns.mutex:
            for reader in self._readers.values():
                sessions = reader.sessions
                ended = [self.line.request(command) for command in sessions.end("close")]
                sessions.is_paused = False
                sessions.begin()
                demand = reader.renew()
                shards = dict.fromkeys([*sessions.home_shards(), *self._servers])
                for shard in shards:
                    command = sessions.open(shard)
                    if command:
                        requests.append(self.line.request(command))
                        opened.append((sessions, shard))
                requests += [*ended, *demand]
        if self._readers:
            self._watch_news()
        if requests:
            self.line.send_soon(requests)
        for sessions, shard in opened:
            self._watch(sessions, shard)
        self._start(self._look_for_servers)

    def _lost(self) -> None:
        """Let everyone go who waits for an answer, and forget what was held."""
        calls: list[Callable[[], object]] = []
        with self.turns.mutex:
            for reader in self._readers.values():
                reader.lose()
            for waiter in self.turns.callers.values():
                _settle(waiter, LayerUnavailable, calls)
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
                    _settle(waiter, run, calls)
        for reader in others:
            if reader.has_ready:
                self.turns.wake_taker(reader)
        return calls

    def nudge(self) -> None:
        """Have Redis send something, so that the thread that reads looks up."""
        self.line.nudge()

    # --- runs --------------------------------------------------------------------------------------------------------

    def run(self, make: Callable[[], Steps], timeout: float, generation: int = 0) -> Any:
        """Run an operation, and wait for its outcome.

        Parameters:
            make: returns the steps, not begun.
            timeout: how long Redis may let the caller wait on purpose.
            generation: the connection that the operation is for; 0 for any.

        Raises:
            LayerUnavailable: Redis is away, went away, or did not answer. What was asked may have happened.
        """
        deadline = self.line.deadline(self._wait)
        while True:
            if not generation:
                self.line.ensure(deadline - time.monotonic())
            token, sleeper = next(self._tokens), Sleeper()
            run = Run(self.line, make(), lambda run, token=token: self.line.arrived.append((token, run)))
            with self.turns.mutex:
                self.turns.callers[token] = sleeper
            try:
                requests = run.begin()
                if run.is_over:
                    self._forget(token)
                    return run.outcome()
                self.line.write(requests, generation)
                self.turns.wait_answer(token, sleeper, timeout + ANSWER_TIMEOUT)
            except LineLost:
                self._forget(token)
                if generation or time.monotonic() > deadline:
                    raise
            except BaseException:
                self._withdraw(token, make)
                raise
            else:
                return self._outcome(sleeper.result)

    async def arun(self, make: Callable[[], Steps], timeout: float, generation: int = 0) -> Any:
        """Do as `run`."""
        deadline = self.line.deadline(self._wait)
        while True:
            if not generation and not self.line.is_up:
                await self._areach(deadline)
            token, waiter = next(self._tokens), LoopWaiter()
            run = Run(self.line, make(), lambda run, token=token: self.line.arrived.append((token, run)))
            with self.turns.mutex:
                self.turns.callers[token] = waiter
            try:
                requests = run.begin()
                if run.is_over:
                    self._forget(token)
                    return run.outcome()
                await self.line.awrite(requests, generation)
                await self.turns.await_answer(token, waiter, timeout + ANSWER_TIMEOUT)
            except LineLost:
                self._forget(token)
                if generation or time.monotonic() > deadline:
                    raise
            except BaseException:
                self._withdraw(token, make)
                raise
            else:
                return self._outcome(waiter.result)

    async def _areach(self, deadline: float) -> None:
        """Do as `RedisLine.ensure`. No thread of the pool is kept while Redis is away: others need them."""
        pause = FIRST_PAUSE
        while not self.line.is_up:
            try:
                await asyncio.to_thread(self.line.connect)
            except LayerUnavailable:
                left = deadline - time.monotonic()
                if left <= 0 or self.closed:
                    raise
                await asyncio.sleep(min(pause, left))
                pause = min(LONGEST_PAUSE, pause * 2)

    def _forget(self, token: int) -> None:
        with self.turns.mutex:
            self.turns.callers.pop(token, None)

    def _withdraw(self, token: int, make: Any) -> None:
        """Nobody waits for this publish any more: it is not to happen if it has not happened yet."""
        self._forget(token)
        if hasattr(make, "token"):
            command = self.commands.withdraw(make.channel, make.token)
            self.line.post([self.line.request(command, _ignore)])
            self.line.write_posted()

    def _outcome(self, result: Any) -> Any:
        if isinstance(result, Run):
            return result.outcome()
        if result is not LayerUnavailable and not self.closed and self.line.is_up:
            msg = f"Redis at {self.address} did not answer within {ANSWER_TIMEOUT:g} s"
            raise LayerUnavailable(msg)
        msg = "the layer is closed" if self.closed else f"Redis at {self.address} went away before it answered"
        raise LayerUnavailable(msg)

    def _start(self, make: Callable[[], Steps]) -> None:
        """Begin an operation that nobody waits for."""
        run = Run(self.line, make(), _log_failure)
        try:
            requests = run.begin()
            if requests:
                self.line.send_soon(requests)
        except LineLost:
            return

    def _ask(self, operation: Callable[..., Steps], *arguments: Any) -> Any:
        return self.run(lambda: operation(self.commands, *arguments), 0)

    async def _aask(self, operation: Callable[..., Steps], *arguments: Any) -> Any:
        return await self.arun(lambda: operation(self.commands, *arguments), 0)

    # --- sending -----------------------------------------------------------------------------------------------------

    def publish(self, effect: Effect, timeout: float = 0) -> None:
        """See `Layer.publish`."""
        self.run(_Publishing(self, effect, timeout), timeout)

    async def apublish(self, effect: Effect, timeout: float = 0) -> None:
        """See `Layer.apublish`."""
        await self.arun(_Publishing(self, effect, timeout), timeout)

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
        found = await self._aquestion(operations.connection_state, check_channel(reply_channel))
        return found  # type: ignore[no-any-return]

    def _question(self, operation: Callable[..., Steps], about: str) -> Any:
        patience = self._answer_timeout - ANSWER_TIMEOUT
        return self.run(lambda: operation(self.commands, about, self.new_token), patience)

    async def _aquestion(self, operation: Callable[..., Steps], about: str) -> Any:
        patience = self._answer_timeout - ANSWER_TIMEOUT
        return await self.arun(lambda: operation(self.commands, about, self.new_token), patience)

    # --- readers -----------------------------------------------------------------------------------------------------

    def reader(self, channels: Collection[str], window: int = 1, threads: int | None = None) -> RedisReader:
        """See `Layer.reader`."""
        names = [check_readable(channel) for channel in dict.fromkeys(channels)]
        number = next(self._numbers)
        reader = RedisReader(self, number, names, window, threads or 0)
        self.line.ensure(self._wait)
        self._clock.start()
        with self.turns.mutex:
            self._readers[number] = reader
            self.turns.readers.append(reader)
        try:
            self.run(lambda: self._opening(reader.sessions), 0)
        except BaseException:
            self.drop_reader(number)
            raise
        self.turns.watch()
        return reader

    def _opening(self, sessions: Sessions) -> Steps:
        """Open a reader's sessions in all shards there are."""
        self._watch_news()
        (servers,) = yield [self.commands.all_shards()]
        self._servers |= {shard.decode() for shard in servers}
        yield from self._open(sessions, [*sessions.home_shards(), *self._servers])

    def _open(self, sessions: Sessions, shards: Iterable[str]) -> Steps:
        commands: list[Command] = []
        for shard in dict.fromkeys(shards):
            command = sessions.open(shard)
            if command:
                self._watch(sessions, shard)
                commands.append(command)
        yield commands

    def _watch(self, sessions: Sessions, shard: str) -> None:
        """Take the deliveries of a session as they come."""

        def take(entry: bytes, fields: Sequence[bytes]) -> None:
            delivery: Delivery = sessions.deliver(shard, entry, fields)
            self.line.arrived.append(Delivered(sessions.number, delivery))

        self.line.watch(shard, sessions.stream(shard), take)

    def _watch_news(self) -> None:
        """Look for servers when one registers."""
        self.line.watch(ROOT, self.shards.key(ROOT, "news"), lambda entry, fields: self._start(self._look_for_servers))

    def _look_for_servers(self) -> Steps:
        """Open the sessions that are missing in the shards of servers."""
        (servers,) = yield [self.commands.all_shards()]
        self._servers |= {shard.decode() for shard in servers}
        for reader in tuple(self._readers.values()):
            if not reader.sessions.is_paused:
                yield from self._open(reader.sessions, self._servers)

    def drop_reader(self, number: int) -> bool:
        """Forget a reader; return whether it was known."""
        with self.turns.mutex:
            reader = self._readers.pop(number, None)
            if reader:
                self.turns.readers.remove(reader)
        return reader is not None

    def requests(self, sessions: Sessions, frame: Frame) -> list[Request]:
        """Return what a reader's frame is to Redis."""
        if isinstance(frame, Demand):
            commands = sessions.demand(frame)
        elif isinstance(frame, Release):
            commands = sessions.release(frame)
        elif isinstance(frame, Shut):
            for shard in sessions.shards:
                self.line.unwatch(shard, sessions.stream(shard))
            return [self.line.request(command, self._ended) for command in sessions.end("close")]
        else:
            return []
        return [self.line.request(command, _ignore) for command in commands]

    def call(self, make: Callable[[int], Frame], timeout: float, generation: int = 0) -> Any:
        """Do what a reader asks its broker for and waits for: to pause."""
        frame = make(0)
        assert isinstance(frame, Pause)  # noqa: S101
        sessions = self._readers[frame.reader].sessions

        def pause() -> Steps:
            yield sessions.end("pause")

        return self.run(pause, timeout, generation)

    def check_committed(self, result: Any) -> None:
        """See what became of a commit that nobody waits for."""
        if result == b"lost":
            logger.warning("a commit came too late: another reader has the message, or had it")
        elif isinstance(result, LayerUnavailable):
            raise result  # the line is given up, and the message delivered again

    def _ended(self, result: Any) -> None:
        """A session has ended: what its prefixes have left in groups goes."""
        if isinstance(result, list) and result:
            self._start(lambda: operations.clean_up(self.commands, result))

    # --- time --------------------------------------------------------------------------------------------------------

    def _tick(self, shard: str) -> None:
        """Do what is due in a shard, and say that our sessions there live."""
        self._start(lambda: self._ticking(shard))

    def _ticking(self, shard: str) -> Steps:
        readers = [reader for reader in tuple(self._readers.values()) if shard in reader.sessions.shards]
        names = [reader.sessions.name for reader in readers]
        ((unknown, prefixes),) = yield [self.commands.tick(shard, names)]
        yield from operations.clean_up(self.commands, prefixes)
        if any(name.decode() in names for name in unknown):
            self.line.drop("this process was taken for dead, since it gave no sign")

    def _sign(self) -> None:
        """Look after all shards that we have to do with."""
        self.line.look_for_silence()
        if not self._readers:
            return
        for shard in {shard for reader in tuple(self._readers.values()) for shard in reader.sessions.shards}:
            self._tick(shard)
        self._start(self._look_for_servers)

    # --- owners ------------------------------------------------------------------------------------------------------

    def inbox(self, prefixes: Sequence[str], on_readable: Callable[[], None]) -> Inbox:
        """See `Layer.inbox`. Belongs to the running event loop, and has connections of its own."""
        for prefix in prefixes:
            if not check_channel(prefix).endswith("!"):
                msg = f"an owner's prefix ends in '!', and {prefix!r} does not"
                raise InvalidName(msg)
        from fairway.layers.redis.inbox import RedisInbox

        inbox = RedisInbox(self, list(dict.fromkeys(prefixes)), on_readable)
        self._inboxes.append(inbox)
        return inbox

    def drop_inbox(self, inbox: "RedisInbox") -> None:
        """Forget an inbox that is closed."""
        if inbox in self._inboxes:
            self._inboxes.remove(inbox)

    # --- the whole ---------------------------------------------------------------------------------------------------

    def statistics(self) -> LayerStatistics:
        """See `Layer.statistics`."""
        return self._ask(operations.statistics)  # type: ignore[no-any-return]

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """See `Layer.dead_letters`."""
        return self._ask(operations.dead_letters, limit)  # type: ignore[no-any-return]

    def requeue_dead(self, ids: Collection[str]) -> int:
        """See `Layer.requeue_dead`."""
        return self._ask(operations.requeue_dead, list(ids))  # type: ignore[no-any-return]

    def drop_dead(self, ids: Collection[str]) -> int:
        """See `Layer.drop_dead`."""
        return self._ask(operations.drop_dead, list(ids))  # type: ignore[no-any-return]

    def flush(self) -> None:
        """See `Layer.flush`."""
        self._ask(operations.flush)

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
        self.line.start_anew()
        self._clock.start_anew()
        self.turns.forget()
        for reader in self._readers.values():
            reader.disown()
        self._readers.clear()
        self._inboxes.clear()


LOSSES = {
    "lost": "its worker is gone and it may not run twice",
    "attempts": "its workers were lost as often as it may be tried; it is a dead letter now",
    "retries": "ConsumeLater was raised too often; it is a dead letter now",
    "full": "its channel had no room for it; it is a dead letter now",
}


class _Publishing:
    """Makes the steps of a publish, under one token: so that it can be withdrawn."""

    def __init__(self, layer: RedisLayer, effect: Effect, timeout: float) -> None:
        self.channel = effect.channel if isinstance(effect, Send) and timeout > 0 else ROOT
        self.token = layer.new_token()
        self._make = lambda: operations.publish(layer.commands, effect, lambda: self.token, timeout)

    def __call__(self) -> Steps:
        """Return the steps, not begun."""
        return self._make()


def _ignore(result: Any) -> None:
    if isinstance(result, LayerUnavailable):
        raise result


def _log_failure(run: Run) -> None:
    if run.error and not isinstance(run.error, LayerUnavailable):
        logger.error("the layer failed to look after itself", exc_info=run.error)


def _settle(waiter: Sleeper | LoopWaiter, result: Any, calls: list[Callable[[], object]]) -> None:
    """Give a waiter its result. Called under the mutex, where threads are woken, and event loops are not."""
    waiter.result = result
    if isinstance(waiter, Sleeper):
        waiter.wake()
    else:
        calls.append(waiter.wake)


def _start_anew() -> None:
    for layer in tuple(_open_layers):
        layer.start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)

"""The layer of a process that reaches its broker over a hub's Unix socket: workers, views, commands, server processes.

One line carries everything but inboxes: sessions, publishes, questions. The line is made when it is first needed, and
made again when it breaks; then sessions are opened again. A call that finds the hub away waits a little for it, and
raises `LayerUnavailable` when it stays away.
"""

import asyncio
import itertools
import os
import time
import weakref
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar

import msgspec

from fairway.broker.effects import Effect
from fairway.errors import InvalidName, LayerUnavailable
from fairway.layers.base import DeadLetter, Inbox, Layer, LayerStatistics
from fairway.layers.codec import DEFAULT_LIMITS
from fairway.layers.hub.address import HubAddress, make_address
from fairway.layers.hub.calls import raised
from fairway.layers.hub.inbox import LocalInbox
from fairway.layers.hub.line import FIRST_PAUSE, LONGEST_PAUSE, Line, LineLost
from fairway.layers.hub.reader import LocalReader
from fairway.layers.hub.turns import Sleeper, Takers, Turns
from fairway.layers.waiters import UNSETTLED, LoopWaiter
from fairway.limits import MessageLimits
from fairway.names import check_channel, check_group, check_readable
from fairway.wire.hub import VERSIONS, Answer, Call, Delivered, Frame, Ping, Publish, Recalled, Withdraw, pack

WAIT = 2.0
"""Seconds that a call waits for a hub that is away: as long as a server takes to be started again."""

ANSWER_TIMEOUT = 10.0
"""Seconds, beside those that a publish may wait for room, that the hub may take to answer."""

_open_layers: "weakref.WeakSet[LocalLayer]" = weakref.WeakSet()


class LocalLayer(Layer):
    """The hub of this host.

    Parameters:
        path: the hub's socket; the project's own when empty (see `address`).
        mode: what the socket's mode shall be, for whoever makes it.
        group: the same for its group.
        upstream: the URL of the layer that joins the hub with others, for whoever makes it.
        wait: seconds that calls wait for a hub that is away, counted from when it was missed.
        message_limits: what one message may be.
        versions: the oldest and the newest version of the protocol that is spoken.
    """

    is_shared: ClassVar[bool] = True

    def __init__(
        self,
        path: str = "",
        *,
        mode: int | str = 0o600,
        group: str | None = None,
        upstream: str | None = None,
        wait: float = WAIT,
        message_limits: MessageLimits = DEFAULT_LIMITS,
        versions: tuple[int, int] = VERSIONS,
    ) -> None:
        self.address: HubAddress = make_address(path, mode, group, upstream)
        self.message_limits = message_limits
        self.on_renewed: Callable[[], None] | None = None
        """Called when an inbox of this layer has reached a hub of another epoch than before."""
        self.versions = versions
        self._wait = wait
        self._tokens = itertools.count(1)
        self._numbers = itertools.count(1)
        self._readers: dict[int, LocalReader] = {}
        self._inboxes: list[LocalInbox] = []
        self.line = Line(self.address, versions, self._made, self._lost)
        self.turns = Turns(self.line, self._dispatch)
        _open_layers.add(self)

    @property
    def closed(self) -> bool:
        """Whether the layer is closed."""
        return self.line.closed

    # --- the line ----------------------------------------------------------------------------------------------------

    def _made(self, use: Callable[[bytes], None]) -> None:
        """Open all sessions again: the line is new. What they wait for does not change meanwhile."""
        with self.turns.mutex:
            use(b"".join(reader.renew() for reader in self._readers.values()))

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

    def _dispatch(self, frames: list[Any], mine: Takers | None) -> list[Callable[[], object]]:
        """Put frames where they belong. Called under the mutex."""
        calls: list[Callable[[], object]] = []
        now = time.monotonic()
        others: dict[LocalReader, None] = {}
        for frame in frames:
            kind = type(frame)
            if kind is Delivered:
                reader = self._readers.get(frame.reader)
                if reader:
                    reader.put(frame.delivery, now, calls)
                    if reader is not mine:
                        others[reader] = None
            elif kind is Answer:
                waiter = self.turns.callers.get(frame.token)
                if waiter:
                    _settle(waiter, frame, calls)
            elif kind is Recalled and frame.reader in self._readers:
                self._readers[frame.reader].recall(frame.receipts)
        for reader in others:
            if reader.has_ready:
                self.turns.wake_taker(reader)
        return calls

    def nudge(self) -> None:
        """Have the hub send something, so that the thread that reads looks up."""
        self.line.post(pack(Ping()))
        self.line.write_posted()

    # --- calls -------------------------------------------------------------------------------------------------------

    def call(self, make: Callable[[int], Frame], timeout: float, generation: int = 0) -> Any:
        """Send a frame, and wait for its answer.

        Parameters:
            make: returns the frame for a token.
            timeout: how long the hub may let the caller wait on purpose.
            generation: the connection that the frame is for; 0 for any.

        Raises:
            LayerUnavailable: the hub is away, went away, or did not answer. What was asked may have happened.
        """
        deadline = self.line.deadline(self._wait)
        token = next(self._tokens)
        data = pack(make(token))
        while True:
            if not generation:
                self.line.ensure(deadline - time.monotonic())
            sleeper = Sleeper()
            self._expect(token, sleeper)
            try:
                self.line.write(data, generation)
                self.turns.wait_answer(token, sleeper, timeout + ANSWER_TIMEOUT)
            except LineLost:
                self._forget(token)
                if generation or time.monotonic() > deadline:
                    raise
            except BaseException:
                self._withdraw(token)
                raise
            else:
                return self._result(sleeper.result)

    async def acall(self, make: Callable[[int], Frame], timeout: float, generation: int = 0) -> Any:
        """Do as `call`."""
        deadline = self.line.deadline(self._wait)
        token = next(self._tokens)
        data = pack(make(token))
        while True:
            if not generation and not self.line.is_up:
                await self._areach(deadline)
            waiter = LoopWaiter()
            self._expect(token, waiter)
            try:
                await self.line.awrite(data, generation)
                await self.turns.await_answer(token, waiter, timeout + ANSWER_TIMEOUT)
            except LineLost:
                self._forget(token)
                if generation or time.monotonic() > deadline:
                    raise
            except BaseException:
                self._withdraw(token)
                raise
            else:
                return self._result(waiter.result)

    async def _areach(self, deadline: float) -> None:
        """Do as `Line.ensure`. No thread of the pool is kept while the hub is away: others need them."""
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

    def _expect(self, token: int, waiter: Sleeper | LoopWaiter) -> None:
        with self.turns.mutex:
            self.turns.callers[token] = waiter

    def _forget(self, token: int) -> None:
        with self.turns.mutex:
            self.turns.callers.pop(token, None)

    def _withdraw(self, token: int) -> None:
        """Nobody waits for this publish any more: it is not to happen if it has not happened yet."""
        self._forget(token)
        self.line.post(pack(Withdraw(token)))
        self.line.write_posted()

    def _result(self, result: Any) -> Any:
        if isinstance(result, Answer):
            if result.error:
                raise raised(result.error)
            return result.value
        path = self.address.path
        if result is UNSETTLED and not self.closed and self.line.is_up:
            msg = f"the hub at {path} did not answer within {ANSWER_TIMEOUT:g} s"
            raise LayerUnavailable(msg)
        msg = "the layer is closed" if self.closed else f"the hub at {path} went away before it answered"
        raise LayerUnavailable(msg)

    def _ask(self, verb: str, *arguments: Any) -> Any:
        return self.call(lambda token: Call(token, verb, list(arguments)), 0)

    async def _aask(self, verb: str, *arguments: Any) -> Any:
        return await self.acall(lambda token: Call(token, verb, list(arguments)), 0)

    # --- sending -----------------------------------------------------------------------------------------------------

    def publish(self, effect: Effect, timeout: float = 0) -> None:
        """See `Layer.publish`."""
        self.call(lambda token: Publish(token, effect, timeout), timeout)

    async def apublish(self, effect: Effect, timeout: float = 0) -> None:
        """See `Layer.apublish`."""
        await self.acall(lambda token: Publish(token, effect, timeout), timeout)

    # --- groups and questions ----------------------------------------------------------------------------------------

    def group_add(self, group: str, channel: str) -> None:
        """See `Layer.group_add`."""
        self._ask("group_add", check_group(group), check_channel(channel))

    async def agroup_add(self, group: str, channel: str) -> None:
        """See `Layer.agroup_add`."""
        await self._aask("group_add", check_group(group), check_channel(channel))

    def group_discard(self, group: str, channel: str) -> None:
        """See `Layer.group_discard`."""
        self._ask("group_discard", check_group(group), check_channel(channel))

    async def agroup_discard(self, group: str, channel: str) -> None:
        """See `Layer.agroup_discard`."""
        await self._aask("group_discard", check_group(group), check_channel(channel))

    def group_channels(self, group: str) -> list[str]:
        """See `Layer.group_channels`."""
        return msgspec.convert(self._ask("group_channels", check_group(group)), list[str])

    async def agroup_channels(self, group: str) -> list[str]:
        """See `Layer.agroup_channels`."""
        return msgspec.convert(await self._aask("group_channels", check_group(group)), list[str])

    def state(self, reply_channel: str) -> dict[str, bytes]:
        """See `Layer.state`."""
        return msgspec.convert(self._ask("state", check_channel(reply_channel)), dict[str, bytes])

    async def astate(self, reply_channel: str) -> dict[str, bytes]:
        """See `Layer.astate`."""
        return msgspec.convert(await self._aask("state", check_channel(reply_channel)), dict[str, bytes])

    # --- both ends ---------------------------------------------------------------------------------------------------

    def reader(self, channels: Collection[str], window: int = 1, threads: int | None = None) -> LocalReader:
        """See `Layer.reader`."""
        names = [check_readable(channel) for channel in dict.fromkeys(channels)]
        number = next(self._numbers)
        reader = LocalReader(self, number, names, window, threads or 0)
        self.line.ensure(self._wait)
        with self.turns.mutex:
            self._readers[number] = reader
            self.turns.readers.append(reader)
        try:
            self.call(reader.opening, 0)
        except BaseException:
            self.drop_reader(number)
            raise
        self.turns.watch()
        return reader

    def drop_reader(self, number: int) -> bool:
        """Forget a session; return whether it was known."""
        with self.turns.mutex:
            reader = self._readers.pop(number, None)
            if reader:
                self.turns.readers.remove(reader)
        return reader is not None

    def inbox(self, prefixes: Sequence[str], on_readable: Callable[[], None]) -> Inbox:
        """See `Layer.inbox`. Belongs to the running event loop, and has a line of its own."""
        for prefix in prefixes:
            if not check_channel(prefix).endswith("!"):
                msg = f"an owner's prefix ends in '!', and {prefix!r} does not"
                raise InvalidName(msg)
        inbox = LocalInbox(self, list(dict.fromkeys(prefixes)), on_readable)
        self._inboxes.append(inbox)
        return inbox

    def drop_inbox(self, inbox: LocalInbox) -> None:
        """Forget an inbox that is closed."""
        if inbox in self._inboxes:
            self._inboxes.remove(inbox)

    # --- the whole ---------------------------------------------------------------------------------------------------

    def statistics(self) -> LayerStatistics:
        """See `Layer.statistics`."""
        return msgspec.convert(self._ask("statistics"), LayerStatistics)

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """See `Layer.dead_letters`."""
        return msgspec.convert(self._ask("dead_letters", limit), list[DeadLetter])

    def requeue_dead(self, ids: Collection[str]) -> int:
        """See `Layer.requeue_dead`."""
        return msgspec.convert(self._ask("requeue_dead", list(ids)), int)

    def drop_dead(self, ids: Collection[str]) -> int:
        """See `Layer.drop_dead`."""
        return msgspec.convert(self._ask("drop_dead", list(ids)), int)

    def flush(self) -> None:
        """See `Layer.flush`."""
        self._ask("flush")

    def close(self) -> None:
        """See `Layer.close`. Other processes keep their lines."""
        if self.line.closed:
            return
        for reader in tuple(self._readers.values()):
            reader.stop()
        self.line.close()
        self.turns.close()
        for inbox in tuple(self._inboxes):
            inbox.close()

    def start_anew(self) -> None:
        """Forget the line in a forked process: it is the parent's. Sessions and inboxes stay with the parent."""
        self.line.forget()
        self.turns.forget()
        for reader in self._readers.values():
            reader.disown()
        self._readers.clear()
        self._inboxes.clear()


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

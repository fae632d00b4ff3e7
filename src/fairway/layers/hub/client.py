"""The layer of a process that reaches its broker over a hub's socket: workers, views, commands, server processes.

One line carries everything but inboxes: sessions, publishes, questions. The line is made when it is first needed, and
made again when it breaks; then sessions are opened again. A call that finds the hub away waits a little for it, and
raises `LayerUnavailable` when it stays away.
"""

import itertools
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fairway.errors import LayerUnavailable
from fairway.layers.base import Inbox
from fairway.layers.codec import DEFAULT_LIMITS
from fairway.layers.forks import at_fork
from fairway.layers.hub.address import HubAddress, make_address
from fairway.layers.hub.calls import raised
from fairway.layers.hub.inbox import LocalInbox
from fairway.layers.hub.line import Line, LineLost
from fairway.layers.hub.meeting import Address
from fairway.layers.hub.reaching import areach
from fairway.layers.hub.reader import LocalReader
from fairway.layers.hub.turns import Sleeper, Takers, Turns, settle
from fairway.layers.hub.verbs import HubVerbs
from fairway.layers.waiters import UNSETTLED, LoopWaiter
from fairway.limits import MessageLimits
from fairway.names import check_prefix, check_readable
from fairway.wire.hub import VERSIONS, Answer, Delivered, Frame, Ping, Recalled, Withdraw, pack

WAIT = 2.0
"""Seconds that a call waits for a hub that is away: as long as a server takes to be started again."""

ANSWER_TIMEOUT = 10.0
"""Seconds, beside those that a publish may wait for room, that the hub may take to answer."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What hubs share that one session reads: who reads, and numbers that tell whose they are.

    The numbers of a hub's connections and tokens are `first` plus a multiple of `step`.
    """

    turns: Turns
    first: int
    step: int


class HubLayer(HubVerbs):
    """One hub.

    Parameters:
        address: where it is.
        wait: seconds that calls wait for a hub that is away, counted from when it was missed.
        message_limits: what one message may be.
        versions: the oldest and the newest version of the protocol that is spoken.
        shared: how it reads and counts together with other hubs; see `several`.
    """

    is_shared: ClassVar[bool] = True

    def __init__(
        self,
        address: Address,
        wait: float = WAIT,
        message_limits: MessageLimits = DEFAULT_LIMITS,
        versions: tuple[int, int] = VERSIONS,
        shared: Shared | None = None,
    ) -> None:
        self.address = address
        self.message_limits = message_limits
        self.on_renewed: Callable[[], None] | None = None
        """Called when an inbox of this layer has reached a hub of another epoch than before."""
        self.versions = versions
        self._wait = wait
        self._first, self._step = (shared.first, shared.step) if shared else (0, 1)
        self._tokens = itertools.count(self._first + self._step, self._step)
        self._numbers = itertools.count(1)
        self._readers: dict[int, LocalReader] = {}
        self._inboxes: list[LocalInbox] = []
        self.line = Line(address, versions, self._made, self._lost, (self._first, self._step))
        self.turns = shared.turns if shared else Turns(self.line, self._dispatch)
        at_fork(self)

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
            for token in [token for token in self.turns.callers if self._is_ours(token)]:
                settle(self.turns.callers.pop(token), LayerUnavailable, calls)
            while self.turns.wake_follower():
                pass
        for call in calls:
            call()

    def _is_ours(self, token: int) -> bool:
        return token % self._step == self._first

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
                    settle(waiter, frame, calls)
            elif kind is Recalled and frame.reader in self._readers:
                self._readers[frame.reader].recall(frame.receipts)
        for reader in others:
            if reader.has_ready:
                self.turns.wake_taker(reader.taker)
        return calls

    def nudge(self) -> None:
        """Have the hub send something, so that the thread that reads looks up."""
        self.line.post(pack(Ping()))
        self.line.write_posted()

    # --- calls -------------------------------------------------------------------------------------------------------

    def call(self, make: Callable[[int], Frame], timeout: float, generation: int = 0, about: str = "") -> Any:
        """See `HubVerbs.call`."""
        del about
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

    async def acall(self, make: Callable[[int], Frame], timeout: float, generation: int = 0, about: str = "") -> Any:
        """See `HubVerbs.acall`."""
        del about
        deadline = self.line.deadline(self._wait)
        token = next(self._tokens)
        data = pack(make(token))
        while True:
            if not generation and not self.line.is_up:
                await areach(self.line, deadline)
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
        name = self.address.name
        if result is UNSETTLED and not self.closed and self.line.is_up:
            msg = f"the hub at {name} did not answer within {ANSWER_TIMEOUT:g} s"
            raise LayerUnavailable(msg)
        msg = "the layer is closed" if self.closed else f"the hub at {name} went away before it answered"
        raise LayerUnavailable(msg)

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
            check_prefix(prefix)
        inbox = LocalInbox(self, list(dict.fromkeys(prefixes)), on_readable)
        self._inboxes.append(inbox)
        return inbox

    def drop_inbox(self, inbox: LocalInbox) -> None:
        """Forget an inbox that is closed."""
        if inbox in self._inboxes:
            self._inboxes.remove(inbox)

    # --- the whole ---------------------------------------------------------------------------------------------------

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


class LocalLayer(HubLayer):
    """The hub of this host.

    Parameters:
        path: the hub's socket; the project's own when empty (see `address`).
        mode: what the socket's mode shall be, for whoever makes it.
        group: the same for its group.
        upstream: the URL of the layer that joins the hub with others, for whoever makes it.
        wait, message_limits, versions: as for `HubLayer`.
    """

    address: HubAddress

    def __init__(  # noqa: PLR0913  each is an option of its own
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
        super().__init__(make_address(path, mode, group, upstream), wait, message_limits, versions)

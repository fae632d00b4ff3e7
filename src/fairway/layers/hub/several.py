"""The layer of a process that knows several hubs: workers on another host, mostly.

A session reads all of them, and what a consumer does goes back to the hub that gave the message. Anything else goes to
the first hub of the list that is up; what is about one connection goes to the hub that has last given a message of
its server, so that the hubs need not know of each other for that. Hubs may come and go.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, cast

from fairway.errors import LayerUnavailable
from fairway.layers.base import DeadLetter, Inbox, LayerStatistics
from fairway.layers.codec import DEFAULT_LIMITS
from fairway.layers.forks import at_fork
from fairway.layers.hub.client import WAIT, HubLayer, Shared
from fairway.layers.hub.line import FIRST_PAUSE, Line, LineLost
from fairway.layers.hub.meeting import Address
from fairway.layers.hub.several_lines import SeveralLines
from fairway.layers.hub.several_reader import Part, SeveralReader
from fairway.layers.hub.sums import add_up
from fairway.layers.hub.tcp_address import TcpAddress
from fairway.layers.hub.turns import Takers, Turns
from fairway.layers.hub.verbs import HubVerbs
from fairway.layers.waiters import UNSETTLED
from fairway.limits import MessageLimits
from fairway.names import check_readable
from fairway.wire.hub import VERSIONS, Frame, Ping, pack

MOST_ROUTES = 1_000
"""Servers of which is known which hub is theirs; of more the oldest is forgotten."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where several hubs are."""

    each: tuple[Address, ...]

    @property
    def url(self) -> str | None:
        """The URL of this list; None for one that no URL can name."""
        if len({(one.scheme, one.access) for one in self.each if isinstance(one, TcpAddress)}) != 1:
            return None
        if not all(isinstance(one, TcpAddress) for one in self.each):
            return None
        first, *others = [one.name for one in self.each]
        places = [first, *(name.partition("://")[2] for name in others)]
        return ",".join(places) + self.each[0].url.removeprefix(first)


class Branch(HubLayer):
    """One hub of several."""

    def __init__(self, whole: "SeveralLayer", address: Address, number: int, shared: Shared) -> None:
        self._whole = whole
        self.number = number
        super().__init__(address, 0, whole.message_limits, whole.versions, shared)

    def _made(self, use: Callable[[bytes], None]) -> None:
        super()._made(use)
        self._whole.line.made(self.number)

    def _lost(self) -> None:
        super()._lost()
        self._whole.line.lost(self.number)

    def _result(self, result: Any) -> Any:
        try:
            return super()._result(result)
        finally:
            if result is UNSETTLED:  # it hangs: the others take its place until it greets again
                self.line.give_up("it does not answer")

    def learn(self, reply_channel: str) -> None:
        """A message of this connection came from here. Called under the mutex."""
        self._whole.learn(reply_channel, self)

    def take(self, generation: int, frames: list[Any], mine: Takers | None) -> list[Callable[[], object]]:
        """Put frames where they belong, unless their connection is lost by now. Called under the mutex."""
        if not self.line.is_up or self.line.generation != generation:
            return []
        part = mine.parts[self.number] if isinstance(mine, SeveralReader) else None
        return self._dispatch(frames, part)

    def adopt(self, number: int, part: Part) -> int:
        """Note a part of a session; return the connection that it is not open on yet, 0 when there is none.

        Called under the mutex, without which no connection begins.
        """
        self._readers[number] = part
        return self.line.generation if self.line.is_up else 0

    def drop_reader(self, number: int) -> bool:
        """See `HubLayer.drop_reader`. The whole is what waits."""
        with self.turns.mutex:
            return self._readers.pop(number, None) is not None


class SeveralLayer(HubVerbs):
    """Several hubs.

    Parameters:
        addresses: where they are, in the order of preference.
        wait: seconds that calls wait while none of them is up.
        message_limits: what one message may be.
        versions: the oldest and the newest version of the protocol that is spoken.
    """

    is_shared: ClassVar[bool] = True

    def __init__(
        self,
        addresses: Sequence[Address],
        wait: float = WAIT,
        message_limits: MessageLimits = DEFAULT_LIMITS,
        versions: tuple[int, int] = VERSIONS,
    ) -> None:
        self.message_limits = message_limits
        self.versions = versions
        self.on_renewed: Callable[[], None] | None = None
        """As for `HubLayer`."""
        self._wait = wait
        self._away_since = 0.0
        self._numbers = itertools.count(1)
        self._readers: dict[int, SeveralReader] = {}
        self._routes: dict[str, Branch] = {}
        """Prefix of a server -> the hub that has last given a message of it."""
        self.turns = Turns(cast("Line", None), self._dispatch)
        shared = [Shared(self.turns, number, len(addresses)) for number in range(len(addresses))]
        self.branches = [Branch(self, address, number, shared[number]) for number, address in enumerate(addresses)]
        self.line = SeveralLines([branch.line for branch in self.branches])
        self.turns.line = cast("Line", self.line)
        self.address = Addresses(tuple(addresses))
        at_fork(self)

    # --- the lines ---------------------------------------------------------------------------------------------------

    def _dispatch(self, batches: list[Any], mine: Takers | None) -> list[Callable[[], object]]:
        calls: list[Callable[[], object]] = []
        for number, generation, frames in batches:
            calls += self.branches[number].take(generation, frames, mine)
        return calls

    def learn(self, reply_channel: str, branch: Branch) -> None:
        """Remember which hub a server is near to. Called under the mutex."""
        prefix = _prefix(reply_channel)
        if prefix and self._routes.get(prefix) is not branch:
            self._routes.pop(prefix, None)
            if len(self._routes) >= MOST_ROUTES:
                del self._routes[next(iter(self._routes))]
            self._routes[prefix] = branch

    def nudge(self) -> None:
        """See `HubLayer.nudge`."""
        self.line.post(pack(Ping()))
        self.line.write_posted()

    def _choose(self, about: str) -> Branch | None:
        """Return the hub for a call; None when none is up."""
        near = self._routes.get(_prefix(about)) if about else None
        if near is not None and near.line.is_up:
            return near
        return next((branch for branch in self.branches if branch.line.is_up), None)

    def _deadline(self) -> float:
        """Return until when a call waits; all together wait once while no hub is up."""
        now = time.monotonic()
        if self.line.is_up:
            self._away_since = 0.0
        else:
            self._away_since = self._away_since or now
        return (self._away_since or now) + self._wait

    # --- calls -------------------------------------------------------------------------------------------------------

    def call(self, make: Callable[[int], Frame], timeout: float, generation: int = 0, about: str = "") -> Any:
        """See `HubVerbs.call`."""
        del generation
        deadline = self._deadline()
        while True:
            branch = self._choose(about)
            try:
                if branch is None:
                    self.line.ensure(deadline - time.monotonic())
                else:
                    return branch.call(make, timeout, branch.line.generation)
            except LineLost:
                if time.monotonic() > deadline:
                    raise

    async def acall(self, make: Callable[[int], Frame], timeout: float, generation: int = 0, about: str = "") -> Any:
        """See `HubVerbs.acall`."""
        del generation
        deadline = self._deadline()
        while True:
            branch = self._choose(about)
            try:
                if branch is None:
                    await self._areach(deadline)
                else:
                    return await branch.acall(make, timeout, branch.line.generation)
            except LineLost:
                if time.monotonic() > deadline:
                    raise

    async def _areach(self, deadline: float) -> None:
        self.line.start()
        while not self.line.is_up:
            if time.monotonic() >= deadline:
                raise self.line.unavailable()
            await asyncio.sleep(FIRST_PAUSE)
        if self.line.closed:
            raise self.line.unavailable()

    def _each(self, ask: Callable[[Branch], Result]) -> list[Result]:
        """Ask all hubs that are up, but for those that go away meanwhile.

        Raises:
            LayerUnavailable: one of them has no answer, or none was left.
        """
        if not self.line.is_up:
            self.line.ensure(self._deadline() - time.monotonic())
        found, error = [], self.line.unavailable()
        for branch in self.branches:
            if branch.line.is_up:
                try:
                    found.append(ask(branch))
                except LayerUnavailable as failure:
                    error = failure
                    if branch.line.is_up:
                        raise
        if self.line.closed or not found:
            raise error
        return found

    # --- groups and questions ----------------------------------------------------------------------------------------

    def group_channels(self, group: str) -> list[str]:
        """See `Layer.group_channels`. Hubs that are joined all know the whole; those that are not know a part each."""
        return _union(self._each(lambda branch: branch.group_channels(group)))

    async def agroup_channels(self, group: str) -> list[str]:
        """See `Layer.agroup_channels`."""
        if not self.line.is_up:
            await self._areach(self._deadline())
        up = [branch for branch in self.branches if branch.line.is_up]
        lists = await asyncio.gather(*(self._ask_group(branch, group) for branch in up))
        known = [some for some in lists if some is not None]
        if self.line.closed or not known:
            raise self.line.unavailable()
        return _union(known)

    async def _ask_group(self, branch: Branch, group: str) -> list[str] | None:
        """Return the members that a hub knows; None when it went away."""
        try:
            return await branch.agroup_channels(group)
        except LayerUnavailable:
            if branch.line.is_up:
                raise
            return None

    def statistics(self) -> LayerStatistics:
        """See `Layer.statistics`; the sum of all hubs that are up."""
        return add_up(self._each(HubLayer.statistics))

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """See `Layer.dead_letters`."""
        letters = [letter for some in self._each(lambda branch: branch.dead_letters(limit)) for letter in some]
        return sorted(letters, key=lambda letter: letter.age)[:limit]

    def requeue_dead(self, ids: Collection[str]) -> int:
        """See `Layer.requeue_dead`."""
        return sum(self._each(lambda branch: branch.requeue_dead(ids)))

    def drop_dead(self, ids: Collection[str]) -> int:
        """See `Layer.drop_dead`."""
        return sum(self._each(lambda branch: branch.drop_dead(ids)))

    def flush(self) -> None:
        """See `Layer.flush`."""
        self._each(HubLayer.flush)

    # --- both ends ---------------------------------------------------------------------------------------------------

    def reader(self, channels: Collection[str], window: int = 1, threads: int | None = None) -> SeveralReader:
        """See `Layer.reader`. At least one hub must be up; the session is opened at the others when they are."""
        names = [check_readable(channel) for channel in dict.fromkeys(channels)]
        number = next(self._numbers)
        reader = SeveralReader(self, number, names, window, threads or 0)
        self.line.ensure(self._wait)
        with self.turns.mutex:
            self._readers[number] = reader
            self.turns.readers.append(reader)
            # A line that is made later opens the session by itself.
            there = [(part, part.branch.adopt(number, part)) for part in reader.parts]
        opened, error = 0, self.line.unavailable()
        for part, generation in there:
            if not generation:
                continue
            try:
                part.branch.call(part.opening, 0, generation)
                opened += 1
            except LayerUnavailable as failure:
                error = failure
            except BaseException:
                reader.close()
                raise
        if not opened and not self.line.is_up:
            reader.close()
            raise error
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
        """See `Layer.inbox`. It is at the first hub that can be reached now, and stays there."""
        error: LayerUnavailable | None = None
        for branch in self.branches:
            try:
                inbox = branch.inbox(prefixes, on_readable)
            except LayerUnavailable as failure:
                error = failure
            else:
                branch.on_renewed = lambda: self.on_renewed() if self.on_renewed else None
                for prefix in prefixes:
                    self.learn(prefix, branch)
                return inbox
        raise error or self.line.unavailable()

    def close(self) -> None:
        """See `Layer.close`."""
        if self.line.closed:
            return
        for reader in tuple(self._readers.values()):
            reader.stop()
        self.line.closed = True  # whoever is told that a hub is away looks at this
        for branch in self.branches:
            branch.close()
        self.line.close()
        self.turns.close()

    def start_anew(self) -> None:
        """Forget the lines in a forked process; those of the hubs are forgotten by themselves."""
        self.line.forget()
        self.turns.forget()
        for reader in self._readers.values():
            reader.disown()
        self._readers.clear()


def _prefix(channel: str) -> str:
    """Return the part of a channel that names its server; "" for one that belongs to none."""
    return channel[: channel.rfind("!") + 1]


def _union(lists: Iterable[list[str]]) -> list[str]:
    return list(dict.fromkeys(name for names in lists for name in names))

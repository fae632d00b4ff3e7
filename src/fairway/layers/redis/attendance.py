"""Where the readers of a layer have sessions: in the shards of servers that come and go, kept alive by signs.

A reader has a session in each shard that may hold something for it. Servers register in the root shard, whose news
every process with a reader reads.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from fairway.layers.redis.calls import Calls, give_up_on_error
from fairway.layers.redis.clock import Clock
from fairway.layers.redis.commands import Command, Commands, Lease
from fairway.layers.redis.line import RedisLine
from fairway.layers.redis.link import Request
from fairway.layers.redis.operations import Steps
from fairway.layers.redis.overview import clean_up, move_dead
from fairway.layers.redis.sessions import Sessions
from fairway.layers.redis.shards import ROOT
from fairway.wire.hub import Delivered, Demand, Frame, Release, Shut

logger = logging.getLogger("fairway.layer")

EMPTY = 30.0
"""Seconds that a shard has had no owner, and nothing in it, before it is forgotten."""


class Attendance:
    """The sessions of all readers of a layer.

    Parameters:
        line: what carries commands and deliveries.
        calls: runs operations.
        commands: of the layer.
        clock: tells when a sign is due.
        readers: returns the sessions of all readers at this moment.
    """

    def __init__(
        self,
        line: RedisLine,
        calls: Calls,
        commands: Commands,
        clock: Clock,
        readers: Callable[[], list[Sessions]],
    ) -> None:
        self._line = line
        self._calls = calls
        self._commands = commands
        self._clock = clock
        self._readers = readers
        self._servers: set[str] = set()
        """The shards of servers that are known."""
        self._empty: dict[str, float] = {}
        """Shards that were found without an owner and empty, and when first."""
        self._unknown: dict[str, set[str]] = {}
        """Shard -> our sessions that it did not know when it was last asked."""

    # --- opening -----------------------------------------------------------------------------------------------------

    def opening(self, sessions: Sessions) -> Steps:
        """Open a reader's sessions in all shards there are."""
        self._clock.start()
        self._watch_news()
        (servers,) = yield [self._commands.all_shards()]
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

    def ending(self, sessions: Sessions) -> list[Request]:
        """End what a reader had over a lost line; return what is to be sent."""
        sessions.begin()
        return [
            self._line.request(command, partial(self._orphan_ended, forget)) for command, forget in sessions.orphans()
        ]

    def reopening(self, sessions: Sessions) -> list[Request]:
        """Open anew what has been ended; return what is to be sent. `watch_all` follows."""
        opened = [sessions.open(shard) for shard in dict.fromkeys([*sessions.home_shards(), *self._servers])]
        return [self._line.request(command) for command in opened if command]

    def watch_all(self) -> None:
        """Read all streams: the line is new."""
        for sessions in self._readers():
            for shard in sessions.shards:
                self._watch(sessions, shard)
        self._watch_news()
        self._calls.start(self._look_for_servers)

    def _watch(self, sessions: Sessions, shard: str) -> None:
        """Take the deliveries of a session as they come."""
        name = sessions.name

        def take(entry: bytes, fields: Sequence[bytes]) -> None:
            delivery = sessions.deliver(Lease(shard, name, entry.decode()), fields)
            if delivery:
                self._line.arrived.append(Delivered(sessions.number, delivery))

        self._line.watch(shard, sessions.stream(shard), take)

    def _watch_news(self) -> None:
        """Look for servers when one registers."""

        def take(entry: bytes, fields: Sequence[bytes]) -> None:
            del entry, fields
            self._calls.start(self._look_for_servers)

        self._line.watch(ROOT, self._commands.shards.key(ROOT, "news"), take)

    def _look_for_servers(self) -> Steps:
        """Open the sessions that are missing in the shards of servers."""
        (servers,) = yield [self._commands.all_shards()]
        self._servers = {shard.decode() for shard in servers}
        for sessions in self._readers():
            if not sessions.is_paused:
                yield from self._open(sessions, self._servers)

    # --- what readers say --------------------------------------------------------------------------------------------

    def requests(self, sessions: Sessions, frame: Frame) -> list[Request]:
        """Return what a reader's frame is to Redis."""
        if isinstance(frame, Demand):
            return [self._line.request(command, give_up_on_error) for command in sessions.demand(frame)]
        if isinstance(frame, Release):
            name = sessions.name
            return [
                self._line.request(command, partial(self._recalled, sessions, shard, name))
                for shard, command in sessions.release(frame)
            ]
        if not isinstance(frame, Shut):
            return []  # sessions are opened by operations, which know the shards
        for shard in sessions.shards:
            self._line.unwatch(shard, sessions.stream(shard))
        return [self._line.request(command, self._ended) for command in sessions.end("close")]

    def _recalled(self, sessions: Sessions, shard: str, name: str, result: Any) -> None:
        give_up_on_error(result)
        for delivery in sessions.recalled(shard, name, result):
            self._line.arrived.append(Delivered(sessions.number, delivery))

    def _orphan_ended(self, forget: Callable[[], object], result: Any) -> None:
        give_up_on_error(result)
        forget()
        self._ended(result)

    def _ended(self, result: Any) -> None:
        """A session has ended: what its prefixes have left in groups goes."""
        if isinstance(result, list) and result:
            self._calls.start(lambda: clean_up(self._commands, result))

    # --- time --------------------------------------------------------------------------------------------------------

    def sign(self) -> None:
        """Say that all sessions live, and look after their shards."""
        self._line.look_for_silence()
        readers = self._readers()
        if readers:
            for shard in {shard for sessions in readers for shard in sessions.shards}:
                self.tick(shard)
            self._calls.start(self._look_for_servers)

    def tick(self, shard: str) -> None:
        """Do what is due in a shard, and say that the sessions there live."""
        self._calls.start(lambda: self._ticking(shard))

    def _ticking(self, shard: str) -> Steps:
        there = [sessions for sessions in self._readers() if shard in sessions.shards]
        names = {sessions.name for sessions in there}
        ((unknown, prefixes, is_empty),) = yield [self._commands.tick(shard, names)]
        yield from clean_up(self._commands, prefixes)
        if self._are_missed(shard, names & {name.decode() for name in unknown}):
            self._line.drop("this process was taken for dead, since it gave no sign")
        elif is_empty and not shard.startswith("#"):
            yield from self._forget(shard, there)
        else:
            self._empty.pop(shard, None)

    def _are_missed(self, shard: str, unknown: set[str]) -> bool:
        """Whether Redis has forgotten sessions that are here, and not just begun or ended while it was asked.

        So a session is missed only when it is there still, and was unknown the time before, too.
        """
        unknown &= {sessions.name for sessions in self._readers()}
        before, self._unknown[shard] = self._unknown.get(shard, set()), unknown
        return not unknown.isdisjoint(before)

    def _forget(self, shard: str, there: Iterable[Sessions]) -> Steps:
        """Leave a shard whose server is gone for good; the last one to leave forgets it."""
        now = time.monotonic()
        if now - self._empty.setdefault(shard, now) < EMPTY:
            return
        yield from move_dead(self._commands, shard)
        yield [self._commands.operator(ROOT, "unregister", shard)]
        left = [sessions.leave(shard) for sessions in there]
        for sessions in there:
            self._line.unwatch(shard, sessions.stream(shard))
        yield [command for command in left if command]
        yield [self._commands.operator(shard, "erase")]
        self._servers.discard(shard)
        self._empty.pop(shard, None)

"""The broker in Redis as a test reads it: commands, and what followed. Time stands still until the test moves it.

Commands and operations run one by one over a plain client. All of them may live in one shard (`OneShard`), so that the
scripts are seen as one broker; with `Shards` they are where they belong.
"""

from collections import defaultdict
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from fairway.broker.effects import Delivery, Effect, Ending, Envelope, Policy, Send
from fairway.layers.redis import operations
from fairway.layers.redis.commands import Command, Commands, Lease
from fairway.layers.redis.entries import delivery_of, items_of, size_of
from fairway.layers.redis.scripts import scripts
from fairway.layers.redis.shards import Shards
from fairway.limits import BrokerLimits, ChannelRule
from tests.support.redis import RedisServer, call

SHARD = "s1!"


class OneShard(Shards):
    """All channels and groups in the shard of one server."""

    @property
    def common(self) -> list[str]:
        return []

    def of_channel(self, channel: str) -> str:
        return SHARD

    def spread(self, name: str) -> str:
        return SHARD


class Waiting(Exception):
    """An operation has to wait for an answer."""

    def __init__(self, token: str, steps: Generator[Any, Any, Any]) -> None:
        super().__init__(token)
        self.token = token
        self.steps = steps


class RedisDesk:
    """Scripts in a server whose clock the test sets, the deliveries of each session, and what was lost."""

    def __init__(
        self, server: RedisServer, *rules: tuple[str, ChannelRule], shards: Shards | None = None, **limits: Any
    ):
        if rules:
            limits["rules"] = (*rules, ("*", ChannelRule()))
        self.server = server
        self.client = server.client(protocol=2)
        self.shards = shards or OneShard("t")
        self.commands = Commands(self.shards, BrokerLimits(**limits))
        self.delivered: dict[str, list[Delivery]] = defaultdict(list)
        self.leases: dict[int, Lease] = {}
        self.losses: list[str] = []
        self.due: float | None = None
        self._shas = {
            name: call(
                self.client, "SCRIPT", "LOAD", script.source.replace("call('TIME')", "call('LRANGE', 'clock', 0, 1)")
            )
            for name, script in scripts().items()
        }
        self._names = count(1)
        self._receipts = count(1)
        self._places: dict[str, bytes] = {}
        self.now = 1000.0

    @property
    def now(self) -> float:
        """The time, in seconds."""
        return self._now

    @now.setter
    def now(self, now: float) -> None:
        self._now = now
        whole, part = divmod(round(now * 1000), 1000)
        call(self.client, "DEL", "clock")
        call(self.client, "RPUSH", "clock", whole, part * 1000)

    # --- running -----------------------------------------------------------------------------------------------------

    def run(self, command: Command) -> Any:
        """Run one command, and return its result."""
        due, result, losses = call(
            self.client, "EVALSHA", self._shas[command.script], 1, self.shards.base(command.shard), *command.arguments
        )
        self.losses += [reason.decode() for reason in losses[2::3]]
        self.due = None if due < 0 else self.now + due / 1000
        return result

    def operate(self, steps: Generator[Any, Any, Any], said: Any = None) -> Any:
        """Run an operation to its end. Raises `Waiting` when somebody has to answer: go on with `said` then."""
        try:
            step = steps.send(said)
            while not isinstance(step, operations.Await):
                step = steps.send([self.run(command) for command in step])
        except StopIteration as end:
            return end.value
        raise Waiting(step.token, steps)

    def token(self) -> str:
        return f"me/{next(self._names)}"

    def key(self, name: str, shard: str = SHARD) -> str:
        return self.shards.key(shard, name)

    def _entries(self, key: str) -> Iterator[tuple[bytes, list[bytes]]]:
        """The entries of a stream that have come since the last look."""
        last = self._places.get(key)
        for entry, fields in call(self.client, "XRANGE", key, b"(" + last if last else "-", "+"):
            self._places[key] = entry
            yield entry, fields

    def begin(self, steps: Generator[Any, Any, Any]) -> str:
        """Run an operation; return "" when it is done, or the token under which it waits."""
        try:
            self.operate(steps)
        except Waiting as waiting:
            return waiting.token
        return ""

    def forget(self) -> None:
        """Begin anew, with an empty Redis."""
        for key in call(self.client, "KEYS", "*"):
            call(self.client, "DEL", key)
        self.delivered.clear()
        self.leases.clear()
        self.losses.clear()
        self._places.clear()
        self.due = None
        self.now = 1000.0

    # --- sessions ----------------------------------------------------------------------------------------------------

    def session(self, *channels: str, demand: int = 0, reserve: int = 0, shard: str = SHARD) -> str:
        session = f"r{next(self._names)}"
        self.run(self.commands.open(shard, session, channels, demand, reserve))
        self.read(session, shard)
        return session

    def read(self, session: str, shard: str = SHARD) -> list[Delivery]:
        """All that the session was given; what is new is added first."""
        for entry, fields in self._entries(self.key(f"s:{session}", shard)):
            receipt = next(self._receipts)
            self.leases[receipt] = Lease(shard, session, entry.decode())
            self.delivered[session].append(delivery_of(fields, receipt))
        return self.delivered[session]

    def demand(self, session: str, more: int = 1, ahead: int = 0, shard: str = SHARD) -> Any:
        return self.run(self.commands.demand(shard, session, more, ahead))

    def take(self, session: str, shard: str = SHARD) -> Delivery | None:
        """One delivery, as if a thread had asked for it; None when there is nothing."""
        before = len(self.read(session, shard))
        self.demand(session, 1, shard=shard)
        if len(self.read(session, shard)) > before:
            return self.delivered[session].pop()
        self.demand(session, -1, shard=shard)
        return None

    def bodies(self, session: str, shard: str = SHARD) -> list[bytes]:
        return [delivery.body for delivery in self.read(session, shard)]

    def commit(self, delivery: Delivery, *outbox: Effect, ending: Ending = Ending.DONE, more: int = 0) -> None:
        lease = self.leases[delivery.receipt]
        command = operations.single_commit(self.commands, lease, delivery, outbox, ending, more)
        if command is None:
            self.operate(operations.commit(self.commands, lease, delivery, outbox, ending, more))
        elif self.run(command) == b"lost":
            raise operations.lost(lease)

    def release(self, *deliveries: Delivery) -> None:
        leases = [self.leases[delivery.receipt] for delivery in deliveries]
        self.run(self.commands.release(leases[0].shard, leases[0].session, [lease.entry for lease in leases]))

    def close(self, session: str, shard: str = SHARD) -> list[bytes]:
        return self.run(self.commands.end(shard, session, "close"))  # type: ignore[no-any-return]

    # --- sending -----------------------------------------------------------------------------------------------------

    def publish(self, effect: Effect, timeout: float = 0) -> str:
        """Publish; return "" when that is done, or the token under which the sender waits."""
        return self.begin(operations.publish(self.commands, effect, self.token, timeout))

    def send(self, channel: str, body: bytes = b"x", timeout: float = 0, name: str = "") -> str:
        return self.publish(Send(channel, body, id=name), timeout)

    def settled(self, shard: str = SHARD) -> dict[str, str]:
        """What those who waited were told since the last look: token -> error."""
        return {f"me/{fields[0].decode()}": fields[1].decode() for _, fields in self._entries(self.key("a:me", shard))}

    # --- owners ------------------------------------------------------------------------------------------------------

    def owner(self, *prefixes: str, incarnation: str = "") -> str:
        prefixes = prefixes or (SHARD,)
        incarnation = incarnation or f"o{next(self._names)}"
        self.run(self.commands.own(incarnation, prefixes))
        self._places.pop(self.key("in", prefixes[0]), None)
        return incarnation

    def as_owner(self, owner: str, verb: str, *arguments: Any, shard: str = SHARD) -> Any:
        return self.run(self.commands.owner(shard, verb, owner, *arguments))

    def items(self, shard: str = SHARD) -> list[Any]:
        """The items that have come since the last look, but for `Readers`. They are not acknowledged."""
        items = [item for _, fields in self._entries(self.key("in", shard)) for item in items_of(fields)]
        return [item for item in items if type(item).__name__ != "Readers"]

    def drain(self, owner: str, shard: str = SHARD) -> list[Any]:
        """The owner's items; they are acknowledged."""
        items: list[Any] = []
        last, entries, size = b"", 0, 0
        for entry, fields in self._entries(self.key("in", shard)):
            items += items_of(fields)
            last, entries, size = entry, entries + 1, size + size_of(fields)
        if entries:
            self.as_owner(owner, "ack", last, entries, size, shard=shard)
        return [item for item in items if type(item).__name__ != "Readers"]

    def submit(
        self,
        owner: str,
        channel: str = "w",
        order: int = 0,
        *,
        policy: Policy = Policy.AGAIN,
        body: bytes = b"x",
        attempt: int = 1,
        will: str = "",
        state: dict[str, bytes] | None = None,
        shard: str = SHARD,
        reply: str = "s1!c1",
    ) -> Any:
        envelope = Envelope(f"{reply}.{order}", channel, reply, order, attempt, policy, state=state)
        return self.run(self.commands.call(shard, "submit", owner, *self.commands.submission(envelope, body, will)))

    # --- the whole ---------------------------------------------------------------------------------------------------

    def tick(self, *sessions: str, shard: str = SHARD) -> tuple[list[bytes], list[bytes]]:
        """Do what is due; return the sessions that are unknown, and the prefixes that are gone."""
        unknown, prefixes, *_ = self.run(self.commands.tick(shard, sessions))
        return unknown, prefixes

    def later(self, seconds: float, *sessions: str, shard: str = SHARD) -> tuple[list[bytes], list[bytes]]:
        self.now += seconds
        return self.tick(*sessions, shard=shard)

    def mislaid(self) -> list[str]:
        losses, self.losses = self.losses, []
        return losses

    def statistics(self) -> Any:
        (found,) = [self.run(self.commands.operator(SHARD, "statistics"))]
        return found

    @property
    def held(self) -> int:
        """Bytes that wait or are being consumed."""
        return self.statistics()[4]  # type: ignore[no-any-return]

    def keys(self) -> set[str]:
        """The keys of the shard, without what they all begin with."""
        base = self.shards.base(SHARD)
        return {key.decode().removeprefix(f"{base}:") for key in call(self.client, "KEYS", "*") if key != b"clock"}


@contextmanager
def redis_desk(server: RedisServer, *rules: tuple[str, ChannelRule], **limits: Any) -> Iterator[RedisDesk]:
    """A desk for the length of a ``with`` block."""
    desk = RedisDesk(server, *rules, **limits)
    try:
        yield desk
    finally:
        desk.client.close()

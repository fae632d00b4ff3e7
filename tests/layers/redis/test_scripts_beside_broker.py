"""The same commands to the pure broker and to the scripts: both must give the same deliveries, items and numbers.

Left out is where they differ on purpose: bodies in an inbox are not part of a shard's memory, an inbox has no bound for
each connection, and the group sends of a commit go out before it. Times are such that no two things are due within one
tick, where their order is nobody's promise.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway.broker.effects import Again, Delivery, Ending, Envelope, Grant, GroupSend, Policy, SaveState, Send
from fairway.broker.inbox import Mark
from fairway.broker.wills import Will
from fairway.errors import ChannelFull, ChannelGone, DeliveryLost
from fairway.layers.redis import operations
from fairway.layers.redis.entries import Header
from fairway.layers.redis.scripts import scripts
from fairway.limits import ChannelRule
from tests.support.brokers import Desk
from tests.support.redis import RedisServer, call
from tests.support.redis_desk import SHARD, RedisDesk, redis_desk

RULES = (
    ("a", ChannelRule(capacity=3, attempts=2)),
    ("h", ChannelRule(capacity=3, expiry=5.003, begun_once=True)),
    ("solo?*", ChannelRule(capacity=5, expiry=5.003)),
    ("*", ChannelRule(capacity=2)),
)
LIMITS = {
    "total": 150,
    "commit_wait": 2.011,
    "dead_letters": 3,
    "requeues": 2,
    "requeue_pause": 0.507,
    "rules": RULES,
    "wills": 2,
}
CHANNELS = ["a", "b", "h", "solo?x", "view!", "websocket.disconnect"]
CONNECTIONS = ["s1!x", "s1!y", "s1!z"]
ENDINGS = [Ending.DONE, Ending.DONE, Ending.LATER, Again(0.07, 1, "failed")]

indexes = st.integers(0, 20)
names = st.sampled_from(["a", "a", "b", "h", "solo?x", "view!1", *CONNECTIONS])
connections = st.sampled_from(CONNECTIONS)
sizes = st.integers(1, 60)
effects = st.one_of(
    st.tuples(st.just("send"), names, sizes),
    st.tuples(st.just("state"), connections, st.sampled_from([b"1", b"2", None])),
    st.tuples(st.just("grant"), connections, sizes),
)
COMMANDS = {
    "open": (st.sets(st.sampled_from(CHANNELS), min_size=1, max_size=3), st.integers(0, 3), st.integers(0, 2)),
    "demand": (indexes, st.integers(-2, 3)),
    "send": (names, sizes, st.sampled_from([0.0, 1.017, 3.017])),
    "repeat": (st.sampled_from(["a", "b"]), sizes, st.sampled_from(["one", "two"])),
    "submit": (st.sampled_from(["a", "h", "view!1", "websocket.disconnect"]), connections, st.booleans(), sizes),
    "again": (indexes,),
    "commit": (indexes, st.lists(effects, max_size=3), st.sampled_from(ENDINGS), st.integers(0, 2)),
    "begin": (indexes, st.sampled_from([0.0, 1.017])),
    "release": (indexes, st.integers(1, 3)),
    "pause": (indexes,),
    "close": (indexes,),
    "advance": (st.sampled_from([0.1, 0.6, 2.2, 6.0]),),
    "withdraw": (indexes,),
    "join": (st.sampled_from(["a", "b", "h"]),),
    "group": (sizes,),
    "dead": (st.booleans(), indexes),
    "mark": (connections, st.sampled_from(["", "c", "d"])),
    "will": (connections, st.booleans()),
    "own": (),
    "die": (),
}
steps = st.lists(
    st.one_of(*(st.tuples(st.just(name), *parts) for name, parts in COMMANDS.items())), min_size=8, max_size=80
)

MARKS = {"": None, "c": Mark.CONGESTED, "d": Mark.DEPARTED}


def outcome(command: Callable[..., Any], *args: Any) -> Any:
    """What a command returns, or what it raises."""
    try:
        return command(*args)
    except (ChannelFull, ChannelGone, DeliveryLost) as error:
        return type(error).__name__


def told(delivery: Delivery) -> tuple[Any, ...]:
    """What is the same about a delivery in both."""
    envelope = delivery.envelope
    return (
        envelope.channel,
        delivery.body,
        envelope.attempt,
        envelope.retries,
        envelope.order,
        envelope.reply_channel,
        envelope.state or None,
    )


class Pair:
    """A broker and a shard that are told the same."""

    def __init__(self, redis: RedisDesk) -> None:
        self.redis = redis
        self.desk = Desk(**LIMITS)
        self.sessions: list[tuple[int, str]] = []
        self.held: dict[bytes, tuple[Delivery, Delivery, int, str]] = {}
        """Body -> a delivery in both, and who has it."""
        self.waiting: dict[int, tuple[str, str]] = {}
        """Token of the broker -> channel, and token of the shard."""
        self.orders: Counter[str] = Counter()
        self.submitted: list[tuple[Envelope, bytes]] = []
        self.wills: dict[str, bytes] = {}
        self.bodies = 0
        self.has_died = False
        self.own()

    @property
    def now(self) -> float:
        return self.redis.now

    def body(self, size: int) -> bytes:
        self.bodies += 1
        return f"{self.bodies}:".encode().ljust(size, b".")

    def same(self, pure: Any, scripted: Any) -> Any:
        assert scripted == pure
        return pure

    # --- what is compared after each step ----------------------------------------------------------------------------

    def compare(self) -> None:
        broker, redis = self.desk.broker, self.redis
        for session, sid in self.sessions:
            found, also = self.desk.delivered.pop(session, []), redis.read(sid)[:]
            redis.delivered[sid].clear()
            assert [told(one) for one in also] == [told(one) for one in found]
            for one, other in zip(found, also, strict=True):
                self.held[one.body] = (one, other, session, sid)
        assert redis.drain(self.incarnation) == self.desk.drain(self.owner)
        mislaid = redis.mislaid()
        signals = self.desk.taken()
        settled = redis.settled()
        assert Counter(mislaid) == Counter(one.reason for one in signals if type(one).__name__ == "Mislaid")
        pure = {one.token: one.error for one in signals if type(one).__name__ == "Settled" and one.token}
        assert settled == {self.waiting.pop(token)[1]: error for token, error in pure.items()}
        _, _, _, _, held, _, delivered, committed, repeats, dropped, expired = redis.statistics()
        assert (held, delivered, committed) == (self.desk.post.held, broker.delivered, broker.committed)
        numbers = (broker.repeats_dropped, broker.group_sends_dropped, self.desk.post.expired)
        assert (repeats, dropped, expired) == numbers
        if timers := self.timers():
            assert redis.due is not None
            assert redis.due <= max(min(timers), self.now) + 0.011

    def timers(self) -> list[float]:
        """When something that waits for time to pass is due."""
        boxes = self.desk.post.boxes().values()
        letters = [letter for box in boxes for letter, _ in box.letters if "?" not in letter.channel]
        expiries = [letter.expires for letter in letters if letter.expires is not None]
        deadlines = [waiting.deadline for box in boxes for waiting in box.waiting]
        return expiries + deadlines + [due for due, _, _ in self.desk.broker._later]

    def dead(self) -> tuple[list[Any], list[Any]]:
        found = self.redis.run(self.redis.commands.operator(SHARD, "dead", 100))
        return list(self.desk.post.dead), found

    # --- steps -------------------------------------------------------------------------------------------------------

    def do_open(self, channels: set[str], demand: int, reserve: int) -> None:
        if len(self.sessions) > 4:
            return
        ordered = sorted(channels)
        session = self.desk.do(self.desk.broker.open_session, ordered, reserve)
        self.desk.demand(session, demand, self.now)
        sid = f"r{session}"
        self.redis.run(self.redis.commands.open(SHARD, sid, ordered, demand, reserve))
        self.sessions.append((session, sid))

    def pick(self, index: int) -> tuple[int, str]:
        return self.sessions[index % len(self.sessions)]

    def do_demand(self, index: int, more: int) -> None:
        if self.sessions:
            session, sid = self.pick(index)
            self.desk.demand(session, more, self.now)
            self.redis.demand(sid, more)

    def do_send(self, channel: str, size: int, timeout: float) -> None:
        body = self.body(size)
        deadline = self.now + timeout if timeout else None
        pure = outcome(self.desk.send, channel, body, self.now, deadline)
        scripted = outcome(self.redis.send, channel, body, timeout)
        if isinstance(pure, int):
            assert bool(pure) == bool(scripted)
            if pure:
                self.waiting[pure] = (channel, scripted)
        else:
            self.same(pure, scripted)

    def do_repeat(self, channel: str, size: int, name: str) -> None:
        body = self.body(size)
        pure = outcome(self.desk.send, channel, body, self.now, None, name)
        self.same(pure or "", outcome(self.redis.send, channel, body, 0, name))

    def submit(self, envelope: Envelope, body: bytes) -> None:
        will = (
            "e" if envelope.channel == "websocket.disconnect" else "n" if envelope.reply_channel in self.wills else ""
        )
        if will == "e":
            self.wills.pop(envelope.reply_channel, None)
        self.desk.do(self.desk.broker.submit, self.owner, envelope, body, self.now)
        command = self.redis.commands.submission(envelope, body, will)
        self.redis.run(self.redis.commands.call(SHARD, "submit", self.incarnation, *command))

    def do_submit(self, channel: str, reply: str, once: bool, size: int) -> None:
        order = self.orders[reply]
        self.orders[reply] += 1
        policy = Policy.ONCE if once else Policy.AGAIN
        envelope = Envelope(f"{reply}.{order}", channel, reply, order, 1, policy, state={"n": b"%d" % order})
        body = self.body(size)
        self.submitted.append((envelope, body))
        self.submit(envelope, body)

    def do_again(self, index: int) -> None:
        """Own again, and send one again."""
        self.do_own()
        if self.submitted:
            old, body = self.submitted[index % len(self.submitted)]
            envelope = Envelope(old.id, old.channel, old.reply_channel, old.order, 2, old.policy, state=old.state)
            self.submit(envelope, body)

    def do_commit(self, index: int, outbox: list[Any], ending: Ending, more: int) -> None:
        if not self.held:
            return
        body = list(self.held)[index % len(self.held)]
        pure, scripted, session, _ = self.held.pop(body)
        made: list[Any] = []
        for kind, channel, value in outbox:
            if kind == "send":
                # A prefix of another process has a shard of its own, but where all of them are one.
                is_elsewhere = channel == "view!1" and pure.envelope.order >= 0
                made.append(Send("b" if is_elsewhere else channel, self.body(value)))
            elif kind == "state":
                made.append(SaveState(channel, {"k": value}))
            else:
                made.append(Grant(channel, value))
        # What an inbox holds is memory of the broker, so it comes after what needs memory.
        made.sort(key=lambda effect: effect.channel in CONNECTIONS)
        if pure.envelope.order < 0:  # it may not be a connection's: what is sent to one goes out last
            made.sort(key=lambda effect: isinstance(effect, Send) and effect.channel in CONNECTIONS)
        commit = self.desk.broker.commit
        found = outcome(self.desk.do, commit, session, pure.receipt, made, ending, self.now, more)
        lease = self.redis.leases[scripted.receipt]
        command = operations.single_commit(self.redis.commands, lease, scripted, made, ending, more)
        assert command is not None
        self.same(found, "DeliveryLost" if self.redis.run(command) == b"lost" else None)

    def do_begin(self, index: int, timeout: float) -> None:
        """Answer a delivery's own connection at once."""
        if not self.held:
            return
        pure, scripted, session, _ = self.held[list(self.held)[index % len(self.held)]]
        reply = pure.envelope.reply_channel
        if not reply:
            return
        answer = Send(reply, self.body(3))
        deadline = self.now + timeout if timeout else None
        found = outcome(self.desk.do, self.desk.broker.publish_during, session, pure, answer, self.now, deadline)
        lease = self.redis.leases[scripted.receipt]
        steps = operations.answer(self.redis.commands, lease, scripted, answer, self.redis.token, timeout)
        also = outcome(self.redis.begin, steps)
        if isinstance(found, int):
            assert bool(found) == bool(also)
            if found:
                self.waiting[found] = (reply, also)
        else:
            self.same(found, also)

    def do_release(self, index: int, how_many: int) -> None:
        if not self.held:
            return
        _, _, session, _ = self.held[list(self.held)[index % len(self.held)]]
        expires = lambda one: one.envelope.expires  # noqa: E731
        chosen = [
            (body, one)
            for body, one in self.held.items()
            if one[2] == session and not (expires(one[0]) and expires(one[0]) <= self.now)
        ][:how_many]
        if not chosen:
            return
        for body, _ in chosen:
            del self.held[body]
        self.desk.do(self.desk.broker.release, session, *(one[0].receipt for _, one in chosen))
        self.redis.release(*(one[1] for _, one in chosen))

    def do_pause(self, index: int) -> None:
        if self.sessions:
            session, sid = self.pick(index)
            self.desk.do(self.desk.broker.pause, session)
            self.redis.run(self.redis.commands.end(SHARD, sid, "pause"))

    def do_close(self, index: int) -> None:
        if self.sessions:
            session, sid = self.pick(index)
            self.sessions.remove((session, sid))
            self.held = {body: one for body, one in self.held.items() if one[2] != session}
            self.desk.do(self.desk.broker.close_session, session, self.now)
            self.redis.close(sid)

    def tick(self) -> None:
        """All live, and what is due is done."""
        self.redis.as_owner(self.incarnation, "sign", self.redis.commands.silence)
        assert self.redis.tick(*(sid for _, sid in self.sessions))[0] == []

    def do_advance(self, seconds: float) -> None:
        end = self.now + seconds
        broker = self.desk.broker
        while broker.due is not None and broker.due <= end:
            self.redis.now = max(self.now, broker.due)
            self.desk.tick(self.now)
            self.tick()
            self.compare()
        self.redis.now = end
        self.tick()

    def do_withdraw(self, index: int) -> None:
        if self.waiting:
            token = list(self.waiting)[index % len(self.waiting)]
            channel, also = self.waiting.pop(token)
            assert self.desk.do(self.desk.broker.withdraw, channel, token)
            assert self.redis.run(self.redis.commands.withdraw(channel, also)) == 1

    def do_join(self, channel: str) -> None:
        self.desk.do(self.desk.owners.add, "g", channel)
        self.redis.operate(operations.group_add(self.redis.commands, "g", channel))

    def do_group(self, size: int) -> None:
        effect = GroupSend("g", self.body(size))
        members = [member.decode() for member in self.redis.run(self.redis.commands.group("read", "g"))[::2]]
        assert sorted(members) == sorted(self.desk.owners.directory.members("g"))
        if len(members) < 2:  # else the order of the copies would be another one
            self.desk.publish(effect, self.now)
            self.redis.publish(effect)

    def do_dead(self, drops: bool, index: int) -> None:
        pure, scripted = self.dead()
        assert [(body, reason.decode()) for reason, _, _, body in scripted] == [(one.body, one.reason) for one in pure]
        if pure:
            place = index % len(pure)
            name, also = pure[place].envelope.id, scripted[place][2]
            header = msgspec.convert(msgspec.msgpack.decode(also), Header)
            broker = self.desk.broker
            if drops:
                gone = self.desk.do(broker.drop_dead, [name])
                self.same(gone, self.redis.run(self.redis.commands.operator(SHARD, "drop", header.id)))
            else:
                gone = self.desk.do(broker.requeue_dead, [name])
                capacity = self.redis.commands.rule(header.channel).capacity
                self.same(gone, self.redis.run(self.redis.commands.operator(SHARD, "requeue", capacity, header.id)))

    def do_mark(self, channel: str, mark: str) -> None:
        self.desk.do(self.desk.owners.mark, self.owner, channel, MARKS[mark])
        self.redis.as_owner(self.incarnation, "mark", channel, mark)

    def do_will(self, channel: str, is_filed: bool) -> None:
        body = self.body(4) if is_filed else b""
        order = self.orders[channel] - 1
        self.desk.do(self.desk.owners.will, self.owner, channel, Will(body, order, None))
        self.redis.as_owner(self.incarnation, "will", channel, body, order, b"")
        if is_filed:
            self.wills[channel] = body
        else:
            self.wills.pop(channel, None)

    def own(self) -> None:
        self.owner = self.desk.owner("s1!", "s1web!")
        self.incarnation = self.redis.owner("s1!", "s1web!")
        self.wills.clear()

    def do_own(self) -> None:
        self.desk.broker._last_words.clear()  # the scripts take them back: their connections live after all
        self.own()

    def do_die(self) -> None:
        """The server dies, and another one with its prefixes comes later."""
        inbox = self.desk.owners.by_number(self.owner)
        if inbox is None or self.has_died:  # twice the same connections do not live
            return
        self.has_died = True
        wills = dict(inbox.wills)
        self.desk.do(self.desk.owners.close, self.owner)
        self.desk.do(self.desk.broker.carry_out, wills)
        self.desk.tick(self.now)
        call(self.redis.client, "ZADD", self.redis.key("alive"), 0, "!")
        unknown, gone = self.redis.tick(*(sid for _, sid in self.sessions))
        assert (unknown, sorted(gone)) == ([], [b"s1!", b"s1web!"])
        self.submitted.clear()
        for channel in CONNECTIONS:  # they are others now
            self.orders[channel] += 10


@pytest.fixture(scope="module")
def server(running_redis: RedisServer) -> RedisServer:
    return running_redis


@pytest.fixture(scope="module")
def redis(server: RedisServer) -> Iterator[RedisDesk]:
    server.flush()
    with redis_desk(server, **LIMITS) as desk:
        yield desk


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(plan=steps)
def test_the_scripts_do_what_the_broker_does(redis: RedisDesk, plan: list[Any]) -> None:
    redis.forget()
    pair = Pair(redis)
    for name, *parts in plan:
        redis.now = round(redis.now + 0.02, 3)
        getattr(pair, f"do_{name}")(*parts)
        pair.compare()
    assert set(scripts()) == {"commit", "groups", "operator", "owner", "publish", "session", "submit", "tell", "tick"}

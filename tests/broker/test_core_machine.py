"""A random walk through everything a broker can be told, beside a naive model of what it then holds.

The model keeps a plain list for each queue, in the order in which messages must leave it, and what is leased, put off
or unread. After every command: the same messages stand in the same order, `held` is the sum of their bytes, nobody
idle reads a channel with a message in it, and every sender who waits has a reason to. At the end everything is closed
and read, and the broker must be as empty as a new one.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from fairway.broker.core import Broker
from fairway.broker.effects import (
    Abandoned,
    Add,
    Again,
    Announced,
    Answered,
    Ask,
    Credit,
    Deliver,
    Discard,
    Done,
    End,
    Ending,
    Envelope,
    Frame,
    Grant,
    GroupFrame,
    GroupSend,
    Mislaid,
    OwnerGone,
    Policy,
    Readable,
    Refused,
    SaveState,
    Send,
    Settled,
    State,
    terms_of,
)
from fairway.broker.inbox import Mark
from fairway.broker.post import queue_name
from fairway.errors import ChannelFull, DeliveryLost, LayerUnavailable
from fairway.limits import BrokerLimits, ChannelRule
from tests.support.memory import deep_counts

LIMITS = BrokerLimits(
    total=150,
    inbox=100,
    unread_per_connection=60,
    commit_wait=2.0,
    dead_letters=3,
    requeues=2,
    requeue_pause=0.5,
    rules=(
        ("a", ChannelRule(capacity=3, attempts=2)),
        ("h", ChannelRule(capacity=3, expiry=5, begun_once=True)),
        ("solo?*", ChannelRule(capacity=5, expiry=5)),
        ("*", ChannelRule(capacity=2)),
    ),
)
CHANNELS = ["a", "b", "h", "solo?x", "view!"]
GROUPS = ["g", "g2"]

names = st.sampled_from(["a", "a", "a", "b", "b", "h", "solo?x", "view!1", "s1!x", "s1!y", "s2!x"])
connections = st.sampled_from(["s1!x", "s1!y", "s2!x"])
members = st.sampled_from(["a", "view!1", "s1!x", "s1!y", "s1web!z", "s2!x"])
sizes = st.integers(1, 60)
outboxes = st.lists(st.tuples(names, sizes), max_size=3)
patience = st.one_of(st.none(), st.floats(0.1, 6.0))
seconds = st.floats(0, 4)


@dataclass
class Letter:
    body: bytes
    channel: str
    expires: float | None = None
    order: int = -1
    attempt: int = 1
    retries: int = 0
    once: bool = False
    patient: bool = False
    """Published by a commit: without room it waits, and nobody is told."""

    def begin(self) -> None:
        if "?" not in self.channel:
            self.expires = None


@dataclass
class Owner:
    prefixes: list[str]
    items: list[Any] = field(default_factory=list)
    waiting: dict[int, Letter] = field(default_factory=dict)
    is_told: bool = False
    local: dict[str, set[str]] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)


@dataclass
class Lease:
    session: int
    receipt: int
    letter: Letter
    envelope: Envelope
    delivery: Any


def unread(items: list[Any]) -> int:
    """The bytes that items are counted for: bodies, and states."""
    bodies = [item.body for item in items if isinstance(item, Frame | GroupFrame)]
    states = [part for item in items if isinstance(item, State) for change in item.changes.items() for part in change]
    return sum(map(len, [*bodies, *states]))


class BrokerMachine(RuleBasedStateMachine):
    sessions = Bundle("sessions")
    owners = Bundle("owners")

    def __init__(self) -> None:
        super().__init__()
        self.broker = Broker("e", LIMITS)
        self.now = 100.0
        self.bodies = count(1)
        self.orders = count(0)
        self.lines: dict[str, list[Letter]] = {}
        self.leases: dict[int, Lease] = {}
        self.later: list[Letter] = []
        self.open: dict[int, dict[str, Any]] = {}
        self.owned: dict[int, Owner] = {}
        self.tokens: dict[int, tuple[str, Letter]] = {}
        self.members: dict[str, dict[str, int]] = {}
        self.spent: list[Any] = []
        self.mislaid: Counter[str] = Counter()
        self.expired = 0
        self.committed = 0

    # --- the model's small helpers -----------------------------------------------------------------------------------

    def body(self, size: int) -> bytes:
        return f"{next(self.bodies)}:".encode().ljust(size, b".")

    def line(self, channel: str) -> list[Letter]:
        return self.lines.setdefault(queue_name(channel), [])

    def owner_of(self, channel: str) -> Owner | None:
        prefix = queue_name(channel)
        return next((owner for owner in self.owned.values() if prefix in owner.prefixes), None)

    def expiry(self, channel: str) -> float | None:
        rule_ = self.broker.post.rule(queue_name(channel))
        return self.now + rule_.expiry if rule_.expiry >= 0 else None

    def is_read(self, name: str) -> bool:
        return any(name in session["channels"] for session in self.open.values())

    def sizes_held(self) -> int:
        letters = [letter for line in self.lines.values() for letter in line] + self.later
        letters += [lease.letter for lease in self.leases.values()]
        letters += [letter for owner in self.owned.values() for letter in owner.waiting.values()]
        return sum(len(letter.body) for letter in letters) + sum(unread(owner.items) for owner in self.owned.values())

    def do(self, command: Any, *args: Any) -> Any:
        """Run a command, and follow its signals."""
        try:
            return command(*args)
        finally:
            for signal in self.broker.take_signals():
                getattr(self, f"on_{type(signal).__name__.lower()}")(signal)
            assert not self.broker.signals

    def on_deliver(self, signal: Deliver) -> None:
        session = self.open[signal.session]
        envelope = signal.delivery.envelope
        name = queue_name(envelope.channel)
        assert name in session["channels"]
        assert session["demand"] > 0
        assert not session["paused"]
        session["demand"] -= 1
        line = self.line(name)
        while line[0].body != signal.delivery.body:
            gone = line.pop(0)
            assert gone.expires is not None
            assert gone.expires <= self.now
            self.note_expired(gone)
        letter = line.pop(0)
        assert envelope.attempt == letter.attempt
        assert envelope.retries == letter.retries
        assert envelope.channel == letter.channel
        receipt = signal.delivery.receipt
        assert receipt not in self.leases
        self.leases[receipt] = Lease(signal.session, receipt, letter, envelope, signal.delivery)

    def on_readable(self, signal: Readable) -> None:
        owner = self.owned[signal.owner]
        assert not owner.is_told
        owner.is_told = True

    def on_settled(self, signal: Settled) -> None:
        place, letter = self.tokens.pop(signal.token)
        if place == "gone":
            return
        owner = self.owner_of(letter.channel) if place == "inbox" else None
        if owner:
            del owner.waiting[signal.token]
            if not signal.error:
                owner.items.append(Frame(letter.channel, letter.body))
        elif signal.error:
            self.line(letter.channel).remove(letter)

    def on_mislaid(self, signal: Mislaid) -> None:
        if signal.reason == "full":
            line, there = self.line(signal.envelope.channel), self.standing(signal.envelope.channel)
            there += [delivery.body for session in self.broker.sessions for delivery in session.leases.values()]
            line.remove(next(letter for letter in line if letter.patient and letter.body not in there))
            return
        self.mislaid[signal.reason] -= 1
        assert self.mislaid[signal.reason] >= 0

    def on_answered(self, signal: Answered) -> None:
        raise AssertionError(signal)

    def standing(self, channel: str) -> list[bytes]:
        """What the broker itself has in a queue."""
        box = self.broker.post.boxes().get(queue_name(channel))
        return [] if box is None else [letter[1] for letter in [*box.letters, *(w.letter for w in box.waiting)]]

    def note_expired(self, letter: Letter) -> None:
        self.expired += 1
        owner = self.owner_of("s1!x")
        if letter.order >= 0 and owner:
            owner.items.append(Abandoned("s1!x", letter.order, "expired", letter.attempt))

    def note_lost(self, letter: Letter, reason: str) -> None:
        self.mislaid[reason] += 1
        owner = self.owner_of("s1!x")
        if letter.order >= 0 and owner:
            owner.items.append(Abandoned("s1!x", letter.order, reason, letter.attempt))

    # --- sessions ----------------------------------------------------------------------------------------------------

    @initialize(target=sessions, demand=st.integers(0, 4))
    def begin_with_a_session(self, demand: int) -> int:
        session = self.open_session(CHANNELS)
        self.demand(session, demand)
        return session

    @initialize(target=owners)
    def begin_with_an_owner(self) -> int:
        return self.open_owner(["s1!", "s1web!"])

    @rule(target=sessions, channels=st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=5))
    def open_session(self, channels: list[str]) -> int:
        session = self.do(self.broker.open_session, channels)
        self.open[session] = {"channels": set(channels), "demand": 0, "paused": False}
        return session

    @rule(session=sessions, more=st.integers(-2, 6))
    def demand(self, session: int, more: int) -> None:
        if session in self.open:
            self.open[session]["demand"] = max(0, self.open[session]["demand"] + more)
        self.do(self.broker.demand, session, more, self.now)

    @rule(session=sessions)
    def pause(self, session: int) -> None:
        if session in self.open:
            self.open[session]["paused"] = True
        self.do(self.broker.pause, session)

    @rule(session=consumes(sessions), again=st.booleans())
    def lose_session(self, session: int, again: bool) -> None:
        self.close_session(session, again)

    def close_session(self, session: int, again: bool) -> None:
        """A reader dies with what it holds."""
        held = self.open.pop(session, None)
        back = [lease for lease in self.leases.values() if lease.session == session]
        for lease in back:
            del self.leases[lease.receipt]
            self.spent.append((session, lease.receipt))
            letter = lease.letter
            if letter.once:
                self.note_lost(letter, "lost")
            elif letter.attempt >= self.broker.post.rule(queue_name(letter.channel)).attempts:
                self.note_lost(letter, "attempts")
        for lease in reversed(back):
            letter = lease.letter
            if not letter.once and letter.attempt < self.broker.post.rule(queue_name(letter.channel)).attempts:
                letter.attempt += 1
                letter.begin()
                self.line(letter.channel).insert(0, letter)
        if held and "view!" in held["channels"] and not self.is_read("view!"):
            self.abolish_view()
        self.do(self.broker.close_session, session, self.now)
        if again:
            self.do(self.broker.close_session, session, self.now)

    def abolish_view(self) -> None:
        waiting = {id(letter): token for token, (place, letter) in self.tokens.items() if place == "line"}
        standing = {one.letter[1] for one in self.broker.post.box("view!").waiting}
        for letter in self.lines.pop("view!", []):
            if id(letter) in waiting:
                self.tokens[waiting[id(letter)]] = ("gone", letter)
            if letter.body not in standing:
                self.note_lost(letter, "lost")
        for group in self.members.values():
            group.pop("view!1", None)
        for owner in self.owned.values():
            owner.items.append(OwnerGone("view!"))

    # --- what follows a delivery -------------------------------------------------------------------------------------

    def some_lease(self, data: st.DataObject) -> Lease | None:
        if not self.leases:
            return None
        return self.leases[data.draw(st.sampled_from(sorted(self.leases)))]

    @rule(
        data=st.data(),
        ending=st.sampled_from([Ending.DONE, Ending.LATER, Again(0.3, 1, "failed")]),
        sends=outboxes,
        extra=st.integers(0, 3),
    )
    def commit(self, data: st.DataObject, ending: End, sends: list[tuple[str, int]], extra: int) -> None:
        lease = self.some_lease(data)
        if lease is None:
            return
        outbox: list[Any] = [Send(channel, self.body(size)) for channel, size in sends]
        outbox += [Grant("s1!x", 5), SaveState("s1!y", {"k": b"v"}), GroupSend("g", self.body(4))][:extra]
        letter = lease.letter
        del self.leases[lease.receipt]
        self.spent.append((lease.session, lease.receipt))
        self.committed += 1
        self.note_effects(outbox, letter)
        if ending is not Ending.DONE:
            letter.retries += 1
            letter.begin()
            again = terms_of(ending, letter.retries, LIMITS)
            if letter.retries > again.limit:
                self.note_lost(letter, again.reason)
            else:
                self.later.append(letter)
        elif letter.order >= 0 and (owner := self.owner_of("s1!x")):
            owner.items.append(Done("s1!x", letter.order))
        self.do(self.broker.commit, lease.session, lease.receipt, outbox, ending, self.now)

    def note_effects(self, outbox: list[Any], done: Letter) -> None:
        """Foresee what a commit publishes. Memory that the commit itself frees is free afterwards only."""
        room = LIMITS.total - self.broker.post.held + self.broker.post.crowd
        for effect in outbox:
            if isinstance(effect, GroupSend):
                room -= self.note_group_send(effect, room)
                continue
            owner = self.owner_of(effect.channel)
            if isinstance(effect, Grant | SaveState):
                if owner:
                    item = Credit("s1!x", 5) if isinstance(effect, Grant) else State("s1!y", {"k": b"v"})
                    owner.items.append(item)
                    room -= unread([item])
            elif owner:
                owner.items.append(Frame(effect.channel, effect.body))
                room -= len(effect.body)
            elif not effect.channel.startswith("s") or effect.channel == "solo?x":
                if effect.channel == "view!1" and not self.is_read("view!"):
                    continue
                letter = Letter(effect.body, effect.channel, self.expiry(effect.channel), patient=True)
                room -= len(effect.body) if self.has_room(effect.channel, room) else 0
                self.line(effect.channel).append(letter)

    def has_room(self, channel: str, room: int) -> bool:
        line = self.line(channel)
        waiting = self.broker.post.boxes().get(queue_name(channel))
        is_short = bool(waiting and waiting.waiting) or len(line) >= self.broker.post.rule(queue_name(channel)).capacity
        return room > 0 and (not is_short or self.has_idle_reader(channel))

    def has_idle_reader(self, channel: str) -> bool:
        name = queue_name(channel)
        idle = [one for one in self.open.values() if one["demand"] > 0 and not one["paused"]]
        return any(name in session["channels"] for session in idle)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lease = self.some_lease(data)
        if lease is None:
            return
        del self.leases[lease.receipt]
        self.spent.append((lease.session, lease.receipt))
        self.line(lease.letter.channel).insert(0, lease.letter)
        self.do(self.broker.release, lease.session, lease.receipt)

    @rule(data=st.data())
    def commit_what_is_gone(self, data: st.DataObject) -> None:
        if not self.spent:
            return
        session, receipt = data.draw(st.sampled_from(self.spent))
        held = self.broker.post.held
        self.do(self.broker.release, session, receipt)
        try:
            self.do(
                self.broker.commit,
                session,
                receipt,
                [Send("a", b"late"), GroupSend("g", b"late")],
                Ending.DONE,
                self.now,
            )
        except DeliveryLost:
            assert self.broker.post.held == held
            return
        raise AssertionError("a receipt that is not held was committed")

    @rule(data=st.data(), size=sizes)
    def answer_at_once(self, data: st.DataObject, size: int) -> None:
        lease = self.some_lease(data)
        if lease is None or not lease.envelope.reply_channel or not self.owner_of("s1!x"):
            return
        effect = Send("s1!x", self.body(size))
        try:
            self.do(self.broker.publish_during, lease.session, lease.delivery, effect, self.now)
        except ChannelFull:
            return
        self.owner_of("s1!x").items.append(Frame("s1!x", effect.body))
        if lease.letter.channel == "h":
            lease.letter.once = True

    # --- publishing --------------------------------------------------------------------------------------------------

    @rule(sends=st.lists(st.tuples(names, sizes, patience), min_size=1, max_size=6))
    def publish_some(self, sends: list[tuple[str, int, float | None]]) -> None:
        for channel, size, wait in sends:
            self.publish(channel, size, wait)
            self.nothing_is_lost_or_doubled()
            self.the_bytes_are_right()

    def publish(self, channel: str, size: int, wait: float | None) -> None:
        body = self.body(size)
        letter = Letter(body, channel, self.expiry(channel))
        owner = self.owner_of(channel)
        line = self.line(channel)
        is_gone = not owner and "!" in channel and not self.is_read(queue_name(channel))
        is_crowded = self.broker.post.crowd >= LIMITS.total
        before = len(line)
        if not owner and not is_gone:
            line.append(letter)
        try:
            token = self.broker.publish(Send(channel, body), self.now, None if wait is None else self.now + wait)
        except ChannelFull:
            assert wait is None or is_crowded
            if not owner:
                line.remove(letter)
            self.assert_full(channel, owner, before)
            token = -1
        if token > 0:
            self.tokens[token] = ("inbox" if owner else "line", letter)
            if owner:
                owner.waiting[token] = letter
        elif token == 0 and owner:
            owner.items.append(Frame(channel, body))
        self.do(lambda: None)
        if token > 0 and token in self.tokens:
            self.assert_full(channel, owner, before)

    def assert_full(self, channel: str, owner: Owner | None, before: int) -> None:
        """A sender that was refused, or waits, has a reason."""
        post = self.broker.post
        if post.held - post.crowd >= LIMITS.total:
            return
        if owner:
            inbox = self.broker.owners.of(channel)
            assert inbox.full_for(channel)
        else:
            assert before >= post.rule(queue_name(channel)).capacity or post.boxes()[queue_name(channel)].waiting

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        if not self.tokens:
            return
        token = data.draw(st.sampled_from(sorted(self.tokens)))
        place, letter = self.tokens.pop(token)
        if place == "inbox":
            del self.owner_of(letter.channel).waiting[token]
        else:
            self.line(letter.channel).remove(letter)
        assert self.do(self.broker.withdraw, letter.channel, token)
        assert not self.do(self.broker.withdraw, letter.channel, token)

    # --- owners ------------------------------------------------------------------------------------------------------

    @rule(target=owners, which=st.sampled_from([["s1!", "s1web!"], ["s2!"]]))
    def open_owner(self, which: list[str]) -> Any:
        if any(which[0] in owner.prefixes for owner in self.owned.values()):
            return multiple()
        owner = self.do(self.broker.owners.open, which)
        self.owned[owner] = Owner(which)
        return owner

    @rule(owner=consumes(owners), again=st.booleans())
    def close_owner(self, owner: int, again: bool) -> None:
        gone = self.owned.pop(owner)
        for token, letter in gone.waiting.items():
            self.tokens[token] = ("gone", letter)
        for group in self.members.values():
            group.pop(gone.prefixes[0], None)
        self.do(self.broker.owners.close, owner)
        if again:
            self.do(self.broker.owners.close, owner)
            self.do(self.broker.owners.mark, owner, "s1!x", Mark.CONGESTED)
            assert self.do(self.broker.owners.drain, owner) == []

    @rule(owner=owners)
    def drain(self, owner: int) -> None:
        """Its items are what the model foresaw: frames, done and memberships in order, the rest at some place."""
        model = self.owned[owner]
        expected, model.items, model.is_told = model.items, [], False
        items = self.do(self.broker.owners.drain, owner)
        for item in items:
            if isinstance(item, GroupFrame):
                assert item.id
                item.id = ""
        loose = (Abandoned, Refused, OwnerGone, Ask)
        assert [item for item in items if not isinstance(item, loose)] == [
            item for item in expected if not isinstance(item, loose)
        ]
        assert Counter(map(repr, (item for item in items if isinstance(item, loose)))) == Counter(
            map(repr, (item for item in expected if isinstance(item, loose)))
        )
        for item in items:
            if isinstance(item, Announced):
                model.seen[item.group] = item.generation
            elif isinstance(item, Add):
                model.local.setdefault(item.group, set()).add(item.channel)
                model.seen[item.group] = item.generation
            elif isinstance(item, Discard):
                model.local.get(item.group, set()).discard(item.channel)

    @rule(owner=owners, channel=connections, mark=st.sampled_from([Mark.CONGESTED, Mark.DEPARTED, None]))
    def mark(self, owner: int, channel: str, mark: Mark | None) -> None:
        if self.owned[owner] is self.owner_of(channel) and mark is not Mark.DEPARTED:
            self.do(self.broker.owners.mark, owner, channel, mark)

    @rule(size=sizes, channel=st.sampled_from(["a", "h", "view!1"]), once=st.booleans())
    def submit(self, size: int, channel: str, once: bool) -> None:
        owner = next((number for number, owner in self.owned.items() if "s1!" in owner.prefixes), None)
        if owner is None:
            return
        order, body = next(self.orders), self.body(size)
        envelope = Envelope(f"s1.{order}", channel, "s1!x", order, policy=Policy.ONCE if once else Policy.AGAIN)
        letter = Letter(body, channel, self.expiry(channel), order, once=once)
        before = len(self.line(channel))
        room = LIMITS.total - self.broker.post.held + self.broker.post.crowd
        fits = self.has_room(channel, room)
        if channel == "view!1" and not self.is_read("view!"):
            self.owned[owner].items.append(Refused("s1!x", order, channel, "gone"))
        elif fits:
            self.line(channel).append(letter)
        else:
            self.owned[owner].items.append(Refused("s1!x", order, channel, "capacity"))
        self.do(self.broker.submit, owner, envelope, body, self.now)
        if not fits and room > 0 and self.is_read(queue_name(channel)):
            assert before >= self.broker.post.rule(queue_name(channel)).capacity or self.standing(channel)

    @rule(target=owners, old=consumes(owners), data=st.data())
    def come_back(self, old: int, data: st.DataObject) -> int:
        """A server that has lost its line is back: it announces its groups, and sends again what is not done."""
        if "s1!" not in self.owned[old].prefixes:
            return old
        local = self.owned[old].local
        for token, letter in self.owned[old].waiting.items():
            self.tokens[token] = ("gone", letter)
        for group in self.members.values():
            group.pop("s1!", None)
        del self.owned[old]
        new = self.do(self.broker.owners.open, ["s1!", "s1web!"])
        self.owned[new] = model = Owner(["s1!", "s1web!"], local=local)
        groups = [group for group in GROUPS if local.get(group)]
        for number, group in enumerate(groups, self.broker.owners.directory._generation + 1):
            self.members.setdefault(group, {})["s1!"] = number
            model.items.append(Announced(group, number))
        self.do(self.broker.owners.announce, new, groups)
        letters = [letter for line in self.lines.values() for letter in line] + self.later
        letters += [lease.letter for lease in self.leases.values()]
        self.nothing_is_lost_or_doubled()
        dropped = self.broker.repeats_dropped
        again = [letter for letter in letters if letter.order >= 0 and letter.body in self.everything()]
        for letter in data.draw(st.permutations(again)):
            envelope = Envelope(f"s1.{letter.order}", letter.channel, "s1!x", letter.order, attempt=2)
            self.do(self.broker.submit, new, envelope, letter.body, self.now)
            self.do(self.broker.submit, old, envelope, letter.body, self.now)
        assert self.broker.repeats_dropped == dropped + len(again)
        return new

    def everything(self) -> list[bytes]:
        """All bodies that the broker has for readers."""
        standing = [letter[1] for box in self.broker.post.boxes().values() for letter in box.letters]
        return standing + [lease.letter.body for lease in self.leases.values()] + [one.body for one in self.later]

    # --- dead letters ------------------------------------------------------------------------------------------------

    @rule(data=st.data(), kept=st.booleans())
    def decide_about_the_dead(self, data: st.DataObject, kept: bool) -> None:
        """One is put back at the end of its channel, with a new history, or dropped."""
        dead = list(self.broker.post.dead)
        if not dead:
            return
        chosen = data.draw(st.sampled_from(dead)).envelope.id
        went = 0
        for one in [one for one in dead if one.envelope.id == chosen]:
            channel = one.envelope.channel
            room = LIMITS.total - self.broker.post.held + self.broker.post.crowd - went * 60
            is_gone = channel == "view!1" and not self.is_read("view!")
            if kept and self.has_room(channel, room) and not is_gone:
                self.line(channel).append(Letter(one.body, channel, once=one.envelope.policy is Policy.ONCE))
                went += 1
            elif not kept:
                went += 1
        command = self.broker.requeue_dead if kept else self.broker.drop_dead
        assert self.do(command, [chosen]) == went
        assert len(self.broker.post.dead) == len(dead) - went

    # --- groups ------------------------------------------------------------------------------------------------------

    def is_refused(self, command: Any, group: str, channel: str) -> bool:
        """Whether the owner is so far behind that nothing is added."""
        inbox = self.broker.owners.of(channel)
        if inbox is None or not inbox.is_full:
            return False
        try:
            self.do(command, group, channel)
        except LayerUnavailable:
            return True
        raise AssertionError("a full inbox took an item")

    @rule(group=st.sampled_from(GROUPS), channel=members)
    def group_add(self, group: str, channel: str) -> None:
        owner = self.owner_of(channel)
        if self.is_refused(self.broker.owners.add, group, channel):
            return
        if owner or "!" not in channel or self.is_read(queue_name(channel)):
            name = owner.prefixes[0] if owner else channel
            generation = self.broker.owners.directory._generation + 1
            self.members.setdefault(group, {})[name] = generation
            if owner:
                owner.items.append(Add(group, channel, generation))
        self.do(self.broker.owners.add, group, channel)

    @rule(group=st.sampled_from(GROUPS), channel=members)
    def group_discard(self, group: str, channel: str) -> None:
        owner = self.owner_of(channel)
        if self.is_refused(self.broker.owners.discard, group, channel):
            return
        if owner:
            owner.items.append(Discard(group, channel))
        else:
            self.members.get(group, {}).pop(channel, None)
        self.do(self.broker.owners.discard, group, channel)

    @rule(owner=owners, group=st.sampled_from(GROUPS))
    def leave(self, owner: int, group: str) -> None:
        """The server's last member left, as far as the server knows; an add on its way keeps the membership."""
        model = self.owned[owner]
        if model.local.get(group) or group not in model.seen:
            return
        if self.members.get(group, {}).get(model.prefixes[0]) == model.seen[group]:
            del self.members[group][model.prefixes[0]]
        self.do(self.broker.owners.leave, owner, group, model.seen[group])

    @rule(group=st.sampled_from(GROUPS), size=sizes)
    def send_group(self, group: str, size: int) -> None:
        effect = GroupSend(group, self.body(size), id=f"group.{next(self.bodies)}")
        self.note_group_send(effect, LIMITS.total - self.broker.post.held + self.broker.post.crowd)
        assert self.do(self.broker.publish, effect, self.now) == 0
        dropped = self.broker.repeats_dropped
        assert self.do(self.broker.publish, effect, self.now) == 0
        assert self.broker.repeats_dropped == dropped + 1

    def note_group_send(self, effect: GroupSend, room: int) -> int:
        """Foresee a group send; return the bytes it takes."""
        taken = 0
        for member in self.broker.owners.directory.members(effect.group):
            owner = self.owner_of(member)
            if owner:
                size = unread(owner.items) + sum(len(letter.body) for letter in owner.waiting.values())
                if room - taken > 0 and size < LIMITS.inbox:
                    taken += len(effect.body)
                    owner.items.append(GroupFrame(effect.group, effect.body, typed=False, id=""))
            elif self.has_room(member, room - taken):
                taken += len(effect.body)
                self.line(member).append(Letter(effect.body, member, self.expiry(member)))
        return taken

    # --- time --------------------------------------------------------------------------------------------------------

    @rule(pause=seconds)
    def tick(self, pause: float) -> None:
        self.now += pause
        if self.broker.due is None or self.broker.due > self.now:
            return
        for _, _, (envelope, body) in sorted(self.broker._later, key=lambda entry: entry[:2], reverse=True):
            letter = next(letter for letter in self.later if letter.body == body)
            due = next(due for due, _, entry in self.broker._later if entry[1] == body)
            if due <= self.now:
                self.later.remove(letter)
                if envelope.channel == "view!1" and not self.is_read("view!"):
                    self.note_lost(letter, "lost")
                else:
                    self.line(letter.channel).insert(0, letter)
        self.do(self.broker.tick, self.now)
        assert self.broker.due is None or self.broker.due > self.now

    @rule(really=st.integers(0, 20))
    def flush(self, really: int) -> None:
        if really != 20:
            return
        self.lines.clear()
        self.later.clear()
        self.members.clear()
        self.spent += [(lease.session, lease.receipt) for lease in self.leases.values()]
        self.leases.clear()
        self.tokens = {token: ("gone", letter) for token, (_, letter) in self.tokens.items()}
        for owner in self.owned.values():
            owner.items.clear()
            owner.waiting.clear()
        self.do(self.broker.flush)
        for owner in self.owned.values():
            owner.is_told = False

    # --- what holds after every step ---------------------------------------------------------------------------------

    @invariant()
    def all_is_well(self) -> None:
        self.nothing_is_lost_or_doubled()
        self.the_bytes_are_right()
        self.nobody_waits_without_a_reason()
        self.the_sessions_and_groups_are_right()

    def nothing_is_lost_or_doubled(self) -> None:
        for name, line in self.lines.items():
            standing = self.standing(name)
            for letter in [letter for letter in line if letter.body not in standing]:
                assert letter.expires is not None, f"{letter} is lost"
                assert letter.expires <= self.now or "?" in name
                line.remove(letter)
                self.note_expired(letter)
            assert [letter.body for letter in line] == standing
        assert self.expired == self.broker.post.expired
        assert sum(self.mislaid.values()) == 0
        assert self.committed == self.broker.committed

    def the_bytes_are_right(self) -> None:
        post = self.broker.post
        assert post.held == self.sizes_held()
        boxes = post.boxes().values()
        waiting = [one for box in boxes for one in box.waiting]
        for inbox in self.broker.owners._inboxes.values():
            waiting += [one for queue in inbox.waiting.values() for one in queue]
            assert inbox.size == unread(inbox.items) + inbox.waiting_size()
        assert post.crowd == sum(len(one.letter[1]) for one in waiting)
        for box in boxes:
            assert box.size == sum(len(letter[1]) for letter in [*box.letters, *(one.letter for one in box.waiting)])

    def nobody_waits_without_a_reason(self) -> None:
        post = self.broker.post
        has_memory = post.held - post.crowd < LIMITS.total
        for name, box in post.boxes().items():
            assert not (box.letters and self.has_idle_reader(name))
            assert not (box.waiting and has_memory and len(box.letters) < box.rule.capacity)
        for inbox in self.broker.owners._inboxes.values():
            for channel in inbox.waiting:
                assert not has_memory or inbox.is_slow(channel)
        for owner in self.owned.values():
            assert owner.is_told == bool(owner.items)

    def the_sessions_and_groups_are_right(self) -> None:
        for number, session in self.open.items():
            assert self.broker.sessions[number].demand == session["demand"]
        assert set(self.leases) == {receipt for session in self.broker.sessions for receipt in session.leases}
        for group in GROUPS:
            assert self.broker.owners.directory.members(group) == self.members.get(group, {})

    def teardown(self) -> None:
        """Close everything and read what is left: nothing may stay behind."""
        for owner in list(self.owned):
            self.close_owner(owner, again=True)
        for session in list(self.open):
            self.close_session(session, again=True)
        self.nothing_is_lost_or_doubled()
        for group in GROUPS:
            self.group_discard(group, "a")
        last = self.open_session(CHANNELS)
        for _ in range(200):
            self.demand(last, 4)
            for receipt in list(self.leases):
                del self.leases[receipt]
                self.committed += 1
                self.do(self.broker.commit, last, receipt, [], Ending.DONE, self.now)
            self.tick(1.0)
            self.nothing_is_lost_or_doubled()
            if self.broker.due is None and not self.broker.post.held:
                break
        self.close_session(last, again=False)
        self.nothing_is_lost_or_doubled()
        assert self.broker.post.held == 0
        left_out = frozenset({"dead", "_repeats", "_limits", "limits", "_rules", "_numbers"})
        assert deep_counts(self.broker, left_out) == deep_counts(Broker("e", LIMITS), left_out)


BrokerMachine.TestCase.settings = settings(max_examples=5 * settings.default.max_examples, stateful_step_count=50)
TestBroker = BrokerMachine.TestCase

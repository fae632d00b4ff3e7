"""Calls of scripts as data: what is sent to which shard, without I/O. Both shells run the same commands.

`Commands` belongs to a layer: it knows the deployment's shards, and the limits that its messages come under.
"""

import itertools
import re
import secrets
from collections.abc import Collection, Iterable, Sequence
from fnmatch import translate

from msgspec import Struct

from fairway.broker.effects import (
    Effect,
    End,
    Ending,
    Envelope,
    Grant,
    GroupFrame,
    Item,
    SaveState,
    Send,
    terms_of,
)
from fairway.layers.redis.entries import fields_of, fields_of_items, header_of, pack, pack_state
from fairway.layers.redis.shards import ROOT, Shards
from fairway.limits import BrokerLimits, ChannelRule
from fairway.names import owner_prefix

Argument = str | bytes | int
Arguments = list[Argument]

SILENCE = 10.0
"""Seconds without a sign after which a session or an owner is taken for dead."""


class Command(Struct, frozen=True, gc=False):
    """One call of a script on one shard; its reply is `[due, result, losses]`."""

    shard: str
    script: str
    arguments: Arguments


class Lease(Struct, frozen=True, gc=False):
    """Where a delivery is held: by a session of a shard, under the id of an entry of its stream."""

    shard: str
    session: str
    entry: str


NO_LEASE = Lease("", "", "")

DROP = -1.0
"""As the time that a message may wait: it is dropped, and counted, when there is no room."""


class Commands:
    """Builds the commands of one layer.

    Parameters:
        shards: what lives where.
        limits: what holds for the messages that this process sends.
        silence: seconds without a sign after which what this process opens is taken for dead.
    """

    def __init__(self, shards: Shards, limits: BrokerLimits, silence: float = SILENCE) -> None:
        self.shards = shards
        self.limits = limits
        self.silence = milliseconds(silence)
        self._rules = [(re.compile(translate(pattern)).match, rule) for pattern, rule in limits.rules]
        self._known: dict[str, ChannelRule] = {}
        self._places: dict[str, tuple[str, int, int, int]] = {}
        """Channel -> its queue, and of its rule capacity, expiry and attempts."""
        self.start_anew()
        self._packed = pack(
            [
                limits.total,
                limits.inbox,
                limits.inbox_items,
                limits.dead_letters,
                limits.dead_letter_bytes,
                milliseconds(limits.commit_wait),
                milliseconds(limits.repeat_memory),
                limits.repeat_count,
                limits.wills,
            ]
        )

    def start_anew(self) -> None:
        """Make other ids: a forked process would give those of its parent once more."""
        self._epoch = secrets.token_hex(6)
        self._names = itertools.count(1)

    def call(self, shard: str, script: str, *arguments: str | bytes | int) -> Command:
        """Return any call."""
        return Command(shard, script, [self._packed, *arguments])

    def rule(self, channel: str) -> ChannelRule:
        """Return the first rule that matches the queue of a channel."""
        name = queue_name(channel)
        rule = self._known.get(name)
        if rule is None:
            rule = next((rule for match, rule in self._rules if match(name)), ChannelRule())
            if "!" not in name and "?" not in name and len(self._known) < 1_000:
                self._known[name] = rule
        return rule

    def new_id(self) -> str:
        """Return an id for a message that has none."""
        return f"{self._epoch}.{next(self._names)}"

    # --- messages ----------------------------------------------------------------------------------------------------

    def _letter(self, effect: Send, name: str) -> Arguments:
        """Return capacity, expiry, header, state and body of a message."""
        rule = self.rule(effect.channel)
        envelope = Envelope(name, effect.channel, effect.reply_channel)
        return [
            rule.capacity,
            milliseconds(rule.expiry),
            header_of(envelope, rule.attempts),
            pack_state(effect.state),
            effect.body,
        ]

    def publish(self, effect: Send, name: str = "", token: str = "", timeout: float = 0) -> Command:
        """Send one message.

        Parameters:
            effect: the message.
            name: the id that a commit gives it; without one, and without one of its own, it is never a repeat.
            token: of whoever waits for room, or "": then it is a dead letter when it has waited in vain.
            timeout: seconds that it may wait; `DROP` for one that is dropped and counted when there is no room.
        """
        return self._publish(effect, effect.id or name, token, timeout, NO_LEASE, 0)

    def answer(self, effect: Send, lease: Lease, *, begins: bool, token: str = "", timeout: float = 0) -> Command:
        """Send one message to the connection that a held delivery came from.

        `begins` says that the delivery is never repeated from then on. Without a lease of the connection's own shard
        only the connection is looked at.
        """
        return self._publish(effect, effect.id, token, timeout, lease, int(begins))

    def _publish(self, effect: Send, known: str, token: str, timeout: float, lease: Lease, begins: int) -> Command:
        shard = self.shards.of_channel(effect.channel)
        letter = self._letter(effect, known or self.new_id())
        wait = milliseconds(timeout)
        lease_part: Arguments = [lease.session, lease.entry, begins]
        return self.call(shard, "publish", effect.channel, token, wait, known, *letter, *lease_part)

    def tell(self, shard: str, item: Item, policy: str = "must", known: str = "") -> Command:
        """Tell the owner of a shard something. `policy`: must, drop or refuse, when it is far behind."""
        size = len(item.body) if isinstance(item, GroupFrame) else 0
        return self.call(shard, "tell", policy, known, "", size, *fields_of_items([item]))

    def tell_effect(self, effect: SaveState | Grant) -> Command:
        """Bring a change of state or a grant to the owner of its connection."""
        fields, size = fields_of(effect)
        return self.call(self.shards.of_channel(effect.channel), "tell", "must", "", "", size, *fields)

    def tell_frame(self, channel: str, body: bytes, known: str) -> Command:
        """Bring a message of a commit to the owner of its connection: it always goes in."""
        return self.call(self.shards.of_channel(channel), "tell", "must", known, "", len(body), "f", channel, "b", body)

    def ask(self, shard: str, token: str, question: str, about: str) -> Command:
        """Ask the owner of a shard."""
        return self.call(shard, "tell", "refuse", "", token, 0, "?", pack([token, question, about]))

    def withdraw(self, channel: str, token: str) -> Command:
        """Take a message back that waits for room."""
        return self.call(self.shards.of_channel(channel), "operator", "withdraw", channel, token)

    # --- sessions ----------------------------------------------------------------------------------------------------

    def open(self, shard: str, session: str, channels: Iterable[str], demand: int, reserve: int) -> Command:
        """Open a session in a shard."""
        return self.call(shard, "session", "open", session, self.silence, demand, reserve, *channels)

    def demand(self, shard: str, session: str, more: int, ahead: int = 0) -> Command:
        """Change how many deliveries a session would take; `ahead` of them are no places of an idle thread."""
        return self.call(shard, "session", "demand", session, more, ahead)

    def release(self, shard: str, session: str, entries: Iterable[str]) -> Command:
        """Give deliveries back that were not begun."""
        return self.call(shard, "session", "release", session, *entries)

    def recall(self, shard: str, session: str, last: str, entries: Iterable[str]) -> Command:
        """Give deliveries back that were not begun, and behind them what stands after the last one that was read."""
        return self.call(shard, "session", "recall", session, last, *entries)

    def end(self, shard: str, session: str, verb: str) -> Command:
        """Pause or close a session."""
        return self.call(shard, "session", verb, session)

    def held(self, lease: Lease) -> Command:
        """Ask whether a delivery is held still."""
        return self.call(lease.shard, "session", "held", lease.session, lease.entry)

    def tick(self, shard: str, sessions: Iterable[str]) -> Command:
        """Do what is due in a shard; these sessions live."""
        return self.call(shard, "tick", self.silence, *sessions)

    def commit(
        self,
        lease: Lease,
        envelope: Envelope,
        size: int,
        outbox: "Outbox",
        ending: End,
        more: int,
    ) -> Command:
        """Acknowledge a delivery and publish what of its outbox belongs to its shard.

        Parameters:
            lease: where it is held.
            envelope: its envelope.
            size: the bytes of its body.
            outbox: the effects for the delivery's own shard.
            ending: as in `Reader.commit`.
            more: how many deliveries the session takes instead.
        """
        kind, header, state = "done", b"", b""
        terms: Argument = 0
        name = envelope.id if envelope.order >= 0 else ""
        if ending is not Ending.DONE:
            retries = envelope.retries + 1
            later = envelope.for_another_run(attempt=envelope.attempt, retries=retries)
            later.state = outbox.state_after(envelope)
            header = header_of(later, self.rule(envelope.channel).attempts)
            state = pack_state(later.state)
            again = terms_of(ending, retries, self.limits)
            is_dead = retries > again.limit
            kind, terms = ("dead", again.reason) if is_dead else ("later", milliseconds(again.pause))
        return self.call(
            lease.shard,
            "commit",
            lease.session,
            lease.entry,
            name,
            envelope.reply_channel,
            size,
            more,
            kind,
            terms,
            header,
            state,
            outbox.size,
            len(outbox.fields),
            *outbox.fields,
            *outbox.sends,
        )

    def send_in_commit(self, effect: Send, name: str) -> Arguments:
        """Return one message for a channel of the shard in which its commit happens."""
        return [effect.channel, *self._letter(effect, effect.id or name)]

    # --- owners ------------------------------------------------------------------------------------------------------

    def owner(self, shard: str, verb: str, incarnation: str, *arguments: str | bytes | int) -> Command:
        """Do something as the owner of a shard."""
        return self.call(shard, "owner", verb, incarnation, *arguments)

    def own(self, incarnation: str, prefixes: Sequence[str]) -> Command:
        """Become the owner of a shard: the one named after the first prefix."""
        return self.owner(prefixes[0], "own", incarnation, self.silence, *prefixes)

    def submission(self, envelope: Envelope, body: bytes, will: str) -> Arguments:
        """Return one message of a connection, for the command `submit`. `will` is "n" (note), "e" (end) or ""."""
        # Micro-optimization: most messages are for a few channels, and this is done for each of them.
        queue, capacity, expiry, attempts = self._places.get(envelope.channel) or self._place(envelope.channel)
        return [
            queue,
            capacity,
            expiry,
            envelope.reply_channel,
            envelope.order,
            envelope.id if envelope.order >= 0 else "",
            envelope.channel,
            int(envelope.attempt > 1),
            will,
            header_of(envelope, attempts),
            pack_state(envelope.state),
            body,
        ]

    def _place(self, channel: str) -> tuple[str, int, int, int]:
        rule = self.rule(channel)
        place = queue_name(channel), rule.capacity, milliseconds(rule.expiry), rule.attempts
        if "!" not in channel and "?" not in channel and len(self._places) < 1_000:
            self._places[channel] = place
        return place

    # --- groups ------------------------------------------------------------------------------------------------------

    def group(self, verb: str, group: str, *arguments: str | int) -> Command:
        """Read or change the directory: add, remove, read."""
        return self.call(self.shards.spread(group), "groups", verb, group, *arguments)

    def forget(self, prefix: str) -> list[Command]:
        """Take everything below a prefix out of all groups: its process is gone."""
        return [self.call(shard, "groups", "forget", prefix) for shard in self.shards.common]

    # --- the whole ---------------------------------------------------------------------------------------------------

    def operator(self, shard: str, verb: str, *arguments: str | bytes | int) -> Command:
        """Ask what operators ask."""
        return self.call(shard, "operator", verb, *arguments)

    def all_shards(self) -> Command:
        """Ask for the shards of all servers."""
        return self.operator(ROOT, "shards")


class Outbox:
    """The effects of a commit for its own shard, ready to be sent.

    `is_owned` says that the shard is that of a server, so that what it sends below a prefix is for connections. Without
    it the prefix may be that of a process that reads a queue: the script will look.
    """

    def __init__(self, commands: Commands, effects: Collection[tuple[str, Effect | Item]], *, is_owned: bool) -> None:
        self.fields: Arguments = []
        self.sends: Arguments = []
        self.size = 0
        self._changes: list[SaveState] = []
        for name, effect in effects:
            if isinstance(effect, Send) and not (is_owned and owner_prefix(effect.channel)):
                self.sends += commands.send_in_commit(effect, name)
            elif isinstance(effect, Send | SaveState | Grant):
                if isinstance(effect, SaveState):
                    self._changes.append(effect)
                self._tell(*fields_of(effect))
            elif isinstance(effect, GroupFrame):
                self._tell(fields_of_items([effect]), len(effect.body))

    def _tell(self, fields: Sequence[Argument], size: int) -> None:
        self.fields += fields
        self.size += size

    def say(self, item: Item) -> None:
        """Add an item without a body."""
        self.fields += fields_of_items([item])

    def state_after(self, envelope: Envelope) -> dict[str, bytes] | None:
        """Return the state of a connection as its message comes again after this outbox."""
        state: dict[str, bytes | None] = dict(envelope.state or {})
        for effect in self._changes:
            if effect.channel == envelope.reply_channel:
                state.update(effect.changes)
        if envelope.state is None and not state:
            return None
        return {key: value for key, value in state.items() if value is not None}


def queue_name(channel: str) -> str:
    """Return the name of the queue that a channel's messages stand in."""
    return owner_prefix(channel) or channel


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds; negative ones stay -1."""
    return -1 if seconds < 0 else max(0, round(seconds * 1000))

"""The verbs of the layer that take several commands: generators without I/O, run by the blocking and asyncio shells.

A generator yields commands, all of which may be sent at once, and is given their results in the same order; or it
yields an `Await`, and is given the answer when it comes. What it returns, or raises, is the outcome of the verb.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from fairway.broker.effects import (
    Add,
    Delivery,
    Discard,
    Done,
    Effect,
    End,
    Ending,
    GroupFrame,
    GroupSend,
    Item,
    Send,
)
from fairway.errors import ChannelFull, ChannelGone, DeliveryLost, LayerUnavailable
from fairway.layers.redis.commands import DROP, NO_LEASE, Command, Commands, Lease, Outbox
from fairway.names import owner_prefix

MOVES = 3
"""How often a verb follows the owner of a channel to another shard."""


class Await(Struct, frozen=True):
    """Wait for the answer that a script, or an owner, gives under a token."""

    shard: str
    token: str


Steps = Generator[Sequence[Command] | Await, Any, Any]
Tokens = Callable[[], str]
"""Makes tokens: each is used once."""


def moved_to(result: Any) -> str:
    """Return the shard that a result names as the one to go to instead, or ""."""
    return result[1].decode() if isinstance(result, list) and result[0] == b"moved" else ""


# --- sending ---------------------------------------------------------------------------------------------------------


def publish(commands: Commands, effect: Effect, tokens: Tokens, timeout: float = 0) -> Steps:
    """Publish one effect outside any consumer run. Raises as `Layer.publish`."""
    if isinstance(effect, GroupSend):
        yield from _send_group(commands, effect)
    elif isinstance(effect, Send):
        token = tokens() if timeout > 0 else ""
        yield from _send(commands, effect, lambda: commands.publish(effect, token=token, timeout=timeout), token)
    else:
        yield from _follow(commands, effect.channel, lambda: commands.tell_effect(effect))


def answer(commands: Commands, lease: Lease, delivery: Delivery, effect: Send, tokens: Tokens, timeout: float) -> Steps:
    """Publish to a held delivery's own connection. Raises as `Reader.publish`."""
    token = tokens() if timeout > 0 else ""
    begins = commands.rule(delivery.envelope.channel).begun_once
    if lease.shard != commands.shards.of_channel(effect.channel):
        (held,) = yield [commands.held(lease)]
        if held == b"lost":
            raise lost(lease)
        lease = NO_LEASE
    yield from _send(
        commands,
        effect,
        lambda: commands.answer(effect, lease, begins=begins, token=token, timeout=timeout),
        token,
    )


def _send(commands: Commands, effect: Send, make: Callable[[], Command], token: str) -> Steps:
    result = yield from _follow(commands, effect.channel, make)
    if result == b"wait":
        reason = yield Await(commands.shards.of_channel(effect.channel), token)
        if reason:
            raise ChannelFull(effect.channel, reason.decode())
    elif result == b"lost":
        msg = f"a delivery is no longer held, so {effect.channel!r} is not answered"
        raise DeliveryLost(msg)
    elif result == b"gone":
        raise ChannelGone(effect.channel)
    elif isinstance(result, list):
        raise ChannelFull(effect.channel, result[1].decode())


def _follow(commands: Commands, channel: str, make: Callable[[], Command]) -> Steps:
    """Run a command about a channel, and again where it has moved to."""
    for _ in range(MOVES):
        (result,) = yield [make()]
        shard = moved_to(result)
        if not shard:
            return result
        commands.shards.learn(channel, shard)
    return b"gone"


def _send_group(commands: Commands, effect: GroupSend) -> Steps:
    (members,) = yield [commands.group("read", effect.group)]
    name = effect.id or commands.new_id()
    sent = _to_members(commands, effect, name, effect.id, _pairs(members))
    results = yield [command for _, _, command in sent]
    yield from _clear_away(commands, effect.group, sent, results)


Sent = list[tuple[str, str, Command]]


def _to_members(
    commands: Commands, effect: GroupSend, name: str, known: str, members: Iterable[tuple[str, str]]
) -> Sent:
    """Return member, generation and command for each member of a group."""
    frame = GroupFrame(effect.group, effect.body, effect.typed, name)
    sent = []
    for member, generation in members:
        if member.endswith("!"):
            command = commands.tell(member, frame, "drop", known)
        else:
            copy = Send(member, effect.body)
            command = commands.publish(copy, f"{known}.{member}" if known else "", timeout=DROP)
        sent.append((member, generation, command))
    return sent


def _clear_away(commands: Commands, group: str, sent: Sent, results: Iterable[Any]) -> Steps:
    """Take members out of the directory whose owners are gone."""
    gone = [
        commands.group("remove", group, member, generation)
        for (member, generation, _), result in zip(sent, results, strict=True)
        if result == b"gone"
    ]
    if gone:
        yield gone


def _pairs(flat: Sequence[bytes]) -> list[tuple[str, str]]:
    return [(flat[place].decode(), flat[place + 1].decode()) for place in range(0, len(flat), 2)]


# --- commit ----------------------------------------------------------------------------------------------------------


def is_own(commands: Commands, lease: Lease, effect: Effect) -> bool:
    """Whether an effect belongs to the shard of a delivery, so that its commit is one step."""
    return not isinstance(effect, GroupSend) and commands.shards.of_channel(effect.channel) == lease.shard


def single_commit(
    commands: Commands, lease: Lease, delivery: Delivery, effects: Collection[Effect], ending: End, more: int
) -> Command | None:
    """Return the one command that a commit is, or None if it takes several."""
    for effect in effects:
        if not is_own(commands, lease, effect):
            return None
    run = delivery.envelope.run_name()
    named: list[tuple[str, Effect | Item]] = [(f"{run}.{index}", effect) for index, effect in enumerate(effects)]
    return _commit(commands, lease, delivery, named, ending, more)


def _commit(
    commands: Commands,
    lease: Lease,
    delivery: Delivery,
    named: list[tuple[str, Effect | Item]],
    ending: End,
    more: int,
) -> Command:
    envelope = delivery.envelope
    outbox = Outbox(commands, named, is_owned=envelope.order >= 0)
    if ending is Ending.DONE and envelope.order >= 0:
        outbox.say(Done(envelope.reply_channel, envelope.order))
    return commands.commit(lease, envelope, len(delivery.body), outbox, ending, more)


def commit(
    commands: Commands, lease: Lease, delivery: Delivery, effects: Collection[Effect], ending: End, more: int
) -> Steps:
    """Commit a delivery some of whose effects go to other shards: those first, under ids by which a repeat is dropped.

    Raises:
        DeliveryLost: it is not held any more.
    """
    groups = {effect.group for effect in effects if isinstance(effect, GroupSend)}
    held, *directories = yield [commands.held(lease), *(commands.group("read", group) for group in groups)]
    if held == b"lost":
        raise lost(lease)
    members = {group: _pairs(found) for group, found in zip(groups, directories, strict=True)}
    run = delivery.envelope.run_name()
    own: list[tuple[str, Effect | Item]] = []
    for index, effect in enumerate(effects):
        name = f"{run}.{index}"
        if isinstance(effect, GroupSend):
            known = effect.id or name
            others = [pair for pair in members[effect.group] if pair[0] != lease.shard]
            if len(others) < len(members[effect.group]):
                own.append((name, GroupFrame(effect.group, effect.body, effect.typed, known)))
            sent = _to_members(commands, effect, known, known, others)
            if sent:
                results = yield [command for _, _, command in sent]
                yield from _clear_away(commands, effect.group, sent, results)
        elif is_own(commands, lease, effect):
            own.append((name, effect))
        else:
            yield from _publish_elsewhere(commands, effect, name)
    (result,) = yield [_commit(commands, lease, delivery, own, ending, more)]
    if result == b"lost":
        raise lost(lease)


def _publish_elsewhere(commands: Commands, effect: Effect, name: str) -> Steps:
    """Publish one effect of a commit in another shard. It waits for room there, and is a dead letter in the end."""
    if isinstance(effect, Send):
        if owner_prefix(effect.channel):
            known = effect.id or name
            result = yield from _follow(
                commands, effect.channel, lambda: commands.tell_frame(effect.channel, effect.body, known)
            )
            if result != b"gone":
                return
        wait = commands.limits.commit_wait
        yield from _follow(commands, effect.channel, lambda: commands.publish(effect, name, timeout=wait))
    elif not isinstance(effect, GroupSend):
        yield from _follow(commands, effect.channel, lambda: commands.tell_effect(effect))


def lost(lease: Lease) -> DeliveryLost:
    """Return the error about a delivery that is not held any more."""
    msg = f"delivery {lease.entry} is no longer held; another reader has the message, or had it"
    return DeliveryLost(msg)


# --- groups and questions --------------------------------------------------------------------------------------------


def group_add(commands: Commands, group: str, channel: str) -> Steps:
    """Make a channel a member. Raises as `Layer.group_add`."""
    if not owner_prefix(channel):
        yield [commands.group("add", group, channel)]
        return
    for _ in range(MOVES):
        shard = commands.shards.of_channel(channel)
        (generation,) = yield [commands.group("add", group, shard)]
        (result,) = yield [commands.tell(shard, Add(group, channel, generation), "refuse")]
        if result == b"ok":
            return
        yield [commands.group("remove", group, shard, str(generation))]
        if result == b"full":
            raise far_behind(shard)
        if result == b"gone":
            (is_read,) = yield [commands.operator(shard, "pinned", owner_prefix(channel))]
            if is_read:
                yield [commands.group("add", group, channel)]
            return
        commands.shards.learn(channel, moved_to(result))


def group_discard(commands: Commands, group: str, channel: str) -> Steps:
    """End a membership; for a connection its owner does it."""
    if owner_prefix(channel):
        result = yield from _follow(
            commands,
            channel,
            lambda: commands.tell(commands.shards.of_channel(channel), Discard(group, channel), "refuse"),
        )
        if result == b"full":
            raise far_behind(commands.shards.of_channel(channel))
        if result == b"ok":
            return
    yield [commands.group("remove", group, channel, "")]


def group_channels(commands: Commands, group: str, tokens: Tokens) -> Steps:
    """Return the members of a group, asking the servers that hold them."""
    (members,) = yield [commands.group("read", group)]
    names = [member for member, _ in _pairs(members)]
    found = [name for name in names if not name.endswith("!")]
    asked = [(name, tokens()) for name in names if name.endswith("!")]
    if asked:
        results = yield [commands.ask(shard, token, "members", group) for shard, token in asked]
        for (shard, token), result in zip(asked, results, strict=True):
            _check_asked(shard, result)
            if result == b"ok":
                said = yield Await(shard, token)
                found += msgspec.msgpack.decode(said, type=list[str]) if said else []
    return found


def connection_state(commands: Commands, channel: str, tokens: Tokens) -> Steps:
    """Return the state of a connection, asking its server."""
    token = tokens()
    if not owner_prefix(channel):
        return {}
    result = yield from _follow(
        commands, channel, lambda: commands.ask(commands.shards.of_channel(channel), token, "state", channel)
    )
    _check_asked(commands.shards.of_channel(channel), result)
    if result != b"ok":
        return {}
    said = yield Await(commands.shards.of_channel(channel), token)
    return msgspec.msgpack.decode(said, type=dict[str, bytes]) if said else {}


def _check_asked(shard: str, result: Any) -> None:
    if result == b"full":
        raise far_behind(shard)


def far_behind(shard: str) -> LayerUnavailable:
    """Return the error about a server that does not read its inbox."""
    msg = (
        f"the server of {shard!r} has more unread than its bound (BrokerLimits.inbox and inbox_items): "
        "it is stuck, or needs more time"
    )
    return LayerUnavailable(msg)

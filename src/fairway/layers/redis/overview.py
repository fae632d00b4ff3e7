"""What is asked of all shards together: statistics, dead letters, cleaning up; operations as those of `operations`."""

from collections.abc import Collection, Iterable

import msgspec

from fairway.layers.base import ChannelStatistics, DeadLetter, LayerStatistics
from fairway.layers.redis.commands import Commands
from fairway.layers.redis.entries import Header
from fairway.layers.redis.operations import Steps
from fairway.layers.redis.shards import ROOT

MOVED = 100
"""Dead letters that are moved at a time."""


def every_shard(commands: Commands) -> Steps:
    """Return the names of all shards: the common ones, and those of servers."""
    (servers,) = yield [commands.all_shards()]
    return [*commands.shards.common, *(shard.decode() for shard in servers)]


def clean_up(commands: Commands, prefixes: Iterable[bytes]) -> Steps:
    """Take what processes that are gone have left in the groups out of them."""
    forgotten = [command for prefix in prefixes for command in commands.forget(prefix.decode())]
    if forgotten:
        yield forgotten


def statistics(commands: Commands) -> Steps:
    """Return what all shards hold together."""
    shards = yield from every_shard(commands)
    found = yield [commands.operator(shard, "statistics") for shard in shards]
    channels: dict[str, ChannelStatistics] = {}
    totals = [0] * 10
    sessions = max((one[2] for one in found), default=0)
    for one in found:
        for name, *numbers in one[0]:
            channels[name.decode()] = _together(channels.get(name.decode()), *numbers)
        totals = [total + number for total, number in zip(totals, one[1:], strict=True)]
    groups, _, owners, held, dead, delivered, committed, repeats, dropped, expired = totals
    return LayerStatistics(
        channels=channels,
        groups=groups,
        sessions=sessions,
        owners=owners,
        held_bytes=held,
        dead_letters=dead,
        delivered=delivered,
        committed=committed,
        repeats_dropped=repeats,
        group_sends_dropped=dropped,
        expired=expired,
    )


def _together(
    before: ChannelStatistics | None, waiting: int, size: int, leased: int, readers: int
) -> ChannelStatistics:
    """Return what shards hold of a channel together; a session reads it in all of them."""
    if before is None:
        return ChannelStatistics(waiting=waiting, waiting_bytes=size, leased=leased, readers=readers)
    return ChannelStatistics(
        waiting=before.waiting + waiting,
        waiting_bytes=before.waiting_bytes + size,
        leased=before.leased + leased,
        readers=max(before.readers, readers),
    )


_header = msgspec.msgpack.Decoder(Header).decode


def _dead(commands: Commands, limit: int) -> Steps:
    """Return shard and letter of the dead letters of all shards, the newest first."""
    shards = yield from every_shard(commands)
    found = yield [commands.operator(shard, "dead", limit) for shard in shards]
    letters = []
    for shard, ones in zip(shards, found, strict=True):
        for reason, age, packed, body in ones:
            header = _header(packed)
            letter = DeadLetter(
                id=header.id,
                channel=header.channel,
                reply_channel=header.reply_channel,
                reason=reason.decode(),
                attempts=header.attempt,
                retries=header.retries,
                age=age / 1000,
                body=body,
            )
            letters.append((shard, letter))
    letters.reverse()  # of those that died in the same millisecond the one that came later is the newer
    return sorted(letters, key=lambda entry: entry[1].age)


def dead_letters(commands: Commands, limit: int) -> Steps:
    """Return at most `limit` dead letters, the newest first."""
    found = yield from _dead(commands, limit)
    return [letter for _, letter in found[: max(0, limit)]]


def requeue_dead(commands: Commands, ids: Collection[str]) -> Steps:
    """Put dead letters at the end of their channels; return how many went."""
    wanted = set(ids)
    found = yield from _dead(commands, commands.limits.dead_letters)
    went = 0
    for shard, letter in reversed(found):
        if letter.id in wanted:
            capacity = commands.rule(letter.channel).capacity
            (more,) = yield [commands.operator(shard, "requeue", capacity, letter.id)]
            went += more
    return went


def drop_dead(commands: Commands, ids: Collection[str]) -> Steps:
    """Drop dead letters; return how many there were."""
    shards = yield from every_shard(commands)
    return sum((yield [commands.operator(shard, "drop", *ids) for shard in shards]))


def move_dead(commands: Commands, shard: str) -> Steps:
    """Bring the dead letters of a shard whose server is gone to the root, before it is erased."""
    while True:
        (letters,) = yield [commands.operator(shard, "letters", MOVED)]
        if not letters:
            return
        yield [commands.operator(ROOT, "inter", *letters)]
        yield [commands.operator(shard, "exhume", *letters)]


def flush(commands: Commands) -> Steps:
    """Drop all messages and groups; sessions and owners stay."""
    shards = yield from every_shard(commands)
    yield [commands.operator(shard, "flush") for shard in shards]

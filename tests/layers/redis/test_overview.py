"""What is asked of all shards together: several servers, and two common shards."""

from collections.abc import Iterator

import pytest

from fairway.broker.effects import GroupSend, Send
from fairway.layers.redis import operations, overview
from fairway.layers.redis.commands import Command
from fairway.layers.redis.shards import Shards
from fairway.limits import ChannelRule
from tests.support.redis import RedisServer
from tests.support.redis_desk import RedisDesk, redis_desk


@pytest.fixture
def desk(shared_redis: RedisServer) -> Iterator[RedisDesk]:
    rule = ("small", ChannelRule(capacity=1, attempts=1))
    with redis_desk(shared_redis, rule, shards=Shards("t", 2), commit_wait=2.0) as desk:
        for shard in ("s1!", "s2!"):
            desk.run(desk.commands.operator("#0", "register", shard))
        yield desk


def consumed(desk: RedisDesk) -> str:
    """A worker's session that consumes a message of s1!c1; both servers are there."""
    owner = desk.owner("s1!", incarnation="first")
    desk.owner("s2!")
    desk.submit(owner)
    return desk.session("w", demand=1)


def test_statistics_add_all_shards_up(desk: RedisDesk) -> None:
    session = consumed(desk)
    for shard in ("#0", "s2!"):
        desk.run(desk.commands.open(shard, session, ["w"], 0, 0))
    desk.send("w", b"12")
    desk.publish(GroupSend("g", b"x"))
    desk.operate(operations.group_add(desk.commands, "g", "numbers"))
    found = desk.operate(overview.statistics(desk.commands))
    assert (found.sessions, found.owners, found.groups, found.held_bytes) == (1, 2, 1, 3)
    channel = found.channels["w"]
    assert (channel.waiting, channel.waiting_bytes, channel.leased, channel.readers) == (1, 2, 1, 1)


def test_dead_letters_of_all_shards_the_newest_first(desk: RedisDesk) -> None:
    for shard in ("s1!", "#0", "s2!"):
        session = desk.session("x", demand=1, shard=shard)
        command = desk.commands.publish(Send("x", shard.encode(), id=shard))
        desk.run(Command(shard, "publish", command.arguments))
        for _ in range(5):
            desk.close(session, shard)
            session = desk.session("x", demand=1, shard=shard)
        desk.now += 1
    letters = desk.operate(overview.dead_letters(desk.commands, 2))
    assert [(letter.body, letter.attempts, letter.age) for letter in letters] == [(b"s2!", 5, 1.0), (b"#0", 5, 2.0)]
    assert desk.operate(overview.drop_dead(desk.commands, ["s1!", "#0"])) == 2
    assert desk.operate(overview.dead_letters(desk.commands, 0)) == []


def test_a_flush_reaches_all_shards(desk: RedisDesk) -> None:
    consumed(desk)
    desk.send("numbers")
    desk.operate(overview.flush(desk.commands))
    assert desk.operate(overview.statistics(desk.commands)).held_bytes == 0


def test_what_a_dead_process_left_in_groups_is_cleared_away(desk: RedisDesk) -> None:
    for group, member in (("g", "view!1"), ("h", "view!2"), ("h", "b")):
        desk.run(desk.commands.group("add", group, member))
    desk.operate(overview.clean_up(desk.commands, [b"view!"]))
    desk.operate(overview.clean_up(desk.commands, []))
    assert desk.run(desk.commands.group("read", "g")) == []
    assert desk.run(desk.commands.group("read", "h"))[::2] == [b"b"]


def test_dead_letters_outlive_the_shard_of_their_server(desk: RedisDesk) -> None:
    for number in range(150):
        session = desk.session("small", demand=1)
        command = desk.commands.publish(Send("small", b"%d" % number, id=f"n{number}"))
        desk.run(Command("s1!", "publish", command.arguments))
        desk.close(session)
    erase = desk.commands.operator("s1!", "erase")
    assert desk.run(erase) == 0
    half = overview.move_dead(desk.commands, "s1!")
    step = half.send(None)
    for _ in range(2):  # whoever moves them dies in the middle
        step = half.send([desk.run(command) for command in step])  # type: ignore[union-attr]
    desk.operate(overview.move_dead(desk.commands, "s1!"))
    assert desk.run(erase) == 1
    letters = desk.operate(overview.dead_letters(desk.commands, 1_000))
    assert {letter.id for letter in letters} == {f"n{number}" for number in range(150)}
    assert (len(letters), letters[0].body) == (150, b"149")

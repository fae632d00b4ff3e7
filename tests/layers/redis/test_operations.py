"""The verbs that take several commands, with each thing where it belongs: several servers, and two common shards."""

from collections.abc import Iterator

import msgspec
import pytest

from fairway.broker.effects import (
    Add,
    Done,
    Ending,
    Frame,
    Grant,
    GroupFrame,
    GroupSend,
    SaveState,
    Send,
)
from fairway.errors import ChannelFull, ChannelGone, DeliveryLost
from fairway.layers.redis import operations, overview
from fairway.layers.redis.operations import Await
from fairway.layers.redis.shards import Shards
from fairway.limits import ChannelRule
from tests.support.redis import RedisServer
from tests.support.redis_desk import RedisDesk, Waiting, redis_desk


@pytest.fixture
def desk(shared_redis: RedisServer) -> Iterator[RedisDesk]:
    rule = ("small", ChannelRule(capacity=1, attempts=1))
    with redis_desk(shared_redis, rule, shards=Shards("t", 2), commit_wait=2.0) as desk:
        for shard in ("s1!", "s2!"):
            desk.run(desk.commands.operator("#0", "register", shard))
        yield desk


def items(desk: RedisDesk, shard: str) -> list[object]:
    return desk.items(shard)


def consumed(desk: RedisDesk) -> tuple[str, operations.Delivery]:
    """A message of s1!c1 that a worker is consuming; both servers are there."""
    owner = desk.owner("s1!", incarnation="first")
    desk.owner("s2!")
    desk.submit(owner)
    session = desk.session("w", demand=1)
    (delivery,) = desk.read(session)
    return session, delivery


# --- commits ----------------------------------------------------------------------------------------------------------


def test_effects_for_other_shards_go_first_and_are_not_repeated(desk: RedisDesk) -> None:
    _, delivery = consumed(desk)
    for channel in ("s1!c1", "s2!c9", "numbers"):
        desk.operate(operations.group_add(desk.commands, "g", channel))
    items(desk, "s1!"), items(desk, "s2!")
    outbox = [
        Send("s2!c9", b"direct"),
        GroupSend("g", b"all"),
        Send("numbers", b"n"),
        SaveState("s2!c9", {"k": b"v"}),
        Grant("s2!c9", 5),
        Send("s1!c1", b"own"),
    ]
    lease = desk.leases[delivery.receipt]
    half = operations.commit(desk.commands, lease, delivery, outbox, Ending.DONE, 0)
    step = half.send(None)
    for _ in range(3):  # its worker dies in the middle
        assert not isinstance(step, Await)
        step = half.send([desk.run(command) for command in step])
    desk.commit(delivery, *outbox)
    group = GroupFrame("g", b"all", typed=False, id="s1!c1.0.1")
    assert items(desk, "s1!") == [group, Frame("s1!c1", b"own"), Done("s1!c1", 0)]
    assert [type(item).__name__ for item in items(desk, "s2!")] == ["Frame", "GroupFrame", "State", "Credit"]
    shard = desk.shards.of_channel("numbers")
    assert desk.bodies(desk.session("numbers", demand=9, shard=shard), shard) == [b"all", b"n"]


def test_a_commit_across_shards_is_refused_once_it_is_lost(desk: RedisDesk) -> None:
    session, delivery = consumed(desk)
    desk.close(session)
    with pytest.raises(DeliveryLost):
        desk.commit(delivery, Send("s2!c9", b"no"))
    assert items(desk, "s2!") == []


def test_a_commit_that_is_lost_on_its_way_says_so(desk: RedisDesk) -> None:
    session, delivery = consumed(desk)
    steps = operations.commit(
        desk.commands, desk.leases[delivery.receipt], delivery, [Send("s2!c9", b"x")], Ending.DONE, 0
    )
    step = steps.send(None)
    for _ in range(2):  # it is held still; the effect for the other server goes out
        step = steps.send([desk.run(command) for command in step])  # type: ignore[union-attr]
    desk.close(session)
    results = [desk.run(command) for command in step]  # type: ignore[union-attr]
    with pytest.raises(DeliveryLost):
        steps.send(results)
    assert items(desk, "s2!") == [Frame("s2!c9", b"x")]


def test_a_full_channel_of_another_shard_makes_an_effect_a_dead_letter(desk: RedisDesk) -> None:
    _, delivery = consumed(desk)
    desk.commit(delivery, Send("small", b"1"), Send("small", b"2"))
    shard = desk.shards.of_channel("small")
    desk.later(2, shard=shard)
    (letter,) = desk.operate(overview.dead_letters(desk.commands, 10))
    assert (letter.body, letter.reason, letter.channel, letter.age) == (b"2", "full", "small", 0.0)
    assert desk.operate(overview.requeue_dead(desk.commands, [letter.id])) == 0
    desk.take(desk.session("small", shard=shard), shard)
    assert desk.operate(overview.requeue_dead(desk.commands, [letter.id, "unknown"])) == 1
    assert desk.operate(overview.drop_dead(desk.commands, [letter.id])) == 0


def test_an_effect_for_a_process_that_reads_a_queue_reaches_it(desk: RedisDesk) -> None:
    _, delivery = consumed(desk)
    view = desk.session("view!", demand=1, shard="view!")
    desk.commit(delivery, Send("view!1", b"x"), Send("gone!1", b"x"))
    assert desk.bodies(view, "view!") == [b"x"]


def test_the_effects_of_a_second_run_are_no_repeats(desk: RedisDesk) -> None:
    session, delivery = consumed(desk)
    desk.commit(delivery, Send("s2!c", b"1"), ending=Ending.LATER)
    desk.later(1, session)
    again = desk.take(session)
    assert again
    desk.commit(again, Send("s2!c", b"2"))
    assert items(desk, "s2!") == [Frame("s2!c", b"1"), Frame("s2!c", b"2")]


def test_effects_of_a_server_itself_find_it(desk: RedisDesk) -> None:
    consumed(desk)
    desk.publish(SaveState("s1!c1", {"k": b"v"}))
    desk.publish(Grant("s1!c1", 5))
    desk.publish(Grant("gone!c1", 5))
    assert [type(item).__name__ for item in items(desk, "s1!")] == ["State", "Credit"]


# --- answers ----------------------------------------------------------------------------------------------------------


def test_an_answer_from_inside_a_run(desk: RedisDesk) -> None:
    session, delivery = consumed(desk)
    lease = desk.leases[delivery.receipt]

    def answer(channel: str, timeout: float = 0) -> str:
        effect = Send(channel, b"x")
        return desk.begin(operations.answer(desk.commands, lease, delivery, effect, desk.token, timeout))

    assert answer("s1!c1") == ""
    assert answer("s2!c1") == ""
    desk.run(desk.commands.owner("s1!", "mark", "first", "s1!c1", "d"))
    with pytest.raises(ChannelGone):
        answer("s1!c1")
    desk.close(session)
    for channel in ("s1!c1", "s2!c1"):
        with pytest.raises(DeliveryLost):
            answer(channel)


def test_a_sender_that_waits_is_told_how_it_ended(desk: RedisDesk) -> None:
    desk.send("small", b"1")
    for said in (b"", b"at capacity"):
        with pytest.raises(Waiting) as waiting:
            desk.operate(operations.publish(desk.commands, Send("small", b"2"), desk.token, 5))
        if said:
            with pytest.raises(ChannelFull, match="at capacity"):
                desk.operate(waiting.value.steps, said)
        else:
            assert desk.operate(waiting.value.steps, said) is None


# --- groups and questions ---------------------------------------------------------------------------------------------


def test_a_member_whose_server_is_gone_is_no_member(desk: RedisDesk) -> None:
    desk.operate(operations.group_add(desk.commands, "g", "gone!c"))
    assert desk.operate(operations.group_channels(desk.commands, "g", desk.token)) == []


def test_a_process_that_reads_a_queue_is_a_member_by_itself(desk: RedisDesk) -> None:
    desk.session("view!", shard="view!")
    desk.operate(operations.group_add(desk.commands, "g", "view!c"))
    members = desk.run(desk.commands.group("read", "g"))[::2]
    assert members == [b"view!c"]
    desk.operate(operations.group_discard(desk.commands, "g", "view!c"))
    assert desk.run(desk.commands.group("read", "g")) == []


def test_members_are_asked_of_their_servers(desk: RedisDesk) -> None:
    consumed(desk)
    for channel in ("s1!c1", "numbers"):
        desk.operate(operations.group_add(desk.commands, "g", channel))
    (add,) = items(desk, "s1!")
    assert isinstance(add, Add)
    with pytest.raises(Waiting) as waiting:
        desk.operate(operations.group_channels(desk.commands, "g", desk.token))
    said = msgspec.msgpack.encode(["s1!c1"])
    assert desk.operate(waiting.value.steps, said) == ["numbers", "s1!c1"]
    desk.operate(operations.group_discard(desk.commands, "g", "s1!c1"))
    assert type(items(desk, "s1!")[-1]).__name__ == "Discard"


@pytest.mark.parametrize(("said", "state"), [(msgspec.msgpack.encode({"k": b"v"}), {"k": b"v"}), (b"", {})])
def test_a_state_is_asked_of_its_server(desk: RedisDesk, said: bytes, state: dict[str, bytes]) -> None:
    consumed(desk)
    with pytest.raises(Waiting) as waiting:
        desk.operate(operations.connection_state(desk.commands, "s1!c1", desk.token))
    assert desk.operate(waiting.value.steps, said) == state
    for channel in ("gone!c", "numbers"):
        assert desk.operate(operations.connection_state(desk.commands, channel, desk.token)) == {}

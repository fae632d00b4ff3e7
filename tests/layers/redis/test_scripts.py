"""How scripts are put together, and what each of them does to a shard, rule by rule.

What the broker's own tests say about queues is tried at random in test_scripts_beside_broker.py; here stands what only
the scripts have, and what is worth reading.
"""

from collections.abc import Iterator

import pytest

from fairway.broker.effects import (
    Abandoned,
    Add,
    Done,
    Ending,
    Frame,
    GroupFrame,
    GroupSend,
    OwnerGone,
    Policy,
    Refused,
    SaveState,
    Send,
    State,
)
from fairway.errors import ChannelFull, DeliveryLost, LayerUnavailable
from fairway.layers.redis import operations
from fairway.layers.redis.entries import items_of
from fairway.layers.redis.scripts import NAMES, scripts
from fairway.layers.redis.shards import Shards
from fairway.limits import ChannelRule
from tests.support.redis import RedisServer, call
from tests.support.redis_desk import SHARD, RedisDesk, redis_desk


@pytest.fixture
def desk(shared_redis: RedisServer) -> Iterator[RedisDesk]:
    rules = (("small", ChannelRule(capacity=1)), ("short", ChannelRule(expiry=5)), ("two", ChannelRule(attempts=2)))
    with redis_desk(shared_redis, *rules, ("q?*", ChannelRule(expiry=5))) as desk:
        yield desk


# --- assembly ---------------------------------------------------------------------------------------------------------


def test_every_script_is_whole() -> None:
    assert set(scripts()) == set(NAMES)
    for script in scripts().values():
        assert "--@" not in script.source
        assert script.source.count("local B, arg, call") == 1


def test_redis_knows_a_script_by_the_same_name(shared_redis: RedisServer) -> None:
    for script in scripts().values():
        assert shared_redis.call("SCRIPT", "LOAD", script.source).decode() == script.sha


def test_a_common_commit_needs_few_parts() -> None:
    """The closures of the parts below the first line cost as much as the commit itself."""
    text = scripts()["commit"].source
    assert text.index("if is_short and") < text.index("local function idle_reader") < text.index("local function bury")


# --- who gets a message -----------------------------------------------------------------------------------------------


def test_an_idle_thread_goes_before_a_window(desk: RedisDesk) -> None:
    window = desk.session("a", demand=2, reserve=2)
    idle = desk.session("a", demand=1)
    desk.send("a", b"1")
    desk.send("a", b"2")
    assert (desk.bodies(idle), desk.bodies(window)) == ([b"1"], [b"2"])


def test_of_busy_ones_the_one_that_holds_least_ahead_gets_it(desk: RedisDesk) -> None:
    wide = desk.session("a", demand=10, reserve=15)  # holds five ahead
    small = desk.session("a", demand=5, reserve=7)  # holds two
    desk.send("a")
    assert (len(desk.read(wide)), len(desk.read(small))) == (0, 1)


def test_idle_sessions_take_turns(desk: RedisDesk) -> None:
    sessions = [desk.session("a", demand=2) for _ in range(3)]
    for number in range(6):
        desk.send("a", b"%d" % number)
    assert [desk.bodies(session) for session in sessions] == [[b"0", b"3"], [b"1", b"4"], [b"2", b"5"]]


def test_a_busy_channel_does_not_starve_a_quiet_one(desk: RedisDesk) -> None:
    for body in (b"1", b"2", b"3"):
        desk.send("a", body)
    desk.send("b", b"quiet")
    assert desk.bodies(desk.session("a", "b", demand=3)) == [b"1", b"quiet", b"2"]


def test_a_paused_session_commits_what_it_holds_and_gets_no_more(desk: RedisDesk) -> None:
    session = desk.session("a", demand=2)
    desk.send("a", b"1")
    (delivery,) = desk.read(session)
    desk.run(desk.commands.end(SHARD, session, "pause"))
    desk.send("a", b"2")
    desk.commit(delivery, more=5)
    assert (desk.demand(session), desk.bodies(session)) == (b"ok", [b"1"])
    assert desk.demand("unknown") == b"gone"


def test_a_queue_that_is_empty_leaves_no_trace(desk: RedisDesk) -> None:
    session = desk.session("a", "q?1", demand=0)
    before = desk.keys()
    for channel in ("a", "q?1", "a"):
        desk.send(channel, b"")
    for _ in range(3):
        delivery = desk.take(session)
        assert delivery
        desk.commit(delivery)
    desk.close(session)
    desk.later(99)
    assert desk.keys() <= before | {"state"}


# --- room -------------------------------------------------------------------------------------------------------------


def test_capacity_is_exact_and_who_waits_goes_first(desk: RedisDesk) -> None:
    desk.send("small", b"1")
    with pytest.raises(ChannelFull, match="at capacity"):
        desk.send("small", b"refused")
    first, second = desk.send("small", b"2", timeout=5), desk.send("small", b"3", timeout=5)
    assert (desk.commands.shards.of_channel("small"), desk.due) == (SHARD, desk.now + 5)
    session = desk.session("small", demand=1)
    assert (desk.bodies(session), desk.settled()) == ([b"1"], {first: ""})
    desk.demand(session, 2)
    assert (desk.bodies(session), desk.settled()) == ([b"1", b"2", b"3"], {second: ""})


def test_a_sender_waits_no_longer_than_it_said(desk: RedisDesk) -> None:
    desk.send("small", b"1")
    late = desk.send("small", b"2", timeout=1, name="mine")
    patient = desk.send("small", b"3", timeout=9)
    desk.later(1)
    assert (desk.settled(), desk.due) == ({late: "at capacity"}, desk.now + 8)
    assert desk.run(desk.commands.withdraw("small", patient)) == 1
    assert desk.run(desk.commands.withdraw("small", patient)) == 0
    assert desk.send("small", b"4", timeout=1, name="mine")
    assert desk.held == 2


def test_memory_bounds_what_is_held_and_once_more_who_waits(shared_redis: RedisServer) -> None:
    with redis_desk(shared_redis, total=10) as desk:
        desk.send("a", bytes(10))
        with pytest.raises(ChannelFull, match="the broker is full"):
            desk.send("b", b"x")
        waits = desk.send("b", bytes(10), timeout=5)
        with pytest.raises(ChannelFull):
            desk.send("b", b"x", timeout=5)
        session = desk.session("a", demand=1)
        desk.commit(desk.read(session)[0])
        assert (desk.settled(), desk.held) == ({waits: ""}, 10)


def test_an_effect_without_room_waits_a_little_and_is_buried_alone(desk: RedisDesk) -> None:
    session = desk.session("a", demand=1)
    desk.send("a")
    outbox = [Send("small", b"1"), Send("small", b"2"), Send("small", b"3"), Send("b", b"4")]
    desk.commit(desk.read(session)[0], *outbox)
    reader = desk.session("small", demand=1)
    desk.later(2)
    assert (desk.mislaid(), desk.bodies(reader)) == (["full"], [b"1"])
    desk.demand(reader, 2)
    assert (desk.bodies(reader), desk.held) == ([b"1", b"2"], 3)


def test_a_group_copy_without_room_is_dropped_and_counted(desk: RedisDesk) -> None:
    desk.operate(operations.group_add(desk.commands, "g", "small"))
    for _ in range(3):
        desk.publish(GroupSend("g", b"x"))
    assert (desk.statistics()[9], desk.held) == (2, 1)


# --- expiry -----------------------------------------------------------------------------------------------------------


def test_what_nobody_has_begun_in_time_is_dropped(desk: RedisDesk) -> None:
    owner = desk.owner()
    desk.submit(owner, "short", 0)
    desk.now += 3
    desk.submit(owner, "short", 1)
    desk.later(2)
    assert desk.drain(owner) == [Abandoned("s1!c1", 0, "expired", 1)]
    assert desk.due == desk.now + 3
    assert len(desk.read(desk.session("short", demand=5))) == 1


def test_a_late_reader_gets_nothing_that_is_late(desk: RedisDesk) -> None:
    desk.send("short")
    desk.now += 6
    assert desk.read(desk.session("short", demand=1)) == []
    assert (desk.statistics()[10], desk.held) == (1, 0)


def test_a_released_message_keeps_its_time_and_a_lost_one_has_none(desk: RedisDesk) -> None:
    for body in (b"released", b"lost"):
        desk.send("short", body)
    session = desk.session("short", demand=2)
    desk.release(desk.read(session)[0])
    desk.close(session)
    desk.later(5, session)
    again = desk.read(desk.session("short", demand=2))
    assert [(one.body, one.envelope.attempt) for one in again] == [(b"lost", 2)]


def test_a_stream_expires_as_a_whole_and_never_while_it_is_read(desk: RedisDesk) -> None:
    desk.send("q?1", b"1")
    desk.now += 4
    desk.send("q?1", b"2")
    reader = desk.session("q?1")
    desk.later(2, reader)
    assert (desk.due, desk.held) == (desk.now + 1, 2)
    desk.close(reader)
    desk.later(1)
    assert (desk.held, desk.due, desk.statistics()[10]) == (0, None, 2)


def test_many_that_expire_do_so_in_portions(desk: RedisDesk) -> None:
    for _ in range(450):
        desk.send("short")
    waits = []
    desk.later(5)
    while desk.due is not None:
        waits.append(desk.held)
        desk.later(desk.due - desk.now)
    assert (waits, desk.held) == ([250, 50], 0)


# --- the end of a session ---------------------------------------------------------------------------------------------


def test_a_dead_session_gives_back_to_the_front(desk: RedisDesk) -> None:
    dead, other = desk.session("two", demand=2), desk.session("two")
    for body in (b"1", b"2", b"3"):
        desk.send("two", body)
    desk.later(6, other)
    desk.later(6, other)
    assert desk.tick(dead, other) == ([dead.encode()], [])
    desk.demand(other, 3)
    assert [(one.body, one.envelope.attempt) for one in desk.read(other)] == [(b"1", 2), (b"2", 2), (b"3", 1)]


def test_attempts_used_up_make_a_dead_letter_and_open_the_gate(desk: RedisDesk) -> None:
    owner = desk.owner()
    desk.submit(owner, "two")
    for _ in range(2):
        session = desk.session("two", demand=1)
        desk.close(session)
    assert desk.drain(owner) == [Abandoned("s1!c1", 0, "attempts", 2)]
    assert (desk.mislaid(), desk.held) == (["attempts"], 0)


def test_what_may_run_once_is_lost_with_its_session(desk: RedisDesk) -> None:
    owner = desk.owner()
    desk.submit(owner, order=0, policy=Policy.ONCE)
    desk.submit(owner, order=1)
    session = desk.session("w", demand=2)
    begun = desk.read(session)[1]
    desk.run(desk.commands.answer(Send("s1!c1", b"!"), desk.leases[begun.receipt], begins=True))
    desk.close(session)
    assert desk.drain(owner) == [
        Frame("s1!c1", b"!"),
        Abandoned("s1!c1", 0, "lost", 1),
        Abandoned("s1!c1", 1, "lost", 1),
    ]
    assert desk.held == 0


@pytest.mark.parametrize("ending", [None, Ending.LATER])
def test_a_begun_answer_is_remembered_when_its_delivery_comes_back(desk: RedisDesk, ending: Ending | None) -> None:
    owner = desk.owner()
    desk.submit(owner)
    session = desk.session("w", demand=1)
    (delivery,) = desk.read(session)
    desk.run(desk.commands.answer(Send("s1!c1", b"!"), desk.leases[delivery.receipt], begins=True))
    if ending is None:
        desk.release(delivery)
    else:
        desk.commit(delivery, ending=ending)
        desk.later(1, session)
    desk.demand(session)
    assert desk.read(session)[-1].envelope.policy is Policy.ONCE


def test_a_process_that_dies_takes_its_queue_along(desk: RedisDesk) -> None:
    owner = desk.owner()
    session = desk.session("view!", demand=1)
    desk.submit(owner, "view!1", 0)
    desk.submit(owner, "view!1", 1)
    assert desk.close(session) == [b"view!"]
    desk.submit(owner, "view!1", 2)
    assert desk.drain(owner) == [
        Abandoned("s1!c1", 0, "lost", 2),
        Abandoned("s1!c1", 1, "lost", 1),
        OwnerGone("view!"),
        Refused("s1!c1", 2, "view!1", "gone"),
    ]
    assert (desk.mislaid(), desk.held) == (["lost", "lost"], 0)


# --- commits ----------------------------------------------------------------------------------------------------------


def test_a_commit_is_one_entry(desk: RedisDesk) -> None:
    owner = desk.owner()
    desk.submit(owner, order=3)
    session = desk.session("w", demand=1)
    desk.drain(owner)
    outbox = [Send("s1!c1", b"1"), SaveState("s1!c1", {"k": None}), Send("s1web!c", b"2")]
    desk.commit(desk.read(session)[0], *outbox)
    assert len(call(desk.client, "XRANGE", desk.key("in"), "-", "+")) == 1
    assert desk.drain(owner) == [
        Frame("s1!c1", b"1"),
        State("s1!c1", {"k": None}),
        Frame("s1web!c", b"2"),
        Done("s1!c1", 3),
    ]


def test_an_outbox_of_thousands_stays_in_order(desk: RedisDesk) -> None:
    owner = desk.owner()
    desk.submit(owner)
    session = desk.session("w", demand=1)
    frames = [Frame("s1!c1", b"%d" % number) for number in range(2_500)]
    desk.commit(desk.read(session)[0], *(Send(frame.channel, frame.body) for frame in frames))
    assert desk.drain(owner) == [*frames, Done("s1!c1", 0)]


def test_a_commit_of_a_lost_delivery_does_nothing(desk: RedisDesk) -> None:
    session = desk.session("a", demand=1)
    desk.send("a")
    (delivery,) = desk.read(session)
    desk.close(session)
    for ending in Ending:
        with pytest.raises(DeliveryLost):
            desk.commit(delivery, Send("b", b"stolen"), ending=ending)
    assert desk.held == 1


def test_later_pauses_longer_each_time_and_keeps_what_was_saved(shared_redis: RedisServer) -> None:
    with redis_desk(shared_redis, requeues=2, requeue_pause=1.0) as desk:
        owner = desk.owner()
        desk.submit(owner, state={"a": b"1"})
        session, pauses = desk.session("w"), []
        for _ in range(3):
            delivery = desk.take(session)
            assert delivery
            desk.commit(delivery, SaveState("s1!c1", {"b": b"2", "a": None}), ending=Ending.LATER)
            if desk.due is not None:
                pauses.append(desk.due - desk.now)
                desk.later(pauses[-1], session)
        assert pauses == [1, 2]
        assert delivery.envelope.state == {"b": b"2"}
        assert (desk.mislaid(), desk.held) == (["retries"], 0)
        assert desk.drain(owner)[-1] == Abandoned("s1!c1", 0, "retries", 1)


def test_a_process_sends_to_itself(desk: RedisDesk) -> None:
    """What a queue's reader sends below its own prefix is for a queue, not for a connection."""
    session = desk.session("view!", demand=2)
    desk.send("view!1", b"1")
    desk.commit(desk.read(session)[0], Send("view!2", b"2"))
    assert desk.bodies(session) == [b"1", b"2"]


# --- repeats ----------------------------------------------------------------------------------------------------------


def test_ids_are_remembered_in_two_generations(shared_redis: RedisServer) -> None:
    with redis_desk(shared_redis, repeat_memory=10, repeat_count=3) as desk:
        for name in ("1", "2", "3", "1", "4", "1"):
            desk.send("a", name=name)
        assert desk.statistics()[8] == 2
        desk.now += 10
        desk.send("a", name="4")
        assert desk.statistics()[8] == 3
        desk.now += 20
        desk.send("a", name="4")
        assert (desk.statistics()[8], desk.held) == (3, 5)


def test_a_message_that_was_refused_is_no_repeat(desk: RedisDesk) -> None:
    desk.send("small", b"1")
    with pytest.raises(ChannelFull):
        desk.send("small", b"2", name="mine")
    desk.take(desk.session("small"))
    desk.send("small", b"2", name="mine")
    assert desk.statistics()[8] == 0


# --- owners -----------------------------------------------------------------------------------------------------------


def test_an_owner_that_owns_again_finds_what_it_has_not_read(desk: RedisDesk) -> None:
    """Twice, if need be: it may not have heard that it came through."""
    owner = desk.owner(incarnation="me.1")
    desk.submit(owner)
    desk.commit(desk.read(desk.session("w", demand=1))[0], Send("s1!c1", b"answer"))
    for incarnation in ("me.2", "me.3"):
        desk.owner(incarnation=incarnation)
        assert desk.items() == [Frame("s1!c1", b"answer"), Done("s1!c1", 0)]
    desk.owner(incarnation="another.1")
    assert desk.items() == []


def test_what_ends_after_its_owner_owns_again_is_not_taken_once_more(desk: RedisDesk) -> None:
    """What the owner sends again may cross its end on the way."""
    session = desk.session("w", demand=2)
    owner = desk.owner(incarnation="me.1")
    desk.submit(owner, order=0)
    (delivery,) = desk.read(session)
    owner = desk.owner(incarnation="me.2")
    desk.commit(delivery)
    desk.submit(owner, order=0, attempt=2)
    desk.submit(owner, order=1, attempt=2)  # of this Redis has not heard before
    assert [(one.envelope.order, one.envelope.attempt) for one in desk.read(session)] == [(0, 1), (1, 2)]


def test_another_incarnation_takes_over(desk: RedisDesk) -> None:
    old = desk.owner()
    desk.submit(old, order=0)
    new = desk.owner()
    for verb in ("sign", "mark", "ack", "answer", "will", "resign"):
        assert desk.as_owner(old, verb, 1, 2, 3, 4) == b"gone"
    assert desk.submit(old, order=1) == b"gone"
    desk.submit(new, order=0, attempt=2)
    assert (desk.statistics()[8], desk.held) == (1, 1)


def test_an_owner_that_dies_is_noticed_and_its_connections_end_in_order(desk: RedisDesk) -> None:
    owner = desk.owner("s1!", "s1web!")
    session = desk.session("w", "websocket.disconnect", demand=5)
    for reply in ("s1!c1", "s1!c2"):
        desk.as_owner(owner, "will", reply, b"\x81\xa5order", -1, b"")
    desk.submit(owner, order=4, will="n", state={"k": b"v"})
    desk.send("s1!c1")
    desk.as_owner(owner, "mark", "s1!c1", "c")
    waits = desk.send("s1!c1", timeout=20)
    desk.later(6, session)
    unknown, prefixes = desk.later(6, session)
    assert (unknown, sorted(prefixes)) == ([], [b"s1!", b"s1web!"])
    assert desk.settled() == {waits: ""}
    busy, quiet = desk.read(session)
    assert (quiet.body, quiet.envelope.id, quiet.envelope.order) == (b"\x81\xa5order\x00", "s1!c2.0", 0)
    desk.commit(busy)
    last = desk.read(session)[-1]
    assert (last.body, last.envelope.order, last.envelope.state) == (b"\x81\xa5order\x05", 5, {"k": b"v"})


def test_thousands_of_wills_are_carried_out_in_portions(desk: RedisDesk) -> None:
    owner = desk.owner()
    for number in range(1_000):
        desk.as_owner(owner, "will", f"s1!c{number}", b"w", 0, b"")
    seen = []
    desk.later(10)
    while desk.due is not None:
        seen.append(desk.held)
        desk.later(desk.due - desk.now)
    assert seen == sorted(seen)
    assert len(seen) > 1
    assert desk.held == 2_000


def test_wills_are_bounded(shared_redis: RedisServer) -> None:
    with redis_desk(shared_redis, wills=1) as desk:
        owner = desk.owner()
        for reply in ("s1!1", "s1!2", "s1!1"):
            desk.as_owner(owner, "will", reply, b"w", 0, b"")
        assert call(desk.client, "HKEYS", desk.key("wills")) == [b"s1!1"]
        desk.as_owner(owner, "will", "s1!1", b"", 0, b"")
        assert not desk.keys() & {"wills", "orders"}


def test_a_slow_or_departed_connection_is_told_to_senders(desk: RedisDesk) -> None:
    owner = desk.owner()
    desk.submit(owner)
    session = desk.session("w", demand=1)
    lease = desk.leases[desk.read(session)[0].receipt]
    desk.as_owner(owner, "mark", "s1!c1", "c")
    with pytest.raises(ChannelFull, match="reads slowly"):
        desk.send("s1!c1")
    waits = desk.send("s1!c1", b"later", timeout=5)
    desk.as_owner(owner, "mark", "s1!c1", "d")
    answer = desk.commands.answer(Send("s1!c1", b"no"), lease, begins=False)
    assert (desk.settled(), desk.run(answer)) == ({waits: ""}, b"gone")
    desk.as_owner(owner, "mark", "s1!c1", "")
    assert desk.run(answer) == b"ok"
    assert desk.drain(owner) == [Frame("s1!c1", b"later"), Frame("s1!c1", b"no")]


def test_an_inbox_is_bounded_and_read_on(shared_redis: RedisServer) -> None:
    with redis_desk(shared_redis, inbox=10) as desk:
        owner = desk.owner()
        desk.operate(operations.group_add(desk.commands, "g", "s1!c1"))
        desk.send("s1!c1", bytes(10))
        desk.publish(GroupSend("g", b"dropped"))
        with pytest.raises(LayerUnavailable, match="more unread than its bound"):
            desk.operate(operations.group_add(desk.commands, "g", "s1!c2"))
        waits = desk.send("s1!c1", b"waits", timeout=5)
        assert desk.statistics()[9] == 1
        assert [type(item) for item in desk.drain(owner)] == [Add, Frame]
        assert (desk.settled(), desk.drain(owner)) == ({waits: ""}, [Frame("s1!c1", b"waits")])
        assert call(desk.client, "XLEN", desk.key("in")) == 0


def test_an_owner_hears_who_reads_when_that_changes(desk: RedisDesk) -> None:
    def heard() -> list[list[str]]:
        entries = call(desk.client, "XRANGE", desk.key("in"), "-", "+")
        call(desk.client, "XTRIM", desk.key("in"), "MAXLEN", 0)
        return [item.channels for _, fields in entries for item in items_of(fields)]

    desk.owner()
    first = desk.session("a", "q?1")
    second = desk.session("a", "b")
    assert heard() == [[], ["a"], ["a", "b"]]
    desk.close(desk.session("q?2"))
    desk.run(desk.commands.end(SHARD, first, "pause"))
    desk.close(first)
    assert heard() == []
    desk.run(desk.commands.end(SHARD, second, "pause"))
    desk.close(second)
    assert heard() == [[]]


def test_questions_are_answered_once_or_with_nothing(desk: RedisDesk) -> None:
    owner = desk.owner()
    for token in ("me/1", "me/2"):
        assert desk.run(desk.commands.ask(SHARD, token, "state", "s1!c1")) == b"ok"
    assert [item.token for item in desk.drain(owner)] == ["me/1", "me/2"]
    for answer in (b"yes", b"twice"):
        desk.as_owner(owner, "answer", "me/1", answer)
    assert desk.settled() == {"me/1": "yes"}
    desk.as_owner(owner, "resign")
    assert desk.settled() == {"me/2": ""}
    assert desk.run(desk.commands.ask(SHARD, "me/3", "state", "s1!c1")) == b"gone"


def test_a_second_prefix_says_where_its_owner_is(shared_redis: RedisServer) -> None:
    with redis_desk(shared_redis, shards=Shards("t")) as desk:
        owner = desk.owner("s1!", "s1web!")
        call(desk.client, "SET", desk.key("alias", "s1web!"), "s1!")
        desk.send("s1web!c", b"1")
        desk.operate(operations.group_add(desk.commands, "g", "s1web!c"))
        assert desk.shards.of_channel("s1web!x") == "s1!"
        frame, add = desk.drain(owner)
        assert (frame, add.channel) == (Frame("s1web!c", b"1"), "s1web!c")


# --- groups -----------------------------------------------------------------------------------------------------------


def test_a_leave_that_crosses_an_add_removes_nothing(desk: RedisDesk) -> None:
    first = desk.run(desk.commands.group("add", "g", SHARD))
    second = desk.run(desk.commands.group("add", "g", SHARD))
    assert second > first
    assert desk.run(desk.commands.group("remove", "g", SHARD, str(first))) == 0
    assert desk.run(desk.commands.group("read", "g")) == [b"s1!", str(second).encode()]
    assert desk.run(desk.commands.group("remove", "g", SHARD, str(second))) == 1
    assert desk.keys() == {"generation"}


def test_a_process_that_is_gone_is_in_no_group(desk: RedisDesk) -> None:
    for group, member in (("g", "view!1"), ("h", "view!2"), ("g", "a")):
        desk.run(desk.commands.group("add", group, member))
    desk.run(desk.commands.call(SHARD, "groups", "forget", "view!"))
    assert desk.run(desk.commands.group("read", "g"))[::2] == [b"a"]
    assert desk.run(desk.commands.group("read", "h")) == []


def test_a_group_send_reaches_a_server_once_and_clears_the_dead_away(shared_redis: RedisServer) -> None:
    with redis_desk(shared_redis, shards=Shards("t")) as desk:
        owner = desk.owner("s1!")
        for channel in ("s1!c1", "s1!c2"):
            desk.operate(operations.group_add(desk.commands, "g", channel))
        desk.run(desk.commands.group("add", "g", "s9!"))
        desk.publish(GroupSend("g", b"x", id="one"))
        desk.publish(GroupSend("g", b"x", id="one"))
        items = [item for item in desk.drain(owner) if not isinstance(item, Add)]
        assert items == [GroupFrame("g", b"x", typed=False, id="one")]
        assert desk.run(desk.commands.group("read", "g"))[::2] == [b"s1!"]


# --- operators --------------------------------------------------------------------------------------------------------


def test_dead_letters_are_bounded_requeued_and_dropped(shared_redis: RedisServer) -> None:
    with redis_desk(shared_redis, ("a", ChannelRule(attempts=1, capacity=1)), dead_letters=3) as desk:
        for number in range(4):
            session = desk.session("a", demand=1)
            desk.send("a", b"%d" % number, name=f"n{number}")
            desk.close(session)
        dead = [body for _, _, _, body in desk.run(desk.commands.operator(SHARD, "dead", 2))]
        assert dead == [b"2", b"3"]
        assert desk.run(desk.commands.operator(SHARD, "dead", 0)) == []
        assert desk.run(desk.commands.operator(SHARD, "requeue", 1, "n3", "n1", "n0")) == 1
        assert desk.run(desk.commands.operator(SHARD, "drop", "n2", "n0")) == 1
        delivery = desk.take(desk.session("a"))
        assert delivery
        assert (delivery.body, delivery.envelope.attempt, delivery.envelope.order) == (b"1", 1, -1)
        assert desk.statistics()[5] == 1


def test_a_flush_drops_everything_and_lets_everybody_go(desk: RedisDesk) -> None:
    owner = desk.owner()
    desk.submit(owner)
    session = desk.session("w", demand=1)
    (delivery,) = desk.read(session)
    desk.send("small", name="one")
    waits = desk.send("small", timeout=5)
    desk.run(desk.commands.ask(SHARD, "me/99", "state", "s1!c1"))
    desk.run(desk.commands.group("add", "g", "a"))
    desk.run(desk.commands.operator(SHARD, "flush"))
    assert desk.settled() == {waits: "", "me/99": ""}
    with pytest.raises(DeliveryLost):
        desk.commit(delivery)
    assert (desk.held, desk.due, desk.drain(owner)) == (0, None, [])
    desk.send("small", name="one")
    assert (desk.statistics()[8], desk.held) == (0, 1)


def test_a_shard_is_erased_when_nothing_lives_in_it(desk: RedisDesk) -> None:
    owner = desk.owner()
    session = desk.session("w")
    erase = desk.commands.operator(SHARD, "erase")
    assert desk.run(erase) == 0
    desk.as_owner(owner, "resign")
    assert desk.run(erase) == 0
    desk.close(session)
    assert desk.run(erase) == 1
    assert desk.keys() == set()


def test_servers_register_with_the_root(desk: RedisDesk) -> None:
    for shard in ("s1!", "s2!"):
        desk.run(desk.commands.operator("#0", "register", shard))
    assert desk.run(desk.commands.all_shards()) == [b"s1!", b"s2!"]
    assert desk.run(desk.commands.operator("#0", "unregister", "s1!")) == 1
    news = call(desk.client, "XRANGE", desk.key("news", "#0"), "-", "+")
    assert [fields for _, fields in news] == [[b"shard", b"s1!"], [b"shard", b"s2!"]]


def test_a_recall_takes_what_stands_behind_along(desk: RedisDesk) -> None:
    """It comes back behind what is released, and the session takes as much instead: nothing overtakes anything."""
    session = desk.session("w", demand=3)
    for body in (b"1", b"2", b"3"):
        desk.send("w", body)
    leases = [desk.leases[delivery.receipt] for delivery in desk.read(session)]
    first, *behind = (lease.entry for lease in leases)
    recall = desk.commands.recall(leases[0].shard, session, first, [first])
    assert desk.run(recall) == [entry.encode() for entry in behind]
    assert desk.bodies(session)[3:] == [b"1", b"2"]
    assert desk.run(desk.commands.recall(leases[0].shard, "unknown", first, [first])) == []

import pytest

from fairway.broker.effects import Abandoned, Ending, GroupSend, OwnerGone, Policy, Send
from fairway.broker.inbox import Mark
from fairway.errors import ChannelFull, DeliveryLost, InvalidName
from fairway.limits import ChannelRule
from tests.support.brokers import Desk


def test_a_channel_that_cannot_be_read_opens_no_session():
    desk = Desk()
    with pytest.raises(InvalidName):
        desk.session("good", "bad!1")
    assert len(desk.broker.sessions) == 0
    assert desk.post.boxes() == {}


def test_handed_out_on_demand_only_and_each_to_one():
    desk = Desk()
    one, two = desk.session("a", "a", demand=2), desk.session("a")
    for body in (b"1", b"2", b"3"):
        desk.send("a", body)
    assert (desk.bodies(one), desk.bodies(two)) == ([b"1", b"2"], [])
    desk.demand(two, 5)
    assert desk.bodies(two) == [b"3"]
    assert desk.broker.sessions[two].demand == 4


def test_demand_taken_back_twice_is_not_owed():
    """A client that withdraws its demand while a delivery is on its way must not wait for the next one in vain."""
    desk = Desk()
    session = desk.session("a", demand=1)
    desk.send("a", b"1")
    desk.demand(session, -1)
    desk.demand(session, 1)
    desk.send("a", b"2")
    assert desk.bodies(session) == [b"1", b"2"]
    desk.demand(99, 1)


def test_idle_sessions_take_turns():
    desk = Desk()
    sessions = [desk.session("a", demand=2) for _ in range(3)]
    for value in range(6):
        desk.send("a", bytes([value]))
    assert [desk.bodies(session) for session in sessions] == [[b"\0", b"\3"], [b"\1", b"\4"], [b"\2", b"\5"]]


def test_release_keeps_the_attempt_and_the_place():
    desk = Desk()
    session = desk.session("a")
    for body in (b"1", b"2"):
        desk.send("a", body)
    first = desk.take(session)
    desk.do(desk.broker.release, session, first.receipt)
    desk.do(desk.broker.release, session, first.receipt)
    desk.do(desk.broker.release, 99, first.receipt)
    again = [desk.take(session) for _ in range(2)]
    assert [(one.body, one.envelope.attempt) for one in again] == [(b"1", 1), (b"2", 1)]
    assert first.receipt not in {one.receipt for one in again}


def test_what_a_dead_session_held_comes_first_and_in_order():
    desk = Desk()
    dead, other = desk.session("a", demand=3), desk.session("a")
    for value in range(4):
        desk.send("a", bytes([value]))
    desk.demand(other, 2)
    idle = desk.session("a", demand=2)
    desk.do(desk.broker.close_session, dead, 0)
    desk.do(desk.broker.close_session, dead, 0)
    assert (desk.bodies(other), desk.bodies(idle)) in [
        ([b"\3", b"\0"], [b"\1", b"\2"]),
        ([b"\3", b"\1"], [b"\0", b"\2"]),
    ]
    assert {one.envelope.attempt for one in desk.delivered[idle]} == {2}
    assert [one.envelope.attempt for one in desk.delivered[dead]] == [1, 1, 1]


def test_a_dead_session_commits_nothing():
    desk = Desk()
    owner, dead = desk.owner(), desk.session("a", demand=1)
    desk.send("a")
    [delivery] = desk.delivered[dead]
    desk.do(desk.broker.close_session, dead, 0)
    desk.taken()
    with pytest.raises(DeliveryLost):
        desk.commit(dead, delivery, Send("s1!a", b"x"), Send("b", b"x"), GroupSend("g", b"x"), ending=Ending.LATER)
    assert desk.taken() == []
    assert desk.drain(owner) == []
    assert desk.post.held == 1
    assert desk.broker.committed == 0


@pytest.mark.parametrize(
    ("policy", "reason", "attempts", "dead"),
    [(Policy.AGAIN, "attempts", 2, 1), (Policy.ONCE, "lost", 1, 0)],
)
def test_what_may_not_run_again_is_told_to_its_connection(policy, reason, attempts, dead):
    desk = Desk(("w", ChannelRule(attempts=2)))
    owner = desk.owner()
    desk.submit(owner, order=7, policy=policy)
    for _ in range(attempts):
        desk.do(desk.broker.close_session, desk.session("w", demand=1), 0)
    assert desk.mislaid() == [reason]
    assert desk.drain(owner) == [Abandoned("s1!c1", 7, reason, attempts)]
    assert (len(desk.post.dead), desk.post.held, desk.post.boxes()) == (dead, 0, {})


def test_a_paused_session_commits_and_gets_nothing():
    desk = Desk()
    session = desk.session("a", demand=2)
    desk.send("a", b"1")
    desk.do(desk.broker.pause, session)
    desk.do(desk.broker.pause, 99)
    desk.send("a", b"2")
    desk.demand(session, 3)
    assert desk.bodies(session) == [b"1"]
    desk.commit(session, desk.delivered[session][0])
    assert desk.post.held == 1


def test_a_process_that_is_gone_leaves_nothing_of_its_channels():
    desk = Desk(("view!", ChannelRule(capacity=1)))
    owner = desk.owner()
    session, twin = desk.session("view!", demand=1), desk.session("view!")
    desk.do(desk.owners.add, "g", "view!9")
    desk.submit(owner, "view!1", order=0)
    desk.submit(owner, "view!1", order=1)
    waiting = desk.send("view!2", deadline=9)
    desk.do(desk.broker.close_session, twin, 0)
    assert desk.drain(owner) == []
    desk.taken()
    desk.do(desk.broker.close_session, session, 0)
    assert desk.drain(owner) == [
        Abandoned("s1!c1", 0, "lost", 2),
        Abandoned("s1!c1", 1, "lost", 1),
        OwnerGone("view!"),
    ]
    assert desk.settled() == {waiting: ""}
    assert desk.send("view!2", deadline=9) == 0
    assert desk.send("view!") == 0
    assert (desk.post.held, desk.post.crowd, desk.post.boxes(), len(desk.owners.directory)) == (0, 0, {}, 0)


def test_expired_before_it_was_begun_and_never_afterwards():
    desk = Desk(("w", ChannelRule(expiry=5)))
    owner = desk.owner()
    for order in (0, 1):
        desk.submit(owner, order=order)
    session = desk.session("w")
    first = desk.take(session, now=4.9)
    assert desk.take(session, now=5.0) is None
    assert desk.drain(owner) == [Abandoned("s1!c1", 1, "expired", 1)]
    desk.do(desk.broker.close_session, session, 0)
    desk.tick(99)
    again = desk.take(desk.session("w"), now=99)
    assert (again.body, again.envelope.attempt) == (first.body, 2)


def test_a_released_message_still_expires():
    desk = Desk(("w", ChannelRule(expiry=5)))
    owner, session = desk.owner(), desk.session("w")
    desk.submit(owner)
    delivery = desk.take(session)
    desk.do(desk.broker.release, session, delivery.receipt)
    desk.tick(desk.broker.due)
    assert desk.drain(owner) == [Abandoned("s1!c1", 0, "expired", 1)]
    assert (desk.post.held, desk.post.expired) == (0, 1)


def test_memory_that_comes_free_is_given_to_those_who_wait():
    """Wherever it was held, and also at a channel that has room and a reader."""
    for free in ("commit", "drain", "close", "withdraw"):
        desk = Desk(total=10)
        owner, session = desk.owner(), desk.session("a", "b")
        if free in {"commit", "withdraw"}:
            desk.send("a", bytes(10))
            delivery = desk.take(session)
        else:
            desk.send("s1!a", bytes(10))
        with pytest.raises(ChannelFull, match="the broker is full"):
            desk.send("b", b"no")
        with pytest.raises(ChannelFull, match="the broker is full"):
            desk.send("s1!b", b"no")
        desk.demand(session, 1)
        tokens = [desk.send("b", b"1", deadline=9), desk.send("s1!b", b"2", deadline=9)]
        assert 0 not in tokens
        desk.taken()
        if free == "commit":
            desk.commit(session, delivery)
        elif free == "drain":
            desk.drain(owner)
        elif free == "close":
            desk.do(desk.owners.close, owner)
        else:
            assert desk.do(desk.broker.withdraw, "b", tokens[0])
            desk.commit(session, delivery)
        settled = desk.settled()
        assert settled == dict.fromkeys(tokens[free == "withdraw" :], ""), free
        assert (b"1" in desk.bodies(session)) == (free != "withdraw")
        assert desk.post.crowd == 0
        assert not desk.post.starved


def test_a_crowd_is_bounded_too():
    desk = Desk(("a", ChannelRule(capacity=0)), total=10)
    owner = desk.owner()
    desk.do(desk.owners.mark, owner, "s1!a", Mark.CONGESTED)
    assert desk.send("a", bytes(10), deadline=5)
    for channel in ("a", "s1!a"):
        with pytest.raises(ChannelFull):
            desk.send(channel, b"x", deadline=5)
    assert desk.post.held == desk.post.crowd == 10
    assert desk.taken() == []

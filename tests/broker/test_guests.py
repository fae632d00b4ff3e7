"""Deliveries of the upstream: leased to the session they were fetched for, and ended where they came from."""

import pytest

from fairway.broker.effects import Ending, GroupSend, Policy, Send
from fairway.broker.outward import (
    Answering,
    Committed,
    Forward,
    GivenBack,
    Hungry,
    SessionCame,
    SessionLeft,
    SessionPaused,
)
from fairway.errors import ChannelGone, DeliveryLost, LayerUnavailable
from tests.support.brokers import JoinedDesk


def test_sessions_come_and_go():
    desk = JoinedDesk()
    session = desk.session("w", "w", "v")
    desk.do(desk.broker.pause, session)
    for _ in range(2):
        desk.do(desk.broker.close_session, session, 0)
    assert desk.outward() == [SessionCame(session, ("w", "v")), SessionPaused(session), SessionLeft(session)]


def test_a_session_is_hungry_once_a_thread_is_idle():
    desk = JoinedDesk()
    session = desk.do(desk.broker.open_session, ["w"], 2)
    desk.demand(session, 2)
    assert not desk.broker.wants_more(session)
    desk.outward()
    desk.demand(session)
    assert desk.outward() == [Hungry(session)]
    assert desk.broker.wants_more(session)
    desk.demand(session)
    assert desk.outward() == []
    desk.do(desk.broker.pause, session)
    assert not desk.broker.wants_more(session)
    assert not desk.broker.wants_more(999)


def test_a_delivery_is_leased_only_to_who_would_take_one():
    desk = JoinedDesk()
    session = desk.session("w", demand=1)
    theirs, ours = desk.fetched(session)
    assert (ours.envelope, ours.body) == (theirs.envelope, theirs.body)
    assert (desk.post.held, desk.broker.guest_bytes, desk.broker.delivered) == (4, 4, 1)
    assert not desk.do(desk.broker.lodge, session, theirs)
    desk.demand(session)
    desk.do(desk.broker.pause, session)
    assert not desk.do(desk.broker.lodge, session, theirs)
    assert not desk.do(desk.broker.lodge, 999, theirs)


def test_its_commit_goes_to_the_upstream_as_a_whole():
    desk = JoinedDesk()
    owner = desk.owner()
    session = desk.session("w", demand=1)
    theirs, ours = desk.fetched(session, reply_channel="s1!c1", order=3)
    desk.outward()
    outbox = [Send("s1!c1", b"1"), GroupSend("g", b"2"), Send("w", b"3")]
    desk.do(desk.broker.commit, session, ours.receipt, outbox, Ending.LATER, 0, 1)
    assert desk.outward() == [Committed(session, theirs, outbox, Ending.LATER)]
    assert desk.drain(owner) == []
    assert (desk.post.held, desk.broker.guest_bytes, desk.broker.committed) == (0, 0, 1)
    assert desk.broker.wants_more(session)
    with pytest.raises(DeliveryLost):
        desk.commit(session, ours)


def test_nobody_else_can_commit_or_give_it_back():
    desk = JoinedDesk()
    session, other = desk.session("w", demand=1), desk.session("w")
    theirs, ours = desk.fetched(session)
    desk.outward()
    with pytest.raises(DeliveryLost):
        desk.commit(other, ours)
    desk.do(desk.broker.release, other, ours.receipt)
    assert desk.outward() == []
    desk.commit(session, ours)
    assert desk.outward() == [Committed(session, theirs, [], Ending.DONE)]


def test_what_was_not_begun_goes_back_so_that_it_keeps_its_order():
    desk = JoinedDesk()
    session = desk.session("w", demand=3)
    (first, one), (second, two) = desk.fetched(session), desk.fetched(session)
    desk.send("w", b"own")
    own = desk.delivered[session][-1]
    desk.outward()
    desk.do(desk.broker.release, session, one.receipt, two.receipt, own.receipt)
    assert desk.outward() == [GivenBack(session, second), GivenBack(session, first)]
    assert [letter[1] for letter in desk.post.box("w").letters] == [b"own"]


def test_a_session_that_ends_leaves_what_it_held_of_the_upstream_to_that():
    desk = JoinedDesk()
    session = desk.session("w", demand=2)
    desk.fetched(session, policy=Policy.ONCE)
    desk.send("w", b"own")
    desk.outward()
    desk.do(desk.broker.close_session, session, 0)
    assert desk.outward() == [SessionLeft(session)]
    assert [letter[1] for letter in desk.post.box("w").letters] == [b"own"]
    assert desk.post.held == 3


def during(desk, session, delivery, effect, deadline=None):
    return desk.do(desk.broker.publish_during, session, delivery, effect, 0, deadline)


def test_an_answer_goes_where_the_message_came_from():
    desk = JoinedDesk()
    session, other = desk.session("w", demand=1), desk.session("v")
    theirs, ours = desk.fetched(session, reply_channel="s1!c1", order=0)
    desk.outward()
    effect = Send("s1!c1", b"x")
    token = during(desk, session, ours, effect, 5)
    assert desk.outward() == [Answering(session, theirs, effect, token, 5)]
    desk.do(desk.broker.settle, token, ChannelGone("s1!c1"))
    assert isinstance(desk.settled()[token], ChannelGone)
    with pytest.raises(DeliveryLost):
        during(desk, other, ours, effect)
    desk.broker.is_upstream_here = False
    with pytest.raises(LayerUnavailable):
        during(desk, session, ours, effect)
    desk.send("v", b"own")
    assert during(desk, session, ours, Send("v", b"x")) == 0


def test_an_own_message_answers_a_connection_of_another_host():
    desk = JoinedDesk()
    session = desk.session("w", demand=1)
    desk.publish(Send("w", b"x", "far!c1"))
    ours = desk.delivered[session][-1]
    desk.outward()
    token = during(desk, session, ours, Send("far!c1", b"y"))
    [forward] = desk.outward()
    assert (forward.token, forward.effect.channel) == (token, "far!c1")
    desk.commit(session, ours)
    with pytest.raises(DeliveryLost):
        during(desk, session, ours, Send("far!c1", b"y"))


def test_an_own_connection_that_is_gone_is_noticed():
    desk = JoinedDesk()
    owner = desk.owner()
    session = desk.session("w", demand=1)
    desk.submit(owner)
    desk.do(desk.owners.close, owner)
    with pytest.raises(ChannelGone):
        during(desk, session, desk.delivered[session][-1], Send("s1!c1", b"x"))


def test_flush_forgets_them():
    desk = JoinedDesk()
    session = desk.session("w", demand=1)
    _, ours = desk.fetched(session)
    desk.do(desk.broker.flush)
    assert desk.broker.guest_bytes == 0
    with pytest.raises(DeliveryLost):
        desk.commit(session, ours)
    assert [signal for signal in desk.outward() if isinstance(signal, Forward)] == []

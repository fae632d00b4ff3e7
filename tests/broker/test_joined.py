"""A joined broker: what is read here stays here, and what nobody here reads leaves."""

import pytest

from fairway.broker.effects import (
    Abandoned,
    Add,
    Done,
    Envelope,
    Frame,
    Grant,
    GroupFrame,
    GroupSend,
    Mislaid,
    OwnerGone,
    Refused,
    SaveState,
    Send,
    State,
)
from fairway.broker.outward import Forward, ForwardSubmit, GroupCame, OwnerCame, SessionCame, Withdrawn
from fairway.errors import ChannelFull, LayerUnavailable
from fairway.limits import ChannelRule
from tests.support.brokers import JoinedDesk

# --- sends ------------------------------------------------------------------------------------------------------------


def test_a_channel_that_is_read_here_is_served_here():
    desk = JoinedDesk()
    session = desk.session("w", "view!", demand=2)
    desk.outward()
    assert desk.send("w", b"1") == 0
    assert desk.send("view!9", b"2") == 0
    assert desk.bodies(session) == [b"1", b"2"]
    assert desk.outward() == []


def test_a_direct_send_that_nobody_here_reads_is_told_how_it_ends():
    desk = JoinedDesk()
    token = desk.do(desk.broker.publish, Send("w", b"x", "s1!c1", {"k": b"v"}), 0, 7)
    assert desk.outward() == [Forward(Send("w", b"x", "s1!c1", {"k": b"v"}, f"e.{token - 1}"), token, 7)]
    desk.do(desk.broker.settle, token, "")
    assert desk.settled() == {token: ""}
    assert desk.send("far!c1") > 0


def test_a_session_that_is_paused_does_not_count():
    desk = JoinedDesk()
    session = desk.session("w", "view!")
    desk.do(desk.broker.pause, session)
    desk.outward()
    assert desk.send("w") > 0
    assert desk.send("view!1") == 0  # but nobody else will ever read this
    assert [signal.effect.channel for signal in desk.outward()] == ["w"]


def test_one_that_failed_may_be_sent_again_under_its_id():
    desk = JoinedDesk()
    token = desk.send("w", name="one")
    assert desk.send("w", name="one") == 0
    desk.do(desk.broker.settle, token, ChannelFull("w", "at capacity"))
    second = desk.send("w", name="one")
    assert second
    assert desk.do(desk.broker.withdraw, "w", second)
    assert not desk.do(desk.broker.withdraw, "w", second)
    assert [type(signal) for signal in desk.outward()] == [Forward, Forward, Withdrawn]
    assert desk.send("w", name="one")


def test_without_the_upstream_it_is_refused_at_once():
    desk = JoinedDesk()
    desk.broker.is_upstream_here = False
    for _ in range(2):
        with pytest.raises(LayerUnavailable, match="'w' cannot be sent to"):
            desk.send("w", name="one")
    with pytest.raises(LayerUnavailable):
        desk.send("w")
    desk.session("w", demand=1)
    assert desk.send("w", name="one") == 0


def test_a_broker_that_is_full_lets_nothing_leave():
    desk = JoinedDesk(total=2)
    session = desk.session("w")
    desk.send("w", b"xx")
    with pytest.raises(ChannelFull):
        desk.send("v")
    token = desk.send("v", b"y", deadline=5)
    desk.outward()
    desk.commit(session, desk.take(session))
    assert desk.settled() == {token: ""}
    reader = desk.session("v")
    assert desk.take(reader).body == b"y"


def test_effects_of_a_commit_leave_when_nobody_here_is_meant():
    desk = JoinedDesk()
    owner = desk.owner()
    session = desk.session("w", demand=1)
    desk.submit(owner)
    desk.outward()
    away = [Send("v", b"1"), Send("far!c1", b"2"), SaveState("far!c1", {"k": None}), Grant("far!c1", 5)]
    here = [Send("s1!c1", b"3"), SaveState("s1!c1", {"k": b"v"}), Send("w", b"4")]
    desk.commit(session, desk.delivered[session][-1], *away, *here)
    effects = [signal.effect for signal in desk.outward()]
    assert [effect.channel for effect in effects] == ["v", "far!c1", "far!c1", "far!c1"]
    assert [effect.id for effect in effects[:2]] == ["s1.0.0", "s1.0.1"]
    assert desk.drain(owner) == [Frame("s1!c1", b"3"), State("s1!c1", {"k": b"v"}), Done("s1!c1", 0)]
    assert desk.take(session).body == b"4"


def test_an_effect_that_the_upstream_has_no_room_for_is_a_dead_letter():
    desk = JoinedDesk()
    desk.do(desk.broker.refuse_forward, Send("v", b"xx", id="m.0"), 0)
    assert [(signal.envelope.id, signal.reason) for signal in desk.taken() if isinstance(signal, Mislaid)] == [
        ("m.0", "full")
    ]
    assert (len(desk.post.dead), desk.post.held) == (1, 0)


# --- groups -----------------------------------------------------------------------------------------------------------


def test_a_group_send_goes_to_the_members_here_and_leaves():
    desk = JoinedDesk()
    owner = desk.owner()
    desk.do(desk.owners.add, "g", "s1!a")
    desk.outward()
    assert desk.publish(GroupSend("g", b"x", typed=True, id="m.1")) == 0
    assert desk.outward() == [Forward(GroupSend("g", b"x", typed=True, id="m.1"))]
    add, frame = desk.drain(owner)
    assert isinstance(add, Add)
    assert frame == GroupFrame("g", b"x", typed=True, id="m.1")
    desk.do(desk.broker.deliver_group, frame, 0)
    assert desk.drain(owner) == []


def test_a_group_message_from_elsewhere_arrives_once():
    desk = JoinedDesk()
    owner = desk.owner()
    desk.do(desk.owners.add, "g", "s1!a")
    desk.drain(owner)
    desk.outward()
    frame = GroupFrame("g", b"x", typed=False, id="m.1")
    for _ in range(2):
        desk.do(desk.broker.deliver_group, frame, 0)
    assert desk.drain(owner) == [frame]
    assert desk.outward() == []


# --- the messages of connections --------------------------------------------------------------------------------------


def submit(desk, owner, channel="w", order=0, attempt=1, now=0):
    envelope = Envelope(f"s1!c1.{order}", channel, "s1!c1", order, attempt)
    desk.do(desk.broker.submit, owner, envelope, b"x", now)
    return envelope


def test_a_connections_message_waits_for_a_worker_of_this_host_first():
    desk = JoinedDesk()
    owner = desk.owner()
    desk.outward()
    first = submit(desk, owner, now=10)
    desk.do(desk.broker.forward_unread, 11)
    assert desk.outward() == []
    desk.do(desk.broker.forward_unread, 12)
    assert desk.outward() == [ForwardSubmit(owner, first, b"x")]
    assert desk.post.held == 0
    second = submit(desk, owner, order=1, now=12)
    assert desk.outward() == [ForwardSubmit(owner, second, b"x")]
    session = desk.session("w", demand=1)
    desk.outward()
    submit(desk, owner, order=2, now=13)
    assert len(desk.delivered[session]) == 1
    desk.do(desk.broker.close_session, session, 0)
    desk.outward()
    submit(desk, owner, order=3, now=14)
    assert desk.outward() == []


def test_without_the_upstream_it_goes_on_waiting():
    desk = JoinedDesk()
    desk.broker.is_upstream_here = False
    owner = desk.owner()
    desk.outward()
    submit(desk, owner, now=0)
    desk.do(desk.broker.forward_unread, 100)
    submit(desk, owner, order=1, now=100)
    assert desk.outward() == []
    desk.submit(999)


def test_the_parts_of_a_request_follow_it():
    desk = JoinedDesk()
    owner = desk.owner()
    submit(desk, owner, "http.request")
    submit(desk, owner, "http.request.body?1", order=-1)
    desk.outward()
    desk.do(desk.broker.forward_unread, 0)
    desk.do(desk.broker.forward_unread, 5)
    submit(desk, owner, "http.request.body?1", order=-1, now=5)
    assert [signal.envelope.channel for signal in desk.outward()] == ["http.request", "http.request.body?1"]


def test_the_one_reader_of_a_prefix_may_be_elsewhere():
    desk = JoinedDesk()
    owner = desk.owner()
    session = desk.session("view!", demand=1)
    desk.outward()
    submit(desk, owner, "view!1")
    assert len(desk.delivered[session]) == 1
    far = submit(desk, owner, "far!1", order=1)
    assert desk.outward() == [ForwardSubmit(owner, far, b"x")]


def test_what_is_sent_again_goes_where_it_was():
    desk = JoinedDesk()
    owner = desk.owner()
    session = desk.session("w", demand=1)
    submit(desk, owner)
    back = desk.owner()
    desk.outward()
    submit(desk, back, attempt=2)
    assert desk.broker.repeats_dropped == 1
    desk.demand(session)
    submit(desk, back, order=1, attempt=2)  # of a broker that is lost
    assert len(desk.delivered[session]) == 2
    submit(desk, back, "far!1", order=2)
    again = desk.owner()
    desk.outward()
    far = submit(desk, again, order=3, attempt=2)
    assert desk.outward() == [ForwardSubmit(again, far, b"x")]


def test_what_was_left_behind_leaves_as_what_it_is():
    desk = JoinedDesk(("w", ChannelRule(attempts=9)))
    owner = desk.owner()
    session = desk.session("w", demand=3)
    for name in ("poison", "new"):
        desk.send("w", b"x", name=name)
    other = desk.session("w", demand=1)
    desk.do(desk.broker.release, session, desk.delivered[session][1].receipt)
    desk.do(desk.broker.close_session, session, 0)
    desk.do(desk.broker.close_session, other, 0)
    desk.submit(owner, order=4)
    desk.do(desk.owners.close, owner)
    desk.outward()
    desk.do(desk.broker.forward_unread, 0)
    desk.do(desk.broker.forward_unread, 2)
    left = [letter[0].id for letter in desk.post.box("w").letters]
    gone = [signal.effect.id for signal in desk.outward()]
    assert gone == ["s1.4"]  # its owner is gone: nobody is to hear of its end
    assert sorted(left) == ["new", "poison"]  # both have been with a session that died
    assert desk.post.held == 2


# --- what comes for owners --------------------------------------------------------------------------------------------


def test_an_owner_is_given_what_the_upstream_has_for_it():
    desk = JoinedDesk()
    owner = desk.owner()
    items = [
        Frame("s1!c1", b"1"),
        State("s1!c1", {"k": b"v"}),
        Done("s1!c1", 0),
        Abandoned("s1!c1", 1, "lost", 1),
        Refused("s1!c1", 2, "w", "capacity"),
        OwnerGone("view!"),
    ]
    desk.do(desk.broker.relay, owner, items)
    assert desk.drain(owner) == items
    desk.do(desk.broker.relay, 999, items)
    assert desk.post.held == 0


def test_a_connection_is_outside_until_its_message_has_ended():
    desk = JoinedDesk()
    owner = desk.owner()
    submit(desk, owner, "far!1")
    assert desk.owners.outside == {owner: {"s1!c1"}}
    desk.do(desk.broker.relay, owner, [Frame("s1!c1", b"1")])
    assert desk.owners.outside == {owner: {"s1!c1"}}
    desk.do(desk.broker.relay, owner, [Done("s1!c1", 0)])
    assert desk.owners.outside == {owner: set()}


def test_what_is_there_before_the_shell_is_told_of():
    desk = JoinedDesk()
    owner, session = desk.owner(), desk.session("w")
    desk.do(desk.owners.add, "g", "s1!a")
    assert desk.broker.census() == [OwnerCame(owner, ("s1!",)), GroupCame("g"), SessionCame(session, ("w",))]

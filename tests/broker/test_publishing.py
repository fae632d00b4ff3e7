import pytest

from fairway.broker.effects import GroupSend
from fairway.errors import ChannelFull
from fairway.limits import ChannelRule
from tests.support.brokers import Desk


def test_waiting_for_room_settles_in_order_or_at_the_deadline():
    desk = Desk(("a", ChannelRule(capacity=1)))
    assert desk.send("a", b"0") == 0
    tokens = [desk.send("a", bytes([value]), deadline=value) for value in (3, 5, 9)]
    assert desk.broker.due == 3
    desk.tick(3)
    assert desk.settled() == {tokens[0]: "at capacity"}
    session = desk.session("a")
    desk.take(session)
    assert desk.settled() == {tokens[1]: ""}
    assert desk.do(desk.broker.withdraw, "a", tokens[2])
    assert not desk.do(desk.broker.withdraw, "a", tokens[1])
    desk.tick(9)
    assert desk.settled() == {}
    assert desk.broker.due is None


def test_a_refused_message_may_come_again_under_its_id():
    desk = Desk(("a", ChannelRule(capacity=1)))
    desk.send("a", name="one")
    assert desk.send("a", name="one") == 0
    assert desk.broker.repeats_dropped == 1
    with pytest.raises(ChannelFull):
        desk.send("a", name="two")
    token = desk.send("a", name="two", deadline=5)
    desk.do(desk.broker.withdraw, "a", token)
    assert desk.send("a", name="two", deadline=5)
    desk.tick(5)
    session = desk.session("a")
    desk.take(session)
    assert desk.send("a", name="two") == 0
    assert desk.take(session).envelope.id == "two"
    assert desk.broker.repeats_dropped == 1


def test_a_channel_without_capacity_leaves_no_mailbox_behind():
    desk = Desk(("a", ChannelRule(capacity=0)))
    with pytest.raises(ChannelFull) as caught:
        desk.send("a")
    assert (caught.value.channel, caught.value.reason) == ("a", "at capacity")
    assert desk.post.boxes() == {}
    desk.do(desk.broker.withdraw, "a", desk.send("a", deadline=5))
    desk.send("a", deadline=5)
    desk.tick(5)
    assert desk.post.boxes() == {}


def test_a_group_send_counts_what_it_could_not_deliver():
    desk = Desk(("full", ChannelRule(capacity=0)), total=3)
    owner = desk.owner()
    for channel in ("s1!a", "full", "a"):
        desk.do(desk.owners.add, "g", channel)
    assert desk.publish(GroupSend("g", b"xx")) == 0
    assert desk.broker.group_sends_dropped == 1
    desk.publish(GroupSend("g", b"xx"))
    assert desk.broker.group_sends_dropped == 4
    assert [type(item).__name__ for item in desk.drain(owner)] == ["Add", "GroupFrame"]

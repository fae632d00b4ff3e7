from fairway.broker.effects import Done, Envelope, Frame, GroupFrame, State
from fairway.broker.inbox import Inbox, Mark
from fairway.broker.mailbox import Waiting
from fairway.limits import BrokerLimits


def inbox(**limits):
    return Inbox(1, ("s1!",), BrokerLimits(**limits))


def waiting(token, channel="s1!a", body=b"xx", deadline=5.0):
    return Waiting((Envelope("i", channel), body), deadline, token)


def test_items_come_in_order_and_once():
    box = inbox()
    box.put_frame("s1!a", b"1")
    assert box.put_state("s1!a", {"k": b"vv", "gone": None}) == 7
    box.items.append(Done("s1!a", 0))
    assert box.put_group(GroupFrame("g", b"22", typed=False, id="i"))
    items, size = box.drain()
    assert [type(item) for item in items] == [Frame, State, Done, GroupFrame]
    assert size == 10
    assert box.drain() == ([], 0)


def test_unread_bytes_of_each_connection_are_bounded():
    box = inbox(unread_per_connection=3)
    box.put_frame("s1!a", b"xxx")
    assert box.full_for("s1!a")
    assert not box.full_for("s1!b")
    box.drain()
    assert not box.full_for("s1!a")


def test_group_frames_beyond_the_bound_are_refused():
    for limits in ({"inbox": 2}, {"inbox_items": 1}):
        assert_takes_one_group_frame(inbox(**limits))


def assert_takes_one_group_frame(box):
    frame = GroupFrame("g", b"xx", typed=False, id="i")
    assert box.put_group(frame)
    assert not box.put_group(frame)
    box.drain()
    assert box.put_group(frame)


def test_a_congested_connection_is_full_and_a_departed_one_is_not():
    box = inbox()
    box.marks["s1!a"] = Mark.CONGESTED
    assert box.full_for("s1!a")
    box.marks["s1!a"] = Mark.DEPARTED
    assert not box.full_for("s1!a")


def test_sends_wait_in_order_and_drain_leaves_them():
    box = inbox()
    box.wait("s1!a", waiting(1, body=b"1"))
    box.wait("s1!a", waiting(2, body=b"2"))
    assert box.full_for("s1!a")
    assert not box.is_slow("s1!a")
    assert box.drain() == ([], 0)
    assert (box.size, box.waiting_size()) == (2, 2)
    assert [box.admit("s1!a").token for _ in range(2)] == [1, 2]
    assert box.waiting == {}
    assert box.drain() == ([Frame("s1!a", b"1"), Frame("s1!a", b"2")], 2)


def test_waiting_ends_at_the_deadline_or_by_withdrawal():
    box = inbox()
    for token, channel, deadline in ((1, "s1!a", 5.0), (2, "s1!a", 6.0), (3, "s1!b", 4.0), (4, "s1!b", 9.0)):
        box.wait(channel, waiting(token, channel, deadline=deadline))
    assert [one.token for one in box.overdue(5.0)] == [1, 3]
    assert box.withdraw(2).token == 2
    assert box.withdraw(2) is None
    assert box.withdraw(4).token == 4
    assert (box.waiting, box.size) == ({}, 0)

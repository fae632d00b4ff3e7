from fairway.broker.effects import Envelope
from fairway.broker.mailbox import Mailbox, Waiting
from fairway.limits import ChannelRule


def letter(body, expires=None):
    return Envelope(body.decode(), "c", expires=expires), body


def mailbox(capacity=2, *bodies):
    box = Mailbox(ChannelRule(capacity=capacity))
    for body in bodies:
        box.put(letter(body))
    return box


def test_first_in_first_out():
    box = mailbox(3, b"1", b"22", b"333")
    assert box.size == 6
    assert [box.take()[1] for _ in range(3)] == [b"1", b"22", b"333"]
    assert box.size == 0


def test_put_back_goes_to_the_front_whatever_the_capacity():
    box = mailbox(2, b"1", b"2")
    box.put_back(letter(b"0"))
    assert [one[1] for one in box.letters] == [b"0", b"1", b"2"]
    assert box.full


def test_full_at_capacity_and_while_somebody_waits():
    box = mailbox(1)
    assert not box.full
    box.put(letter(b"1"))
    assert box.full
    box.wait(Waiting(letter(b"2"), 5.0, 7))
    box.take()
    assert box.full
    assert box.admit().token == 7
    assert not box.waiting


def test_waiting_ends_in_order_at_the_deadline_or_by_withdrawal():
    box = mailbox(0)
    for token, deadline in ((1, 5.0), (2, 3.0), (3, 9.0)):
        box.wait(Waiting(letter(b"xx"), deadline, token))
    assert [one.token for one in box.overdue(5.0)] == [1, 2]
    assert box.size == 2
    assert box.overdue(5.0) == []
    assert box.withdraw(99) is None
    assert box.withdraw(3).token == 3
    assert (box.size, len(box.waiting)) == (0, 0)


def test_expired_letters_go_wherever_they_stand():
    box = mailbox(9)
    for body, expires in ((b"1", None), (b"22", 4.0), (b"333", 8.0), (b"4444", 5.0)):
        box.put(letter(body, expires))
    assert box.sweep == 4.0
    assert [one[1] for one in box.drop_expired(5.0)] == [b"22", b"4444"]
    assert ([one[1] for one in box.letters], box.size, box.sweep) == ([b"1", b"333"], 4, 8.0)
    assert box.drop_expired(7.9) == []
    box.drop_expired(8.0)
    assert box.sweep is None

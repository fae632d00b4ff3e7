import pytest

from fairway.broker.effects import Envelope
from fairway.broker.mailbox import Waiting
from fairway.broker.post import Post, queue_name, size_of
from fairway.limits import DEFAULT_RULES, UNGATED, BrokerLimits, ChannelRule


def post(*rules, **limits):
    return Post(BrokerLimits(rules=(*rules, ("*", ChannelRule())), **limits))


def letter(body=b"x", channel="c", expires=None):
    return Envelope("i", channel, expires=expires), body


def waiting(token=1, body=b"x", channel="c"):
    return Waiting(letter(body, channel), 5.0, token)


@pytest.mark.parametrize(
    ("channel", "capacity", "expiry"),
    [
        ("websocket.connect", 10_000, 20),
        ("websocket.receive", UNGATED, -1),
        ("websocket.connect.more", UNGATED, -1),
        ("http.request", 1_000, 60),
        ("http.request.body?abc", UNGATED, 300),
        ("http.disconnect", 10_000, 60),
        ("http.requests", 10_000, -1),
        ("Websocket.receive", 10_000, -1),
        ("chat.messages", 10_000, -1),
    ],
)
def test_the_first_rule_that_matches_the_whole_name_holds(channel, capacity, expiry):
    rule = Post(BrokerLimits(rules=DEFAULT_RULES)).rule(channel)
    assert (rule.capacity, rule.expiry) == (capacity, expiry)


def test_without_any_rule_the_defaults_hold():
    assert Post(BrokerLimits(rules=())).rule("c") == ChannelRule()


def test_a_mailbox_lives_while_it_is_read_or_holds_something():
    one = post()
    box = one.pin("c")
    assert one.pin("c") is box
    assert one.readers("c") == 2
    assert not one.unpin("c")
    assert one.unpin("c")
    assert one.boxes() == {}
    one.box("c").put(letter())
    one.forget_box("c")
    assert list(one.boxes()) == ["c"]
    one.box("c").take()
    one.forget_box("c")
    one.forget_box("c")
    assert one.boxes() == {}


def test_a_process_specific_queue_is_gone_without_its_reader():
    one = post()
    assert one.is_gone("p!")
    assert not one.is_gone("c")
    assert not one.is_gone("c?x")
    one.pin("p!")
    assert not one.is_gone("p!")
    one.held += 5
    one.box("p!").put(letter(b"55555", "p!1"))
    one.wait("p!", waiting(3, b"333", "p!1"))
    one.unpin("p!")
    letters, senders = one.abolish("p!")
    assert (len(letters), len(senders), one.held, one.crowd) == (1, 1, 0, 0)
    assert one.abolish("p!") == ([], [])


def test_what_waits_for_room_is_no_reason_to_wait():
    one = post(total=10)
    one.wait("c", waiting(1, bytes(10)))
    assert one.has_memory
    assert one.is_crowded
    assert one.admit(one.box("c"))[0].token == 1
    assert not one.has_memory
    assert (one.held, one.crowd, one.starved) == (10, 0, False)


def test_admitting_stops_at_capacity_and_at_memory():
    one = post(("c", ChannelRule(capacity=2)), total=10)
    for token in range(4):
        one.wait("c", waiting(token, bytes(6)))
    assert [sender.token for sender in one.admit(one.box("c"))] == [0, 1]
    assert not one.starved
    one.box("c").take()
    assert one.admit(one.box("c")) == []
    assert one.starved


def test_overdue_withdrawn_and_next_due():
    one = post()
    assert one.next_due() is None
    one.wait("a", waiting(1, channel="a"))
    one.wait("b", Waiting(letter(), 3.0, 2))
    assert one.next_due() == 3.0
    assert [sender.token for sender in one.overdue(3.0)] == [2]
    assert list(one.boxes()) == ["a"]
    assert one.withdraw("a", 99) is None
    assert one.withdraw("b", 1) is None
    assert one.withdraw("a", 1).token == 1
    assert one.boxes() == {}


def test_a_sweep_drops_what_expired_and_a_single_reader_channel_as_a_whole():
    one = post(("*", ChannelRule(expiry=5)))
    one.pin("read?x")
    for channel in ("c", "body?x", "read?x"):
        for expires in (5.0, 9.0):
            one.held += 1
            one.box(channel).put(letter(b"x", channel, expires))
    assert one.next_due() == 5.0
    swept = {channel: len(gone) for channel, gone in one.sweep(5.0)}
    assert swept == {"c": 1, "body?x": 2, "read?x": 0}
    assert (one.held, one.expired) == (3, 3)
    assert one.next_due() == 9.0
    assert one.drop_expired(letter(expires=5.0), 5.0)
    assert not one.drop_expired(letter(expires=5.1), 5.0)
    assert not one.drop_expired(letter(channel="read?x", expires=5.0), 6.0)


def test_clear_keeps_what_is_read_and_empties_it():
    one = post(total=3)
    one.pin("c").put(letter())
    one.box("d").put(letter())
    one.held = 2
    one.wait("c", waiting(7))
    one.dead.bury(letter(), "full", 0.0)
    assert [sender.token for sender in one.clear()] == [7]
    assert (list(one.boxes()), one.held, one.crowd, len(one.dead)) == (["c"], 0, 0, 0)
    assert not one.box("c").letters


def test_names_of_queues():
    assert [queue_name(name) for name in ("a", "a?b", "a!b", "a!")] == ["a", "a?b", "a!", "a!"]
    assert size_of([waiting(1, b"22"), waiting(2, b"333")]) == 5

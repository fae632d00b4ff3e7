"""One socket as its view sees it: phases, what is unread, and what is to be told."""

import pytest

from fairway.broker.effects import Delivery, Envelope, SaveState, Send
from fairway.errors import ChannelGone, InvalidMessage, MessageTooLarge
from fairway.layers.codec import decode_message, unpack_value
from fairway.layers.waiters import UNSETTLED, BlockingWaiter
from fairway.views.connection import IN_VAIN, NOTHING, OVER, Connection, Phase

CHANNEL = "websocket.view.a!1"


@pytest.fixture
def connection(quay):
    return Connection(quay.connect(), CHANNEL, ["a", "b"])


def delivery(order, receipt=0):
    return Delivery(Envelope(f"m{order}", CHANNEL, "websocket.send.Q1!c1", order=order), b"", receipt)


def decoded(effects):
    return [decode_message(effect.body) for effect in effects if isinstance(effect, Send)]


def test_it_is_accepted_once_with_its_channel_and_a_state_that_names_it(connection):
    state, accept = connection.accept("b", [[b"x-a", b"1"]])
    assert isinstance(state, SaveState)
    assert {key: unpack_value(value) for key, value in state.changes.items()} == {"fairway.view": CHANNEL}
    assert decoded([accept]) == [
        {"accept": True, "receive_channel": CHANNEL, "subprotocol": "b", "headers": [[b"x-a", b"1"]]}
    ]
    assert connection.accept() == []
    assert connection.reject({"status": 403}) == []
    assert connection.phase is Phase.OPEN


def test_what_cannot_be_accepted_decides_nothing(connection):
    with pytest.raises(InvalidMessage):
        connection.accept("no token")
    assert connection.phase is Phase.HANDSHAKE
    assert connection.accept()


def test_a_rejection_ends_it(connection):
    assert decoded(connection.reject({"status": 418})) == [{"reject": {"status": 418}}]
    assert connection.accept() == []
    assert connection.is_over


def test_what_the_run_of_the_connect_has_sent_is_committed_too(quay):
    outbox = quay.connect()
    sent = Send("x", b"\x80")
    outbox.append(sent, quay.layer)
    assert Connection(outbox, CHANNEL).accept()[0] is sent
    assert Connection(outbox, CHANNEL).reject({"status": 403})[0] is sent


def test_messages_come_in_order_then_the_end(connection):
    assert connection.put(delivery(1), "a")
    assert connection.put(delivery(2), "b")
    assert connection.count() == 2
    connection.end()
    assert [connection.take()[1], connection.take()[1], connection.take()] == ["a", "b", OVER]


def test_who_waits_is_woken_by_a_message_by_the_end_and_by_a_stop(connection):
    for happens in (lambda: connection.put(delivery(1), "a"), connection.stop, connection.end):
        waiter = BlockingWaiter()
        assert connection.take(waiter) is NOTHING
        happens()
        waiter.wait(1)
        assert waiter.result is UNSETTLED  # it looks for itself
        connection.take()
        connection._is_stopping = False


def test_who_was_cancelled_is_woken_no_more(connection):
    waiter = BlockingWaiter()
    connection.take(waiter)
    connection.forget(waiter)
    connection.forget(waiter)
    connection.end()
    assert waiter._gate.locked()


def test_a_message_that_is_delivered_again_comes_once(connection):
    connection.put(delivery(1, receipt=1), "a")
    connection.put(delivery(2, receipt=2), "b")
    assert connection.put(delivery(2, receipt=3), "b")
    taken = [connection.take(), connection.take()]
    assert [(one.receipt, text) for one, text in taken] == [(1, "a"), (3, "b")]
    assert not connection.put(delivery(1, receipt=4), "a")
    assert connection.take() is NOTHING


def test_nothing_comes_after_the_end_or_a_stop(connection):
    connection.stop()
    assert not connection.put(delivery(1), "a")
    assert (connection.is_over, connection.is_stopping, connection.take()) == (True, True, OVER)
    assert decode_message(connection.message("still open").body) == {"text": "still open"}


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ("a", {"text": "a"}),
        (24, {"text": "24"}),
        (None, {"text": "None"}),
        (b"\xff", {"bytes": b"\xff"}),
        (bytearray(b"a"), {"bytes": b"a"}),
        (memoryview(b"a"), {"bytes": b"a"}),
    ],
)
def test_what_a_message_is_sent_as(connection, message, content):
    assert decode_message(connection.message(message).body) == content


def test_what_cannot_be_sent(connection):
    with pytest.raises(MessageTooLarge):
        connection.message("x" * 9_000_000)
    connection.accept()
    assert decode_message(connection.close(4000, "why").body) == {"close": 4000, "reason": "why"}
    assert connection.close() is None
    with pytest.raises(ChannelGone):
        connection.message("late")


def test_a_code_that_cannot_be_sent_closes_nothing(connection):
    connection.accept()
    with pytest.raises(InvalidMessage):
        connection.close(1005)
    assert connection.phase is Phase.OPEN


def test_what_is_left_unread(connection):
    first = delivery(1)
    connection.put(first, "a")
    connection.end()
    assert (connection.take_unread(), connection.take()) == ([first], OVER)


def test_nobody_waits_for_ever_for_what_will_not_come(connection):
    for _ in range(IN_VAIN):
        connection.note_in_vain()
    with pytest.raises(RuntimeError, match="for message in"):
        connection.note_in_vain()


def test_what_is_put_back_comes_next(connection):
    connection.accept()
    connection.put(delivery(1), "one")
    connection.put(delivery(2), "two")
    taken = connection.take()
    waiter = BlockingWaiter()
    connection.put_back(taken)
    assert connection.count() == 2
    assert [connection.take()[1] for _ in range(2)] == ["one", "two"]
    assert connection.take(waiter) is NOTHING
    connection.put_back(taken)
    waiter.wait(30)
    assert connection.take() == taken

"""Requests to a delay server: what is understood, and what is refused with which words."""

import msgspec
import pytest

from fairway.broker.effects import Delivery, Envelope
from fairway.delay.parsing import name_of, parse_request
from fairway.errors import InvalidMessage
from fairway.layers.codec import decode_message, encode_message

NOW = 1_900_000_000_000
DAY = 86_400_000
REPORT = {"channel": "reports", "content": {"n": 1}, "delay": 5}


def parse(message, now=NOW):
    body = message if isinstance(message, bytes) else msgspec.msgpack.encode(message)
    return parse_request(Delivery(Envelope("e.1", "asgi.delay"), body, 1), now)


def test_a_delay_counts_from_now():
    request = parse(REPORT)
    assert (request.channel, request.due, request.key, request.sent) == ("reports", NOW + 5, None, 0)
    assert request.body == encode_message({"n": 1})


def test_a_time_counts_whatever_the_delay_says():
    assert parse({**REPORT, "due": NOW - 5}).due == NOW - 5
    assert parse({**REPORT, "due": NOW + 7, "delay": None}).due == NOW + 7


def test_bytes_travel():
    assert decode_message(parse({**REPORT, "content": {"raw": b"\0\xff"}}).body) == {"raw": b"\0\xff"}


def test_a_repeat_has_the_same_name_and_no_other_message_has():
    assert parse(REPORT).name == parse(REPORT).name == name_of("e.1")
    assert len(name_of("e.2")) == 32
    assert name_of("e.2") != name_of("e.1")


def test_the_connection_that_the_content_names_is_kept():
    assert parse({**REPORT, "content": {"reply_channel": "websocket.send.a!b"}}).reply_channel == "websocket.send.a!b"


@pytest.mark.parametrize("other", [None, 5, "", "no channel", ["x"]])
def test_content_may_hold_anything_under_that_name(other):
    assert parse({**REPORT, "content": {"reply_channel": other}}).reply_channel == ""


def test_unknown_keys_are_let_be():
    assert parse({**REPORT, "color": "red"}).channel == "reports"


def test_a_key_comes_with_the_time_of_its_sending():
    request = parse({**REPORT, "key": "daily", "sent": 99})
    assert (request.key, request.sent) == ("daily", 99)


def test_a_cancellation_needs_no_more_than_its_key():
    request = parse({"channel": "reports", "key": "daily", "sent": 99, "cancel": True})
    assert (request.channel, request.key, request.sent, request.body) == ("reports", "daily", 99, None)


def without(key):
    return {name: value for name, value in REPORT.items() if name != key}


WHOLE = "it must be a whole number of milliseconds, 1 or more"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (without("channel"), "the key 'channel' is missing"),
        (without("content"), "the key 'content' is missing"),
        (without("delay"), "the key 'delay' is missing"),
        ({**REPORT, "channel": None}, "'channel': a channel name is a str, not NoneType: None"),
        ({**REPORT, "channel": "a b"}, "'channel': 'a b' is no channel name"),
        ({**REPORT, "channel": "fairway.dead"}, "'channel': channel names that start with 'fairway.' are reserved"),
        ({**REPORT, "content": [1]}, "'content' is [1]; it must be a dict, the message to be sent"),
        ({**REPORT, "content": {"n": 2**63}}, "'content': 'n' is an int outside the signed 64-bit range"),
        ({**REPORT, "delay": 0}, f"'delay' is 0; {WHOLE}"),
        ({**REPORT, "delay": -1}, f"'delay' is -1; {WHOLE}"),
        ({**REPORT, "delay": 1.5}, f"'delay' is 1.5; {WHOLE}"),
        ({**REPORT, "delay": True}, f"'delay' is True; {WHOLE}"),
        ({**REPORT, "delay": "5"}, f"'delay' is '5'; {WHOLE}"),
        ({**REPORT, "delay": 2**64 - 1}, f"'delay' is {2**64 - 1}; {WHOLE}"),
        ({**REPORT, "delay": 3655 * DAY}, f"'delay' is {3655 * DAY}; it must be less than ten years away; it is in"),
        ({**REPORT, "due": "soon"}, f"'due' is 'soon'; {WHOLE}"),
        ({**REPORT, "due": 0}, f"'due' is 0; {WHOLE}"),
        ({**REPORT, "due": NOW * 1000}, f"'due' is {NOW * 1000}; it must be less than ten years away"),
        ({**REPORT, "key": "daily"}, "the key 'sent' is missing"),
        ({**REPORT, "key": "daily", "sent": "x"}, "'sent' is 'x'; it must be a whole number of nanoseconds"),
        ({**REPORT, "key": 5, "sent": 1}, "'key': "),
        ({**REPORT, "key": "", "sent": 1}, "'key': "),
        ({**REPORT, "key": "k" * 201, "sent": 1}, "'key': "),
        ({**REPORT, "key": "a\0", "sent": 1}, "'key': "),
        ({**REPORT, "cancel": True}, "'cancel' needs the 'key' of what is to be cancelled"),
        (b"\xc1", "the body is no message"),
        (msgspec.msgpack.encode([1]), "the body is no message"),
    ],
)
def test_a_refusal_names_the_key_and_its_value(message, reason):
    with pytest.raises(InvalidMessage) as caught:
        parse(message)
    assert str(caught.value)[: len(reason)] == reason


def test_a_value_is_not_told_in_full():
    with pytest.raises(InvalidMessage) as caught:
        parse({**REPORT, "delay": "x" * 10_000})
    assert len(str(caught.value)) < 200

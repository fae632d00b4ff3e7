"""How dead letters look: aligned, escaped, cut where they are long, and whole as JSON."""

import json

import pytest

from fairway.layers.base import DeadLetter
from fairway.layers.codec import encode_message
from fairway.management import letters


def letter(**changes):
    facts = {
        "id": "s1!c1.7",
        "channel": "websocket.receive",
        "reply_channel": "websocket.send.s1!c1",
        "reason": "attempts",
        "attempts": 5,
        "retries": 0,
        "age": 200.0,
        "body": encode_message({"text": "hello"}),
    }
    return DeadLetter(**{**facts, **changes})


def test_a_table_is_aligned():
    rows = letters.table(
        [letter(), letter(id="x", age=1, channel="orders", reason="full", attempts=1, body=bytes(2048))]
    )
    assert rows.splitlines() == [
        "ID       AGE  CHANNEL            REASON    ATTEMPTS     SIZE",
        "s1!c1.7   3m  websocket.receive  attempts         5     12 B",
        "x         1s  orders             full             1  2.0 KiB",
    ]


def test_one_in_full_tells_its_history_and_what_is_in_it():
    assert letters.full(letter(retries=2)).splitlines() == [
        "id:            s1!c1.7",
        "channel:       websocket.receive",
        "reply channel: websocket.send.s1!c1",
        "reason:        attempts (its worker was lost each time)",
        "attempts:      5",
        "retries:       2",
        "died:          3m ago",
        "size:          12 B",
        "body:",
        "{'text': 'hello'}",
    ]


def test_a_body_that_is_no_message_is_shown_all_the_same():
    shown = letters.full(letter(body=b"\xc1", reply_channel="", reason="failed: no\x1b luck"))
    assert shown.endswith("body:\nb'\\xc1'")
    assert "reply channel: -" in shown
    assert "reason:        failed: no\\x1b luck\n" in shown


def test_a_long_reason_is_cut_in_a_table_alone():
    long = letter(reason="failed 6 times: ValueError: " + "no luck " * 20)
    assert " [...]  " in letters.table([long])
    assert "no luck " * 19 in letters.full(long)


def test_nothing_reaches_the_terminal_unescaped():
    evil = "\x1b[2J\n\u202e"
    body = encode_message({evil: evil})
    for shown in (
        letters.full(letter(id=evil, body=body)),
        letters.table([letter(id=evil)]),
        letters.as_json([letter(body=body)]),
    ):
        assert not any(sign in shown for sign in ("\x1b", "\u202e"))
    assert letters.plain(evil + "é") == r"\x1b[2J\n\u202eé"


def test_what_is_long_is_cut_and_says_so():
    body = encode_message({"text": "x" * 600, "data": bytes(501), "list": list(range(60)), "short": [1, {"a": None}]})
    shown = letters.full(letter(body=body))
    assert "… 100 characters more" in shown
    assert "… 1 bytes more" in shown
    assert "49" in shown
    assert "… 10 entries more" in shown
    assert "'short': [1, {'a': None}]" in shown
    many = letters.cut({str(number): number for number in range(51)})
    assert len(many) == 51
    assert repr(list(many)[-1]) == "… 1 entries more"


def test_json_is_whole():
    message = {"text": "x" * 600, "data": b"\x00\xff"}
    [found] = json.loads(letters.as_json([letter(body=encode_message(message))]))
    assert found["body"] == {"text": "x" * 600, "data": {"base64": "AP8="}}
    assert (found["id"], found["age"], found["size"]) == ("s1!c1.7", 200.0, len(encode_message(message)))


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0s"), (59, "59s"), (60, "1m"), (7199, "1h"), (86400, "1d"), (10**7, "115d")]
)
def test_age(seconds, said):
    assert letters.age(seconds) == said


@pytest.mark.parametrize(("count", "said"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 20, "3.0 MiB")])
def test_size(count, said):
    assert letters.size(count) == said

"""What comes to an inbox, as its owner is to see it."""

from fairway.broker.effects import Abandoned, Ask, Done, Frame, Refused
from fairway.layers.redis import inbox_arrivals
from fairway.layers.redis.entries import pack
from fairway.layers.redis.inbox_arrivals import Arrivals, items_left


def entry(*fields: bytes) -> tuple[bytes, list[bytes]]:
    return b"1-1", list(fields)


def test_items_are_in_order_and_counted() -> None:
    arrivals = Arrivals()
    first = entry(b"f", b"s!1", b"b", b"xx", b"d", pack(["s!1", 3]))
    assert arrivals.take([first, entry(b"f", b"s!2", b"b", b"y")]) == [
        Frame("s!1", b"xx"),
        Done("s!1", 3),
        Frame("s!2", b"y"),
    ]
    assert arrivals.unread_bytes == 3
    assert arrivals.take_unacked() == (2, 3)
    assert arrivals.take_unacked() == (0, 0)


def test_who_is_read_is_not_for_the_owner() -> None:
    arrivals = Arrivals()
    assert arrivals.take([entry(b"r", pack(["a", "b"]))]) == []
    assert arrivals.readers == {"a", "b"}
    assert arrivals.take([entry(b"r", pack([]))]) == []
    assert arrivals.readers == frozenset()


def test_a_question_is_answered_once() -> None:
    arrivals = Arrivals()
    [ask] = arrivals.take([entry(b"?", pack(["me/7", "state", "s!1"]))])
    assert ask == Ask(1, "state", "s!1")
    assert arrivals.take_question(1) == "me/7"
    assert arrivals.take_question(1) == ""


def test_questions_that_nobody_answers_are_forgotten() -> None:
    arrivals = Arrivals()
    questions = inbox_arrivals.QUESTIONS
    arrivals.take([entry(b"?", pack([f"me/{number}", "state", "s!1"])) for number in range(questions + 1)])
    assert arrivals.take_question(1) == ""
    assert arrivals.take_question(2) == "me/1"
    assert arrivals.take_question(questions + 1) == f"me/{questions}"


def test_a_connection_that_no_consumer_has_seen_has_no_will() -> None:
    arrivals = Arrivals()
    arrivals.wills = {"s!1", "s!2", "s!3", "s!4"}
    refused = [Refused("s!1", 0, "c", "capacity"), Refused("s!2", 5, "c", "capacity")]
    abandoned = [Abandoned("s!3", 0, "expired", 1), Abandoned("s!4", 0, "attempts", 5)]
    packed = [entry(b"x", pack([item.channel, item.order, item.source, item.reason])) for item in refused]
    packed += [entry(b"a", pack([item.channel, item.order, item.reason, item.attempts])) for item in abandoned]
    assert arrivals.take(packed) == [*refused, *abandoned]
    assert arrivals.wills == {"s!2", "s!4"}


def test_what_was_left_has_no_questions() -> None:
    left = [entry(b"?", pack(["me/1", "state", "s!1"])), entry(b"r", pack(["a"])), entry(b"d", pack(["s!1", 3]))]
    assert items_left(left) == [Done("s!1", 3)]

"""Dead letters: bounded twice, newest first, and each goes once."""

import pytest

from fairway.broker.dead import DeadLetters
from fairway.broker.effects import Envelope


def letter(name="i", size=1):
    return Envelope(name, "c"), bytes(size)


@pytest.fixture
def dead():
    letters = DeadLetters(count=3, size=10)
    for number in range(3):
        letters.bury(letter(str(number)), "full", float(number))
    return letters


def names(letters):
    return [one.envelope.id for one in letters]


def test_the_oldest_go_when_there_are_too_many_or_too_large(dead):
    dead.bury(letter("3"), "attempts", 3.0)
    assert (names(dead), dead.size) == (["1", "2", "3"], 3)
    dead.bury(letter("4", 9), "full", 4.0)
    assert (names(dead), dead.size) == (["3", "4"], 10)
    dead.bury(letter("5", 11), "full", 5.0)
    assert (names(dead), dead.size) == ([], 0)


def test_the_newest_come_first(dead):
    assert names(dead.newest(2)) == ["2", "1"]
    assert names(dead.newest(100)) == ["2", "1", "0"]
    assert names(dead.newest(-1)) == []
    assert [(one.reason, one.since) for one in dead.newest(1)] == [("full", 2.0)]


def test_what_is_named_and_may_go_goes(dead):
    assert dead.remove(["0", "2", "unknown"], lambda one: one.envelope.id != "0") == 1
    assert (names(dead), dead.size, len(dead)) == (["0", "1"], 2, 2)
    dead.clear()
    assert (names(dead), dead.size) == ([], 0)
